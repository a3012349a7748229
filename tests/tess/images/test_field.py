import csv

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.core.sky.timing import earth_position_au, light_time_d
from gaiaflux.io.tess.frame_batch import LostFrame
from gaiaflux.io.tess.prepared_field import PreparedField
from gaiaflux.model.flags import FrameFlag
from gaiaflux.tess.images.field import TargetQuality
from gaiaflux.tess.images.images_table import lost_images
from gaiaflux.tess.images.none_left import write_no_images


def rows_of(files):
    with (files.folder / "images.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_frame_has_its_flags_and_its_line(small, ccd_files):
    flags = small.array("frames/flags")
    expected = np.zeros(24, np.uint32)
    expected[ccd_files.ZERO], expected[ccd_files.SAFE] = FrameFlag.NO_LIGHT, FrameFlag.NO_POINTING
    np.testing.assert_array_equal(flags, expected)
    table = rows_of(small)
    assert [row["frame_id"] for row in table] == [path.stem for path in small.paths]
    assert {row["status"] for row in table} == {"ok"}
    said = {k: row["remarks"] for k, row in enumerate(table) if row["remarks"]}
    assert said == {ccd_files.ZERO: "no_light", ccd_files.SAFE: "no_pointing"}


def test_the_motion_is_that_of_the_truth(small, ccd_files):
    parameters = small.array("motion/parameters")
    bad = [ccd_files.ZERO, ccd_files.SAFE]
    assert np.isnan(parameters[bad]).all()
    good = np.setdiff1d(np.arange(24), bad)
    middle = np.array([31.5, 31.5, 1.0])
    shift = parameters[good].reshape(-1, 2, 3) @ middle - middle[:2]
    places = np.array([small.truth.star_places(k) for k in good])
    star = np.argmin(np.hypot(places[0, 0] - 31.5, places[0, 1] - 31.5))
    true = places[:, :, star] - places[:, :, star].mean(axis=0)
    error = small.array("motion/error")[good]
    assert (np.abs(shift - shift.mean(axis=0) - true) < 5 * error + 0.002).all()


def test_smeared_stars_are_flagged(copy, ccd_files):
    ccd_files.edit(copy.paths[4], ccd_files.smear)
    copy.prepare()
    flags = copy.array("frames/flags")
    assert flags[4] & FrameFlag.SMEARED
    assert not (np.delete(flags, 4) & FrameFlag.SMEARED).any()
    # It is not learnt from: the others' mean stays.
    sharp = copy.array("mean_image")
    np.testing.assert_allclose(sharp[25:36, 15:26].max(), 0.25 * 23800, rtol=0.3)


def test_half_an_image_is_flagged_and_moves_no_other_frame(copy, small, ccd_files):
    def half(hdus):
        hdus[1].data[:, : 44 + 32] = np.nan

    ccd_files.edit(copy.paths[4], half)
    copy.prepare()
    flags = copy.array("frames/flags")
    assert not np.delete(flags, [4, ccd_files.ZERO, ccd_files.SAFE]).any()
    shift = copy.array("motion/parameters") - small.array("motion/parameters")
    assert np.nanmax(np.abs(shift[np.arange(24) != 4][:, [2, 5]])) < 0.01


def test_bits_of_target_pixel_files_are_added(copy):
    mjd = np.sort(copy.prepare().facts["mjd_tdb"])
    minutes = np.arange(mjd[0] - 0.01, mjd[-1] + 0.01, 120 / 86400)
    one = np.where(np.abs(minutes - mjd[5]) < 0.5 / 48, 4 | 128, 0)
    other = np.where(np.abs(minutes - mjd[9]) < 0.5 / 48, 32, 0)
    copy.prepare(targets=[TargetQuality(minutes, one), TargetQuality(minutes, other)])
    quality, own = copy.array("frames/quality"), copy.array("frames/mission_quality")
    added = quality & ~own
    assert {k: int(added[k]) for k in np.flatnonzero(added)} == {5: 4, 9: 32}  # 128 is the target's own


def test_times_are_those_of_the_files(small):
    mjd, light_time = small.array("frames/mjd_tdb"), small.array("frames/timecorr_d")
    np.testing.assert_allclose(mjd, small.truth.btjd + 56999.5, atol=1e-7)
    for k in (0, 12):
        header = fits.getheader(small.paths[k], 1)
        assert light_time[k] == pytest.approx(header["BARYCORR"], abs=1e-8)


def test_without_a_stated_light_time_it_is_that_of_the_earth(ccd_files, small, tmp_path):
    files = ccd_files.CcdFiles.make(
        tmp_path / "tica", ccd_files.small_ccd(n_times=6, zero_frames=(), safe_frames=()), origin="tica"
    )
    files.prepare()
    with files.open() as field:
        head, mjd = field.head, field.array("frames/mjd_tdb")
        found = field.array("frames/timecorr_d")
        assert (field.array("frames/flags") == FrameFlag.MODELLED_ERRORS).all()
    assert head["origin"] == "tica-ffi"
    assert any("no light time" in remark for remark in head["remarks"])
    expected = light_time_d(mjd, earth_position_au(mjd), *head["timecorr_place"])
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("number", [1, 2])
def test_few_frames_are_enough(copy, number):
    copy.prepare(members=copy.members[12 : 12 + number])
    assert copy.array("frames/flags").tolist() == [0] * number
    assert np.isfinite(copy.array("mean_image")).all()
    attrs, arrays = copy.measure({"stars": [1001]})["00000001001-s0001-1-3"]
    assert attrs["status"] == "ok"
    assert arrays["linpsf_flux"] == pytest.approx(23775, rel=0.01)


@pytest.mark.parametrize("stars", [0, 1, 2])
def test_few_stars_tell_no_motion_and_that_is_flagged(copy, stars):
    lines = (copy.folder / "catalog.csv").read_text().splitlines()
    far = "9,10.0,-10.0,0,0,2000,9.5,"
    (copy.folder / "catalog.csv").write_text("\n".join([lines[0], far, *lines[1 : 1 + stars]]) + "\n")
    copy.prepare()
    flags = np.delete(copy.array("frames/flags"), [7, 15])
    assert (flags == (FrameFlag.NO_POINTING if stars < 2 else 0)).all()
    with copy.open() as field:
        remarks = field.head["remarks"]
    assert any("stars of the images are not in the catalogue" in remark for remark in remarks)
    assert any("no star of the catalogue" in remark for remark in remarks) == (stars == 0)


def test_a_table_of_images_that_are_all_lost(tmp_path):
    lost = [LostFrame("x", "x.fits", "cut off"), LostFrame("a", "a.fits", "no light")]
    write_no_images(tmp_path / "p.h5", tmp_path / "i.csv", lost, (1, 1, 3))
    assert lost_images(tmp_path / "i.csv") == {"a": "no light", "x": "cut off"}
    with PreparedField(tmp_path / "p.h5") as field:
        assert field.n_frames == 0
        assert field.head["ccd"] == 3
