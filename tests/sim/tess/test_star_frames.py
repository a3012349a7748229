from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.sim.tess.stamp import pixel_variance
from gaiaflux.sim.tess.star_frames import StarFrames, moved_places, simulate_star_frames, star_responses

X, Y = np.array([20.3, 41.7]), np.array([18.6, 30.2])


def setup(**keywords):
    places = np.stack([np.broadcast_to(X, (3, 2)), np.broadcast_to(Y, (3, 2))])
    return StarFrames(*places, np.array([1e4, 2e3]), star_responses(X, Y, (900, 300)), (50, 60), **keywords)


def test_all_light_of_the_stars_is_in_the_image():
    image = simulate_star_frames(setup(seed=None, sky=0.0))[0]
    assert image.sum() == pytest.approx(12000.0, rel=2e-3)
    row, column = np.unravel_index(np.argmax(image), image.shape)
    assert abs(column - 20.3) <= 1
    assert abs(row - 18.6) <= 1


def test_noise_is_that_of_photons_and_readout():
    images = simulate_star_frames(setup(sky=150.0, cadence_s=200.0, seed=3))
    clean = simulate_star_frames(setup(sky=150.0, cadence_s=200.0, seed=None))
    pull = (images - clean) / np.sqrt(pixel_variance(clean, 200.0))
    assert pull.std() == pytest.approx(1.0, abs=0.03)


def test_a_trail_is_wide_and_keeps_light_and_middle():
    plain = setup(seed=None, sky=0.0)
    still = simulate_star_frames(plain)[0, :36, :34]
    moved = simulate_star_frames(replace(plain, trail=np.array([[1.2, 0.0]] * 3)))[0, :36, :34]
    column = np.arange(34)
    middle = [float((image * column).sum() / image.sum()) for image in (still, moved)]
    width = [
        float((image * (column - at) ** 2).sum() / image.sum())
        for image, at in zip((still, moved), middle, strict=True)
    ]
    assert moved.sum() == pytest.approx(still.sum(), rel=1e-3)
    assert middle[1] == pytest.approx(middle[0], abs=0.01)
    assert width[1] - width[0] == pytest.approx(1.2**2 / 12 * 10 / 8, rel=0.05)


def test_places_turn_about_the_pivot():
    shift, roll, pivot = np.array([[0.0, 0.0], [1.0, -2.0]]), np.array([np.pi / 2, 0.0]), np.array([10.0, 10.0])
    moved = moved_places(np.array([12.0]), np.array([10.0]), shift, roll, pivot)
    np.testing.assert_allclose(moved[:, :, 0], [[10.0, 13.0], [12.0, 8.0]], atol=1e-12)
