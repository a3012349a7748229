import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from gaiaflux.core.image.variance_model import ErrorSource, complete_error
from gaiaflux.core.sky.clock_offset import readout_delay_s
from gaiaflux.core.sky.projection import pixel_to_sky, sky_to_pixel
from gaiaflux.core.sky.spacecraft import locate_spacecraft
from gaiaflux.core.sky.timing import earth_position_au
from gaiaflux.io.tess.ccd_image import read_ccd_image
from gaiaflux.model.errors import InputError

CLOCK_S = -1.979 + 0.06  # data release 1, camera 1, CCD 4


@pytest.mark.parametrize("packed", [False, True])
def test_everything_of_an_image_arrives(write_spoc, ccd_files, pack, packed):
    path = write_spoc()
    image = read_ccd_image(pack(path) if packed else path)
    expected = ccd_files.light()[ccd_files.SCIENCE]
    np.testing.assert_array_equal(image.flux, expected)
    np.testing.assert_allclose(image.flux_err, np.sqrt(expected / 1343.0 + 0.04), rtol=1e-6)
    for plane in (image.flux, image.flux_err):
        assert plane.dtype == np.float32
        assert plane.dtype.isnative
        assert plane.flags.owndata
    assert image.stamp == (0, 50, 44, 76)
    assert (image.sector, image.camera, image.ccd, image.cadence_s) == (1, 1, 4, 1800.0)
    assert (image.data_release, image.origin, image.procver) == (1, "spoc-ffi", "spoc-3.3.31")
    assert image.exptime_s == pytest.approx(1425.6)
    assert (image.detector.num_frm, image.detector.nreadout) == (900, 720)
    assert (image.detector.gain[0], image.detector.read_noise[0]) == (5.35, 10.06)
    assert image.cosmic_rays.on_board
    assert not image.subtracted
    assert image.remarks == ()


def test_times_are_the_spacecrafts_and_corrected_once(write_spoc):
    image = read_ccd_image(write_spoc())
    assert image.clock_offset_s == pytest.approx(CLOCK_S)
    expected = 1325.3131006 + 1 / 96 + 56999.5 + CLOCK_S / 86400.0
    assert image.mjd_tdb == pytest.approx(expected, rel=0.0, abs=1e-8)
    assert image.timecorr_d == 0.0056


def test_later_releases_have_the_right_time(write_spoc):
    image = read_ccd_image(write_spoc(primary={"DATA_REL": 30}))
    assert image.clock_offset_s == 0.0
    assert image.mjd_tdb == pytest.approx(1325.3131006 + 1 / 96 + 56999.5, rel=0.0, abs=1e-9)


def test_the_images_own_time_stands_in(write_spoc):
    image = read_ccd_image(write_spoc(primary={"TSTART": None, "TSTOP": None, "DATA_REL": 30}))
    assert image.mjd_tdb == pytest.approx(1325.3131006 + 1 / 96 + 56999.5, rel=0.0, abs=1e-8)
    assert "BARYCORR" in image.remarks[0]


def test_times_that_disagree_are_said(write_spoc):
    image = read_ccd_image(write_spoc(primary={"TSTOP": 1325.3131006 + 3 / 48, "DATA_REL": 30}))
    assert "differ by -1800.0 s" in image.remarks[0]
    assert image.mjd_tdb == pytest.approx(1325.3131006 + 3 / 96 + 56999.5, rel=0.0, abs=1e-9)


def test_an_image_without_a_time_is_refused(write_spoc, write_tica):
    with pytest.raises(InputError, match="when it was taken"):
        read_ccd_image(write_spoc(primary={"TSTART": None}, BARYCORR=None))
    with pytest.raises(InputError, match="when it was taken"):
        read_ccd_image(write_tica(STARTTJD=None, MIDTJD=None))


