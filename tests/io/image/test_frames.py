import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from gaiaflux.core.sky.projection import sky_to_pixel
from gaiaflux.io.checksum import file_sha256
from gaiaflux.io.image.banzai_writer import write_banzai, write_plain
from gaiaflux.io.image.frames import FrameSettings, frame_settings, read_frame
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import PixelFlag
from gaiaflux.sim.presets import demo
from gaiaflux.sim.series import Series
from gaiaflux.sim.truth import banzai_catalog
from gaiaflux.workflow.config import load_schema
from gaiaflux.workflow.frames import find_frames

PLAIN = {"EXPTIME": 30.0, "DATE-OBS": "2026-07-02T03:00:00", "GAIN": 2.0, "RDNOISE": 5.0, "SATURATE": 60000.0}


@pytest.fixture(scope="module")
def made():
    return Series(demo(n_frames=1)).frame(0)


def write(path, data, header=PLAIN, **more):
    hdu = fits.PrimaryHDU(data)
    hdu.header.update(header)
    hdu.header.update(more)
    hdu.writeto(path)
    return path


@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz", "a.fits.fz"])
@pytest.mark.parametrize("science_in_primary", [True, False])
def test_banzai_frames_come_back(tmp_path, made, name, science_in_primary):
    if name.endswith("fz") and science_in_primary:
        science_in_primary = False
    path = tmp_path / name
    write_banzai(
        path, made.frame, science_in_primary=science_in_primary, header=made.header, catalog=banzai_catalog(made)
    )
    before = file_sha256(path)
    frame = read_frame(path, "a", FrameSettings(), want_checksum=True)
    info, truth = frame.info, made.frame.info
    assert info.unit == "electron"
    assert info.gain == 1.0
    assert abs(info.mjd_utc - truth.mjd_utc) * 86400 < 0.002
    assert info.time_rule == "DATE-OBS + exptime/2"
    for name in ("filter", "camera", "shape", "read_noise", "saturation", "pixel_scale_arcsec", "aperture_m"):
        assert getattr(info, name) == getattr(truth, name)
    for name in ("exptime_s", "airmass", "site_lat_deg", "site_lon_deg", "site_height_m"):
        assert getattr(info, name) == pytest.approx(getattr(truth, name), abs=1e-4)
    assert "CTYPE1" in info.wcs_cards
    tolerance = 3.0 if str(path).endswith("fz") else 1e-3
    clean = made.frame.pixel_flags == 0
    assert np.abs(frame.image - made.frame.image)[clean].max() < tolerance
    assert np.abs(frame.error - made.frame.error)[clean].max() < tolerance
    np.testing.assert_array_equal(frame.pixel_flags & PixelFlag.BAD, made.frame.pixel_flags & PixelFlag.BAD)
    assert frame.image.dtype == frame.error.dtype == np.float32
    assert frame.image.flags.c_contiguous
    assert info.sha256 == before == file_sha256(path)
    x, y = read_frame(path, "a", FrameSettings(), want_seeds=True).seeds
    bright = made.truth.stars[np.argmax(made.truth.stars["flux"] * (made.truth.stars["flux"] < 1e6))]
    assert np.hypot(x - bright["x"], y - bright["y"]).min() < 0.5


def test_plain_frames_are_turned_into_electrons(tmp_path, made):
    path = tmp_path / "plain.fits"
    write_plain(path, made.frame, gain=2.5)
    frame = read_frame(path, "plain", FrameSettings())
    assert frame.error is None
    assert frame.info.gain == 2.5
    clean = made.frame.pixel_flags == 0
    assert np.abs(frame.image - made.frame.image)[clean].max() < 2.6
    assert read_frame(path, "plain", FrameSettings(), want_seeds=True).seeds is None


def test_header_settings_and_sheet_win_over_the_header(tmp_path):
    path = write(tmp_path / "a.fits", np.full((32, 40), 100.0, np.float32), EGAIN=3.0, BAND="V")
    reading = frame_settings(
        {
            "header": {"gain": "EGAIN", "read_noise": 4.5, "filter": "BAND", "camera": None},
            "site": {"lat_deg": -30.0, "lon_deg": 289.2},
            "pixel_scale_arcsec": 0.4,
            "centre_deg": [10.0, -20.0],
        }
    )
    info = read_frame(path, "a", reading, {"filter": "R", "exptime": 12.0}).info
    assert (info.gain, info.read_noise, info.filter, info.exptime_s) == (3.0, 4.5, "R", 12.0)
    assert (info.site_lat_deg, info.site_lon_deg) == (-30.0, 289.2)
    assert (info.pixel_scale_arcsec, info.ra_deg, info.dec_deg) == (0.4, 10.0, -20.0)
    assert info.saturation == 180000.0


