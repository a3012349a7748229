"""Steps of a detector's response from stars that come to lie on either side of them."""

import numpy as np
import pytest

from gaiaflux.core.calibration import response_steps
from gaiaflux.core.calibration.response_fit import Points
from gaiaflux.core.calibration.response_steps import ResponseSteps, find_steps
from gaiaflux.core.maths.field_basis import make_basis
from gaiaflux.sim.structure import random_field

SIZE = 1000
REACH = 20.0
QUARTERS = np.array([[-0.06, 0.04], [0.055, -0.035]])


def series(
    seed, columns=(), rows=(), values=((0.0,),), n=120, m=10, dither=80.0, flat=0.0, least_error=0.003, beside=0.0
):
    """Stars of 0.3 to 5 % error in frames with a slope of their own, seen by a detector with steps of ln response."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-80.0, SIZE + 80.0, (2, n))
    dx, dy = dither * rng.normal(size=(2, m))
    column, row = x[:, None] + dx, y[:, None] + dy
    error = least_error * 10.0 ** rng.uniform(0.0, 1.2, n)
    log_flux = rng.normal(size=(n, 1)) + 0.2 * rng.normal(size=m) + error[:, None] * rng.normal(size=(n, m))
    for place in (x, y):
        log_flux += 0.01 * rng.normal(size=m) * (place / 500.0 - 1.0)[:, None]
    log_flux += np.asarray(values)[np.searchsorted(rows, row), np.searchsorted(columns, column)]
    if flat:
        pixels = random_field((SIZE, SIZE), 100.0, rng)
        log_flux += flat * pixels[tuple(np.clip(a, 0, SIZE - 1).astype(int) for a in (row, column))]
    use = (np.abs(column - 499.5) < 500.0) & (np.abs(row - 499.5) < 500.0)
    if beside:  # the sky around stars is taken from the other side, too
        log_flux += (
            beside * (ResponseSteps(tuple(columns), tuple(rows)).distance(column, row) < REACH) * (column < 499.5)
        )
    star, frame = np.nonzero(use)
    terms = make_basis(x, y, np.ones(n, dtype=bool), 2).terms(x, y)
    place = np.stack([column[use], row[use]])
    own = np.ones(len(star), dtype=bool)
    return Points(
        star, frame, log_flux[use], error[star] ** 2, terms, own, place, np.full(len(star), REACH), (SIZE, SIZE)
    )


@pytest.mark.parametrize(
    ("columns", "rows", "values"),
    [
        ((499.5,), (), [[0.0, 0.03]]),
        ((), (499.5,), [[0.02], [0.0]]),
        ((499.5,), (499.5,), QUARTERS),
        ((249.5, 499.5, 749.5), (), [[0.0, 0.05, -0.03, 0.02]]),
        ((), (249.5, 499.5, 749.5), [[0.0], [0.05], [0.01], [0.06]]),
    ],
)
def test_amplifiers_are_found_whatever_their_layout(columns, rows, values):
    for seed in range(2):
        found = find_steps(series(seed, columns, rows, values))
        assert (found.columns, found.rows) == (columns, rows)  # halves and quarters are exactly that
        true = np.asarray(values) - np.mean(values)
        np.testing.assert_allclose(found.values, true, atol=max(0.004, 4.5 * found.errors.max()))
        assert 0.0 < found.errors.max() < 0.004
        assert abs(found.values.mean()) < 1e-12
        assert found.span == pytest.approx(np.ptp(true), abs=0.008)


def test_a_seam_may_be_anywhere():
    for seed in range(2):
        found = find_steps(series(seed, (431.5,), (), [[0.0, 0.05]]))
        assert not found.rows
        assert found.columns == pytest.approx((431.5,), abs=2.0)
        assert found.columns[0] not in (431.5, 499.5)
        # Their mean over the area is 0.
        assert found.values[0] @ [0.432, 0.568] == pytest.approx(0.0, abs=1e-4)


def test_half_and_quarters_are_taken_where_they_are_near_and_the_stars_have_little_against_it():
    points = series(8)
    fit = response_steps.Elimination(points, response_steps.robust_weights(points, np.zeros(len(points.star), int)))
    for axis in range(2):
        for place, taken in ((496.0, 499.5), (254.0, 249.5), (493.0, 493.0), (745.0, 749.5), (757.0, 757.0)):
            assert response_steps._exact(fit, [], (axis, place)) == (axis, taken)
    found = find_steps(series(8, (495.5,), (), [[0.0, 0.1]], n=200, least_error=0.0005))
    assert found.columns == pytest.approx((495.5,), abs=1.5)
    assert found.columns[0] != 499.5


def test_no_step_is_found_where_there_is_none():
    found = [find_steps(series(seed, n=80, m=8)) for seed in range(30)]
    assert not any(steps.any for steps in found)
    assert all(steps.span == 0.0 for steps in found)


def test_structure_of_a_flat_field_is_no_step():
    assert not any(find_steps(series(seed, n=80, m=8, flat=0.02)).any for seed in range(8))


def test_a_step_is_found_on_a_wrong_flat_field():
    found = find_steps(series(3, (499.5,), (499.5,), QUARTERS, n=200, flat=0.01))
    assert (found.columns, found.rows) == ((499.5,), (499.5,))


def test_the_best_border_has_to_stand_out_and_by_chance_it_does_not():
    # What the thresholds are there for: the best border of series without a step, and the weakest real one.
    def best(points):
        fit = response_steps.Elimination(points, response_steps.robust_weights(points, np.zeros(len(points.star), int)))
        return response_steps._strongest(fit, [])[1]

    chance = max(best(series(seed, n=80, m=8)) for seed in range(20))
    assert 10.0 < chance < 0.7 * response_steps._LEAST_GAIN
    uneven = series(0, flat=0.02)
    assert best(uneven) > response_steps._LEAST_GAIN
    assert best(series(0, (499.5,), (), [[0.0, 0.03]])) > 2.0 * response_steps._LEAST_GAIN


def test_small_steps_are_left_to_the_errors():
    for step, seen in ((0.0025, False), (0.0045, True)):
        points = series(5, (499.5,), (), [[0.0, step]], n=300, m=30, least_error=0.0005)
        assert find_steps(points).any == seen


def test_what_no_star_crosses_is_no_step():
    assert not find_steps(series(1, (499.5,), (), [[0.0, 0.1]], dither=0.0)).any


def test_few_points_tell_nothing(monkeypatch):
    points = series(2, (499.5,), (), [[0.0, 0.05]])
    assert find_steps(points).any
    monkeypatch.setattr(response_steps, "_LEAST_POINTS", len(points.star) + 1)
    assert not find_steps(points).any
    monkeypatch.setattr(response_steps, "_LEAST_POINTS", len(points.star))
    assert find_steps(points).any


def test_points_beside_the_seam_do_not_shape_the_step():
    found = find_steps(series(4, (499.5,), (), [[0.0, 0.04]], beside=0.05, least_error=0.001))
    assert found.columns == pytest.approx((499.5,), abs=25.0)
    np.testing.assert_allclose(np.diff(found.values[0]), 0.04, atol=0.002)


def test_one_variable_star_makes_no_seam():
    points = series(6)
    star = np.bincount(points.star, points.variance < 2e-5).argmax()
    points.log_flux[(points.star == star) & (points.place[0].argsort().argsort() % 2 == 0)] += 0.3
    assert not find_steps(points).any


def test_other_cameras_tell_of_the_stars_and_have_no_step_themselves():
    points = series(7, (499.5,), (), [[0.0, 0.05]], dither=0.0, n=150, m=12)
    moved = points.frame >= 6  # another camera, which has no step but sees the same stars
    points.log_flux[moved] -= np.where(points.place[0][moved] > 499.5, 0.05, 0.0)
    own = Points(
        points.star, points.frame, points.log_flux, points.variance, points.terms, ~moved, points.place[:, ~moved],
        points.reach[~moved], points.shape,
    )  # fmt: skip
    found = find_steps(own)
    assert (found.columns, found.rows) == ((499.5,), ())
    np.testing.assert_allclose(found.values, [[-0.025, 0.025]], atol=0.004)


def test_looking_up():
    steps = ResponseSteps((10.5, 20.5), (5.5,), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), np.zeros((2, 3)))
    column, row = np.array([[0.0, 11.0, 30.0], [0.0, np.nan, 20.0]]), np.array([[0.0, 5.0, 6.0], [6.0, 1.0, np.nan]])
    np.testing.assert_array_equal(steps.at(column, row), [[1.0, 2.0, 6.0], [4.0, 0.0, 0.0]])
    np.testing.assert_allclose(steps.distance(column, row)[0], [5.5, 0.5, 0.5])
    np.testing.assert_allclose(steps.distance(column, row)[1, 0], 0.5)
    assert steps.any
    assert steps.span == 5.0
    none = ResponseSteps()
    assert not none.any
    assert not none.at(column, row).any()
    assert np.isinf(none.distance(column, row)).all()
