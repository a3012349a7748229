import numpy as np
import pytest

from gaiaflux.core.image.background import estimate_background, subtract_background
from gaiaflux.model.errors import BadFrameError


def sky_image(rng, shape=(512, 640), slope=100.0, sigma=20.0):
    level = 500.0 + slope * np.linspace(0, 1, shape[1])[None, :] + 0.5 * slope * np.linspace(0, 1, shape[0])[:, None]
    return (level + rng.normal(0, sigma, shape)).astype(np.float32), level


def test_level_and_noise_of_a_sloping_sky():
    image, level = sky_image(np.random.default_rng(1))
    background = estimate_background(image, np.zeros(image.shape, np.uint8), 64)
    error = (image - subtract_background(image, background)) - level
    # Half a box from the edge the mesh is extrapolated flat: half of the slope per box.
    assert np.abs(error[64:-64, 64:-64]).max() < 3.0
    assert np.abs(error[64:-64, 64:-64].mean()) < 0.2
    np.testing.assert_allclose(background.rms, 20.0, rtol=0.05)


def test_the_same_at_points_as_in_the_image():
    image, _ = sky_image(np.random.default_rng(2))
    background = estimate_background(image, np.zeros(image.shape, np.uint8), 64)
    x, y = np.array([0.0, 5.0, 300.0, 639.0]), np.array([0.0, 500.0, 17.0, 511.0])
    sky = image - subtract_background(image, background)
    np.testing.assert_allclose(background.level_at(x, y), sky[y.astype(int), x.astype(int)], atol=1e-3)
    assert np.all(background.rms_at(x, y) > 15)


def test_stars_and_masked_pixels_do_not_raise_the_sky():
    rng = np.random.default_rng(3)
    image, level = sky_image(rng, slope=0.0)
    flags = np.zeros(image.shape, np.uint8)
    for x, y in rng.integers(10, 500, (300, 2)):
        image[y : y + 5, x : x + 5] += 3000.0
    image[100:200, 100:200] = 60000.0
    flags[100:200, 100:200] = 1
    background = estimate_background(image, flags, 64)
    assert np.abs(background.level - level[0, 0]).max() < 4.0


@pytest.mark.parametrize("shape", [(16, 16), (17, 300), (300, 40), (130, 70)])
def test_any_shape(shape):
    image = np.random.default_rng(4).normal(100, 5, shape).astype(np.float32)
    background = estimate_background(image, np.zeros(shape, np.uint8), 64)
    assert abs(float(np.median(background.level)) - 100) < 2
    assert subtract_background(image, background).shape == shape


def test_hopeless_frames_say_why():
    image = np.full((128, 128), 7.0, np.float32)
    with pytest.raises(BadFrameError, match="same value"):
        estimate_background(image, np.zeros(image.shape, np.uint8), 64)
    with pytest.raises(BadFrameError, match="no clean pixels"):
        estimate_background(image, np.ones(image.shape, np.uint8), 64)


def test_the_noise_is_not_narrowed_by_the_clipping():
    # 256 boxes of 2048 pixels know it to 0.1 %; clipping at 3 sigma alone takes 1.4 % off, repeated clipping more.
    image, _ = sky_image(np.random.default_rng(5), (1024, 1024), slope=0.0)
    background = estimate_background(image, np.zeros(image.shape, np.uint8), 64)
    assert float(background.rms.mean()) == pytest.approx(20.0, rel=0.005)
