import numpy as np
import pytest

from gaiaflux.core.stars.prf_pairs import find_pairs, star_pixels

SHAPE = (60, 60)


def squares(ccd_image, pairs, seed):
    """Images with one target each in the middle: separation, angle, magnitude of the second star (or None)."""
    rng = np.random.default_rng(seed)
    images, place = [], rng.uniform(28.6, 30.4, (len(pairs), 2))
    for k, (apart, angle, second) in enumerate(pairs):
        x, y = place[k, :1], place[k, 1:]
        mag = np.array([9.0])
        if second is not None:
            x, y = np.append(x, x + apart * np.cos(angle)), np.append(y, y + apart * np.sin(angle))
            mag = np.append(mag, second)
        images.append(ccd_image.sky_image(x, y, mag, SHAPE, seed + k))
    return images


def found(ccd_image, psf, sky):
    """The pair that stands in an image without its sky, started from a single star in the middle of the light."""
    image, light = sky.image - ccd_image.SKY, ccd_image.light(sky.tmag)
    x, y = (np.array([np.average(values, weights=light)]) for values in (sky.x, sky.y))
    error = 0.006 * light.sum() * 0.3
    weight = 1.0 / (sky.variance + error**2 * np.exp(-np.hypot(*(np.mgrid[:60, :60] - 29.5)) / 1.5))
    return find_pairs(psf, star_pixels(image, weight, x, y), x, y, np.array([light.sum()]))


@pytest.mark.parametrize("shift", [(0, 0), (200, -150)])
def test_pairs_are_told_from_single_stars(ccd_image, shift):
    psf = ccd_image.response_psf(shift).part(ccd_image.CORNER, SHAPE)
    pairs = [(1.1, 0.4, 10.5), (1.4, 2.2, 9.6), (1.0, 4.0, 10.0), (1.8, 5.1, 11.0)]
    for sky in squares(ccd_image, pairs, 40):
        made = found(ccd_image, psf, sky)
        assert made.proven[0]
        assert made.flux[0, 0] > made.flux[0, 1]
        np.testing.assert_allclose(made.x[0], sky.x, atol=0.1)
        np.testing.assert_allclose(made.y[0], sky.y, atol=0.1)
        np.testing.assert_allclose(made.flux[0] / ccd_image.light(sky.tmag), 1.0, atol=0.1)
    single = [(0, 0, None)] * 8
    for sky in squares(ccd_image, single, 60):
        assert not found(ccd_image, psf, sky).proven[0]


def test_what_only_one_pixel_says_is_no_star(ccd_image, ccd_psf):
    """A hot pixel beside a star improves the fit of a pair; the other half of the pixels knows nothing of it."""
    psf = ccd_psf.part(ccd_image.CORNER, SHAPE)
    sky = squares(ccd_image, [(0, 0, None)], 80)[0]
    row, column = int(np.rint(sky.y[0])), int(np.rint(sky.x[0])) + 1
    sky.image[row, column] += 0.05 * ccd_image.light(9.0)
    assert not found(ccd_image, psf, sky).proven[0]


def test_pixels_beyond_the_image_have_no_weight():
    image = np.arange(48.0).reshape(6, 8)
    pixels = star_pixels(image, np.ones_like(image), np.array([0.4, 5.0]), np.array([4.8, 3.0]))
    assert pixels.image.shape == (2, 9, 9)
    assert pixels.image[0, 4, 4] == image[5, 0]
    assert pixels.weight[0].sum() == 5 * 5
    assert pixels.weight[1].sum() == 6 * 7
    np.testing.assert_array_equal(pixels.of(np.array([1])).image[0], pixels.image[1])
    assert star_pixels(image, image, np.array([3.0]), np.array([3.0]), 1).image.shape == (1, 3, 3)
