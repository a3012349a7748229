"""What the terms of a series are functions of, from the tables of its frames and stars."""

import numpy as np
import pytest

from gaiaflux.core.calibration.scintillation import scintillation
from gaiaflux.io.dataset import empty_frames
from gaiaflux.series.solution import frame_scintillation, series_facts

M = 5


@pytest.fixture
def frames():
    table = empty_frames(M)
    table["frame_id"][:] = [f"f{k}" for k in range(M)]
    table["status"][:], table["camera"][:] = "ok", ["b", "a", "b", "c", "a"]
    for name, value in (("aperture_m", 1.0), ("airmass", 1.2), ("exptime_s", 60.0), ("site_height_m", 500.0)):
        table[name][:] = value
    for k, name in enumerate(("1_1", "1_2", "2_1", "2_2")):
        table[f"wcs_cd{name}"] = np.full(M, [-1e-4, 0.0, 0.0, 1e-4][k])
    return table


def test_scintillation_and_what_is_missing(frames):
    relative, note = frame_scintillation(frames)
    assert note == "ok"
    np.testing.assert_allclose(relative, scintillation(1.0, 1.2, 60.0, 500.0))
    frames["airmass"][1], frames["site_height_m"][3] = np.nan, np.nan
    relative, note = frame_scintillation(frames)
    assert np.isnan(relative).tolist() == [False, True, False, True, False]
    assert note == "left out in 2 of 5 frames: airmass, site_height_m not known"
    # A frame that was not measured needs none.
    frames["status"][[1, 3]] = "cannot be read"
    assert frame_scintillation(frames)[1] == "ok"
    frames["airmass"][0] = 0.2
    assert frame_scintillation(frames)[1] == "left out in 1 of 5 frames: a value that cannot be"


def facts_of(frames, reference="f2"):
    stars = {"x_ref": np.arange(4.0), "y_ref": 10.0 + np.arange(4.0), "colour": 0.1 * np.arange(4.0)}
    return series_facts(frames, stars, np.array([3, 1]), reference)


def test_stars_and_cameras_of_the_series(frames):
    facts = facts_of(frames)
    assert (facts.x.tolist(), facts.y.tolist()) == ([3.0, 1.0], [13.0, 11.0])
    np.testing.assert_allclose(facts.colour, [0.3, 0.1])
    assert facts.camera_names == ["a", "b", "c"]
    assert facts.camera.tolist() == [1, 0, 1, 2, 0]
    np.testing.assert_array_equal(facts.airmass, frames["airmass"])


def test_axes_of_a_frame_over_those_of_the_reference_image(frames):
    turn = np.deg2rad(30.0)
    for k, name in enumerate(("1_1", "1_2", "2_1", "2_2")):
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([-1e-4, 1e-4])
        frames[f"wcs_cd{name}"][3] = matrix.ravel()[k]
        frames[f"wcs_cd{name}"][4] = np.nan
        frames[f"wcs_cd{name}"][2] = np.diag([-2e-4, 2e-4]).ravel()[k]
    axes = facts_of(frames).axes
    # One step on the reference image is two on a frame of half its pixel size.
    np.testing.assert_allclose(axes[0], 2.0 * np.eye(2), atol=1e-12)
    np.testing.assert_allclose(axes[2], np.eye(2), atol=1e-12)
    back = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    np.testing.assert_allclose(axes[3], 2.0 * back, atol=1e-12)  # mirrored: the turn is seen the other way round
    np.testing.assert_array_equal(axes[4], np.eye(2))
    # Where the reference is not among the frames that are solved, the first one is.
    for reference in ("f4", "elsewhere"):
        np.testing.assert_allclose(facts_of(frames, reference).axes[2], 0.5 * np.eye(2), atol=1e-12)
    for k in ("1_1", "1_2", "2_1", "2_2"):
        frames[f"wcs_cd{k}"][:] = np.nan
    np.testing.assert_array_equal(facts_of(frames).axes, np.repeat(np.eye(2)[None], M, axis=0))