@pytest.mark.parametrize(
    ("changes", "number", "source"),
    [
        ({}, 4697, "time"),
        ({"FFIINDEX": 12345}, 12345, "FFIINDEX"),
        ({"TIMEDEL": 600.0 / 86400.0, "FFIINDEX": 116470}, 116470, "FFIINDEX"),
        ({"TIMEDEL": 200.0 / 86400.0, "FFIINDEX": 700000}, 700000, "FFIINDEX"),
    ],
)
def test_the_number_of_the_cadence(write_spoc, changes, number, source):
    image = read_ccd_image(write_spoc(**changes))
    assert (image.cadenceno, image.cadenceno_from) == (number, source)
    assert image.cadence_s == pytest.approx(changes.get("TIMEDEL", 1 / 48) * 86400.0)
    assert image.remarks == ()


def test_only_cadences_of_half_an_hour_are_numbered_by_their_time(write_spoc):
    image = read_ccd_image(write_spoc(TIMEDEL=600.0 / 86400.0))
    assert (image.cadenceno, image.cadenceno_from) == (-1, "")
    assert "number of the cadence" in image.remarks[0]
    late = 0.3 / 48
    image = read_ccd_image(write_spoc(primary={"TSTART": 1325.3131006 + late, "TSTOP": 1325.3131006 + late + 1 / 48}))
    assert image.cadenceno == 4697
    assert any("0.30 of a cadence off" in remark for remark in image.remarks)


def test_the_plate_solution_is_of_the_science_pixels(write_spoc):
    """Against astropy."""
    path = write_spoc()
    image = read_ccd_image(path)
    x, y = np.array([0.0, 31.0, 7.0]), np.array([0.0, 49.0, 20.0])
    with fits.open(path) as hdus:
        expected = WCS(hdus[1].header).all_pix2world(x + 44, y, 0)
    np.testing.assert_allclose(pixel_to_sky(image.wcs, x, y), expected, rtol=0.0, atol=1e-9)
    assert image.wcs.shape == (50, 32)
    np.testing.assert_allclose(sky_to_pixel(image.wcs, *image.timecorr_place), (15.0, 24.0), atol=1e-6)


@pytest.mark.parametrize("said_by", ["physical", "ltv", "crpix"])
def test_a_crop_is_found_by_its_header(write_spoc, ccd_files, said_by):
    row, column = 10, 50
    flux = ccd_files.light()[row:30, column:60]
    shift = {"CRPIX1": 1045.0 - column, "CRPIX2": 1001.0 - row}
    if said_by == "physical":
        shift |= {"CRVAL1P": column + 1, "CRVAL2P": row + 1}
    elif said_by == "ltv":
        shift |= {f"CR{kind}{axis}P": None for kind in ("VAL", "PIX") for axis in (1, 2)}
        shift |= {"LTV1": -float(column), "LTV2": -float(row)}
    image = read_ccd_image(write_spoc(flux=flux, **shift))
    assert image.stamp == (10, 30, 50, 60)
    np.testing.assert_array_equal(image.flux, flux)
    whole = read_ccd_image(write_spoc())
    sky = pixel_to_sky(whole.wcs, 8.0, 12.0)
    np.testing.assert_allclose(sky_to_pixel(image.wcs, *sky), (2.0, 2.0), atol=1e-6)
    assert len(image.remarks) == (2 if said_by == "crpix" else 0)


def test_errors_of_a_part_belong_to_their_pixels(write_spoc, ccd_files):
    """As in the shared crop: the uncertainty is of the file's first columns, the virtual ones among them."""
    part = np.sqrt(ccd_files.light())[:50, :60]
    image = read_ccd_image(write_spoc(uncertainty=part))
    assert image.flux_err.shape == image.flux.shape
    np.testing.assert_array_equal(image.flux_err[:, :16], part[:, 44:])
    assert np.isnan(image.flux_err[:, 16:]).all()
    assert image.remarks == ("it states errors of 800 of its 1600 pixels only",)
    image = read_ccd_image(write_spoc(uncertainty=part[:, :40]))
    assert np.isnan(image.flux_err).all()


def test_errors_that_are_none(write_spoc, ccd_files):
    image = read_ccd_image(write_spoc(uncertainty=False))
    assert np.isnan(image.flux_err).all()
    assert image.remarks == ("it states no errors of its pixels",)
    zeros = np.zeros(ccd_files.SHAPE, "f4")
    zeros[3, 50] = 0.5
    errors = read_ccd_image(write_spoc(uncertainty=zeros)).flux_err
    assert errors[3, 6] == 0.5
    assert np.isfinite(errors).sum() == 1