def test_without_a_gain_the_unit_is_adu(tmp_path):
    header = {key: value for key, value in PLAIN.items() if key != "GAIN"}
    frame = read_frame(write(tmp_path / "a.fits", np.ones((32, 32), np.uint16), header), "a", FrameSettings())
    assert frame.info.unit == "adu"
    assert np.isnan(frame.info.gain)
    assert frame.info.saturation == 60000.0


def test_pixels_that_cannot_be_used_are_flagged(tmp_path):
    data = np.full((32, 32), 10.0, np.float32)
    data[3, 4], data[5, 6], data[7, 8] = np.nan, np.inf, 70000.0
    frame = read_frame(write(tmp_path / "a.fits", data), "a", FrameSettings())
    assert frame.pixel_flags[3, 4] == frame.pixel_flags[5, 6] == PixelFlag.NONFINITE
    assert frame.pixel_flags[7, 8] == PixelFlag.SATURATED
    assert np.isfinite(frame.image).all()
    assert np.count_nonzero(frame.pixel_flags) == 3


def test_an_error_of_zero_is_no_error(tmp_path):
    error = np.full((32, 32), 3.0, np.float32)
    error[2, 2], error[3, 3] = 0.0, np.nan
    hdus = fits.HDUList([fits.PrimaryHDU(np.ones((32, 32), np.float32)), fits.ImageHDU(error, name="ERR")])
    hdus[0].header.update(PLAIN)
    hdus.writeto(tmp_path / "a.fits")
    frame = read_frame(tmp_path / "a.fits", "a", FrameSettings())
    assert np.argwhere(frame.pixel_flags & PixelFlag.NONFINITE).tolist() == [[2, 2], [3, 3]]
    assert frame.error[0, 0] == 6.0


def test_bad_files_say_why(tmp_path):
    good = np.random.default_rng(1).normal(100, 9, (64, 64)).astype(np.float32)
    path = write(tmp_path / "good.fits", good)
    whole = path.read_bytes()
    (tmp_path / "cut.fits").write_bytes(whole[:9000])
    (tmp_path / "cut.fits.gz").write_bytes(gzip.compress(whole)[:9000])
    (tmp_path / "text.fits").write_text("not an image")
    (tmp_path / "empty.fits").write_bytes(b"")
    fits.PrimaryHDU().writeto(tmp_path / "header.fits")
    write(tmp_path / "nan.fits", np.full((64, 64), np.nan, np.float32))
    write(tmp_path / "cube.fits", np.ones((3, 64, 64), np.float32))
    write(tmp_path / "zero.fits", good, EXPTIME=0.0)
    write(tmp_path / "untimed.fits", good, {"EXPTIME": 3.0, "DATE-OBS": "2026-01-01", "MJD-OBS": 58516.0})
    amplifiers = [fits.PrimaryHDU()] + [fits.ImageHDU(good, name="SCI") for _ in range(2)]
    fits.HDUList(amplifiers).writeto(tmp_path / "amplifiers.fits")
    mask = fits.ImageHDU(np.zeros((128, 128), np.uint8), name="BPM")
    fits.HDUList([fits.PrimaryHDU(good), mask]).writeto(tmp_path / "crop.fits")
    expected = {
        "cut.fits": "not a readable FITS file",
        "cut.fits.gz": "not a readable FITS file",
        "text.fits": "not a readable FITS file",
        "empty.fits": "not a readable FITS file",
        "header.fits": "no image in the file",
        "nan.fits": "no finite pixel",
        "cube.fits": "3 axes",
        "zero.fits": "exposure time is 0 s",
        "untimed.fits": "set header.time",
        "amplifiers.fits": "2 SCI images",
        "crop.fits": "BPM has 128 x 128 pixels, the image 64 x 64",
    }
    for name, reason in expected.items():
        with pytest.raises(BadFrameError, match=reason):
            read_frame(tmp_path / name, "x", FrameSettings())
    with pytest.raises(FileNotFoundError):
        read_frame(tmp_path / "gone.fits", "x", FrameSettings())


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "sn2019so_andicam/SN2019so_20190201_V.fits.gz",
            {"filter": "V", "unit": "adu", "mjd_utc": 58516.3001 + 80 / 86400, "site_lon_deg": -70.815},
        ),
        (
            "moa2013blg475_saao/AKB13475I0100.fits.gz",
            {"gain": 1.9, "read_noise": 5.0, "mjd_utc": 56507.79418 + 100.02 / 86400, "unit": "electron"},
        ),
        (
            "lco_banzai/neox_banzai_test_frame_tfn0m414-kb29-20160625_WCSERR4.fits.fz",
            {"gain": 1.0, "exptime_s": 45.265, "aperture_m": 0.4, "saturation": 153440.0},
        ),
        (
            "lco_banzai/neox_hotpants_test_frame_coj2m002-ep07.fits",
            {"camera": "ep07", "filter": "rp", "aperture_m": 2.0, "mjd_utc": 60471.485599 + 85 / 86400, "gain": 1.0},
        ),
        (
            "lco_banzai/lsc1m005-fl15-20170614-0130-e91_cropped.v1.fits.gz",
            {"camera": "fl15", "aperture_m": 1.0, "read_noise": 9.2589, "site_height_m": 2201.0},
        ),
        (
            "awkward/ccdproc_a8280271.fits",
            {"gain": 1.9, "camera": "STE3 CCD", "mjd_utc": 56486.03997 + 75.02 / 86400, "airmass": 1.176},
        ),
        ("awkward/galsim_tnx.fits", {"gain": 2.4, "read_noise": 5.3, "saturation": 42000.0 * 2.4}),
    ],
)
def test_real_headers(name, expected, real_data):
    info = read_frame(real_data / name, "real", FrameSettings()).info
    for key, value in expected.items():
        wanted = pytest.approx(value, abs=3e-6) if isinstance(value, float) else value
        assert getattr(info, key) == wanted, key


