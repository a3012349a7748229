import numpy as np
import pytest
from scipy import stats

from gaiaflux.core.plate.matching import OffsetSearch, match_mutual, neighbour_pull, poisson_log_tail, vote_offset


def brute_force(xa, ya, xb, yb, radius):
    distance = np.hypot(xa[:, None] - xb[None, :], ya[:, None] - yb[None, :])
    pairs = []
    for i in range(len(xa)):
        j = int(np.argmin(distance[i]))
        if distance[i, j] < radius and int(np.argmin(distance[:, j])) == i:
            pairs.append((i, j))
    return np.array(pairs).reshape(-1, 2)


@pytest.mark.parametrize(("n_a", "n_b", "radius"), [(300, 500, 30.0), (500, 40, 200.0), (1, 1, 1e4), (200, 200, 0.5)])
def test_mutual_matches_are_those_of_brute_force(n_a, n_b, radius):
    rng = np.random.default_rng(n_a)
    xa, ya = rng.uniform(-500, 1000, (2, n_a))
    xb, yb = rng.uniform(0, 1200, (2, n_b))
    truth = brute_force(xa, ya, xb, yb, radius)
    rows_a, rows_b = match_mutual(xa, ya, xb, yb, radius)
    np.testing.assert_array_equal(np.stack([rows_a, rows_b], axis=1), truth)


def test_nan_and_empty_lists_match_nothing():
    x = np.array([1.0, np.nan, 3.0])
    rows_a, rows_b = match_mutual(x, x, x, x, 0.1)
    assert rows_a.tolist() == rows_b.tolist() == [0, 2]
    empty = np.empty(0)
    assert len(match_mutual(empty, empty, x, x, 1.0)[0]) == 0
    assert len(match_mutual(x, x, np.full(2, np.nan), np.zeros(2), 1.0)[0]) == 0


@pytest.mark.parametrize("angle_deg", [-0.55, 0.0, 0.3])
def test_offset_is_found_among_strangers(angle_deg):
    rng = np.random.default_rng(7)
    xa, ya = rng.uniform(-1000, 1000, (2, 200))
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    xb = cos * xa - sin * ya + 131.0 + rng.normal(0, 1, 200)
    yb = sin * xa + cos * ya - 87.0 + rng.normal(0, 1, 200)
    # Half of either list has no partner.
    xb[100:], yb[100:] = rng.uniform(-1000, 1000, (2, 100))
    found = vote_offset(
        xa, ya, xb, yb, OffsetSearch(radius_pix=231, max_angle_rad=np.deg2rad(0.6), extent_pix=1448, tolerance_pix=12)
    )
    assert found.log_chance < np.log(1e-6)
    assert abs(found.dx - 131.0) < 4.0
    assert abs(found.dy + 87.0) < 4.0
    assert abs(np.rad2deg(found.angle_rad) - angle_deg) < 0.5


def test_unrelated_lists_look_like_chance():
    worst = 0.0
    search = OffsetSearch(radius_pix=231, max_angle_rad=0.01, extent_pix=1414, tolerance_pix=12)
    for seed in range(40):
        xa, ya, xb, yb = np.random.default_rng(seed).uniform(-1000, 1000, (4, 150))
        found = vote_offset(xa, ya, xb, yb, search)
        worst = min(worst, found.log_chance)
    assert worst > np.log(1e-3)


def test_poisson_tail_is_an_upper_bound_and_not_far_above():
    for mean in (0.1, 3.0, 40.0):
        for n in (1, 5, 20, 80):
            exact = float(stats.poisson.logsf(n - 1, mean))
            bound = poisson_log_tail(n, mean)
            assert exact - 1e-9 <= bound <= max(0.5 * exact, exact + 4.0)


def test_pull_of_one_neighbour():
    x, y, flux = np.array([10.0, 14.0, 100.0]), np.array([10.0, 10.0, 100.0]), np.array([100.0, 50.0, 1.0])
    pull = neighbour_pull(np.stack([x, y, flux]), np.arange(3), np.stack([x, y, flux]), fwhm_pix=4.0)
    inside = 50.0 * np.exp(-16.0 / (4 * 2.0**2))
    assert pull[0] == pytest.approx(4.0 * inside / (100.0 + inside))
    assert pull[1] > pull[0]
    assert pull[2] == 0.0


@pytest.mark.parametrize("height", [0.0, 25.0, 300.0])
def test_pulls_are_those_of_all_pairs(height):
    # In a flat field, too, where the cells have one row.
    rng = np.random.default_rng(11)
    x, y, flux = rng.uniform(0, 300, 200), rng.uniform(0, max(height, 1e-9), 200), 10 ** rng.uniform(1, 4, 200)
    y = y * (height > 0)
    some = rng.permutation(200)[:60]
    everyone = np.stack([x, y, flux])
    pull = neighbour_pull(everyone[:, some], some, everyone, fwhm_pix=4.0)
    for k, own in enumerate(some):
        dx, dy = x - x[own], y - y[own]
        inside = flux * np.exp(-(dx**2 + dy**2) / (4 * 2.0**2))
        share = np.where((np.hypot(dx, dy) <= 10.0) & (np.arange(200) != own), inside / (flux[own] + inside), 0.0)
        assert pull[k] == pytest.approx(np.hypot((share * dx).sum(), (share * dy).sum()), rel=1e-9, abs=1e-12)
    assert neighbour_pull(everyone[:, :0], some[:0], everyone, fwhm_pix=4.0).size == 0