@pytest.mark.parametrize(("value", "said"), [(0.0, "all of its pixels are zero"), (np.nan, "none of its pixels")])
def test_an_empty_image_can_be_read(write_spoc, write_tica, ccd_files, value, said):
    image = read_ccd_image(write_spoc(flux=np.full(ccd_files.SHAPE, value, "f4"), uncertainty=False))
    assert said in image.remarks[-1]
    assert image.flux.shape == (50, 32)
    image = read_ccd_image(write_tica(electrons=np.full((60, 90), value, "f4")))
    assert said in image.remarks[-1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"CTYPE1": None, "CTYPE2": None}, "no WCS in the header"),
        ({"CRVAL1": "abc"}, "CRVAL1"),
        ({"CD1_1": 0.0, "CD1_2": 0.0}, "senseless pixel scale"),
        ({"CD1_1": -0.055, "CD1_2": 0.014, "CD2_1": -0.016, "CD2_2": -0.055}, "pixels are 2"),
        ({"A_ORDER": None}, "is of a higher order than A_ORDER"),
        ({"B_3_0": 1e-9}, "B_3_0 is of a higher order than B_ORDER"),
        ({"A_2_0": "much"}, "A_2_0"),
        ({"A_2_0": 5e-4, "B_0_2": 5e-4}, "cannot be inverted"),
    ],
)
def test_an_image_without_a_good_plate_solution(write_spoc, changes, reason):
    image = read_ccd_image(write_spoc(**changes))
    assert image.wcs is None
    assert image.timecorr_place is None
    assert "no plate solution that can be used" in image.remarks[0]
    assert reason in image.remarks[0]
    assert image.flux.shape == (50, 32)


def test_name_and_header_that_disagree(write_spoc):
    image = read_ccd_image(write_spoc(name="tess2018206192942-s0002-3-4-0121-s_ffic.fits", SECTOR=1))
    assert (image.sector, image.camera, image.ccd) == (1, 1, 4)
    assert "sector 1, its name 2" in image.remarks[0]
    assert "its name camera 3, CCD 4" in image.remarks[1]
    image = read_ccd_image(write_spoc(name="renamed.fits"))
    assert image.sector == 0
    assert "neither header nor name" in image.remarks[0]


def test_what_a_header_may_lack(write_spoc):
    lacking = ("TIMEDEL", "EXPOSURE", "SCCSA", "SCIROWE", "NREADOUT", "DQUALITY", "BTC_PIX1")
    image = read_ccd_image(write_spoc(**dict.fromkeys(lacking), primary={"DATA_REL": None, "PROCVER": None}))
    assert image.stamp == (0, 56, 44, 84), "as every CCD is built"
    assert image.cadence_s == 1800.0
    assert image.detector.nreadout == 720
    assert image.exptime_s == pytest.approx(720 * 1.98)
    assert (image.data_release, image.procver, image.quality, image.clock_offset_s) == (-1, "", 0, 0.0)
    assert image.timecorr_place is None


def test_the_missions_bits(write_spoc, write_tica):
    assert read_ccd_image(write_spoc(DQUALITY=4128)).quality == 4128
    assert read_ccd_image(write_tica()).quality == 0
    assert read_ccd_image(write_tica(QUAL_BIT=1)).quality == 128
    flagged = {"COARSE": True, "RW_DESAT": True, "STRAYLT1": False, "STRAYLT2": True}
    assert read_ccd_image(write_tica(QUAL_BIT=1, **flagged)).quality == 4 + 32
    assert read_ccd_image(write_tica(STRAYLT1=True)).quality == 2048