def test_a_sheet_is_read_through_to_the_frame(tmp_path):
    """Columns of a sheet override the header, and what it leaves empty comes from there."""
    row_schema = load_schema(Path(__file__).parents[3] / "schemas" / "frames.schema.yaml")
    data = np.full((32, 32), 100.0, np.float32)
    write(tmp_path / "a.fits", data, FILTER="V", INSTRUME="cam")
    write(tmp_path / "b.fts", data, {"FILTER": "V"})
    (tmp_path / "sheet.csv").write_text(
        "path,frame_id,exptime,mjd_utc,filter,camera,airmass,gain,read_noise,saturation\n"
        "a.fits,first,,,,,,,,\n"
        "b.fts,,20,60000.25,R,other,1.5,3.0,7.5,50000\n"
    )
    frames = find_frames("s", {"frames": "sheet.csv"}, row_schema, folder=tmp_path)
    assert [frame.frame_id for frame in frames] == ["b", "first"]
    second, first = (
        read_frame(tmp_path / frame.path, frame.frame_id, FrameSettings(), frame.overrides).info for frame in frames
    )
    assert (first.filter, first.camera, first.exptime_s, first.gain) == ("V", "cam", 30.0, 2.0)
    assert (second.frame_id, second.filter, second.camera, second.exptime_s) == ("b", "R", "other", 20.0)
    assert (second.mjd_utc, second.airmass, second.gain, second.read_noise) == (60000.25, 1.5, 3.0, 7.5)
    assert (second.saturation, second.time_rule) == (150000.0, "mjd_utc of the sheet")


SCALE = 0.4 / 3600
BASE = {"CRVAL1": 150.0, "CRVAL2": 20.0, "CRPIX1": 100.0, "CRPIX2": 90.0, "RADESYS": "ICRS"}
CD = {"CD1_1": -SCALE, "CD1_2": 2e-6, "CD2_1": 2e-6, "CD2_2": SCALE}
WCS_KINDS = {
    "tan": BASE | CD | {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"},
    "sip": BASE | CD | {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "A_2_0": 1e-5, "B_ORDER": 2}
    | {"B_1_1": -2e-5},
    "tpv": BASE | CD | {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_1": 1.0, "PV1_4": 0.02, "PV2_1": 1.0}
    | {"PV2_10": 0.5},
    "tan with pv": BASE | CD | {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "PV1_1": 1.0, "PV1_4": 0.02, "PV2_1": 1.0},
    "swapped": BASE | CD | {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 20.0, "CRVAL2": 150.0},
    "old": BASE | {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -SCALE, "CDELT2": SCALE, "CROTA2": 30.0},
    "pole": BASE | CD | {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL2": 89.999},
}  # fmt: skip


@pytest.mark.parametrize("kind", WCS_KINDS)
@pytest.mark.parametrize("where", ["primary", "extension", "compressed"])
@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_the_wcs_of_a_frame_is_that_of_its_header(tmp_path, kind, where):
    data = np.full((180, 200), 5.0, np.float32)
    header = fits.Header(PLAIN | WCS_KINDS[kind])
    header["CTYPE1A"], header["CRVAL1A"], header["WCSNAMEA"] = "LINEAR", 7.0, "detector"
    if where == "primary":
        hdus = [fits.PrimaryHDU(data, header)]
    else:
        hdus = [fits.PrimaryHDU(), (fits.ImageHDU if where == "extension" else fits.CompImageHDU)(data, header)]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    info = read_frame(tmp_path / "a.fits", "a", FrameSettings()).info
    wcs = tan_sip_from_cards(info.wcs_cards, info.shape)
    x, y = (grid.ravel() for grid in np.meshgrid([0.0, 60.0, 199.0], [0.0, 90.0, 179.0]))
    other = WCS(fits.Header(WCS_KINDS[kind]))
    sky = other.all_pix2world(x, y, 0)
    ra, dec = sky[::-1] if kind == "swapped" else sky
    found = sky_to_pixel(wcs, ra, dec)
    assert np.hypot(found[0] - x, found[1] - y).max() < 0.02
