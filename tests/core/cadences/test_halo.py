import numpy as np
import pytest

from gaiaflux.core.cadences.halo import halo_weights, total_variation


def pixels_of(motion, noise):
    """A star of 1 % amplitude in 30 pixels that moves: its light, the pixels, and what the motion makes of them."""
    rng = np.random.default_rng(8)
    true = 1.0 + 0.01 * np.sin(2 * np.pi * np.arange(len(motion)) / 130.0)
    mean, slope = rng.uniform(50, 2000, 30), rng.normal(0, 0.3, (2, 30))
    flux = mean * true[:, None] * (1 + motion @ slope)
    return true, flux + rng.normal(0, noise, flux.shape), motion @ slope


@pytest.fixture
def shaken():
    """Shaken from frame to frame."""
    return pixels_of(np.random.default_rng(3).normal(0, 0.02, (900, 2)), 1.0)


def least_by_linear_programming(flux):
    """The same minimum by another way."""
    from scipy import sparse
    from scipy.optimize import linprog

    relative = flux / flux.mean(axis=0)
    steps = np.diff(relative, axis=0)
    n, m = steps.shape
    one, many = sparse.eye(n), sparse.csr_matrix(steps)
    rows = sparse.bmat([[many, -one], [-many, -one]])
    cost = np.concatenate([np.zeros(m), np.ones(n)])
    found = linprog(cost, rows, np.zeros(2 * n), (cost == 0)[None].astype(float), [1.0], bounds=(0, None))
    return found.fun


def test_the_least_variation_is_found(shaken):
    _, flux, _ = shaken
    weight = halo_weights(flux)
    assert (weight >= 0).all()
    assert np.mean(flux @ weight) == pytest.approx(1.0)
    variation = total_variation(flux @ weight)
    assert variation == pytest.approx(least_by_linear_programming(flux) / len(flux), rel=3e-3)
    assert variation < 0.5 * total_variation(flux.sum(axis=1))


def test_the_star_varies_as_it_does(shaken):
    true, flux, _ = shaken
    light = flux @ halo_weights(flux)
    assert np.polyfit(true - 1, light, 1)[0] == pytest.approx(1.0, abs=0.03)
    plain = flux.sum(axis=1) / flux.sum(axis=1).mean()
    assert np.std(light - true) < 0.3 * np.std(plain - true)


def test_a_slow_motion_is_no_variation_where_it_is_known():
    phase = 2 * np.pi * np.arange(900) / 700.0
    true, flux, motion = pixels_of(0.05 * np.stack([np.sin(phase), np.cos(2 * phase)], axis=1), 5.0)
    left = [np.std(flux @ halo_weights(flux, told) - true) for told in (None, motion)]
    assert left[1] < 0.7 * left[0]


def test_one_pixel_one_frame_and_pixels_alike():
    np.testing.assert_allclose(halo_weights(np.array([[2.0], [4.0], [3.0]])), [1 / 3])
    np.testing.assert_allclose(halo_weights(np.array([[2.0, 6.0]])) @ [2.0, 6.0], 1.0)
    flux = np.tile(np.array([[1.0], [2.0], [1.5]]), 4)
    np.testing.assert_allclose(flux @ halo_weights(flux), [2 / 3, 4 / 3, 1.0])


@pytest.mark.parametrize("flux", [np.zeros((5, 0)), np.ones((5, 2)) * [1.0, 0.0], np.zeros((0, 3))])
def test_nothing_to_weigh_is_refused(flux):
    with pytest.raises(ValueError, match="needs pixels, and light in each"):
        halo_weights(flux)


def test_variation_is_relative_and_passes_over_gaps():
    assert total_variation(np.array([1.0, np.nan, 3.0, 2.0])) == pytest.approx(0.5)
