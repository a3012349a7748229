from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.model.errors import InputError
from gaiaflux.model.tess_catalog import FIRST_OWN_STAR
from gaiaflux.tess.images.found_catalog import NOT_SEEN, NOT_THERE, ImageGroup, find_catalog
from gaiaflux.tess.stamp.instrument import InstrumentFiles


def group(files, which=slice(12, 16)):
    return ImageGroup(files.ccd, [(path.stem, str(path)) for path in files.paths[which]])


@pytest.fixture(scope="module")
def found(small):
    return find_catalog([group(small)], small.instrument)


def test_the_stars_are_those_of_the_truth(small, found):
    reference = small.reference
    assert (np.diff(found.star_id) > 0).all()
    assert found.star_id[0] >= FIRST_OWN_STAR
    listed = small.catalog
    for star in small.setup.stars:
        at = int(np.searchsorted(listed.star_id, star.starid))
        away = 3600 * np.hypot(
            (found.ra_deg - listed.ra_deg[at]) * np.cos(np.radians(listed.dec_deg[at])),
            found.dec_deg - listed.dec_deg[at],
        )
        near = int(np.argmin(away))
        assert away[near] < 0.15 * 21
        assert found.mag[near] == pytest.approx(star.tmag, abs=0.03)
    assert len(found) <= len(reference.star_id)


def test_stars_of_a_list_have_its_numbers_and_the_others_reasons(small):
    listed = small.catalog
    chosen = listed[np.searchsorted(listed.star_id, [1001, 1002, 1004])]
    dec, mag = chosen.dec_deg.copy(), chosen.mag.copy()
    dec[2], mag[1] = dec[2] + 2.0, mag[1] + 4.0
    made = find_catalog([group(small)], small.instrument, replace(chosen, dec_deg=dec, mag=mag))
    assert made.star_id[made.star_id < FIRST_OWN_STAR].tolist() == [1001]
    assert made.why_missing(1002) == NOT_SEEN
    assert made.why_missing(1004) == NOT_THERE


def test_a_ccd_without_images_or_response_is_a_remark(small, tmp_path, found):
    dark = ImageGroup((1, 2, 2), [("dark", str(small.paths[7]))])
    made = find_catalog([dark, group(small)], small.instrument)
    np.testing.assert_array_equal(made.mag, found.mag)
    assert made.remarks == ("no stars of sector 1, camera 2, CCD 2: it has no image that can be used",)
    with pytest.raises(InputError, match=r"no star is found on the images.*no PRF files"):
        find_catalog([group(small)], InstrumentFiles(tmp_path, None))
    with pytest.raises(InputError, match="give prf_folder"):
        find_catalog([group(small)], InstrumentFiles(None, None))


def test_a_star_on_two_images_is_one(small, found):
    twice = find_catalog([group(small), group(small, slice(16, 20))], small.instrument)
    assert len(twice) <= len(found) + 1
