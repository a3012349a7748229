"""Steps of the ensemble's fit, each with a known answer."""

from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.calibration.ensemble import apply_ensemble, solve_ensemble
from gaiaflux.core.calibration.ensemble_fit import (
    LEAST_SCATTER,
    EnsembleFit,
    EnsemblePoints,
    _judge,
    _polish,
    _Residuals,
    _residuals,
    _start,
    _Verdict,
    held_out_scatter,
)
from gaiaflux.core.calibration.terms import StarFacts
from gaiaflux.model.settings.calibrate import CalibrateSettings

SETTINGS = CalibrateSettings(spatial_order=0, max_iterations=20, min_stars=4, clip_sigma=4.0)


def points(flux, error=1.0, *, strong=None, usable=None, order=None, terms=None):
    flux = np.asarray(flux, float)
    n, m = flux.shape
    error = np.broadcast_to(np.asarray(error, float), flux.shape)
    usable = np.ones(flux.shape, bool) if usable is None else usable
    return EnsemblePoints(
        flux, error, usable, usable & (flux > error), np.ones((n, 1)) if terms is None else terms,
        np.zeros(m, int) if order is None else np.asarray(order), np.ones(m, bool) if strong is None else strong,
    )  # fmt: skip


def test_points_that_the_model_says_to_be_lost_in_the_noise_do_not_count():
    made = points([[51.0, 49.0, 60.0], [51.0, 51.0, 51.0]], 10.0, order=[0, 0, -1])
    found = _residuals(made, np.log([50.5, 49.5]), np.zeros((3, 1)))
    # Five times the error: by the model, not by the measurement.
    assert found.use.tolist() == [[True, True, False], [False, False, False]]
    np.testing.assert_allclose(found.value[0], [51.0 / 50.5 - 1, 49.0 / 50.5 - 1, 0.0])
    np.testing.assert_allclose(found.noise[0], [10.0 / 50.5, 10.0 / 50.5, 1.0])
    untied = points([[51.0, 51.0]], 1.0, strong=np.array([False, True]), usable=np.array([[True, False]]))
    assert not _residuals(untied, np.log([50.0]), np.zeros((2, 1))).use.any()


def test_medians_of_stars_and_frames_are_a_start():
    star, scale = np.array([100.0, 300.0, 1000.0]), np.array([1.0, 0.5, 2.0, 0.8, 0.3])
    flux = star[:, None] * scale
    flux[0, 2], flux[1, 0] = 1e4, np.nan
    strong = np.array([True, True, True, True, False])
    made = points(flux, strong=strong, usable=np.isfinite(flux))
    found, log_scale = _polish(made)
    typical = np.median(np.log(scale[:4]))
    np.testing.assert_allclose(found, np.log(star) + typical, atol=1e-9)
    np.testing.assert_allclose(log_scale[:4], np.log(scale[:4]) - typical, atol=1e-9)
    # A frame that is not strong follows the stars.
    first, coefficients = _start(made)
    np.testing.assert_allclose(first, found)
    np.testing.assert_allclose(coefficients[:, 0], np.log(scale) - typical, atol=1e-9)


def judge(value, noise=0.01, *, scatter=0.0, pull=0.0, settings=SETTINGS, strong=None, use=None, least=LEAST_SCATTER):
    value = np.asarray(value, float)
    n, m = value.shape
    use = np.ones(value.shape, bool) if use is None else use
    former = _Verdict(np.full(n, scatter), np.ones(m), np.ones(n, bool), np.ones(n))
    found = _Residuals(value, np.broadcast_to(np.asarray(noise, float), value.shape) * np.ones(value.shape), use)
    strong = np.ones(m, bool) if strong is None else strong
    return _judge(found, np.full(value.shape, pull), former, strong, settings, least)


@pytest.mark.parametrize("least", [1e-3, 1e-4])
def test_a_quiet_star_has_the_least_scatter_that_is_believed(least):
    assert judge(jumps(1e-5), noise=1e-4, least=least).scatter == pytest.approx(np.full(12, least))


