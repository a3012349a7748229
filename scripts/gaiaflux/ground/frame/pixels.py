"""Pixels of a frame with the variance model that fits of many stars need."""

import numpy as np

from gaiaflux.core.image.noise import error_slope
from gaiaflux.core.image.pixels import Pixels
from gaiaflux.ground.frame.noise import FrameNoise
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.frame import Frame

__all__ = ["pixels_of"]


def pixels_of(frame: Frame, noise: FrameNoise) -> Pixels:
    """Image, flags and noise of a frame.

    Parameters
    ----------
    frame : Frame
        Pixels; an error image is freed from the noise of its own pixel, which would otherwise make faint pixels count
        more than bright ones and draw all fluxes down.
    noise : FrameNoise
        Of the frame.

    Returns
    -------
    Pixels

    Raises
    ------
    BadFrameError
        The sky has no noise: there are no usable pixels.
    """
    sigma, model = noise.sigma, noise.model
    if not sigma > 0:
        raise BadFrameError("no usable pixels")
    image = np.ascontiguousarray(frame.image, np.float32)
    if frame.error is None:
        return Pixels(image, frame.pixel_flags, max(model.floor, 1e-6 * sigma**2), model.slope, sigma)
    slope = error_slope(image, frame.error, frame.pixel_flags)
    # The error image as it would be without light: its pattern stays (vignetting, weights of a stack).
    floor = frame.error * frame.error
    floor -= np.float32(slope) * np.maximum(image, np.float32(0.0))
    np.maximum(floor, np.float32(1e-3 * sigma**2), out=floor)
    return Pixels(image, frame.pixel_flags, floor, slope, sigma)
