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


def flat(m=60, n=30, sigma=0.01):
    """Stars without any noise, and their errors."""
    return np.zeros((n, m)), np.full((n, m), sigma), np.ones((n, m), bool)


def found_in(changes, m=60, missing=()):
    """Points of one star that are taken for runs, of which some points deviate by so many sigmas."""
    residual, sigma, use = flat(m)
    for place, pull in changes:
        residual[4, place] = 0.01 * pull
    use[4, list(missing)] = False
    found = deviating_runs(residual, sigma, use, min_stars=10)
    assert not np.delete(found, 4, axis=0).any()
    return np.flatnonzero(found[4]).tolist()


def test_a_run_is_significant_from_five_sigma_on():
    run = slice(20, 28)
    assert found_in([(run, 1.80)]) == list(range(20, 28))  # times the root of 8: 5.1
    assert found_in([(run, 1.74)]) == []  # 4.9
    assert found_in([(run, -1.80)]) == list(range(20, 28))


def test_three_points_are_a_run_and_two_are_bad_points():
    assert found_in([(slice(20, 23), 30.0)]) == [20, 21, 22]
    assert found_in([(slice(20, 23), 3.0)]) == [20, 21, 22]
    assert found_in([(slice(20, 22), 30.0)]) == []
    # However lonely the two are.
    around = [*range(12, 20), *range(22, 30)]
    assert found_in([(slice(20, 22), 30.0)], missing=around) == []
    assert found_in([(slice(20, 23), 30.0)], missing=[k for k in around if k != 22]) == [20, 21, 22]


def test_at_most_four_tenths_of_a_star_are_runs():
    assert found_in([(slice(20, 44), 4.0)]) == list(range(20, 44))
    assert len(found_in([(slice(18, 46), 4.0)])) <= 24
    # Of the points that there are: five of twelve are too many, four are not.
    gaps = list(range(12, 60))
    assert found_in([(slice(4, 8), 4.0)], missing=gaps) == [4, 5, 6, 7]
    assert found_in([(slice(4, 9), 4.0)], missing=gaps) != [4, 5, 6, 7, 8]


@pytest.mark.parametrize("m", [8, 7])
def test_eight_points_tell_what_is_usual(m):
    assert found_in([(slice(2, 5), 30.0)], m=m) == ([2, 3, 4] if m == 8 else [])
    assert found_in([(slice(2, 5), 30.0)], missing=range(m, 60)) == ([2, 3, 4] if m == 8 else [])


def test_a_star_that_is_noisier_than_stated_needs_more():
    residual, sigma, use = flat()
    residual[4] = 0.02 * np.where(np.arange(60) % 2, 1.0, -1.0)
    residual[4:6, 20:28] += 0.03
    found = deviating_runs(residual, sigma, use, min_stars=10)
    assert found[5, 20:28].all()
    assert not found[4].any()
    # Nor does it count that its errors are too large.
    calm = deviating_runs(0.5 * residual, sigma, use, min_stars=10)
    assert not calm[5].any()


def test_after_a_long_run_the_level_is_that_of_the_rest():
    # Runs of either sign, one after the other, each with its own significance about the level of the quiet points.
    changes = [(slice(5, 13), 2.5), (slice(25, 33), -2.5), (slice(45, 53), 2.5)]
    assert found_in(changes) == [*range(5, 13), *range(25, 33), *range(45, 53)]