def test_an_image_of_tica(write_tica, ccd_files):
    image = read_ccd_image(write_tica())
    expected = ccd_files.light((2078, 90))[:2048, 44:]
    np.testing.assert_allclose(image.flux, expected, rtol=1e-6)
    assert image.stamp == (0, 2048, 44, 90)
    assert np.isnan(image.flux_err).all()
    assert (image.origin, image.procver, image.data_release) == ("tica-ffi", "tica-1.1.0", -1)
    assert (image.sector, image.camera, image.ccd) == (35, 1, 1)
    assert (image.cadence_s, image.exptime_s) == (600.0, 475.2)
    assert (image.cadenceno, image.cadenceno_from) == (561894, "CADENCE")
    assert image.mjd_tdb == pytest.approx(2255.0 + 1 / 288 + 56999.5, rel=0.0, abs=1e-9)
    assert image.clock_offset_s == 0.0
    assert np.isnan(image.timecorr_d)
    assert (image.detector.num_frm, image.detector.nreadout) == (300, 240)
    assert image.detector.gain[0] == 5.22
    assert np.isnan(image.detector.read_noise).all()
    assert (image.cosmic_rays.on_board, image.cosmic_rays.block) == (True, 10)
    assert image.remarks == ()
    found = complete_error(
        image.flux, image.flux_err, image.detector, exptime_s=image.exptime_s, first_column=image.first_column
    )
    assert found.source is ErrorSource.DETECTOR
    np.testing.assert_allclose(found.error**2, image.flux / 475.2 + 240 * 100.0 / 475.2**2, rtol=1e-5)


def test_tica_without_the_virtual_columns(write_tica, ccd_files):
    electrons = ccd_files.light((2048, 2048))
    image = read_ccd_image(write_tica(electrons=electrons, SCIPIXS="[1:2048,1:2048]", CRPIX1=1025.0))
    assert image.stamp == (0, 2048, 44, 2092)
    np.testing.assert_allclose(image.flux[:2] * 475.2, electrons[:2], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "exposure_s", "said"),
    [
        ({"EXPTIME": 479.25576}, 479.25576, None),  # as older versions count the frames' dead time
        ({"EXPTIME": None}, 475.2, "no EXPTIME"),
        ({"EXPTIME": 600.0}, 600.0, "240 readouts have 475.2 s"),
        ({"CRM": False, "EXPTIME": 594.0}, 594.0, None),
    ],
)
def test_electrons_become_rates(write_tica, changes, exposure_s, said):
    image = read_ccd_image(write_tica(**changes))
    assert image.exptime_s == pytest.approx(exposure_s)
    assert image.flux[0, 0] * exposure_s == pytest.approx(100.044 * 475.2)
    assert image.remarks == () if said is None else said in image.remarks[0]


def test_numbers_and_times_of_tica_that_are_elsewhere(write_tica):
    image = read_ccd_image(write_tica(CADENCE=None, STARTTJD=None, ENDTJD=None, INT_TIME=None))
    assert (image.cadenceno, image.cadenceno_from) == (561894, "name")
    assert image.cadence_s == 600.0, "of sector 35"
    assert image.mjd_tdb == pytest.approx(2255.0 + 1 / 288 + 56999.5, rel=0.0, abs=1e-9)
    image = read_ccd_image(write_tica(MIDTJD=2255.1))
    assert "MIDTJD" in image.remarks[0]
    assert image.mjd_tdb == pytest.approx(2255.0 + 1 / 288 + 56999.5, rel=0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"CAMERA": None}, "of which CCD"),
        ({"CCD": 5}, "of which CCD"),
        ({"CRVAL1P": 3001}, r"none of the 56 x 84 pixels .* sees the sky"),
    ],
)
def test_what_a_header_must_say(write_spoc, changes, reason):
    with pytest.raises(InputError, match=reason):
        read_ccd_image(write_spoc(**changes))


def test_what_is_no_calibrated_image_of_one_ccd(write_spoc, write_target_pixels, ccd_files, tmp_path):
    with pytest.raises(InputError, match="no calibrated full-frame image"):
        read_ccd_image(write_target_pixels())
    raw = ccd_files.spoc(IMAGTYPE="raw")
    del raw[2]
    raw[1].header["IMAGTYPE"] = "raw"
    raw.writeto(tmp_path / "raw.fits")
    with pytest.raises(InputError, match="is not calibrated"):
        read_ccd_image(tmp_path / "raw.fits")
    several = ccd_files.spoc()
    several.append(ccd_files.spoc(CCD=2)[1])
    several.writeto(tmp_path / "several.fits")
    with pytest.raises(InputError, match="2 calibrated images, of camera 1, CCD 4 and camera 1, CCD 2"):
        read_ccd_image(tmp_path / "several.fits")
    fits.PrimaryHDU(np.zeros((20, 20), "f4")).writeto(tmp_path / "ground.fits")
    with pytest.raises(InputError, match="no full-frame image of TESS"):
        read_ccd_image(tmp_path / "ground.fits")
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    with pytest.raises(InputError, match="no calibrated full-frame image"):
        read_ccd_image(tmp_path / "empty.fits")


