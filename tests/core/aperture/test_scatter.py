import numpy as np
import pytest

from gaiaflux.core.aperture.scatter import frame_trends, predicted_error, recommend_radius, trend_factors, trend_order


def test_trends_of_the_frames_over_the_field():
    rng = np.random.default_rng(2)
    n, m = 80, 6
    x, y = rng.uniform(0, 1000, (2, n))
    u, v = x / 500 - 1, y / 500 - 1
    tilt = 0.05 * rng.normal(size=(3, m))
    factor = np.exp(tilt[0][:, None] + tilt[1][:, None] * u + tilt[2][:, None] * u * v)
    flux = (10 ** rng.uniform(4, 5, n) * factor * (1 + 1e-3 * rng.normal(size=(m, n))))[:, :, None]
    flux[2, :8] *= 3.0  # cosmic rays
    usable = np.ones(flux.shape, bool)
    usable[4, 29:] = False
    usable[5, 30:] = False
    trend = frame_trends(flux, usable, x, y)
    found, known = trend_factors(x, y, trend[0], (x, y))
    assert known.tolist() == [True, True, True, True, False, True]
    np.testing.assert_array_equal(found[:, 4], 1.0)
    ratio = np.log(found[:, :4]) - np.log(factor[:4].T)
    # But for a constant of each star: the trends say how a frame differs from the others.
    ratio -= ratio.mean(axis=1, keepdims=True)
    assert np.abs(ratio).max() < 3e-3
    # Beyond the calibrators the polynomial is held.
    far = trend_factors(np.array([x.max() + 5000.0]), np.array([y.min() - 100.0]), trend[0], (x, y))[0]
    np.testing.assert_array_equal(far, trend_factors(x.max(keepdims=True), y.min(keepdims=True), trend[0], (x, y))[0])
    alone = trend_factors(x[:3], y[:3], np.zeros((m, 1)), (x[:0], y[:0]))
    np.testing.assert_array_equal(alone[0], np.ones((3, m)))


def test_predicted_error_holds_photons_neighbours_and_missing_points():
    flux = np.full((9, 1, 2), 1e4, np.float32)
    error = np.full((9, 1, 2), 20.0, np.float32)
    usable, neighbour = np.ones(flux.shape, bool), np.zeros(flux.shape, bool)
    assert predicted_error(flux, error, usable, neighbour) == pytest.approx(np.hypot(20.0, 10.0))
    neighbour[:, :, 1] = True
    assert predicted_error(flux, error, usable, neighbour)[0, 1] == pytest.approx(np.sqrt(500.0 + 50.0**2))
    usable[:5, :, 0] = False
    assert predicted_error(flux, error, usable, neighbour)[0, 0] == pytest.approx(np.hypot(20.0, 10.0) * np.sqrt(9 / 4))
    # Within 2 % of the best the smaller radius is taken.
    error[:, :, 0] = np.sqrt(550.0 + 49.0**2)
    index, _ = recommend_radius(flux, error, np.ones(flux.shape, bool), neighbour)
    assert index.tolist() == [0]
    error[:, :, 0] *= 1.05
    assert recommend_radius(flux, error, np.ones(flux.shape, bool), neighbour)[0].tolist() == [1]


def test_recommended_radius():
    n_frames, n_radii = 41, 3
    rng = np.random.default_rng(2)
    err = np.ones((n_frames, 5, n_radii), dtype=np.float32)
    err[:, 0] = [3.0, 2.0, 5.0]
    err[:, 1] = [2.01, 2.0, 1.999]  # as good: the smallest
    err[:, 2] = [3.0, 2.0, 5.0]
    err[:10, 2] = [0.1, 90.0, 0.1]  # a few odd frames do not decide
    err[:, 3] = [3.0, 2.0, 2.5]
    flux = (100.0 + err * rng.normal(size=err.shape)).astype(np.float32)
    flux[:, 3] = 1e4
    usable = np.ones(flux.shape, dtype=bool)
    usable[:, 4] = False
    neighbour = np.zeros(flux.shape, dtype=bool)
    neighbour[:, 3, 1:] = True  # 0.5 % of 1e4 = 50 is more than the gain
    index, score = recommend_radius(flux, err, usable, neighbour)
    np.testing.assert_array_equal(index, [1, 0, 1, 0, 1])
    assert np.isnan(score[4]).all()
    usable[:36, 0, 1] = False  # the best radius is rarely measured
    assert recommend_radius(flux, err, usable, neighbour)[0][0] == 0


def test_few_stars_tell_a_constant_of_each_frame():
    assert [trend_order(n) for n in (0, 44, 45, 200)] == [0, 0, 2, 2]
    rng = np.random.default_rng(5)
    cloud = np.exp(-rng.random(8))
    flux = (10.0 ** rng.uniform(4, 5, 9) * cloud[:, None])[:, :, None] * np.ones(2)
    usable = np.ones(flux.shape, bool)
    usable[3, 4:] = False
    x, y = rng.uniform(0, 1000, (2, 9))
    trend = frame_trends(flux, usable, x, y, order=0)
    assert trend.shape == (2, 8, 1)
    factor, known = trend_factors(x, y, trend[1], (x, y))
    assert known.tolist() == [True] * 3 + [False] + [True] * 4
    ratio = factor[:, known] / cloud[known]
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-5)
