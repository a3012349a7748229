from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.cadences.frame_events import frame_events
from gaiaflux.core.cadences.frame_motion import places_in_frames, plate_correction, solve_motion
from gaiaflux.core.cadences.motion import kernel_offsets
from gaiaflux.core.cadences.motion_terms import MotionOptions, StarPlaces
from gaiaflux.sim.tess.star_frames import moved_places, simulate_star_frames

N = 24
CORNERS = np.array([[0.0, 0.0], [511.0, 0.0], [0.0, 511.0], [511.0, 511.0]])
MIDDLE = np.array([[255.5, 255.5]])


def wander(seed, n=N, size=0.3):
    rng = np.random.default_rng(seed)
    t = np.arange(n) / n
    slow = size * np.stack([np.sin(5 * t), np.cos(4 * t)], axis=1)
    return slow + rng.normal(0.0, 0.02, (n, 2)), rng.normal(0.0, 2e-4, n)


@pytest.fixture(scope="module")
def fields(star_field, measured):
    """Fields of 150 stars of T 8 to 12 in 1800 s, measured with a function that is 2 % too wide."""
    made = []
    for seed in (51, 52, 53):
        shift, roll = wander(seed)
        field = star_field(150, shift, roll, shape=(512, 512), seed=seed)
        made.append((field, shift, roll, measured(field, simulate_star_frames(field.setup))))
    return made