def test_tica_that_cannot_be_used(write_tica):
    with pytest.raises(InputError, match="UNITS is ADU"):
        read_ccd_image(write_tica(UNITS="ADU"))
    with pytest.raises(InputError, match="CCDNUM"):
        read_ccd_image(write_tica(CCDNUM=None))
    with pytest.raises(InputError, match="exposure time"):
        read_ccd_image(write_tica(name="renamed.fits", EXPTIME=None, INT_TIME=None))


@pytest.mark.parametrize("keep", [0, 1000, 5000, 30000, -2881])
def test_an_image_that_is_cut_off_is_refused(write_spoc, pack, keep):
    path = write_spoc()
    packed = pack(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"full-frame image .* cannot be read"):
        read_ccd_image(path)
    packed.write_bytes(packed.read_bytes()[: max(keep // 10, 0) if keep >= 0 else -10])
    with pytest.raises(InputError, match=r"full-frame image .* cannot be read"):
        read_ccd_image(packed)


def test_an_image_that_is_not_there_and_one_that_is_text(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_ccd_image(tmp_path / "none.fits")
    (tmp_path / "page.fits").write_text("<html>not found</html>")
    with pytest.raises(InputError, match="fetch it again"):
        read_ccd_image(tmp_path / "page.fits")


@pytest.mark.real
def test_the_shared_crop(tess_data):
    path = next((tess_data / "ffi_s01_c1_4").glob("*.fits"))
    image = read_ccd_image(path)
    with fits.open(path) as hdus:
        header = hdus[1].header
        np.testing.assert_array_equal(image.flux, hdus[1].data[:, 44:])
        np.testing.assert_array_equal(image.flux_err[:, :84], hdus[2].data[:, 44:])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            plate = WCS(header)
        expected = plate.all_pix2world([44.0, 172.0, 100.0], [0.0, 127.0, 64.0], 0)
        assert header["TMOFST14"] == pytest.approx(readout_delay_s(1, 4))
    assert np.isnan(image.flux_err[:, 84:]).all()
    assert image.stamp == (0, 128, 44, 173)
    assert (image.sector, image.camera, image.ccd, image.cadence_s, image.data_release) == (1, 1, 4, 1800.0, 1)
    # The first frame of the sector, which the relation is fixed to.
    assert (image.cadenceno, image.cadenceno_from) == (4697, "time")
    np.testing.assert_allclose(
        pixel_to_sky(image.wcs, [0.0, 128.0, 56.0], [0.0, 127.0, 64.0]), expected, rtol=0.0, atol=1e-9
    )
    assert image.exptime_s == pytest.approx(1425.6, abs=1e-3)
    assert image.timecorr_d * 86400.0 == pytest.approx(490.587, abs=1e-3)
    assert image.remarks == ("it states errors of 10752 of its 16512 pixels only",)
    # The correction is that of the stated direction: it puts the spacecraft within its orbit's height of the Earth.
    mjd = np.array([image.mjd_tdb])
    place = locate_spacecraft(mjd, *image.timecorr_place, np.array([[image.timecorr_d]]))
    assert 0.0 < np.linalg.norm(place - earth_position_au(mjd)) < 0.0026


@pytest.mark.real
def test_the_real_errors_are_completed(tess_data):
    image = read_ccd_image(next((tess_data / "ffi_s01_c1_4").glob("*.fits")))
    found = complete_error(
        image.flux, image.flux_err, image.detector, exptime_s=image.exptime_s, first_column=image.first_column
    )
    assert found.source is ErrorSource.FITTED
    assert 1.0 / found.line.slope == pytest.approx(1343.0, rel=0.003)
    assert found.line.floor == pytest.approx(0.0395, rel=0.01)
    assert np.isfinite(found.error).all()
