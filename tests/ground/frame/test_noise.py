from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.image.background import BoxBackground
from gaiaflux.ground.frame.noise import background_estimator, frame_noise, noise_above
from gaiaflux.ground.frame.pixels import pixels_of
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.frame import Frame, FrameInfo

SKY, READ_NOISE = 400.0, 9.0


def make_frame(error=False):
    rng = np.random.default_rng(3)
    shape = (300, 320)
    image = (rng.poisson(SKY, shape) + rng.normal(0, READ_NOISE, shape)).astype(np.float32)
    info = FrameInfo("a", "a.fits", shape, "electron", 60.0, 59000.0, "start", read_noise=READ_NOISE)
    sigma = np.sqrt(np.maximum(image, 0) + READ_NOISE**2).astype(np.float32) if error else None
    return Frame(info, image, sigma, np.zeros(shape, np.uint8))


def test_sky_and_noise_of_a_frame():
    frame = make_frame()
    noise = frame_noise(frame)
    assert noise.sigma == pytest.approx(np.hypot(np.sqrt(SKY), READ_NOISE), rel=0.03)
    assert noise.trend.value(np.array([100.0]), np.array([200.0]))[0] == pytest.approx(SKY, abs=1.0)
    assert (noise.model.slope, noise.source) == (1.0, "gain and read noise")
    pixels = pixels_of(frame, noise)
    assert (pixels.noise, pixels.slope) == (noise.sigma, 1.0)
    assert pixels.floor == pytest.approx(READ_NOISE**2, rel=0.5)


def test_an_error_image_is_the_source_of_the_noise():
    frame = make_frame(error=True)
    noise = frame_noise(frame)
    assert noise.source == "error image"
    pixels = pixels_of(frame, noise)
    assert pixels.floor.shape == frame.image.shape
    assert np.median(pixels.floor) == pytest.approx(READ_NOISE**2, rel=0.5)


def test_without_usable_pixels_there_is_none():
    frame = make_frame()
    with pytest.raises(BadFrameError, match="no usable pixels"):
        frame_noise(replace(frame, pixel_flags=np.ones_like(frame.pixel_flags)))
    flat = replace(frame, image=np.full_like(frame.image, SKY))
    with pytest.raises(BadFrameError, match="no usable pixels"):
        pixels_of(flat, frame_noise(flat))


def test_noise_above_a_measured_background():
    frame = make_frame()
    estimate = background_estimator(64)
    assert estimate == BoxBackground(64)
    model = noise_above(estimate(frame.image, frame.pixel_flags), frame)
    assert model.slope == 1.0
    assert model.floor == pytest.approx(READ_NOISE**2, rel=0.3)
