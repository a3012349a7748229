import shutil

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.core.sky.focal_plane import Pointing
from gaiaflux.core.sky.projection import sky_to_pixel
from gaiaflux.core.sky.spacecraft import barycentric_btjd, locate_spacecraft, spacecraft_mjd_tdb
from gaiaflux.core.sky.timing import earth_position_au
from gaiaflux.io.tess.pointing import read_pointing
from gaiaflux.io.tess.target_pixels import read_target_pixels
from gaiaflux.model.errors import InputError

SECTOR_1 = {(1, 0): Pointing(352.6844, -64.8531, 222.1532)}


@pytest.mark.parametrize("packed", [False, True])
def test_everything_of_a_file_arrives(write_target_pixels, pack, packed):
    path = write_target_pixels()
    expected = fits.getdata(path, 1)
    target = read_target_pixels(pack(path) if packed else path)
    series = target.series
    for name, values in {"FLUX": series.flux, "FLUX_ERR": series.flux_err, "FLUX_BKG": series.background}.items():
        assert values.dtype == np.float32
        assert values.dtype.isnative
        assert values.shape == (6, 5, 7)
        np.testing.assert_array_equal(values, expected[name])
    np.testing.assert_allclose(series.time, expected["TIME"] - 1.979 / 86400.0, rtol=0.0, atol=1e-9)
    assert target.clock_offset_s == pytest.approx(-1.979)  # data release 3
    np.testing.assert_array_equal(series.cadenceno, np.arange(100, 106))
    assert series.pos_corr.shape == (6, 2)
    np.testing.assert_array_equal(series.pos_corr[:, 0], expected["POS_CORR1"])
    assert np.isnan(series.pos_corr[:, 1]).all()
    # 1001 and 501 in the header, which counts from 1.
    assert target.stamp == (500, 505, 1000, 1007)
    assert (target.starid, target.sector, target.camera, target.ccd) == (42, 2, 3, 4)
    assert (target.tmag, target.teff, target.data_release, target.procver) == (9.5, 5000.0, 3, "spoc-1")
    assert target.cadence_s == 120.0
    assert target.origin == "spoc-tpf"
    assert target.position_known
    assert target.subtracted
    assert (target.detector.num_frm, target.detector.nreadout) == (60, 48)
    assert target.cosmic_rays.on_board
    assert target.remarks == ()
    x, y = sky_to_pixel(target.wcs, 10.0, 20.0)
    np.testing.assert_allclose((x, y), (3.0, 2.0), atol=1e-9)


@pytest.mark.parametrize(
    ("cards", "seconds"),
    [
        ({"DATA_REL": 26}, -1.979),
        ({"DATA_REL": 30}, 0.0),
        ({"DATA_REL": None}, 0.0),
        ({"DATA_REL": 27, "PROCVER": "spoc-4.0.14-20200108"}, -1.979),
        ({"DATA_REL": 27, "PROCVER": "spoc-4.0.28-20200407"}, 0.0),
        ({"DATA_REL": 1, "CLKOFFS": -1.979}, 0.0),  # by this project, before
        # Cut-outs of full frames have the time of camera 1, CCD 1; this one is of camera 3, CCD 4.
        ({"DATA_REL": 1, "CREATOR": "astrocut"}, -1.979 + 0.5 + 0.06),
    ],
)
def test_the_clock_is_corrected_once(write_target_pixels, cards, seconds):
    target = read_target_pixels(write_target_pixels(**cards))
    assert target.clock_offset_s == pytest.approx(seconds)
    assert target.remarks == ()
    np.testing.assert_allclose((target.series.time[0] - 1400.0) * 86400.0, seconds, atol=1e-5)


def test_a_release_that_was_delivered_twice_needs_its_pipeline(write_target_pixels):
    target = read_target_pixels(write_target_pixels(DATA_REL=27, PROCVER=""))
    assert target.clock_offset_s == 0.0
    assert "delivered twice" in target.remarks[0]


def test_rows_without_a_time_are_left_out_whatever_their_quality(write_target_pixels):
    time = 1400.0 + np.arange(6) / 720.0
    time[[0, 3]] = np.nan, np.inf
    series = read_target_pixels(write_target_pixels(time=time)).series
    np.testing.assert_array_equal(series.cadenceno, [101, 102, 104, 105])
    assert len(series) == len(series.flux) == len(series.quality) == 4


