"""What users give that cannot be right: the documented error, or a light curve that says what is wrong with it."""

import gzip
import warnings

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.model.flags import StarFlag
from gaiaflux.sim.tess.stars import StampStar
from gaiaflux.tess.photometry import AperturePhotometry, LinPSFPhotometry, PSFPhotometry
from gaiaflux.tess.stamp.status import STATUS

KINDS = (PSFPhotometry, LinPSFPhotometry, AperturePhotometry)
MEASURED = (STATUS.OK, STATUS.WARNING)


def opened(field, kind=LinPSFPhotometry, starid=1001, datasource="tpf", **chosen):
    return kind(starid, field.folder, field.folder.parent / "out", datasource=datasource, **chosen)


def one_sentence(error):
    text = str(error.value)
    return "\n" not in text and len(text) < 400


def test_a_truncated_file(field):
    packed = field.pixels.read_bytes()
    field.pixels.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match="fetch it again") as error:
        opened(field)
    assert one_sentence(error)


def test_an_empty_sector(field):
    field.edit(lambda hdus: hdus[0].header.update({"SECTOR": None}))
    field.pixels.rename(field.folder / "pixels.fits.gz")
    with pytest.raises(ValueError, match="does not say its sector") as error:
        opened(field)
    assert one_sentence(error)


def test_a_star_far_from_the_pixels(field):
    """It must not be taken for the star that is there."""
    field.catalog("\n".join([*field.rows(), "55,63.4,-69.0,0,0,2000.0,9.0,", "56,243.4,69.2,0,0,2000.0,9.0,"]))
    for starid in (55, 56):
        with pytest.raises(ValueError, match=f"TIC {starid} is at row .* give a file that it is in") as error:
            opened(field, starid=starid, datasource="tpf:1001")
        assert one_sentence(error)


@pytest.mark.parametrize("kind", KINDS)
def test_a_star_beside_the_pixels_is_not_measured(field, kind):
    target = opened(field, kind, 1003, "tpf:1001")  # 3 pixels from the stamp
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert target.photometry() is STATUS.ERROR
    assert any("nothing could be measured" in text for text in target.details["errors"])
    assert np.isnan(target.lightcurve["flux"]).all()
    assert (np.asarray(target.lightcurve["flags"]) & StarFlag.NOT_MEASURED).all()
    with pytest.raises(ValueError, match="no light curve to save"):
        target.save_lightcurve()


def test_no_finite_pixel(field):
    field.edit(lambda hdus: hdus["PIXELS"].data["FLUX"].fill(np.nan))
    with pytest.raises(ValueError, match=r"no pixel of .* has a finite flux"):
        opened(field)


