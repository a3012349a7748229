import shutil

import numpy as np
import pytest

from gaiaflux.model.flags import StarFlag
from gaiaflux.model.tess_catalog import FIRST_OWN_STAR
from gaiaflux.sim.tess.stars import tess_flux
from gaiaflux.tess.images.found_catalog import NOT_SEEN, ImageGroup, find_catalog
from gaiaflux.tess.images.none_left import write_no_images


@pytest.fixture(scope="module")
def files(ccd_files, tmp_path_factory):
    made = ccd_files.CcdFiles.make(tmp_path_factory.mktemp("targets") / "ccd")
    made.prepare()
    return made


def moved(files, **places):
    """Catalogue with stars at these columns and rows of the CCD, besides its own."""
    from gaiaflux.core.sky.projection import pixel_to_sky

    catalog, reference = files.catalog, files.reference
    number = {name: 10 + k for k, name in enumerate(places)}
    x, y = np.array(list(places.values()), float).T
    ra, dec = pixel_to_sky(reference.wcs, x - 44, y)
    like = catalog[np.full(len(x), int(np.searchsorted(catalog.star_id, 1003)))]
    ids = np.array(list(number.values()), np.int64)
    every = {
        name: np.concatenate([getattr(like, name), getattr(catalog, name)]) for name in type(catalog).column_names()
    }
    n = len(x)
    every["star_id"][:n], every["ra_deg"][:n], every["dec_deg"][:n] = ids, ra, dec
    return number, catalog.with_columns(every)


def test_stars_by_magnitude_have_their_light(files):
    made = files.measure({"tmag_max": 11.6, "part": 0, "parts": 1}, methods=("psf", "linpsf", "aperture"))
    assert [name[:11] for name in made] == [f"{star.starid:011d}" for star in files.setup.stars]
    for star in files.setup.stars:
        attrs, arrays = made[f"{star.starid:011d}-s0001-1-3"]
        assert attrs["status"] == "ok"
        for method, within in (("psf", 0.01), ("linpsf", 0.01), ("aperture", 0.1)):
            assert np.nanmedian(arrays[f"{method}_flux"]) == pytest.approx(tess_flux(star.tmag), rel=within)


def test_frames_that_are_no_good_are_missing_or_flagged(files, ccd_files):
    _, arrays = files.measure({"stars": [1001]})["00000001001-s0001-1-3"]
    flux, flags = arrays["linpsf_flux"], arrays["linpsf_flags"]
    assert np.isnan(flux[ccd_files.ZERO])
    assert flags[ccd_files.ZERO] & StarFlag.NOT_MEASURED
    np.testing.assert_array_equal(arrays["frame_flags"] != 0, np.isin(np.arange(24), [ccd_files.ZERO, ccd_files.SAFE]))
    good = np.delete(flux, [ccd_files.ZERO, ccd_files.SAFE])
    assert np.std(good) / np.median(good) < 0.002


def test_parts_take_turns(files):
    whole = files.measure({"tmag_max": 11.6, "part": 0, "parts": 1})
    parts = [files.measure({"tmag_max": 11.6, "part": part, "parts": 3}) for part in range(3)]
    assert sorted(name for part in parts for name in part) == sorted(whole)
    for part in parts:
        for name, (_, arrays) in part.items():
            np.testing.assert_array_equal(arrays["linpsf_flux"], whole[name][1]["linpsf_flux"])


def test_each_star_that_is_asked_for_has_a_line_and_a_reason(files):
    number, catalog = moved(files, virtual=(30, 20), beside=(60, 70), far=(60, 900))
    wanted = {"stars": [*number.values(), 1003, 7]}
    made = files.measure(wanted, catalog=catalog)
    assert made.pop("00000001003-s0001-1-3")[0]["status"] == "ok"
    status = {int(name): attrs["status"] for name, (attrs, _) in made.items()}
    place = "not on the pixels of any CCD of the field (at column 30.0, row 20.0 of s0001-1-3, whose images show col"
    assert status[number["virtual"]].startswith(place)
    assert "at column 60.0, row 70.0" in status[number["beside"]]
    assert status[number["far"]].startswith("not on the pixels of any CCD of the field: correct")
    assert status[7] == "not in the catalogue; add it, or correct the number"
    assert len(status) == 4