def jumps(size, n=12, m=20):
    """Residuals of one size and either sign."""
    return np.broadcast_to(np.asarray(size, float), (n,))[:, None] * np.where(np.arange(m) % 2, 1.0, -1.0)


def test_the_excess_of_a_star_is_what_its_scatter_has_beyond_its_errors():
    # A robust scatter of 1.4826 times 0.02 beside errors of 0.01.
    found = judge(jumps(0.02))
    np.testing.assert_allclose(found.scatter, np.sqrt((1.4826 * 0.02) ** 2 - 0.01**2), rtol=1e-6)
    np.testing.assert_allclose(found.excess, 1.0)
    assert found.kept.all()
    # At least a thousandth.
    np.testing.assert_allclose(judge(jumps(0.001)).scatter, 1e-3)
    # With a scatter that is known already, chi squared is relative to both.
    again = judge(jumps(0.02), scatter=0.03)
    chi2 = (1.4826 * 0.02) ** 2 / (0.01**2 + 0.03**2)
    np.testing.assert_allclose(again.scatter, np.sqrt(chi2 * (0.01**2 + 0.03**2) - 0.01**2), rtol=1e-6)
    # What a star pulled the frames towards itself is given back.
    pulled = judge(jumps(0.02), pull=0.5)
    np.testing.assert_allclose(pulled.scatter, np.sqrt(2.0 * (1.4826 * 0.02) ** 2 - 0.01**2), rtol=1e-6)
    np.testing.assert_allclose(judge(jumps(0.02), pull=0.99).scatter, judge(jumps(0.02), pull=0.9).scatter)


@pytest.mark.parametrize(("m", "judged"), [(8, True), (7, False)])
def test_eight_points_tell_of_a_star(m, judged):
    use = np.ones((12, 20), bool)
    use[3, m:] = False
    size = np.full(12, 0.02)
    size[3] = 0.2
    found = judge(jumps(size), use=use)
    assert found.kept[3] != judged
    assert found.scatter[3] == pytest.approx(np.sqrt((1.4826 * 0.2) ** 2 - 0.01**2) if judged else 5e-3)
    use[3] = False
    assert not judge(jumps(size), use=use).kept[3]
    # Frames that are not strong do not count for it.
    use[3] = True
    strong = np.arange(20) < m
    assert judge(jumps(size)[:, :20], strong=strong, use=use).kept[3] != judged


@pytest.mark.parametrize(("factor", "kept"), [(1.9, True), (2.1, False)])
def test_a_star_of_twice_the_usual_noise_is_left_out(factor, kept):
    usual = (1.4826 * 0.02) ** 2
    size = np.full(12, 0.02)
    size[3] = 0.02 * factor
    found = judge(jumps(size))
    assert found.excess[3] == pytest.approx(factor, rel=1e-6)
    assert usual > 0.01**2
    assert found.kept.tolist() == [k != 3 or kept for k in range(12)]


@pytest.mark.parametrize(("n_bad", "kept"), [(2, True), (3, False)])
def test_a_star_of_which_a_tenth_is_clipped_is_left_out(n_bad, kept):
    # Four times the usual noise, which is 1.4826 times 0.02.
    value = jumps(0.02)
    value[3, :n_bad] = 4.1 * 1.4826 * 0.02
    found = judge(value)
    assert found.kept[3] == kept
    value[3, :n_bad] = 3.9 * 1.4826 * 0.02
    assert judge(value).kept[3]


def test_the_least_variable_ones_stay_where_too_few_are_constant():
    size = np.array([0.02] * 6 + [0.3, 0.1, 0.2, 0.4, 0.5, 0.6])
    some = judge(jumps(size), settings=replace(SETTINGS, min_stars=8))
    assert some.kept.tolist() == [True] * 6 + [False, True, True, False, False, False]
    use = np.ones((12, 20), bool)
    use[7] = False
    some = judge(jumps(size), settings=replace(SETTINGS, min_stars=8), use=use)
    assert some.kept.tolist() == [True] * 6 + [True, False, True, False, False, False]