def test_no_time(field):
    field.edit(lambda hdus: hdus["PIXELS"].data["TIME"].fill(np.nan))
    with pytest.raises(ValueError, match="has a time"):
        opened(field)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cadence_without_pixels(field, kind):
    field.edit(lambda hdus: hdus["PIXELS"].data["FLUX"][7].fill(np.nan))
    target = opened(field, kind)
    assert target.photometry() in MEASURED
    table = target.lightcurve
    for name in ("flux", "flux_err", "pos_centroid"):
        assert np.isnan(table[name][7]).all()
    assert table["flags"][7] & StarFlag.NOT_MEASURED
    assert np.isfinite(np.delete(np.asarray(table["flux"]), 7)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_without_pixels(field, kind):
    field.edit(lambda hdus: hdus["PIXELS"].data["FLUX"][:, :, 9].fill(np.nan))
    target = opened(field, kind)
    assert target.photometry() in MEASURED
    assert np.isfinite(target.lightcurve["flux"]).all()
    if kind is not AperturePhotometry:
        assert target.details["mean_flux"] == pytest.approx(field.truth.star_flux[0, 0], rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_uncertainties_of_zero(field, kind):
    field.edit(lambda hdus: hdus["PIXELS"].data["FLUX_ERR"][:, 5, 5].fill(0.0))
    target = opened(field, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status = target.photometry()
    assert status in MEASURED
    assert (target.lightcurve["flux_err"][np.isfinite(target.lightcurve["flux"])] > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_uncertainty_at_all(field, kind):
    field.edit(lambda hdus: hdus["PIXELS"].data["FLUX_ERR"].fill(np.nan))
    target = opened(field, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status = target.photometry()
    if status in MEASURED:
        assert (target.lightcurve["flux_err"][np.isfinite(target.lightcurve["flux"])] > 0).all()
    else:
        assert any("nothing could be measured" in text for text in target.details["errors"])


def test_times_out_of_order_and_twice(field):
    columns = field.columns()

    def turn(hdus):
        table = hdus["PIXELS"].data
        order = np.r_[np.arange(len(table))[::-1][:-1], 39]  # the last row twice, the first is lost
        for name in table.names:
            table[name][:] = table[name][order].copy()

    field.edit(turn)
    target = opened(field)
    assert (np.diff(target.lightcurve["time"]) > 0).all()
    np.testing.assert_array_equal(target.lightcurve["cadenceno"], columns["CADENCENO"][1:])
    assert len(list(target.images)) == 39
    np.testing.assert_array_equal(next(target.images), columns["FLUX"][1])
    assert target.photometry() is STATUS.WARNING
    assert any("twice" in text for text in target.details["errors"])


def test_two_exposures_at_one_time(field):
    field.edit(lambda hdus: hdus["PIXELS"].data["TIME"].__setitem__(4, hdus["PIXELS"].data["TIME"][5]))
    with pytest.raises(ValueError, match="different pixels at one time"):
        opened(field)


# Catalogue


@pytest.mark.parametrize("kind", KINDS)
def test_a_catalogue_without_magnitudes(field, kind):
    rows = [row.split(",") for row in field.rows()]
    field.catalog("\n".join(",".join(row[:3]) for row in rows))
    target = opened(field, kind)
    assert target.photometry() in MEASURED
    if kind is not AperturePhotometry:
        assert target.details["mean_flux"] == pytest.approx(field.truth.star_flux[0, 0], rel=0.01)
    assert not isinstance(fits.getheader(target.save_lightcurve())["TESSMAG"], float)


def test_text_among_the_magnitudes(field):
    field.catalog("\n".join(field.rows()).replace("12.0", "bright"))
    with pytest.raises(ValueError, match="bright") as error:
        opened(field)
    assert one_sentence(error)


@pytest.mark.parametrize("kind", [LinPSFPhotometry, PSFPhotometry])
def test_two_stars_at_one_place(field, kind):
    """Their light cannot be told apart, and is not lost."""
    rows = field.rows()
    one = next(row for row in rows if row.startswith("1001,"))
    field.catalog("\n".join([*rows, one.replace("1001,", "999,", 1)]))
    flux = []
    for starid in (1001, 999):
        target = opened(field, kind, starid, "tpf:1001")
        assert target.photometry() in MEASURED
        assert (np.asarray(target.lightcurve["flags"]) & StarFlag.BLENDED).all()
        flux.append(np.asarray(target.lightcurve["flux"]))
    assert np.nanmedian(flux[0] + flux[1]) == pytest.approx(field.truth.star_flux[0, 0], rel=0.005)


@pytest.mark.parametrize("kind", KINDS)
def test_a_star_under_a_brighter_one(tmp_path, make_field, kind):
    stars = (StampStar(1001, 5.2, 4.9, 12.0), StampStar(1002, 6.6, 5.5, 9.0))
    field = make_field(tmp_path / "input", stars)
    target = opened(field, kind)
    assert target.photometry() is STATUS.WARNING
    assert any("high contamination" in text for text in target.details["errors"])
    assert target.details["contamination"] > 0.1
    if kind is not AperturePhotometry:
        assert target.details["mean_flux"] == pytest.approx(field.truth.star_flux[0, 0], rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saturated_star_whose_charge_leaves_the_file(tmp_path, make_field, kind):
    field = make_field(tmp_path / "input", (StampStar(1001, 5.1, 3.2, 4.5),), shape=(11, 11))
    target = opened(field, kind)
    status = target.photometry()
    assert any("lower limit" in text for text in target.details["errors"])
    assert (np.asarray(target.lightcurve["flags"]) & StarFlag.SATURATED).all()
    if kind is AperturePhotometry:
        assert status is STATUS.WARNING
        assert target.default_stamp()[0] > 20
        assert target.details["mean_flux"] < 0.95 * field.truth.star_flux[0, 0]
    else:
        assert status is STATUS.ERROR


def test_warnings_of_astropy_do_not_reach_the_user(field):
    def oddities(hdus):
        hdus["PIXELS"].header["TUNIT1"] = "BJD - 2457000, days"
        hdus["APERTURE"].header["CUNIT1"] = "degree"
        hdus["APERTURE"].header["RADECSYS"] = "ICRS"
        hdus["APERTURE"].header["MJD-OBS"] = "unknown"

    field.edit(oddities)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        target = opened(field)
        assert target.photometry() in MEASURED
        target.save_lightcurve()
        assert len(target.catalog)


def test_a_file_that_is_not_packed(field):
    plain = field.folder / field.pixels.name.removesuffix(".gz")
    plain.write_bytes(gzip.decompress(field.pixels.read_bytes()))
    field.pixels.unlink()
    assert opened(field).lightcurve["time"].size == 40


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_cadence(tmp_path, make_field, kind):
    field = make_field(tmp_path / "input", n_times=1)
    target = opened(field, kind, plot=True)
    assert target.photometry() in MEASURED
    assert np.isfinite([target.lightcurve["flux"][0], target.lightcurve["flux_err"][0]]).all()
    for name in ("variance", "rms_hour", "ptp", "variability"):
        assert np.isnan(target.details[name])
    assert len(target.catalog_attime(target.spacecraft_time[0] + 56999.5)) == 3
    target.save_lightcurve()


def test_times_without_their_correction(field):
    field.edit(lambda hdus: hdus["PIXELS"].data["TIMECORR"].fill(np.nan))
    target = opened(field)
    assert target.photometry() in MEASURED
    assert len(target.catalog_attime(target.lightcurve["time"][3])) == 3
    target.save_lightcurve()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stamp_that_the_target_is_not_in(field, kind):
    target = opened(field, kind)
    target.resize_stamp(left=-9)
    assert target.photometry() is STATUS.ERROR
    assert np.isnan(target.lightcurve["flux"]).all()
    target.resize_stamp(left=9)
    assert target.photometry() in MEASURED


def test_two_numbers_of_one_source_are_one_star(field):
    rows = [row.split(",") for row in field.rows()]
    lines = [[*row[:3], row[6], source] for row, source in zip(rows, ["source_id", 7, 8, 9], strict=True)]
    lines.append(["5001", *lines[1][1:3], "10.6", 7])
    field.catalog("\n".join(",".join(map(str, line)) for line in lines))
    for starid, datasource in ((1001, "tpf"), (5001, "tpf:1001")):
        target = opened(field, starid=starid, datasource=datasource)
        assert {1001, 5001} <= set(target.catalog["starid"])
        assert target.photometry() in MEASURED
        assert target.details["mean_flux"] == pytest.approx(field.truth.star_flux[0, 0], rel=0.005)


@pytest.mark.parametrize("stated", ["7.5", "13.5", ""])
@pytest.mark.parametrize("true", ["10.5", "12.0"])
def test_a_wrong_magnitude_changes_nothing(field, true, stated):
    field.catalog("\n".join(field.rows()).replace(f",{true},", f",{stated},"))
    target = opened(field)
    assert target.photometry() in MEASURED
    assert target.details["mean_flux"] == pytest.approx(field.truth.star_flux[0, 0], rel=0.005)


def test_a_background_that_nobody_can_subtract_is_said(tmp_path, make_field):
    field = make_field(tmp_path / "input", (StampStar(1001, 5.1, 10.2, 5.0),), shape=(21, 11), prf=False)
    field.edit(lambda hdus: hdus["PIXELS"].data["FLUX_BKG"].fill(0.0))
    target = opened(field, AperturePhotometry)
    assert target.photometry() is STATUS.WARNING
    assert any("the sum contains it" in text for text in target.details["errors"])
