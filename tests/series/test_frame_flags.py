import numpy as np
import pytest

from gaiaflux.io.dataset import empty_frames
from gaiaflux.model.flags import FRAME_FLAGS, FrameFlag, decode_flags
from gaiaflux.series.frame_flags import frame_flags

M = 20


@pytest.fixture
def frames():
    """Twenty ordinary frames of two cameras; the second has smaller pixels and a quarter of the throughput."""
    frames = empty_frames(M)
    second = np.arange(M) >= 10
    frames["status"][:] = "ok"
    frames["camera"][:] = np.where(second, "fa02", "fa01")
    rng = np.random.default_rng(1)
    for name, value in (("fwhm_pix", 4.0), ("ellipticity", 0.05), ("sky", 200.0), ("wcs_rms_mas", 5.0)):
        frames[name] = value * rng.uniform(0.9, 1.1, M) * np.where(second & (name == "fwhm_pix"), 2.0, 1.0)
    frames["exptime_s"][:] = 60.0
    frames["mjd_utc"] = 60000 + np.arange(M) * 0.01
    frames["n_measured"], frames["wcs_n_stars"] = np.full(M, 500), np.full(M, 80)
    return frames


@pytest.fixture
def calibration():
    scale = np.where(np.arange(M) >= 10, 0.25, 1.0)
    status = np.array(["ok"] * M, dtype=object)
    return {"pscale": scale, "n_ensemble": np.full(M, 100), "calibration_status": status}


def test_ordinary_frames_of_two_cameras_have_no_flag(frames, calibration):
    flags = frame_flags(frames, {"aperture": calibration})
    assert flags.dtype == np.uint32
    np.testing.assert_array_equal(flags, 0)


def spoil(name):
    def change(frames, calibration, rows):
        if name == "cloudy":
            calibration["pscale"][rows] *= 0.6
        elif name == "poor_seeing":
            frames["fwhm_pix"][rows] *= 1.8
        elif name == "bright_sky":
            frames["sky"][rows] *= 4.0
        elif name == "elongated":
            frames["ellipticity"][rows] = 0.4
        elif name == "few_stars":
            frames["n_measured"][rows[:1]] = 200
            calibration["n_ensemble"][rows[1:]] = 40
        elif name == "poor_wcs":
            frames["wcs_rms_mas"][rows[:1]] *= 4
            frames["wcs_n_stars"][rows[1:]] = 9
        elif name == "no_calibration":
            calibration["calibration_status"][rows] = "3 ensemble stars"
            calibration["pscale"][rows[:1]] = np.nan
        elif name == "borrowed_psf":
            calibration["psf_status"] = np.array(["ok"] * M, dtype=object)
            calibration["psf_status"][rows] = "borrowed"
        elif name == "no_time":
            frames["mjd_utc"][rows] = np.nan

    return change


@pytest.mark.parametrize("name", [flag.name for flag in FRAME_FLAGS if flag.name != "not_measured"])
def test_each_flag_is_set_on_its_frames_and_on_no_other(name, frames, calibration):
    rows = np.array([3, 14])
    spoil(name)(frames, calibration, rows)
    flags = frame_flags(frames, {"aperture": calibration})
    assert [decode_flags(value, FRAME_FLAGS) for value in flags] == [[name] if k in rows else [] for k in range(M)]


def test_a_frame_that_was_not_measured_has_no_other_verdict(frames, calibration):
    frames["status"][5] = "cannot be read"
    for name in ("fwhm_pix", "sky", "wcs_rms_mas"):
        frames[name][5] = np.nan
    frames["n_measured"][5] = frames["wcs_n_stars"][5] = 0
    calibration["pscale"][5], calibration["n_ensemble"][5] = np.nan, 0
    calibration["calibration_status"][5] = "no star"
    flags = frame_flags(frames, {"aperture": calibration})
    assert decode_flags(flags[5], FRAME_FLAGS) == ["not_measured", "no_calibration"]
    assert np.delete(flags, 5).any() == 0


def test_what_is_not_known_sets_no_flag(frames, calibration):
    for name in ("fwhm_pix", "ellipticity", "sky", "wcs_rms_mas"):
        frames[name][4] = np.nan
    frames["sky"][10:] = np.nan
    assert not frame_flags(frames, {"aperture": calibration}).any()


def test_long_exposures_have_no_brighter_sky(frames, calibration):
    frames["exptime_s"][2], frames["sky"][2] = 600.0, 2000.0
    assert not frame_flags(frames, {"aperture": calibration}).any()


def test_one_method_that_calibrates_is_enough(frames, calibration):
    other = {name: values.copy() for name, values in calibration.items()}
    calibration["calibration_status"][:] = "too few stars"
    calibration["pscale"][:] = 1.0
    other["pscale"][7] *= 0.5
    flags = frame_flags(frames, {"aperture": calibration, "psf": other})
    assert decode_flags(flags[7], FRAME_FLAGS) == ["cloudy"]
    assert flags.astype(bool).sum() == 1
    alone = frame_flags(frames, {"aperture": calibration})
    assert (alone == FrameFlag.NO_CALIBRATION).all()
