"""Measuring and saving stars of full-frame images; the documented interface member by member."""

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from gaiaflux.model.flags import FrameFlag, StarFlag
from gaiaflux.sim.tess.ccd import exposure_s
from gaiaflux.tess.base_photometry import BasePhotometry
from gaiaflux.tess.photometry import AperturePhotometry, LinPSFPhotometry, PSFPhotometry
from gaiaflux.tess.stamp.status import STATUS

KINDS = (PSFPhotometry, LinPSFPhotometry, AperturePhotometry)
WHERE = {"camera": 1, "ccd": 4}


def quiet(prepared):
    frames = np.ones(len(prepared.frames), bool)
    frames[[prepared.empty, prepared.safe, prepared.jump]] = False
    return frames & (prepared.quality == 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("star", [1001, 1003])
def test_light_curves_are_those_of_the_truth(prepared, tmp_path, kind, star):
    with kind(star, prepared.folder, tmp_path, **WHERE) as target:
        assert target.photometry() in (STATUS.OK, STATUS.WARNING)
    table, ccd = target.lightcurve, prepared.ccd
    k = [one.starid for one in ccd.setup.stars].index(star)
    true = ccd.relative[:, k] * ccd.catalogued.flux[k]
    good = quiet(prepared)
    ratio = np.asarray(table["flux"])[good] / true[good]
    error = np.asarray(table["flux_err"])[good] / true[good]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.004 if kind is not AperturePhotometry else 0.15)
    pull = (ratio / np.median(ratio) - 1.0) / error
    floor = 1.0 / np.sqrt(true.mean() * exposure_s(ccd.setup))
    assert np.median(error) < 2.0 * floor
    scatter = 1.4826 * np.median(np.abs(pull))
    assert 0.6 < scatter < (1.5 if kind is not AperturePhotometry else 4.0)
    # Column first, counted from 1, on the CCD.
    places = np.array([[one[k] for one in ccd.star_places(frame)] for frame in np.flatnonzero(good)])
    off = np.asarray(table["pos_centroid"])[good] - places - np.array([1536, 901])
    assert np.abs(np.median(off, axis=0)).max() < (0.01 if kind is not AperturePhotometry else 0.3)
    assert (np.asarray(table["flux_background"])[good] > 0).all()


def test_a_frame_without_light_has_no_flux_and_says_so(measured, prepared):
    row = measured.lightcurve[prepared.empty]
    assert np.isnan(row["flux"])
    assert np.isnan(row["pos_corr"]).all()
    assert row["flags"] & StarFlag.NOT_MEASURED
    assert row["frame_flags"] & FrameFlag.NO_LIGHT
    assert row["quality"] == 0
    assert measured.lightcurve["frame_flags"][prepared.safe] & FrameFlag.NO_POINTING
    assert any("zero" in text for text in measured.details["errors"])
    assert measured.status is STATUS.WARNING


def test_a_second_run_gives_the_same(prepared, tmp_path):
    with LinPSFPhotometry(1001, prepared.folder, tmp_path, **WHERE) as target:
        target.photometry()
        table, details = target.lightcurve.copy(), json.dumps(target.details)
        target.photometry()
        for name in table.colnames:
            np.testing.assert_array_equal(np.asarray(target.lightcurve[name]), np.asarray(table[name]))
        assert json.dumps(target.details) == details


def test_figures_are_of_quality_zero(measured):
    table = measured.lightcurve
    good = (np.asarray(table["quality"]) == 0) & np.isfinite(table["flux"])
    assert measured.details["mean_flux"] == np.median(table["flux"][good])
    assert measured.details["mask_size"] == measured.final_phot_mask.sum()
    assert json.loads(json.dumps(measured.details))["stamp"] == list(measured.stamp)


def test_the_sky_jumps_where_it_does(prepared, tmp_path):
    """Only stars whose stamp reaches the tile are marked, and only in the frame."""
    seen = {}
    for star in (1001, 1002):
        with LinPSFPhotometry(star, prepared.folder, tmp_path, **WHERE) as target:
            target.resize_stamp(width=13, height=13)
            target.resize_stamp(right=8 if star == 1001 else 0)
            target.photometry()
            seen[star] = (np.asarray(target.lightcurve["flags"]) & StarFlag.SKY_JUMP) > 0
            expected = (np.moveaxis(target.pixelflags_cube, -1, 0) & 4).any(axis=(1, 2))
            np.testing.assert_array_equal(seen[star], expected)
    assert seen[1001][prepared.jump]
    assert not seen[1002][prepared.jump]
    assert seen[1001].sum() <= 2