def test_stars_on_the_edge_and_in_the_corner_are_measured_or_say_why(files):
    number, catalog = moved(files, edge=(43.7, 20), corner=(44.0, 0.0), last=(107.4, 63.4))
    made = files.measure({"stars": list(number.values())}, catalog=catalog, methods=("linpsf", "aperture"))
    assert len(made) == 3
    for name, (attrs, arrays) in made.items():
        assert name.endswith("-s0001-1-3")
        assert attrs["status"] == "ok" or "could be measured" in attrs["status"]
        assert len(arrays["linpsf_flux"]) == 24


def test_a_star_without_pixels_says_so(copy_of, ccd_files):
    def hole(hdus):
        hdus[1].data[20:42, 44 + 8 : 44 + 33] = np.nan

    for path in copy_of.paths:
        ccd_files.edit(path, hole)
    copy_of.prepare()
    made = copy_of.measure({"stars": [1001, 1002]}, methods=("psf", "linpsf", "aperture"))
    assert "nothing could be measured" in made["00000001001-s0001-1-3"][0]["status"]
    assert made["00000001002-s0001-1-3"][0]["status"] == "ok"


@pytest.fixture
def copy_of(files, tmp_path):
    return files.copy(tmp_path / "copy")


def test_images_without_frames_are_passed_over(files, tmp_path, caplog):
    write_no_images(tmp_path / "none.h5", tmp_path / "i.csv", [], (1, 2, 2))
    made = files.measure({"stars": [1001, 7]}, prepared=[tmp_path / "none.h5", files.prepared])
    assert made["00000001001-s0001-1-3"][0]["status"] == "ok"
    assert "no image could be used" in caplog.text
    alone = files.measure({"stars": [1001]}, prepared=[tmp_path / "none.h5"])
    assert "not on the pixels of any CCD" in alone["00000001001"][0]["status"]


def test_stars_of_a_ccd_without_a_response_say_so(copy_of):
    shutil.rmtree(copy_of.folder / "prf")
    (copy_of.folder / "prf").mkdir()
    copy_of.prepare()
    made = copy_of.measure({"tmag_max": 10.2, "part": 0, "parts": 1})
    assert [attrs["status"].split(" (")[0] for attrs, _ in made.values()] == [
        "no PRF files of camera 1, CCD 3 for sector 1"
    ] * 2
    assert [attrs["sector"] for attrs, _ in made.values()] == [1, 1]


def test_stars_of_a_list_are_measured_whatever_their_magnitude(copy_of):
    listed = copy_of.catalog
    chosen = listed[np.searchsorted(listed.star_id, [1001, 1005])]
    lost = listed[np.searchsorted(listed.star_id, [1002])]
    columns = {
        name: np.concatenate([getattr(chosen, name), getattr(lost, name)]) for name in type(listed).column_names()
    }
    columns["star_id"][2], columns["mag"][2] = 2002, 16.5
    group = ImageGroup(copy_of.ccd, [(path.stem, str(path)) for path in copy_of.paths[12:]])
    catalog = find_catalog([group], copy_of.instrument, listed.with_columns(columns))
    copy_of.prepare()
    made = copy_of.measure({"tmag_max": None, "listed": True, "part": 0, "parts": 1}, catalog=catalog)
    status = {int(name[:11]): attrs["status"] for name, (attrs, _) in made.items()}
    assert status == {1001: "ok", 1005: "ok", 2002: f"left out of the catalogue ({NOT_SEEN})"}
    more = copy_of.measure({"tmag_max": 11.2, "listed": True, "part": 0, "parts": 1}, catalog=catalog)
    own = [int(name[:11]) for name in more if int(name[:11]) >= FIRST_OWN_STAR]
    assert len(own) == 3
    assert len(more) == 6