def test_a_file_of_rows_without_times_is_refused(write_target_pixels):
    with pytest.raises(InputError, match=r"no row of .* has a time"):
        read_target_pixels(write_target_pixels(time=np.full(6, np.nan)))


def test_rows_are_sorted_by_time(write_target_pixels):
    time = 1400.0 + np.arange(6) / 720.0
    order = np.array([3, 0, 1, 5, 4, 2])
    target = read_target_pixels(write_target_pixels(time=time[order], cadenceno=order))
    np.testing.assert_array_equal(target.series.cadenceno, np.arange(6))
    assert np.all(np.diff(target.series.time) > 0)
    assert "sorted" in target.remarks[0]


def test_a_row_that_stands_there_twice_counts_once(write_target_pixels):
    rows = np.array([0, 1, 1, 2])
    flux = np.random.default_rng(0).normal(100.0, 1.0, (4, 5, 7)).astype("f4")[rows]
    flux[:, 0, 0] = np.nan
    target = read_target_pixels(write_target_pixels(n=4, time=1400.0 + rows / 720.0, cadenceno=rows, flux=flux))
    np.testing.assert_array_equal(target.series.cadenceno, [0, 1, 2])
    assert "twice" in target.remarks[0]


def test_different_pixels_at_one_time_are_refused(write_target_pixels):
    with pytest.raises(InputError, match="different pixels at one time"):
        read_target_pixels(write_target_pixels(n=4, time=1400.0 + np.array([0, 1, 1, 2]) / 720.0))


def test_an_exposure_a_column_or_a_file_of_nan(write_target_pixels):
    flux = np.full((6, 5, 7), 10.0, "f4")
    flux[2], flux[:, :, 3] = np.nan, np.nan
    assert np.isnan(read_target_pixels(write_target_pixels(flux=flux)).series.flux[2]).all()
    with pytest.raises(InputError, match=r"no pixel of .* has a finite flux"):
        read_target_pixels(write_target_pixels(flux=flux * np.nan))


def test_columns_that_a_file_may_lack(write_target_pixels):
    missing = dict.fromkeys(("flux_bkg", "flux_bkg_err", "pos_corr1", "pos_corr2", "timecorr"))
    target = read_target_pixels(write_target_pixels(**missing))
    assert not target.series.background.any()
    assert not target.subtracted
    assert np.isnan(target.series.background_err).all()
    assert np.isnan(target.series.pos_corr).all()
    assert np.isnan(target.series.timecorr).all()


@pytest.mark.parametrize("missing", ["flux", "flux_err", "quality", "cadenceno"])
def test_columns_that_it_may_not_lack(write_target_pixels, missing):
    with pytest.raises(InputError, match=f"no column {missing.upper()}"):
        read_target_pixels(write_target_pixels(**{missing: None}))


@pytest.mark.parametrize("keep", [400, 5000, -20])
def test_a_packed_file_that_is_cut_off_is_refused(write_target_pixels, pack, keep):
    with pytest.raises(InputError, match="cut off, damaged or no FITS file; fetch it again"):
        read_target_pixels(pack(write_target_pixels(n=200), keep))


@pytest.mark.parametrize("keep", [0, 100, 3000, -2881])
def test_a_file_that_is_cut_off_is_refused(write_target_pixels, keep):
    path = write_target_pixels(n=200)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="target pixel file"):
        read_target_pixels(path)


def test_a_file_that_is_not_there_and_one_that_is_text(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_target_pixels(tmp_path / "none.fits")
    (tmp_path / "page.fits").write_text("<html>not found</html>")
    with pytest.raises(InputError, match="fetch it again"):
        read_target_pixels(tmp_path / "page.fits")


@pytest.mark.real
def test_a_light_curve_is_no_target_pixel_file(tess_data):
    path = next((tess_data / "tic25155310_s01").glob("hlsp*_lc.fits"))
    with pytest.raises(InputError, match="no column FLUX"):
        read_target_pixels(path)


def test_an_empty_sector_comes_from_the_name_or_is_asked_for(write_target_pixels):
    path = write_target_pixels(name="tess2019-s0014-3-4-tp.fits", SECTOR="")
    assert read_target_pixels(path).sector == 14
    other = shutil.copy(path, path.with_name("other.fits"))
    with pytest.raises(InputError, match="does not say its sector"):
        read_target_pixels(other)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"TICID": ""} | {"OBJECT": ""}, "which star"),
        ({"RA_OBJ": ""}, "where the target is"),
        ({"CTYPE1": None, "CTYPE2": None}, "no usable plate solution"),
        ({"CAMERA": 7}, "does not say its camera"),
    ],
)
def test_what_a_header_must_say(write_target_pixels, changes, reason):
    with pytest.raises(InputError, match=reason):
        read_target_pixels(write_target_pixels(**changes))


