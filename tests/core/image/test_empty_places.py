"""Structure of the sky from the scatter of measurements at empty places."""

import numpy as np
import pytest

from gaiaflux.core.image.empty_places import (
    LEAST_EMPTY,
    HiddenSky,
    grid_places,
    hidden_variance,
    nothing_hidden,
    typical_structure,
    uneven_sky,
)

SHAPE = (300, 500)
X, Y = grid_places(SHAPE)


def test_places_lie_evenly_over_the_image():
    assert len(X) == len(Y) == 1024
    assert (X > 0).all()
    assert (SHAPE[1] - 1 > X).all()
    assert np.unique(X)[0] + 0.5 == pytest.approx(SHAPE[1] / 64)
    assert np.diff(np.unique(Y)) == pytest.approx(SHAPE[0] / 32)


@pytest.mark.parametrize("factor", [1.0, 1.3, 3.0])
def test_what_is_hidden_is_the_variance_beyond_the_stated_one(factor):
    rng = np.random.default_rng(1)
    stated = np.full(1024, 4.0)
    value = 100.0 + rng.normal(0.0, 2.0 * factor, 1024)
    found = hidden_variance(np.array([10.0, 400.0]), np.array([20.0, 250.0]), (X, Y), value, stated)
    # A median deviation of 1024 values is known to 3.6 %.
    expected = 4.0 * (factor**2 - 1.0)
    np.testing.assert_allclose(found.variance, expected, rtol=0.15, atol=0.15 * 4.0)
    np.testing.assert_allclose(found.ratio, np.sqrt(1.0 + found.variance / 4.0))


def test_noise_alone_is_not_made_larger_on_average():
    wanted = np.meshgrid(np.linspace(0, 499, 20), np.linspace(0, 299, 20))
    ratios = []
    for seed in range(20):
        value = np.random.default_rng(seed).normal(0.0, 1.0, 1024)
        found = hidden_variance(wanted[0].ravel(), wanted[1].ravel(), (X, Y), value, np.ones(1024))
        ratios.append(float(np.mean(found.ratio)))
    assert np.mean(ratios) < 1.04


def test_a_region_of_its_own_has_its_own_structure():
    rng = np.random.default_rng(2)
    value = rng.normal(0.0, np.where(X < 150, 5.0, 1.0))
    found = hidden_variance(np.array([60.0, 400.0]), np.array([150.0, 150.0]), (X, Y), value, np.ones(1024))
    assert 3.0 < found.ratio[0] < 5.5
    assert found.ratio[1] < 1.6


def test_too_few_places_tell_nothing():
    n = LEAST_EMPTY
    value = np.random.default_rng(3).normal(0.0, 9.0, n)
    few = hidden_variance(X[:3], Y[:3], (X[: n - 1], Y[: n - 1]), value[1:], np.ones(n - 1))
    assert few.variance.tolist() == [0.0] * 3
    assert np.isnan(few.ratio).all()
    assert (hidden_variance(X[:3], Y[:3], (X[:n], Y[:n]), value, np.ones(n)).ratio > 5).all()


def test_the_typical_ratio_is_that_of_what_is_known():
    assert typical_structure(np.array([np.nan, 1.0, 2.0, 9.0])) == 2.0
    assert np.isnan(typical_structure(np.array([np.nan])))


def test_an_annulus_that_scatters_more_than_others_may_be_wrong_by_the_excess():
    usual = 20.0 + 0.5 * np.array([-2, -1, -1, 0, 0, 0, 0, 1, 1, 2] * 10, dtype=float)
    # The median absolute deviation is 0.5: five of its standard deviations above 20 are 23.7.
    scatter = np.append(usual, [23.6, 23.8, 30.0, np.nan])
    hidden = HiddenSky(np.full(104, 7.0), np.append(np.ones(101), [1.0, 1.9, np.nan]))
    found = uneven_sky(hidden, scatter)
    np.testing.assert_array_equal(found.variance[:101], 7.0)
    np.testing.assert_allclose(found.variance[101:], 7.0 + np.array([23.8**2 - 400.0, 500.0, 0.0]))
    np.testing.assert_allclose(found.ratio, np.append(np.ones(101), [23.8 / 20.0, 1.9, np.nan]))
    np.testing.assert_allclose(uneven_sky(hidden._replace(ratio=np.ones(104)), scatter).ratio[102], 1.5)
    # Where no ratio is known, none is made up.
    alone = uneven_sky(nothing_hidden(104), scatter)
    assert np.isnan(alone.ratio).all()
    assert alone.variance[102] == 500.0


def test_too_few_annuli_do_not_tell_what_is_usual():
    for n, added in ((19, 0.0), (20, 500.0)):
        scatter = np.append(np.full(n - 1, 20.0), [30.0, np.nan])
        assert uneven_sky(nothing_hidden(n + 1), scatter).variance[n - 1] == added
