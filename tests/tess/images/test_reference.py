from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.io.tess.image_reference import read_image_reference, write_image_reference
from gaiaflux.model.errors import InputError
from gaiaflux.model.image_reference import NoReference
from gaiaflux.tess.images.reference import image_reference, settled_reference


def candidates(files, which):
    return [(path.stem, str(path)) for path in files.paths[which]]


def test_the_first_that_can_be_is_the_reference(copy, ccd_files):
    paths = copy.paths
    ccd_files.edit(paths[0], ccd_files.without_wcs)
    paths[1].write_bytes(b"")
    ccd_files.edit(paths[2], ccd_files.stated(CCD=4))
    ccd_files.edit(paths[3], ccd_files.stated(DQUALITY=4))
    order = candidates(copy, slice(0, 4))
    zero = (paths[7].stem, str(paths[7]))
    found = image_reference([*order, zero, *candidates(copy, slice(4, 6))], copy.ccd, copy.catalog)
    assert found.frame_id == paths[4].stem
    assert found.stamp == (0, 64, 44, 108)
    assert found.remarks == ()


def test_where_none_can_be_one_sentence_says_why_of_each(copy, ccd_files):
    paths = copy.paths
    ccd_files.edit(paths[0], ccd_files.without_wcs)
    paths[1].write_bytes(b"")
    tried = [*candidates(copy, slice(0, 2)), (paths[7].stem, str(paths[7]))]
    said = (
        r"none of the 3 images of sector 1, camera 1, CCD 3 .*1 without a plate sol.*, 1 not readable, 1 without light"
    )
    with pytest.raises(InputError, match=said):
        image_reference(tried, copy.ccd, copy.catalog)
    settled = settled_reference(tried, copy.ccd, copy.catalog)
    assert isinstance(settled, NoReference)
    write_image_reference(copy.folder / "r.h5", settled)
    assert read_image_reference(copy.folder / "r.h5") == settled


def test_a_reference_is_read_as_it_was_written(small):
    made, read = small.settle(), small.reference
    for name in ("frame_id", "stamp", "cadence_s", "remarks", "detector", "cosmic_rays", "place"):
        assert getattr(read, name) == getattr(made, name)
    for name in ("starry", "star_id", "x", "y", "flux", "tells"):
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))


def test_stars_are_where_the_truth_has_them(small):
    made = small.reference
    frame = [path.stem for path in small.paths].index(made.frame_id)
    x, y = small.truth.star_places(frame)
    for k, star in enumerate(small.setup.stars):
        row = int(np.flatnonzero(made.star_id == star.starid)[0])
        distance = np.hypot(x - made.x[row], y - made.y[row])
        assert distance.min() < 0.1, k


def test_a_catalogue_that_ends_inside_the_images_is_said(small):
    catalog = small.catalog
    x = small.reference.x
    whole = small.settle()
    rows = np.searchsorted(catalog.star_id, whole.star_id[x < 25])
    half = catalog[np.sort(rows)]
    found = image_reference(candidates(small, slice(12, None)), small.ccd, half)
    (remark,) = found.remarks
    assert "stars of the images are not in the catalogue, at columns" in remark
    left = int(remark.split("columns ")[1].split(" ")[0])
    assert left - 44 > 20


def test_a_catalogue_of_elsewhere_is_said(small):
    elsewhere = replace(small.catalog, ra_deg=small.catalog.ra_deg - 40.0)
    found = image_reference(candidates(small, slice(12, None)), small.ccd, elsewhere)
    assert len(found.star_id) == 0
    assert len(found.tells) == 0
    assert "no star of the catalogue is on the images" in found.remarks[0]
