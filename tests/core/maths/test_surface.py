import numpy as np
import pytest

from gaiaflux.core.maths.surface import fit_surface, frame_terms

SHAPE = (501, 401)


def scattered(n, seed):
    rng = np.random.default_rng(seed)
    return rng, rng.uniform(0, SHAPE[1] - 1, n), rng.uniform(0, SHAPE[0] - 1, n)


def test_terms_are_the_products_of_the_scaled_places():
    _, x, y = scattered(30, 1)
    u, v = x / 200 - 1, y / 250 - 1
    expected = np.stack([u ** (p - q) * v**q for p in range(4) for q in range(p + 1)], axis=1)
    np.testing.assert_allclose(frame_terms(x, y, SHAPE, 3), expected, atol=1e-14)
    # An image of one row or column has places, too.
    np.testing.assert_array_equal(frame_terms(np.zeros(1), np.zeros(1), (1, 1), 1), [[1.0, 0.0, 0.0]])


def test_it_is_the_weighted_least_squares_fit_with_its_covariance():
    rng, x, y = scattered(80, 2)
    error = rng.uniform(0.5, 2.0, 80)
    z = 5 + 0.02 * x - 0.01 * y + error * rng.normal(size=80)
    fit = fit_surface(x, y, z, error, SHAPE, 1, clip=50.0)
    design = frame_terms(x, y, SHAPE, 1)
    weight = 1 / (error**2 + fit.scatter**2)
    covariance = np.linalg.inv(design.T @ (design * weight[:, None]))
    expected = covariance @ (design.T @ (weight * z))
    np.testing.assert_allclose(fit.coefficients, expected, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(fit.covariance, covariance, rtol=0.05, atol=1e-4)
    assert fit.n_used == 80
    px, py = np.array([0.0, 200.0, 400.0]), np.array([500.0, 250.0, 0.0])
    terms = frame_terms(px, py, SHAPE, 1)
    np.testing.assert_allclose(fit.error(px, py), np.sqrt(np.einsum("ni,ij,nj->n", terms, fit.covariance, terms)))
    assert fit.error(px, py)[1] < 0.8 * min(fit.error(px, py)[[0, 2]])


@pytest.mark.parametrize(("sigmas", "n_used"), [(3.0, 200), (6.0, 199)])
def test_points_beyond_the_clip_are_left_out_and_others_not(sigmas, n_used):
    rng, x, y = scattered(200, 3)
    noise = rng.uniform(-1.5, 1.5, 200)
    noise[7] = sigmas
    fit = fit_surface(x, y, 10.0 + noise, np.ones(200), SHAPE, 0, clip=4.0)
    assert fit.n_used == n_used
    assert fit.coefficients[0] == pytest.approx(np.mean(10.0 + np.delete(noise, 7 if n_used < 200 else [])), abs=1e-6)


def test_a_third_of_outliers_does_not_move_it():
    rng, x, y = scattered(90, 4)
    z = 3 + 0.01 * x + rng.normal(0, 0.1, 90)
    z[::3] += rng.uniform(5, 50, 30)
    fit = fit_surface(x, y, z, np.full(90, 0.1), SHAPE, 1)
    assert fit.n_used == pytest.approx(60, abs=2)
    np.testing.assert_allclose(fit.value(x, y), 3 + 0.01 * x, atol=0.1)


def test_the_order_falls_with_the_points():
    for n, order in ((1, 0), (3, 0), (4, 1), (6, 1), (7, 2)):
        _, x, y = scattered(n, 5)
        assert fit_surface(x, y, np.ones(n), np.ones(n), SHAPE, 2).order == order


@pytest.mark.parametrize("order", [0, 1])
def test_the_scatter_is_what_the_residuals_have_beyond_the_errors(order):
    # With equal errors of 0.3: the variance about the fit, of as many degrees of freedom as there are, less that.
    rng, x, y = scattered(40, 6)
    z = 2.0 + 0.01 * x * order + rng.normal(0, 1.0, 40)
    fit = fit_surface(x, y, z, np.full(40, 0.3), SHAPE, order, clip=50.0)
    design = frame_terms(x, y, SHAPE, order)
    left = z - design @ np.linalg.lstsq(design, z, rcond=None)[0]
    variance = np.sum(left**2) / (40 - design.shape[1])
    assert fit.scatter == pytest.approx(np.sqrt(variance - 0.09), rel=1e-6)
    np.testing.assert_allclose(fit.covariance, variance * np.linalg.inv(design.T @ design), rtol=1e-6, atol=1e-12)
    # Errors that explain more than there is leave none.
    assert fit_surface(x, y, z, np.full(40, 3.0), SHAPE, order, clip=50.0).scatter == 0.0


def test_precise_points_decide_how_much_the_others_scatter():
    # Of two kinds of points the mean excess is weighted with the square of the weights.
    z = np.concatenate([np.tile([1.0, -1.0], 20), np.tile([3.0, -3.0], 20)])
    error = np.concatenate([np.full(40, 0.1), np.full(40, 2.0)])
    fit = fit_surface(np.zeros(80), np.zeros(80), z, error, SHAPE, 0, clip=50.0)
    scatter2 = 1.0
    for _ in range(200):
        weight = 1.0 / (error**2 + scatter2)
        scatter2 = np.sum(weight**2 * (z**2 * 80 / 79 - error**2)) / np.sum(weight**2)
    assert fit.scatter == pytest.approx(np.sqrt(scatter2), rel=0.02)


@pytest.mark.parametrize(("deviation", "n_used"), [(1.8, 101), (2.2, 100)])
def test_where_the_errors_are_too_large_the_clip_follows_the_points(deviation, n_used):
    # A usual deviation of 0.5 / 1.4826 sigma: the limit of four is at two of the stated ones.
    noise = np.tile([0.5, -0.5, 0.1, -0.1], 25) / 1.4826 * np.tile([1.0, 1.0, 2.0, 2.0], 25)
    size = np.median(np.abs(np.append(noise, deviation)))
    limit = 4.0 * size / np.sqrt(0.4549)
    assert (deviation < limit) == (n_used == 101)
    _, x, y = scattered(101, 7)
    fit = fit_surface(x, y, 10.0 + np.append(noise, deviation), np.ones(101), SHAPE, 0)
    assert fit.n_used == n_used


def test_a_single_point_is_as_unsure_as_it_is_stated():
    fit = fit_surface(np.array([3.0]), np.array([4.0]), np.array([7.0]), np.array([0.5]), SHAPE, 0)
    assert (fit.n_used, fit.scatter) == (1, 0.0)
    assert fit.covariance[0, 0] == pytest.approx(0.25, rel=1e-6)
    # Numbers that are all the same have no scatter, and no error of zero makes them infinite.
    same = fit_surface(np.arange(9.0), np.arange(9.0), np.full(9, 5.0), np.zeros(9), SHAPE, 0)
    assert (same.scatter, same.n_used) == (pytest.approx(0.0, abs=1e-6), 9)
    assert same.value(np.zeros(1), np.zeros(1))[0] == pytest.approx(5.0)
    # Of four points three terms can be fitted, and all of them count.
    x, y = np.array([0.0, 400.0, 0.0, 400.0]), np.array([0.0, 0.0, 500.0, 500.0])
    four = fit_surface(x, y, np.array([0.0, 1.0, 2.0, 3.5]), np.full(4, 0.01), SHAPE, 1)
    assert four.n_used == 4


def test_slopes_are_those_of_the_polynomial():
    design = np.array([1.0, 0.3, -0.2, 0.05, 0.04, -0.06])
    fit = fit_surface(np.arange(9.0), np.arange(9.0), np.zeros(9), np.ones(9), SHAPE, 0)
    surface = type(fit)(design, np.zeros((6, 6)), 2, SHAPE, 0.0, 9)
    x, y = np.array([30.0, 350.0]), np.array([20.0, 410.0])
    u, v = x / 200 - 1, y / 250 - 1
    slope_x, slope_y = surface.gradient(x, y)
    np.testing.assert_allclose(slope_x, (0.3 + 0.1 * u + 0.04 * v) / 200)
    np.testing.assert_allclose(slope_y, (-0.2 + 0.04 * u - 0.12 * v) / 250)


def test_points_in_one_place_say_nothing_of_another():
    fit = fit_surface(np.full(10, 30.0), np.full(10, 40.0), np.full(10, 5.0), np.full(10, 0.5), SHAPE, 1)
    assert fit.value(np.array([30.0]), np.array([40.0]))[0] == pytest.approx(5.0, abs=1e-4)
    near, far = fit.error(np.array([30.0, 300.0]), np.array([40.0, 400.0]))
    assert near == pytest.approx(0.5 / np.sqrt(10), rel=1e-3)
    assert far > 1000.0