@pytest.mark.parametrize("nothing", [999.0, 99.0, "", "nan"])
def test_a_magnitude_that_stands_for_unknown_is_nan(write_target_pixels, nothing):
    assert np.isnan(read_target_pixels(write_target_pixels(TESSMAG=nothing)).tmag)


def test_a_fast_star_is_where_its_motion_took_it(write_target_pixels):
    """10 arcsec/yr for the 18.8 years since 2000 are nine pixels: the stamp is around it now."""
    years = (2457000.0 + 1400.0 - 2451545.0) / 365.25
    target = read_target_pixels(write_target_pixels(DEC_OBJ=20.0 - 10.0 * years / 3600.0, PMDEC=10000.0))
    assert target.remarks == ()
    np.testing.assert_allclose(target.timecorr_place, (10.0, 20.0), atol=1e-5)
    assert target.dec_deg < 19.96


def test_a_target_beside_its_stamp_is_put_in_the_middle(write_target_pixels):
    target = read_target_pixels(write_target_pixels(DEC_OBJ=20.1))
    np.testing.assert_allclose(sky_to_pixel(target.wcs, 10.0, 20.1), (3.0, 2.0), atol=1e-9)
    assert not target.position_known
    assert target.stamp == (0, 5, 0, 7)
    assert "taken to be in the middle" in target.remarks[0]
    assert "give a table of pointings" in target.remarks[1]


@pytest.mark.parametrize("corner", [{"CRVAL1P": None}, {"CRVAL2P": -856}, {"CRVAL1P": 2135}])
def test_a_corner_off_the_ccd_is_not_used(write_target_pixels, corner):
    target = read_target_pixels(write_target_pixels(**corner))
    assert not target.position_known
    assert "corner" in target.remarks[0]
    np.testing.assert_allclose(sky_to_pixel(target.wcs, 10.0, 20.0), (3.0, 2.0), atol=1e-9)


@pytest.mark.parametrize("cadence_s", [1800.0, 600.0, 200.0])
def test_a_cut_out_whose_header_is_right(write_target_pixels, cadence_s):
    n = 8
    changes = {"time": 1400.0 + np.arange(n) * cadence_s / 86400.0, "pos_corr1": np.zeros(n), "pos_corr2": np.zeros(n)}
    changes |= {"CREATOR": "astrocut", "ORIGIN": "STScI/MAST", "TIMEDEL": None, "NUM_FRM": None, "NREADOUT": None}
    target = read_target_pixels(write_target_pixels(n=n, TICID="", OBJECT="", TESSMAG=0.0, TEFF=0.0, **changes))
    assert target.origin == "tesscut"
    assert target.position_known
    assert target.remarks == ()
    assert target.starid == 0
    assert target.cadence_s == cadence_s
    assert target.detector.num_frm == cadence_s / 2
    assert target.detector.nreadout == pytest.approx(0.8 * cadence_s / 2)
    assert np.isnan([target.tmag, target.teff]).all()
    assert np.isnan(target.series.pos_corr).all()
    assert target.timecorr_place is None


def test_a_file_without_rows_is_refused(write_target_pixels):
    with pytest.raises(InputError, match="no row of"):
        read_target_pixels(write_target_pixels(n=0))


@pytest.mark.real
def test_times_of_a_cut_out_are_the_ccds_and_not_the_stars(tess_data):
    target = read_target_pixels(next((tess_data / "tesscut_s01_c4_3").glob("*.fits")), SECTOR_1)
    series = target.series
    mjd = spacecraft_mjd_tdb(series.time, series.timecorr)
    observer = locate_spacecraft(mjd, *target.timecorr_place, series.timecorr)
    late = (barycentric_btjd(mjd, observer, 107.27, -70.0) - series.time) * 86400.0
    assert late.min() > 40.0
    assert late.max() < 47.0
    with_geocentre = (barycentric_btjd(mjd, earth_position_au(mjd), 107.27, -70.0) - series.time) * 86400.0
    assert np.abs(with_geocentre - late).max() < 1.0