def test_saving(prepared, tmp_path):
    with AperturePhotometry(1001, prepared.folder, tmp_path / "out", **WHERE) as target:
        with pytest.raises(ValueError, match="run photometry"):
            target.save_lightcurve()
        target.photometry()
        bits, mask = target.aperture, target.final_phot_mask
        path = target.save_lightcurve()
        assert path == str(
            tmp_path / "out/c1800/00000" / "tess00000001001-s001-1-4-c1800-dr64-v06-gaiaflux-aperture_lc.fits.gz"
        )
        np.testing.assert_array_equal(target.aperture, bits)
        mean, stamp, table = target.sumimage, target.stamp, target.lightcurve
        place = (target.target_pos_column, target.target_pos_row)
        expected = target.source.seen_at(place[1], place[0]).pos_corr
    with fits.open(path, checksum=True) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "LIGHTCURVE", "SUMIMAGE", "APERTURE"]
        head = hdus[0].header
        assert [head[key] for key in ("TICID", "SECTOR", "CAMERA", "CCD", "DATA_REL")] == [1001, 1, 1, 4, 64]
        saved = hdus["LIGHTCURVE"].data
        common = head["STARFLAG"]
        np.testing.assert_array_equal(saved["QUALITY"], np.asarray(table["flags"]) & ~np.uint32(common))
        assert saved["QUALITY"][prepared.empty] & StarFlag.NOT_MEASURED
        np.testing.assert_array_equal(saved["PIXEL_QUALITY"], prepared.quality)
        np.testing.assert_array_equal(saved["FLUX_RAW"], table["flux"])
        np.testing.assert_allclose(saved["TIME"] - saved["TIMECORR"], prepared.ccd.btjd, atol=1e-7)
        np.testing.assert_array_equal(saved["TIMECORR"], table["timecorr"].astype(np.float32))
        for axis in range(2):
            np.testing.assert_allclose(saved[f"POS_CORR{axis + 1}"], expected[:, axis])
            np.testing.assert_array_equal(saved[f"MOM_CENTR{axis + 1}"], table["pos_centroid"][:, axis])
        np.testing.assert_array_equal(hdus["APERTURE"].data & 2 > 0, mask)
        np.testing.assert_array_equal(hdus["APERTURE"].data & 8 > 0, mask)
        np.testing.assert_array_equal(hdus["APERTURE"].data & ~10, bits)
        np.testing.assert_allclose(hdus["SUMIMAGE"].data, mean)
        image = hdus["APERTURE"].header
        assert (image["CRVAL1P"], image["CRVAL2P"]) == (stamp[2] + 1, stamp[0] + 1)
        x, y = WCS(image).all_world2pix(*target.sky, 0)
        assert (x + stamp[2], y + stamp[0]) == pytest.approx(place, abs=1e-4)


def test_a_plot_is_made_and_deleted(prepared, tmp_path):
    with LinPSFPhotometry(1001, prepared.folder, tmp_path, plot=True, **WHERE) as target:
        target.photometry()
        assert [path.suffix for path in (tmp_path / target.plot_folder).iterdir()] == [".png"]
        target.delete_plots()
        assert list((tmp_path / target.plot_folder).iterdir()) == []


def test_reports_and_the_base(prepared, tmp_path):
    with BasePhotometry(1001, prepared.folder, tmp_path, **WHERE) as target:
        target.report_details(error="mine", skip_targets=[5])
        assert target.details["errors"][-1] == "mine"
        assert target.details["skip_targets"] == [5]
        with pytest.raises(NotImplementedError):
            target.photometry()


def test_a_saturated_star_takes_the_pixels_along_its_columns(saturated, tmp_path):
    with AperturePhotometry(4001, saturated.folder, tmp_path, camera=1, ccd=3) as target:
        target.resize_stamp(height=15, width=17)
        before = target.stamp
        assert target.photometry() is STATUS.WARNING
        first, last, left, right = target.stamp
        assert last - first > before[1] - before[0]
        assert (left, right) == before[2:]
        assert target.final_phot_mask.shape == (last - first, right - left)
        full = target.sumimage > 8e4
        assert full[:, 5:12].any(axis=1).sum() > 15
        assert not full[[0, -1]].any(), "the charge ends in the stamp"
        true = saturated.ccd.catalogued.flux[0]
        np.testing.assert_allclose(np.asarray(target.lightcurve["flux"]) / true, 1.0, atol=5e-3)
        assert target.details["stamp_resizes"] == target.stamp_resizes > 1
    with LinPSFPhotometry(4001, saturated.folder, tmp_path, camera=1, ccd=3) as target:
        assert target.photometry() is STATUS.ERROR


@pytest.mark.parametrize("kind", KINDS)
def test_a_star_beside_a_saturated_one_is_flagged(saturated, tmp_path, kind):
    for star, beside in ((4002, True), (4003, False)):
        with kind(star, saturated.folder, tmp_path, camera=1, ccd=3) as target:
            target.photometry()
            marked = (np.asarray(target.lightcurve["flags"]) & StarFlag.POOR_FIT) > 0
        assert (marked.all(), marked.any()) == (beside, beside)
