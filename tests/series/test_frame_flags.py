import numpy as np
import pytest

from gaiaflux.io.dataset import empty_frames
from gaiaflux.model.flags import FRAME_FLAGS, OF_IMAGES, FrameFlag, decode_flags
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


# Found by this module: not what another says.
FOUND = [flag.name for flag in FRAME_FLAGS if flag.name != "not_measured" and not flag.bit & OF_IMAGES]


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
        elif name == "poor_psf":
            calibration["psf_residual_rms"] = np.full(M, 0.02)
            calibration["psf_residual_rms"][rows] = 0.04
        elif name == "structured_sky":
            calibration["sky_structure"] = np.full(M, 1.4)
            calibration["sky_structure"][rows] = 1.6
        elif name == "uneven_response":
            calibration["response_span"] = np.full(M, 0.0108)  # mag: just below 1 %
            calibration["response_span"][rows] = 0.0109
        elif name == "no_time":
            frames["mjd_utc"][rows] = np.nan

    return change


@pytest.mark.parametrize("name", FOUND)
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


@pytest.fixture
def alike():
    """Twenty frames of one camera that are all the same, and their calibration."""
    frames = empty_frames(M)
    frames["status"][:], frames["camera"][:] = "ok", "fa01"
    frames["exptime_s"][:], frames["mjd_utc"][:] = 60.0, 60000.0
    usual = {"fwhm_pix": 4.0, "ellipticity": 0.05, "sky": 200.0, "wcs_rms_mas": 5.0, "n_measured": 500}
    for name, value in (usual | {"wcs_n_stars": 80}).items():
        frames[name][:] = value
    return frames, {
        "pscale": np.ones(M), "n_ensemble": np.full(M, 100), "calibration_status": np.array(["ok"] * M, dtype=object),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("column", "still", "too_much", "name"),
    [
        ("pscale", 0.64, 0.62, "cloudy"),  # half a magnitude
        ("fwhm_pix", 5.9, 6.1, "poor_seeing"),
        ("sky", 590.0, 610.0, "bright_sky"),
        ("ellipticity", 0.29, 0.31, "elongated"),
        ("n_measured", 250, 249, "few_stars"),
        ("n_ensemble", 50, 49, "few_stars"),
        ("wcs_rms_mas", 14.9, 15.1, "poor_wcs"),
        ("wcs_n_stars", 10, 9, "poor_wcs"),
    ],
)
def test_how_far_from_the_usual_a_frame_may_be(column, still, too_much, name, alike):
    frames, calibration = alike
    place = calibration if column in calibration else frames
    place[column][3], place[column][8] = still, too_much
    flags = frame_flags(frames, {"aperture": calibration})
    assert [decode_flags(value, FRAME_FLAGS) for value in flags] == [[name] if k == 8 else [] for k in range(M)]


def test_stars_that_are_always_long_are_elongated_where_they_are_longer(alike):
    frames, calibration = alike
    frames["ellipticity"][:] = 0.2
    frames["ellipticity"][[3, 8]] = 0.34, 0.36
    assert np.flatnonzero(frame_flags(frames, {"aperture": calibration})).tolist() == [8]


def test_clear_is_what_the_clearest_tenth_is(alike):
    # Clouds in most frames are clouds; one frame that is far clearer than all others is none of the usual ones.
    frames, calibration = alike
    calibration["pscale"][:17] = 0.5
    flags = frame_flags(frames, {"aperture": calibration})
    assert (flags[:17] == FrameFlag.CLOUDY).all()
    assert not flags[17:].any()
    calibration["pscale"][:], calibration["pscale"][5] = 1.0, 9.0
    assert not frame_flags(frames, {"aperture": calibration}).any()
    # Nor does a frame count that is not calibrated.
    calibration["pscale"][:4], calibration["calibration_status"][:4] = 9.0, "too few stars"
    assert not frame_flags(frames, {"aperture": calibration})[4:].any()


def test_the_first_method_that_could_tells_of_the_frame(alike):
    frames, calibration = alike
    other = {name: values.copy() for name, values in calibration.items()}
    other["pscale"][4], other["n_ensemble"][6] = 0.1, 1
    other["psf_status"] = np.array(["ok"] * M, dtype=object)
    other["psf_status"][9] = "borrowed"
    flags = frame_flags(frames, {"aperture": calibration, "psf": other})
    assert np.flatnonzero(flags).tolist() == [9]
    # A scale that is not known is none, whatever the status says.
    calibration["pscale"][4] = np.nan
    assert frame_flags(frames, {"aperture": calibration, "psf": other})[4] == FrameFlag.CLOUDY
    assert frame_flags(frames, {"aperture": calibration})[4] == FrameFlag.NO_CALIBRATION
