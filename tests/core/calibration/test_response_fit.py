"""The response of parts of a detector against least squares with a column for each unknown."""

import numpy as np
import pytest

from gaiaflux.core.calibration.response_fit import Elimination, Points, held_out, robust_weights
from gaiaflux.core.maths.robust import MAD_TO_SIGMA

N, M = 30, 8
STEP = np.array([0.0, 0.05, -0.03])


def made(seed=1, sigma=0.01, step=STEP):
    rng = np.random.default_rng(seed)
    star, frame = (a.ravel() for a in np.mgrid[:N, :M])
    seen = rng.uniform(size=star.size) < 0.8
    star, frame = star[seen], frame[seen]
    terms = np.concatenate([np.ones((N, 1)), rng.uniform(-1, 1, (N, 2))], axis=1)
    own = frame != 3  # by another camera
    number = rng.integers(0, 3, own.sum())
    log_flux = rng.normal(size=N)[star] + (terms[star] * 0.1 * rng.normal(size=(M, 3))[frame]).sum(axis=1)
    log_flux += sigma * rng.normal(size=star.size)
    log_flux[own] += step[number]
    place = np.zeros((2, own.sum()))
    points = Points(star, frame, log_flux, np.full(star.size, 1e-4), terms, own, place, place[0], (10, 10))
    return points, number


def design(points, number):
    """One column for each star, each frame's term and each part."""
    p = len(points.star)
    stars, frames, parts = np.zeros((p, N)), np.zeros((p, M, 3)), np.zeros((p, 3))
    stars[np.arange(p), points.star] = 1.0
    frames[np.arange(p), points.frame] = points.terms[points.star]
    parts[np.flatnonzero(points.own), number] = 1.0
    return np.concatenate([stars, frames.reshape(p, -1)], axis=1), parts


def test_values_and_errors_are_those_of_the_whole_fit():
    points, number = made()
    weight = np.random.default_rng(2).uniform(1e3, 2e4, len(points.star))
    fit = Elimination(points, weight)
    values, errors = fit.solve(number)
    unknown, parts = design(points, number)
    root = np.sqrt(weight)[:, None]
    whole = np.linalg.lstsq(root * np.concatenate([unknown, parts], axis=1), root[:, 0] * points.log_flux, rcond=1e-10)
    expected = whole[0][-3:]
    np.testing.assert_allclose(np.diff(values), np.diff(expected), atol=1e-6)
    # The camera's own frames can take over what all parts share.
    assert values.sum() == pytest.approx(0.0, abs=1e-6)
    projected = parts - unknown @ np.linalg.lstsq(root * unknown, root * parts, rcond=1e-10)[0]
    covariance = np.linalg.pinv(projected.T @ (weight[:, None] * projected), rcond=1e-6)
    np.testing.assert_allclose(errors, np.sqrt(np.diag(covariance)), rtol=1e-4)

    def chi2(columns):
        left = points.log_flux - columns @ np.linalg.lstsq(root * columns, root[:, 0] * points.log_flux, rcond=1e-10)[0]
        return (weight * left**2).sum()

    gain = chi2(unknown) - chi2(np.concatenate([unknown, parts], axis=1))
    assert fit.gain_of(number) == pytest.approx(gain, rel=1e-5)


def test_parts_beside_others():
    points, number = made()
    weight = np.full(len(points.star), 1e4)
    fit = Elimination(points, weight)
    other = np.random.default_rng(4).integers(0, 2, number.size)
    both = fit.gain_of(2 * number + other)
    # All parts of both divisions: the second one adds what the first does not say.
    normal, right = fit.beside(number, 2 * number + other, 6)
    assert fit.gain_of(number) + fit.gain(normal, right) == pytest.approx(both, rel=1e-6)


def test_weights_follow_the_scatter_and_outliers_keep_a_say():
    points, number = made(sigma=0.03)
    points.log_flux[7] += 1.0
    weight = robust_weights(points, number)
    total = 1.0 / np.median(np.sort(weight)[-50:])
    assert np.sqrt(total) == pytest.approx(0.026, abs=0.004)  # stars and frames take a part of 0.03
    assert 0.01 < weight[7] * total < 0.15
    fit = Elimination(points, weight)
    residual = fit.left(points.log_flux - points.response(fit.solve(number)[0], number))
    assert MAD_TO_SIGMA * np.median(np.abs(residual)) * np.sqrt(weight.max()) == pytest.approx(1.0, abs=0.05)


def test_errors_that_are_too_large_are_believed():
    points, number = made(sigma=0.001)
    np.testing.assert_allclose(robust_weights(points, number), 1e4, rtol=0.03)


def test_half_of_the_stars_foretells_the_other_half():
    points, number = made()
    weight = np.full(len(points.star), 1e4)
    assert held_out(points, weight, number)
    # A step that only every second star shows.
    odd, same = made(step=np.zeros(3))
    odd.log_flux[odd.own] += np.where(odd.star[odd.own] % 2 == 0, 0.05, -0.05) * (same == 1)
    assert not held_out(odd, weight, same)
    assert not held_out(made(step=np.zeros(3))[0], 1e-4 * weight, number)


def test_what_no_star_tells_is_nothing():
    points, _ = made()
    stays = np.array([points.star % 3])[0][points.own]  # each star keeps to its part
    other = Points(
        points.star, points.frame, points.log_flux, points.variance, points.terms, np.ones(len(points.star), bool),
        np.zeros((2, len(points.star))), np.zeros(len(points.star)), (10, 10),
    )  # fmt: skip
    values, errors = Elimination(other, np.full(len(points.star), 1e4)).solve(points.star % 3)
    np.testing.assert_array_equal(values, 0.0)
    np.testing.assert_array_equal(errors, 0.0)
    assert stays.size
