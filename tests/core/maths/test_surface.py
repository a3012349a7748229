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
