import numpy as np
import pytest

from gaiaflux.core.calibration.ensemble import apply_ensemble
from gaiaflux.core.calibration.excursions import deviating_runs
from gaiaflux.core.calibration.terms import SeriesFacts, StarFacts
from gaiaflux.model.settings.calibrate import CalibrateSettings
from gaiaflux.series.solution import solve_series
from gaiaflux.workflow.settings import complete_section

N, M = 200, 120
TRANSIT = slice(50, 70)


@pytest.fixture
def quiet():
    rng = np.random.default_rng(5)
    sigma = np.repeat(rng.uniform(1e-3, 1e-2, N)[:, None], M, axis=1)
    return sigma * rng.normal(size=(N, M)), sigma, rng.random((N, M)) > 0.05


def test_noise_has_no_runs(quiet):
    residual, sigma, use = quiet
    assert deviating_runs(residual, sigma, use, min_stars=10).sum() == 0


@pytest.mark.parametrize("depth", [2.0, -2.0, 30.0])
def test_a_transit_or_a_flare_is_left_out_and_nothing_else(quiet, depth):
    residual, sigma, use = quiet
    residual[7, TRANSIT] -= depth * sigma[7, 0]
    found = deviating_runs(residual, sigma, use, min_stars=10)
    assert found[7, TRANSIT].sum() >= 0.85 * use[7, TRANSIT].sum()
    assert found.sum() - found[7, TRANSIT].sum() <= 4
    assert not (found & ~use).any()


def test_several_runs_of_one_star(quiet):
    residual, sigma, use = quiet
    for first, sign in ((10, 1), (50, -1), (100, 1)):
        residual[7, first : first + 10] += 3.0 * sign * sigma[7, 0]
        use[7, first : first + 10] = True
    found = deviating_runs(residual, sigma, use, min_stars=10)
    assert min(found[7, first : first + 10].sum() for first in (10, 50, 100)) >= 8


def test_what_is_no_run(quiet):
    residual, sigma, use = quiet
    residual[3, 40] += 30.0 * sigma[3, 0]  # one bad point
    residual[:, 80:90] += 5.0 * sigma[:, 80:90]  # frames in which all stars deviate
    found = deviating_runs(residual, sigma, use, min_stars=10)
    assert found[:, 80:90].sum() == found[3].sum() == 0
    assert found.sum() <= 10  # beside these frames


def test_a_star_that_mostly_deviates_keeps_most_points(quiet):
    residual, sigma, use = quiet
    residual[4] += np.where(np.arange(M) < M // 2, 3.0, -3.0) * sigma[4]
    residual[5] += 5.0 * np.sin(np.arange(M) / 4.0) * sigma[5]
    found = deviating_runs(residual, sigma, use, min_stars=10)
    assert (found.sum(axis=1) <= 0.4 * use.sum(axis=1)).all()


def test_a_frame_keeps_its_least_stars(quiet):
    residual, sigma, use = (array[:12] for array in quiet)
    residual[0, TRANSIT] -= 0.05
    use[:, TRANSIT] = True
    use[11, TRANSIT] = False
    sigma[:] = 5e-3
    assert deviating_runs(residual, sigma, use, min_stars=10)[0, 51:69].all()
    assert not deviating_runs(residual, sigma, use, min_stars=11)[0].any()


def test_too_few_points_tell_nothing():
    few = np.zeros((20, 5))
    assert not deviating_runs(few, few + 1.0, few == 0, min_stars=3).any()
    assert deviating_runs(np.zeros((0, 30)), np.zeros((0, 30)), np.zeros((0, 30), bool), min_stars=3).shape == (0, 30)


def test_a_transit_of_a_comparison_star_does_not_pull_the_frames():
    rng = np.random.default_rng(1)
    n, m = 25, 100
    level = np.full(n, 1e5)
    level[0] = 1e6  # of great weight
    sigma = np.hypot(level**-0.5, 1e-3)[:, None]
    transit = np.ones((n, m))
    transit[0, 40:60] -= 0.004
    scale = 1.0 + 0.1 * np.sin(np.arange(m) / 9.0)
    flux = level[:, None] * transit * (1.0 + sigma * rng.normal(size=(n, m))) * scale
    facts = SeriesFacts(
        *rng.uniform(0, 1000, (2, n)), np.full(n, np.nan), np.full(m, np.nan), np.zeros(m, int), ["a"],
        np.repeat(np.eye(2)[None], m, axis=0),
    )  # fmt: skip
    settings = complete_section(CalibrateSettings, spatial_order=0)
    solution, _ = solve_series(flux, sigma * flux, np.ones((n, m), bool), facts, settings)
    change = np.log(solution.pscale / scale)
    pull = change[40:60].mean() - np.concatenate([change[:40], change[60:]]).mean()
    # With the star in these frames it would be 0.004 times its share of the weights, 0.11.
    assert abs(pull) < 2e-4
    assert solution.star_status[0] == "used"
    star = StarFacts(facts.x[:1], facts.y[:1], facts.colour[:1])
    own, _ = apply_ensemble(solution, flux[:1], sigma[:1] * flux[:1], star, np.zeros(1, int))
    depth = 1.0 - own[0, 40:60].mean() / np.median(np.delete(own[0], np.s_[40:60]))
    assert depth == pytest.approx(0.004, abs=0.0006)


@pytest.mark.parametrize(("share", "found"), [(0.25, True), (0.45, False)])
def test_where_a_third_of_the_weights_deviates_it_is_the_frame(quiet, share, found):
    residual, sigma, use = quiet
    sigma[:] = 5e-3
    residual[:] = sigma * np.random.default_rng(6).normal(size=residual.shape)
    n = round(share * N)
    residual[:n, TRANSIT] -= 4.0 * sigma[:n, TRANSIT]
    runs = deviating_runs(residual, sigma, use, min_stars=10)
    inside = runs[:n, 52:68]
    assert inside[use[:n, 52:68]].mean() > 0.9 if found else not inside.any()
    # It is the weights that count, not the stars: the same few with half the errors are more than a third.
    if found:
        residual[:n], sigma[:n] = 0.5 * residual[:n], 0.5 * sigma[:n]
        assert not deviating_runs(residual, sigma, use, min_stars=10)[:n, 52:68].any()
