import numpy as np
import pytest

from gaiaflux.sim.imperfect_camera import bleed
from gaiaflux.sim.tess.ccd_light import HALO_PIX, add_halos, add_stars, star_shapes
from gaiaflux.sim.tess.response import Response


@pytest.mark.parametrize("place", [(50, 3), (1068, 1024), (2090, 2047)])
def test_light_is_that_of_the_closed_form(place):
    response, shapes = Response.at(*place), star_shapes(*(np.array([float(one)]) for one in place))
    for x, y in ((10.0, 10.0), (9.7, 10.31), (2.2, 19.6), (-4.0, 8.0)):
        image = np.zeros((21, 25))
        add_stars(image, np.array([[x, y, 3e5]]), shapes)
        np.testing.assert_allclose(
            image, 3e5 * response.light(np.array([x]), np.array([y]), image.shape)[0], atol=3e5 * 1e-9
        )


def test_light_of_many_stars_is_the_sum_of_their_light():
    rng = np.random.default_rng(5)
    stars = np.column_stack([rng.uniform(10, 50, 40), rng.uniform(10, 30, 40), rng.uniform(1, 100, 40)])
    shapes = star_shapes(stars[:, 0] + 400, stars[:, 1] + 1200)
    together, one_by_one = np.zeros((41, 61)), np.zeros((41, 61))
    add_stars(together, stars, shapes)
    for k in range(40):
        add_stars(one_by_one, stars[k : k + 1], shapes[k : k + 1])
    np.testing.assert_allclose(together, one_by_one, rtol=1e-12)
    # By where a star is within its pixel the response's sum differs by 1e-4 or so.
    assert together.sum() == pytest.approx(stars[:, 2].sum(), rel=2e-4)


def test_a_star_beyond_the_edge_adds_only_what_falls_on_the_image():
    shapes = star_shapes(np.array([500.0]), np.array([500.0]))
    large, small = np.zeros((60, 60)), np.zeros((30, 30))
    add_stars(large, np.array([[17.3, 28.8, 1.0]]), shapes)
    add_stars(small, np.array([[-2.7, 8.8, 1.0]]), shapes)
    np.testing.assert_allclose(small, large[20:50, 20:50], rtol=0, atol=1e-15)
    assert 0 < small.sum() < 0.2
    add_stars(small, np.array([[-20.0, 8.0, 1.0], [8.0, 40.0, 1.0]]), np.repeat(shapes, 2, axis=0))
    np.testing.assert_allclose(small, large[20:50, 20:50], rtol=0, atol=1e-15)


def test_halos_are_wide_and_smooth():
    image = np.zeros((131, 131))
    add_halos(image, np.array([[65.0, 65.0, 1e6]]), 0.02)
    assert image[65, 65] == pytest.approx(0.02 * 1e6 / (2 * np.pi * HALO_PIX**2))
    assert 0.85 < image.sum() / 2e4 < 1.0
    assert image[65, 75] == pytest.approx(image[59, 73])
    dark = np.zeros((21, 21))
    add_halos(dark, np.array([[10.0, 10.0, 20.0]]), 0.02)
    assert not dark.any()


def test_full_pixels_run_over_and_lose_nothing():
    rng = np.random.default_rng(3)
    images = rng.uniform(0, 2e4, (2, 80, 12))
    images[0, 40, 3], images[0, 10:13, 7], images[1, 70, 5] = 1.3e6, 4e5, 3e5
    flowed = bleed(images, 1e5)
    np.testing.assert_allclose(flowed.sum(axis=1), images.sum(axis=1), rtol=1e-12)
    assert flowed.max() == 1e5
    full = np.nonzero(flowed[0, :, 3] == 1e5)[0]
    assert np.ptp(full) + 1 == len(full)
    assert abs(full.mean() - 40) < 1.5
    untouched = np.ones(12, bool)
    untouched[[3, 7]] = False
    np.testing.assert_array_equal(flowed[0][:, untouched], images[0][:, untouched])
    # What reaches the edge of the CCD is gone.
    edge = np.zeros((20, 1))
    edge[1] = 9e5
    assert bleed(edge, 1e5).sum() < 9e5
