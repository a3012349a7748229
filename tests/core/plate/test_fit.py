from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.plate.fit import _highest_order, centroid_noise, fit_plate, overstated
from gaiaflux.core.plate.search import MatchLists
from gaiaflux.core.sky.projection import linear_tan, pixel_to_plane, pixel_to_sky, sip_order, sky_to_plane
from gaiaflux.model.errors import BadFrameError

SIZE = 1000
WCS = linear_tan((150.0, 20.0), (499.5, 499.5), np.array([[-0.4, 0.01], [0.01, 0.4]]) / 3600, (SIZE, SIZE))
SIGMA = 0.05


def bent(size=1.0, order=2):
    """A solution with a distortion of some pixels at the edge."""
    a = np.zeros((order + 1, order + 1))
    a[order, 0], a[0, order] = size / 500.0**order, -0.5 * size / 500.0**order
    return replace(WCS, a=a, b=a.T)


def pairs_of(wcs, n=200, seed=1, x=None, y=None, sigma=SIGMA):
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, SIZE - 1, (2, n))
    x, y = places[0] if x is None else x, places[1] if y is None else y
    ra, dec = pixel_to_sky(wcs, x, y)
    x, y = np.array(x) + sigma * rng.normal(size=n), np.array(y) + sigma * rng.normal(size=n)
    row, ones = np.arange(n), np.ones(n, bool)
    return MatchLists(row, x, y, np.full(n, sigma**2), 0.0 * x, ones, ones, 4.0, row, ra, dec, 0.0 * x, 0.0 * x)


def fit(lists, variance=SIGMA**2, highest=3, base=WCS, repeat=3):
    """As a frame is fitted: roughly first, then with the noise of the stars."""
    n, wcs = len(lists.x), base
    for noise in (9.0, variance):
        solution = fit_plate(lists, base, wcs, (np.arange(n), np.arange(n)), np.full(n, noise), highest, repeat)
        wcs = solution.wcs
    return solution


def worst_pix(one, other):
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, SIZE - 1, 15), np.linspace(0, SIZE - 1, 15)))
    found = np.stack(sky_to_plane(one.crval, *pixel_to_sky(other, x, y)))
    return np.abs(np.linalg.inv(one.cd) @ (found - np.stack(pixel_to_plane(one, x, y)))).max()


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_order_is_that_of_the_distortion(order):
    truth = bent(3.0, order) if order > 1 else replace(WCS, crval=(150.001, 20.002))
    solution = fit(pairs_of(truth))
    assert sip_order(solution.wcs) == order
    assert len(solution.covariance) == (order + 1) * (order + 2) // 2
    assert worst_pix(truth, solution.wcs) < 0.1
    # Residuals, weights and errors agree with each other.
    assert np.std(solution.residuals) == pytest.approx(SIGMA, rel=0.1)
    assert (solution.weight > 0).all()
    least = SIGMA / np.sqrt(200)
    assert 0.95 * least < np.sqrt(solution.covariance[0, 0]) < 2.0 * least


@pytest.mark.parametrize(("size", "low", "high"), [(0.0, 0.0, 0.04), (0.025, 0.0, 0.1), (0.05, 0.7, 1.0)])
def test_a_distortion_is_fitted_where_the_stars_show_it(size, low, high):
    # Of 200 stars that scatter by 0.05 pixel each: 0.05 pixel at the edge shows, half of that does not.
    truth = bent(size) if size else WCS
    orders = np.array([sip_order(fit(pairs_of(truth, seed=seed), highest=2).wcs) for seed in range(30)])
    assert low <= np.mean(orders == 2) <= high


def test_no_more_than_is_asked_for_and_than_the_stars_carry():
    truth = bent(3.0, 3)
    assert sip_order(fit(pairs_of(truth), highest=2).wcs) <= 2
    # 2.5 stars a term: 15 for the second order, 25 for the third; here they are everywhere in the image.
    rng = np.random.default_rng(5)
    for n, order, found in ((14, 2, 1), (15, 2, 2), (24, 3, 2), (25, 3, 3)):
        x, y = np.resize(np.linspace(60, 940, 4), n), np.resize(np.repeat(np.linspace(60, 940, 4), 4), n)
        places = x + rng.uniform(-40, 40, n), y + rng.uniform(-40, 40, n)
        solution = fit(pairs_of(bent(3.0, order), n, x=places[0], y=places[1]), variance=9.0)
        assert sip_order(solution.wcs) <= found
        assert sip_order(solution.wcs) == order or found < order
    # Stars of one half of the image determine no distortion.
    rng = np.random.default_rng(6)
    half = pairs_of(bent(3.0, 2), 200, x=rng.uniform(0, 499, 200), y=rng.uniform(0, 999, 200))
    assert sip_order(fit(half).wcs) == 1


def test_outliers_do_not_count():
    truth = replace(WCS, crval=(150.001, 20.002))
    lists = pairs_of(truth)
    lists.x[:20] += 3.0
    solution = fit(lists)
    assert (solution.weight[:20] == 0).all()
    assert (solution.weight[20:] > 0).all()
    assert worst_pix(truth, solution.wcs) < 0.03
    # Of four sigma on an axis half of the weight is left: that of Student's distribution with 5 degrees of freedom.
    lists = pairs_of(truth)
    chi2 = np.sum(fit(lists).residuals ** 2, axis=0) / SIGMA**2
    np.testing.assert_allclose(fit(lists).weight, 7.0 / (5.0 + chi2) / SIGMA**2, rtol=0.02)