def test_the_errors_of_a_frame_are_believed_as_twenty_stars_are():
    # In frame 4 the stars scatter by three times their noise; twelve stars against a belief of twenty.
    value = jumps(0.01 / 1.4826)
    value[:, 4] *= 3.0
    found = judge(value)
    total = 0.01**2 + 1e-6
    ratio = np.array([3.0, 1.0])[:, None] * 0.01 / np.sqrt(total)
    expected = np.sqrt(np.maximum((12 * ratio**2 + 20.0) / 32.0, 1.0))[:, 0]
    assert found.frame_chi[4] == pytest.approx(expected[0], rel=1e-6)
    np.testing.assert_allclose(np.delete(found.frame_chi, 4), expected[1])


def test_held_out_scatter_of_orders():
    rng = np.random.default_rng(4)
    n, m = 40, 15
    terms = np.concatenate([np.ones((n, 1)), rng.uniform(-1, 1, (n, 2))], axis=1)
    terms[:, 1:] -= terms[:, 1:].mean(axis=0)
    made = points(np.ones((n, m)), 1e-3, terms=terms, order=np.ones(m))
    coefficients = np.zeros((m, 3))
    residual = 1e-3 * rng.normal(size=(n, m))
    fit = EnsembleFit(
        np.zeros(n), coefficients, np.zeros((m, 3, 3)), np.full((n, m), 1e6), residual, np.zeros((n, m)), np.zeros(n),
        np.ones(n, bool), np.ones(n),
    )  # fmt: skip
    scatter = held_out_scatter(fit, made, 1)
    # Each point against the fit of the others: what is left over (1 - leverage) (1 - its share of the star).
    chi = []
    for some in (terms[:, :1], terms):
        hat = some @ np.linalg.inv(some.T @ some) @ some.T
        left = residual - hat @ residual
        left -= left.mean(axis=1, keepdims=True)
        chi.append(np.sum((left / ((1 - np.diag(hat))[:, None] * (1 - 1 / m))) ** 2))
    np.testing.assert_allclose(scatter, [np.sqrt(chi[0] / chi[1]), 1.0], rtol=1e-6)
    # A slope that the frames have shows.
    steep = replace(fit, coefficients=np.where(np.arange(3) == 1, 5e-3, 0.0) * rng.normal(size=(m, 1)))
    assert held_out_scatter(steep, made, 1)[0] > 1.5


def test_a_star_is_calibrated_without_itself_by_its_leverage():
    rng = np.random.default_rng(5)
    n, m = 12, 30
    flux = 1e4 * (1.0 + 0.01 * rng.normal(size=(n, m)))
    error = np.full((n, m), 100.0)
    x, y = rng.uniform(0, 100, (2, n))
    solution = solve_ensemble(flux, error, np.ones((n, m), bool), x, y, SETTINGS)
    facts = StarFacts(x, y, np.full(n, np.nan))
    plain, plain_err = apply_ensemble(solution, flux, error, facts, np.full(n, -1))
    own, own_err = apply_ensemble(solution, flux, error, facts, np.arange(n))
    share = solution.self_weight
    assert 0.05 < share.mean() < 0.12
    np.testing.assert_allclose(own, plain * np.exp(share / (1 - share) * solution.residual), rtol=1e-5)
    variance = solution.covariance[:, 0, 0] / (1 - share)
    np.testing.assert_allclose(own_err, np.hypot(error * own / flux, own * np.sqrt(variance)), rtol=1e-4)
    np.testing.assert_allclose(
        plain_err, plain * np.hypot(error / flux, np.sqrt(solution.covariance[:, 0, 0])), rtol=1e-4
    )
    # In the limit one star is all of it: it is taken to be 0.99 of it.
    alone = replace(solution, self_weight=np.ones((n, m), np.float32))
    found, _ = apply_ensemble(alone, flux, error, facts, np.arange(n))
    np.testing.assert_allclose(found, plain * np.exp(99.0 * solution.residual), rtol=1e-3)
