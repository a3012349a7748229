import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.io.banzai_catalog import read_banzai_positions
from gaiaflux.io.banzai_writer import write_banzai, write_plain
from gaiaflux.io.checksum import file_sha256
from gaiaflux.io.frames import FrameSettings, frame_settings, read_frame
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import PixelFlag
from gaiaflux.sim.presets import demo
from gaiaflux.sim.series import Series
from gaiaflux.sim.truth import banzai_catalog

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
    x, y = read_banzai_positions(path)
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
    assert read_banzai_positions(path) is None


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


DATA = Path(os.environ.get("GAIAFLUX_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


@pytest.mark.real
@pytest.mark.skipif(not (DATA / "ground").is_dir(), reason="the shared real data are not here (GAIAFLUX_DATA)")
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
    ],
)
def test_real_headers(name, expected):
    info = read_frame(DATA / "ground" / name, "real", FrameSettings()).info
    for key, value in expected.items():
        wanted = pytest.approx(value, abs=3e-6) if isinstance(value, float) else value
        assert getattr(info, key) == wanted, key