@pytest.mark.real
def test_the_shared_target_pixel_file(tess_data):
    target = read_target_pixels(next((tess_data / "tic25155310_s01").glob("*first-cadences.fits.gz")))
    light_curve = fits.getdata(next((tess_data / "tic25155310_s01").glob("hlsp*_lc.fits")), 1)
    series = target.series
    rows = np.searchsorted(light_curve["CADENCENO"], series.cadenceno)
    summed = series.flux[:, (series.aperture & 2) > 0].sum(axis=1)
    np.testing.assert_allclose(summed, light_curve["SAP_FLUX"][rows], rtol=1e-5)
    np.testing.assert_array_equal(series.quality, light_curve["QUALITY"][rows])
    assert target.stamp == (388, 399, 1618, 1629)
    assert np.isnan(series.pos_corr[0]).all()
    assert (target.starid, target.sector, target.camera, target.ccd) == (25155310, 1, 4, 1)
    assert target.remarks == ()
    assert target.ticver == "7"
    # Data release 0, which was given out before the first; the light curve is of the same.
    assert (target.data_release, target.clock_offset_s) == (0, pytest.approx(-1.979))
    np.testing.assert_allclose(series.time, light_curve["TIME"][rows] - 1.979 / 86400.0, rtol=0.0, atol=1e-8)


@pytest.mark.real
def test_the_shared_cut_out_whose_header_is_wrong(tess_data):
    path = next((tess_data / "tesscut_s01_c4_3").glob("*.fits"))
    target = read_target_pixels(path)
    assert target.origin == "tesscut"
    assert len(target.series) == 1282
    assert np.all(np.diff(target.series.time) > 0)
    assert (target.sector, target.cadence_s) == (1, 1800.0)
    assert not target.position_known
    assert not target.subtracted
    assert target.clock_offset_s == pytest.approx(-1.979 + 1.0 + 0.04)  # camera 4, CCD 3
    assert target.timecorr_place is None
    assert np.isnan(target.tmag)
    assert np.isnan(target.series.pos_corr).all()
    assert "row 976.1 of 5 x 5" in target.remarks[0]
    np.testing.assert_allclose(sky_to_pixel(target.wcs, 107.27, -70.0), (2.0, 2.0), atol=1e-6)

    told = read_target_pixels(path, SECTOR_1)
    assert told.position_known
    assert told.stamp == (1901, 1906, 926, 931)
    np.testing.assert_allclose(told.timecorr_place, (111.56, -65.11), atol=0.02)
    assert "table of pointings" in told.remarks[1]


@pytest.mark.real
def test_kepler_files_open_with_times_on_the_scale_of_tess(tess_data):
    paths = sorted((tess_data / "kepler").glob("*.fits"))
    assert len(paths) == 6
    for path in paths:
        target = read_target_pixels(path)
        assert target.origin == "kepler-tpf"
        assert target.remarks == ()
        assert target.cadence_s == pytest.approx(1765.46, abs=0.01)
        stated = fits.getdata(path, 1)["TIME"]
        np.testing.assert_allclose(target.series.time, stated[np.isfinite(stated)] - 2167.0, rtol=0, atol=1e-9)


def write_lines(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_of_pointings(tmp_path):
    table = write_lines(
        tmp_path / "p.csv",
        "# of the mission",
        "Sector,Camera,RA,Dec,Roll,start",
        "1,4,89.9,-66.5,224.1,x",
        "1,,352,-64,222,y",
    )
    assert read_pointing(table) == {(1, 4): Pointing(89.9, -66.5, 224.1), (1, 0): Pointing(352.0, -64.0, 222.0)}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("sector,ra,dec", "1,2,3"), "no column roll"),
        (("sector,camera,ra,dec,roll", "1,4,a,2,3"), "no number"),
        (("sector,camera,ra,dec,roll", "1,5,1,2,3"), "camera 5"),
        (("sector,camera,ra,dec,roll", "1,4,1,95,3"), "dec 95"),
        (("sector,camera,ra,dec,roll", "1,4,1,2,3", "1,4,1,2,4"), "two lines for sector 1, camera 4"),
        (("sector,camera,ra,dec,roll",), "no lines"),
        (("sector,camera,ra,dec,roll", "1,4,1"), "no number"),
    ],
)
def test_a_table_of_pointings_that_says_nothing(tmp_path, lines, reason):
    with pytest.raises(InputError, match=reason):
        read_pointing(write_lines(tmp_path / "p.csv", *lines))


def test_a_table_of_pointings_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_pointing(tmp_path / "none.csv")