def drawn(n_frames=30, n_stars=40, noise=1e-3, seed=1, roll=1e-5, size=256.0):
    """Places without images: stars, true shifts and turns, and places with noise."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, size, (2, n_stars))
    shift, turn = 0.3 * rng.normal(size=(n_frames, 2)), roll * rng.normal(size=n_frames)
    pivot = np.full(2, size / 2)
    true = moved_places(x, y, shift, turn, pivot)
    error = noise * np.exp(rng.uniform(-1, 1, n_stars)) * np.ones((n_frames, 1))
    seen = true + error * rng.normal(size=true.shape)
    at = np.moveaxis(moved_places(*pivot[:, None], shift, turn, pivot), 0, -1)[:, 0] - pivot
    return StarPlaces(x, y, *seen, error, error), at - at.mean(axis=0)


def test_motion_is_right_to_a_ten_thousandth_and_its_errors_are_true(fields, star_places):
    pulls, away = [], []
    for field, shift, roll, found in fields:
        motion = solve_motion(star_places(field.catalogue, found), "affine")
        assert (motion.n_terms == 6).all()
        assert motion.n_used.min() > 140
        places = np.concatenate([CORNERS, MIDDLE])
        left = kernel_offsets("affine", motion.parameters, places) - field.motion_at(places, shift, roll)
        pulls.append(left / motion.errors_at(places))
        away.append(left)
    away, pulls = np.array(away), np.array(pulls)
    assert np.abs(away[:, :, :4]).max() < 1e-3
    assert np.abs(away[:, :, 4]).max() < 3e-4
    assert np.sqrt((pulls[:, :, 4] ** 2).mean()) == pytest.approx(1.0, abs=0.2)
    assert np.sqrt((pulls[:, :, :4] ** 2).mean()) == pytest.approx(1.0, abs=0.2)


def test_slopes_of_the_stars_are_learnt(fields, star_places):
    field, _, _, found = fields[0]
    motion = solve_motion(star_places(field.catalogue, found), "affine")
    assert np.abs(motion.star_slope).max() < 0.01
    assert np.median(motion.star_scatter) < 3e-4
    assert np.abs(motion.star_slope).sum() > 0.0


@pytest.mark.parametrize("mode", ["translation", "euclidian", "affine"])
def test_each_mode_gives_parameters_of_movement_kernels(mode):
    places, at = drawn(roll=0.0 if mode == "translation" else 1e-4)
    motion = solve_motion(places, mode)
    middle = np.full((1, 2), 128.0)
    found = kernel_offsets(mode, motion.parameters, middle)[:, 0]
    assert np.sqrt((((found - at) / motion.errors_at(middle)[:, 0]) ** 2).mean()) == pytest.approx(1.0, abs=0.3)
    np.testing.assert_allclose(motion.centre.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(places_in_frames(motion, 128.0, 128.0), 128.0 + found, atol=1e-12)
    np.testing.assert_allclose(motion.centre_error, motion.errors_at(motion.middle[None])[:, 0])


def test_without_noise_a_turn_is_exact():
    places, _ = drawn(noise=1e-9, roll=3e-4)
    motion = solve_motion(places, "affine")
    left = (
        places.x
        - places.x_ref
        - kernel_offsets("affine", motion.parameters, np.stack([places.x_ref, places.y_ref], 1))[..., 0]
    )
    np.testing.assert_allclose(left - left.mean(axis=0), 0.0, atol=1e-6)
    turned = solve_motion(places, "euclidian")
    left = (
        places.x
        - places.x_ref
        - kernel_offsets("euclidian", turned.parameters, np.stack([places.x_ref, places.y_ref], 1))[..., 0]
    )
    np.testing.assert_allclose(left - left.mean(axis=0), 0.0, atol=2e-4)


def test_unchanged_has_no_parameters_and_tells_how_wrong_it_is():
    places, at = drawn()
    motion = solve_motion(places, "unchanged", options=MotionOptions(worst_rms=10.0))
    assert motion.parameters.shape == (30, 0)
    assert not motion.centre_error.any()
    assert motion.rms == pytest.approx(np.sqrt((at**2).mean(axis=1)), rel=0.3, abs=0.05)


def test_mean_places_correct_the_catalogue():
    places, _ = drawn(n_stars=80)
    warp = 0.2 + 0.1 * (places.x_ref / 256) - 0.3 * (places.y_ref / 256) ** 2
    moved = replace(places, x=places.x + warp)
    motion = solve_motion(moved, "affine")
    plain = solve_motion(places, "affine")
    np.testing.assert_allclose(motion.star_offset[:, 0] - plain.star_offset[:, 0], warp, atol=1e-6)
    plate = plate_correction(motion, places.x_ref, places.y_ref, (256, 256))
    corrected = plate.at(places.x_ref, places.y_ref)[:, 0] - plain.star_offset[:, 0].mean()
    np.testing.assert_allclose(corrected, warp, atol=3e-3)
    np.testing.assert_allclose(motion.centre, plain.centre, atol=1e-6)


def test_wrong_rows_of_the_catalogue_cost_nothing(fields, star_places, measured):
    field, shift, roll, _ = fields[0]
    rng = np.random.default_rng(3)
    wrong = rng.choice(150, 8, replace=False)
    catalogue = field.catalogue.copy()
    catalogue[:2, wrong[:4]] += rng.uniform(-2, 2, (2, 4))
    catalogue[0, wrong[4:]] += 15.0
    found = measured(field, simulate_star_frames(field.setup), catalogue)
    motion = solve_motion(star_places(catalogue, found), "affine")
    left = kernel_offsets("affine", motion.parameters, CORNERS) - field.motion_at(CORNERS, shift, roll)
    assert np.abs(left).max() < 1e-3
    assert np.isnan(found.x[:, wrong[4:]]).mean() > 0.9


def test_spoiled_places_are_left_out():
    places, at = drawn(n_stars=30)
    rng = np.random.default_rng(4)
    hit = rng.random(places.x.shape) < 0.05
    x = np.where(hit, places.x + rng.normal(0, 0.3, hit.shape), places.x)
    motion = solve_motion(replace(places, x=x), "affine")
    left = kernel_offsets("affine", motion.parameters, np.full((1, 2), 128.0))[:, 0] - at
    assert np.abs(left).max() < 2e-3
    assert np.mean(30 - motion.n_used) == pytest.approx(1.5, abs=0.4)


def test_a_frame_of_other_places_is_lost_and_tells_nothing_of_the_rest():
    places, _ = drawn()
    rng = np.random.default_rng(5)
    x, y = places.x.copy(), places.y.copy()
    x[7] += rng.uniform(-2, 2, 40)
    y[7] += rng.uniform(-2, 2, 40)
    x[9] = np.nan
    motion = solve_motion(replace(places, x=x, y=y), "affine")
    assert np.flatnonzero(motion.lost).tolist() == [7, 9]
    assert np.isnan(motion.parameters[[7, 9]]).all()
    assert np.isnan(motion.centre_error[[7, 9]]).all()
    assert (motion.n_terms[[7, 9]] == 0).all()
    kept = np.delete(np.arange(30), [7, 9])
    alone = solve_motion(
        replace(places, x=x[kept], y=y[kept], x_err=places.x_err[kept], y_err=places.y_err[kept]), "affine"
    )
    np.testing.assert_allclose(motion.centre[kept], alone.centre, atol=2e-5)


def test_good_frames_are_the_reference():
    places, at = drawn()
    good = np.arange(30) < 20
    motion = solve_motion(places, "translation", good)
    np.testing.assert_allclose(motion.centre[good].mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(motion.centre[~good], (at - at[good].mean(axis=0))[~good], atol=3e-3)


@pytest.mark.parametrize(("n", "terms"), [(40, 6), (6, 6), (5, 3), (4, 3), (3, 3), (2, 2)])
def test_few_stars_allow_for_fewer_terms(n, terms):
    places, at = drawn(n_stars=max(n, 2), seed=3, roll=1e-5)
    motion = solve_motion(places, "affine")
    assert (motion.n_terms == terms).mean() > 0.9
    left = motion.centre - at
    assert np.abs(left).max() < 0.02


def test_a_frame_with_few_stars_has_the_errors_of_what_it_cannot_tell():
    places, _ = drawn(n_frames=40, roll=1e-4)
    x = places.x.copy()
    x[5, 2:] = np.nan
    motion = solve_motion(replace(places, x=x), "affine")
    assert motion.n_terms[5] == 2
    far = motion.errors_at(np.array([[0.0, 0.0]]))[:, 0]
    assert (far[5] > 5 * np.median(far, axis=0)).all()
    assert far[5, 0] == pytest.approx(1e-4 * 128, rel=0.6)


def test_one_star_or_none_is_not_enough():
    places, _ = drawn(n_stars=1)
    assert solve_motion(places, "translation", options=MotionOptions()).n_used.max() <= 1
    none = StarPlaces(*np.zeros((2, 0)), *np.zeros((4, 3, 0)))
    motion = solve_motion(none, "affine")
    assert motion.lost.all()
    assert motion.parameters.shape == (3, 6)


def test_a_single_frame_is_its_own_reference():
    places, _ = drawn(n_frames=1)
    motion = solve_motion(places, "affine")
    assert not motion.lost[0]
    np.testing.assert_allclose(motion.centre, 0.0, atol=1e-9)


def test_wrong_arguments_are_refused():
    places, _ = drawn()
    with pytest.raises(ValueError, match="none of unchanged"):
        solve_motion(places, "wobble")
    with pytest.raises(ValueError, match="good frames"):
        solve_motion(places, "affine", np.ones(3, bool))
    with pytest.raises(ValueError, match="without a place"):
        solve_motion(replace(places, x_ref=places.x_ref * np.nan), "affine")
    with pytest.raises(ValueError, match="errors of shape"):
        solve_motion(replace(places, x_err=places.x_err[:3], y_err=places.y_err[:3]), "affine")


def test_smeared_moved_and_lost_frames(star_field, measured, star_places):
    shift, roll = wander(61, 30, 0.05)
    trail = np.zeros((30, 2))
    trail[10], trail[11], trail[12] = (0.5, 0.0), (0.3, 0.3), (0.1, 0.0)
    shift[15] += (0.8, -0.5)
    field = star_field(60, shift, roll, seed=61, trail=trail, tmag=(8.0, 11.0))
    images = simulate_star_frames(field.setup)
    x = field.setup.x.copy()
    x[20] += 3.0
    images[20] = simulate_star_frames(replace(field.setup, x=x))[20]
    images[21] = 0.0
    found = measured(field, images)
    motion = solve_motion(star_places(field.catalogue, found), "affine")
    events = frame_events(motion, found.spread, found.spread_err)
    assert np.flatnonzero(events.lost).tolist() == [20, 21]
    assert np.flatnonzero(events.smeared).tolist() == [10, 11]
    assert np.flatnonzero(events.moved).tolist() == [15]
    assert np.isnan(events.trail[[20, 21]]).all()
    np.testing.assert_allclose(events.trail[[10, 11]], np.hypot(*trail[[10, 11]].T), rtol=0.2)
    usual = np.delete(np.arange(30), [10, 11, 12, 20, 21])
    assert np.nanmax(events.trail[usual]) < 0.15
