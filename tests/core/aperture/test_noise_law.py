"""What stars of one brightness scatter by."""

import numpy as np
import pytest

from gaiaflux.core.aperture.noise_law import NoiseLaw, fit_noise_law


def series(floors, factor=1.0, n=200, points=20, seed=1):
    """Scatter of stars from 20 times to 2000 times their predicted error, by apertures with floors of their own."""
    rng = np.random.default_rng(seed)
    level = 1e4 * 10.0 ** rng.uniform(0, 2, n)
    predicted = np.sqrt(level)[:, None] * np.array([1.3, 1.0, 1.1])
    true = np.sqrt(factor**2 * predicted**2 + (level[:, None] * np.array(floors)) ** 2)
    return true * np.sqrt(rng.chisquare(points, true.shape) / points), predicted, level


def test_floors_and_factor_are_found():
    scatter, predicted, level = series((3e-2, 1e-2, 3e-3), factor=1.5)
    scatter[::17] *= 20.0  # variables
    scatter[5, 1] = np.nan
    law = fit_noise_law(scatter, predicted, level)
    np.testing.assert_allclose(np.sqrt(law.floor2), [3e-2, 1e-2, 3e-3], rtol=0.12)
    assert law.factor2[2] == pytest.approx(1.5**2, rel=0.3)
    found = law.scatter(predicted, level)
    np.testing.assert_allclose(found[:, 2], np.hypot(1.5 * predicted[:, 2], 3e-3 * level), rtol=0.15)


def test_apertures_that_are_much_alike_are_told_apart_by_what_is_predicted():
    law = fit_noise_law(*series((5e-3, 5e-3, 2e-2)))
    assert law.floor2[0] == law.floor2[1] < law.floor2[2]
    assert np.ptp(law.factor2) == 0.0
    assert law.distinct.floor2[:2].tolist() == [0.0, 0.0]
    level = np.array([1e6])
    bright = law.distinct.scatter(np.array([[1300.0, 1000.0, 900.0]]), level)
    assert np.argmin(bright) == 1  # photons count however high the common floor is


def test_few_stars_and_missing_points_say_nothing():
    scatter, predicted, level = series((3e-2, 1e-2, 3e-3), n=11)
    law = fit_noise_law(scatter, predicted, level)
    np.testing.assert_array_equal(law.scatter(predicted, level), predicted)
    assert (law.factor2 == 1).all()
    nothing = fit_noise_law(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0))
    assert nothing.floor2.tolist() == [0.0, 0.0]
    unknown = NoiseLaw(np.ones(1), np.array([1e-4])).scatter(np.array([[np.nan], [np.inf]]), np.array([1.0, np.nan]))
    assert np.isnan(unknown[0, 0])
    assert np.isinf(unknown[1, 0])


def test_pure_photon_noise_has_no_floor_below_zero():
    law = fit_noise_law(*series((0.0, 0.0, 0.0)))
    assert (law.floor2 >= 0).all()
    assert np.sqrt(law.floor2).max() < 2e-3
    np.testing.assert_allclose(law.factor2, 1.0, rtol=0.15)