def test_a_headers_distortion_of_higher_order_stays():
    truth = bent(4.0, 3)
    start = replace(truth, crval=(150.0006, 20.0003))
    solution = fit(pairs_of(truth), base=start, highest=1)
    assert sip_order(solution.wcs) == 3
    assert worst_pix(truth, solution.wcs) < 0.05


def test_stars_on_a_line_are_refused():
    x = np.linspace(10, 990, 50)
    with pytest.raises(BadFrameError, match="do not fix a plate solution"):
        fit(pairs_of(WCS, 50, x=0.0 * x + 499.5, y=0.0 * x + 499.5, sigma=0.0))


def test_centroid_noise_finds_a_floor_and_a_factor():
    rng = np.random.default_rng(7)
    n = 30_000
    variance = 10 ** rng.uniform(-6, -2, n)
    for floor, factor in ((0.0, 1.0), (1e-3, 1.0), (1e-3, 3.0), (0.0, 0.3)):
        squares = factor * (variance + floor) * rng.chisquare(2, n)
        found, times = centroid_noise(squares, variance)
        # The floor is what the best stars ask for, with the factor in it.
        assert found == pytest.approx(floor * factor, rel=0.1, abs=3e-6 * max(factor, 1.0))
        expected = np.median(squares / 1.386 / (variance + found))
        assert times == pytest.approx(np.clip(expected, 1.0, 25.0))
    assert centroid_noise(1e6 * rng.chisquare(2, 5), np.ones(5))[1] <= 25.0
    assert centroid_noise(np.full(10, 1e-9), np.ones(10)) == (0.0, 1.0)


@pytest.mark.parametrize(("sigmas", "used"), [(5.7, True), (6.3, False)])
def test_a_pair_counts_up_to_six_sigma(sigmas, used):
    # Chi squared of both axes: 36.
    lists = pairs_of(WCS, sigma=0.0)
    rng = np.random.default_rng(8)
    lists.x[:], lists.y[:] = lists.x + SIGMA * rng.normal(size=200), lists.y + SIGMA * rng.normal(size=200)
    ra, dec = lists.ra[7:8], lists.dec[7:8]
    xi, eta = sky_to_plane(WCS.crval, ra, dec)
    place = np.linalg.inv(WCS.cd) @ np.stack([xi, eta]) + 499.5
    lists.x[7], lists.y[7] = place[0, 0] + 0.8 * sigmas * SIGMA, place[1, 0] - 0.6 * sigmas * SIGMA
    solution = fit(lists, highest=1)
    assert (solution.weight[7] > 0) == used
    assert np.count_nonzero(solution.weight == 0) == (not used)


@pytest.mark.parametrize(("cells", "order"), [(9, 1), (10, 2), (11, 2), (12, 3), (16, 3)])
def test_stars_over_the_image_carry_an_order(cells, order):
    # Of sixteen cells six tenths for the second order, seven tenths for the third.
    place = np.repeat(np.arange(cells), 10)
    x, y = 125.0 + 250.0 * (place % 4), 125.0 + 250.0 * (place // 4)
    assert _highest_order(x, y, (SIZE, SIZE), 3) == order
    assert _highest_order(x, y, (SIZE, SIZE), 1) == 1


@pytest.mark.parametrize(("n", "best"), [(15, 15), (300, 20), (1200, 40)])
def test_the_very_best_stars_ask_for_the_floor(n, best):
    # At least twenty of them, or one in thirty; the others would ask for far more.
    variance = 1e-4 * (1.0 + 1e-3 * np.arange(n))
    floor = np.where(np.arange(n) < best, 3e-4, 9e-2)
    squares = 1.386 * (variance + floor)
    squares[: best // 2] *= 0.5
    squares[best // 2 + best % 2 : best] *= 2.0
    found, _ = centroid_noise(squares, variance)
    ratio = squares[:best] / 1.386
    expected = np.median(ratio / (variance[:best] + found))
    assert expected == pytest.approx(1.0, abs=1e-6)


def test_a_factor_on_all_errors_is_what_the_usual_star_asks_for():
    variance = np.full(100, 1e-2)
    for factor, found in ((0.5, 1.0), (1.0, 1.0), (30.0, 25.0)):
        squares = 1.386 * factor * variance
        squares[:20] = 1.386 * np.minimum(factor, 1.0) * variance[:20]
        assert centroid_noise(squares, variance) == (pytest.approx(0.0, abs=1e-6), pytest.approx(found, rel=1e-4))


def test_errors_that_are_stated_too_large_are_known_from_stars_with_like_errors():
    rng = np.random.default_rng(8)
    true = np.repeat([0.02, 0.1], 100)
    stated = np.repeat([0.02, 2.0], 100) * rng.uniform(0.99, 1.01, 200)
    squares = np.sum((true * rng.normal(size=(2, 200))) ** 2, axis=0)
    order = rng.permutation(200)
    part = np.empty(200)
    part[order] = overstated(squares[order], stated[order] ** 2, 3)
    assert np.median(part[:85]) > 0.6
    assert part[115:].max() == pytest.approx(0.01)  # and no less, though they show a 400th
    # Errors that are too small stay: that may be what is sought.
    assert overstated(squares, (0.01 * stated) ** 2, 3).tolist() == [1.0] * 200
    # A third of the size is a ninth of the variance, for which degrees of freedom that the fit has taken count.
    third = overstated(np.full(120, 1.386 / 9.0), np.ones(120), 20)
    assert third == pytest.approx(np.full(120, 120 / 100 / 9.0))


def test_residuals_of_few_stars_follow_the_fit_and_say_nothing():
    assert overstated(np.zeros(79), np.ones(79), 3).tolist() == [1.0] * 79
    assert overstated(np.zeros(80), np.ones(80), 3).tolist() == [0.01] * 80
