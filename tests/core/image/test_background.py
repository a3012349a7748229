import numpy as np
import pytest

from gaiaflux.core.image.background import (
    _fill_and_filter,
    estimate_background,
    subtract_background,
)
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


def test_boxes_of_any_kind_of_pixels():
    rng = np.random.default_rng(6)
    image, _ = sky_image(rng, (256, 256), slope=0.0)
    flags = np.zeros(image.shape, np.uint8)
    # A quarter of a box has to be clean: a box with less takes its neighbours' values.
    flags[:64, :64] = 1
    flags[:24, :64] = 0
    image[:64, :64] += 300.0
    kept = estimate_background(image, flags, 64)
    flags[10:24, :64] = 1
    filled = estimate_background(image, flags, 64)
    plain = np.asarray(filled.level)
    assert abs(plain[0, 0] - 500.0) < 3.0
    assert np.isfinite(kept.level).all()
    np.testing.assert_allclose(kept.level[2:, 2:], filled.level[2:, 2:], rtol=1e-6)
    # A third of bright pixels in every box, as in a crowded field, leaves the level within a fraction of the noise.
    image, _ = sky_image(rng, (512, 512), slope=0.0)
    bright = rng.random(image.shape) < 0.25
    image[bright] += rng.exponential(400.0, np.count_nonzero(bright)).astype(np.float32) + 150.0
    background = estimate_background(image, np.zeros(image.shape, np.uint8), 64)
    assert np.abs(background.level - 500.0).max() < 6.0
    assert np.abs(background.rms - 20.0).max() < 4.0


def test_a_smooth_sky_of_second_order_is_followed_to_the_edge():
    yy, xx = np.mgrid[:512, :640] / 600.0
    level = 1000.0 + 300.0 * (xx - 0.5) ** 2 - 200.0 * xx * yy + 80.0 * yy
    image = (level + np.random.default_rng(7).normal(0, 5.0, level.shape)).astype(np.float32)
    background = estimate_background(image, np.zeros(image.shape, np.uint8), 64)
    error = image - subtract_background(image, background) - level
    assert np.abs(error).max() < 5.0  # in a corner, where the mesh goes on straight
    assert abs(error.mean()) < 0.8
    assert np.std(error) < 1.2
    x, y = np.array([10.0, 320.5, 600.25]), np.array([500.0, 256.75, 33.0])
    expected = 1000.0 + 300.0 * (x / 600 - 0.5) ** 2 - 200.0 * x * y / 600**2 + 80.0 * y / 600
    np.testing.assert_allclose(background.level_at(x, y), expected, atol=3.0)
    # Beyond the edge the value of the edge holds.
    np.testing.assert_allclose(
        background.level_at(np.array([-50.0, 900.0]), np.array([100.0, 600.0])),
        background.level_at(np.array([-0.5, 639.5]), np.array([100.0, 511.5])),
    )


def test_empty_boxes_take_the_mean_of_their_neighbours_then_each_the_median():
    mesh = np.arange(16.0).reshape(4, 4)
    mesh[0, 0] = mesh[0, 1] = np.nan
    filled = mesh.copy()
    filled[0, 0], filled[0, 1] = (4 + 5) / 2, (2 + 4 + 5 + 6) / 4
    padded = np.pad(filled, 1, mode="edge")
    expected = [[np.median(padded[j : j + 3, i : i + 3]) for i in range(4)] for j in range(4)]
    np.testing.assert_allclose(_fill_and_filter(mesh), expected)
    # A box among empty ones spreads ring by ring.
    lonely = np.full((5, 5), np.nan)
    lonely[2, 2] = 7.0
    assert (_fill_and_filter(lonely) == 7.0).all()


@pytest.mark.parametrize("n", [4, 5])
def test_five_boxes_a_side_carry_a_trend(n):
    y, x = np.mgrid[:n, :n].astype(float)
    summit = 100.0 - 3.0 * (x - 1.0) ** 2 - 2.0 * (y - 2.0) ** 2 + x * y
    exact = np.allclose(_fill_and_filter(summit, trend=True), summit, atol=1e-3)
    assert exact == (n == 5)
    assert not np.allclose(_fill_and_filter(summit), summit, atol=1e-3)
