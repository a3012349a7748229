"""Pixels of a frame with the variance model that fits of many stars need."""

import numpy as np

from gaiaflux.core.image.local_sky import rough_sky
from gaiaflux.core.image.noise import error_slope, noise_model, pixel_noise
from gaiaflux.core.psf.fluxes import Pixels
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.frame import Frame

__all__ = ["pixels_of"]


def pixels_of(frame: Frame) -> tuple[Pixels, float, str]:
    """Image, flags and noise of a frame.

    Parameters
    ----------
    frame : Frame
        Pixels; an error image is freed from the noise of its own pixel, which would otherwise make faint pixels count
        more than bright ones and draw all fluxes down.

    Returns
    -------
    pixels : Pixels
    sigma : float
        Noise of a pixel of the sky [image unit].
    source : str
        Where the noise is from.

    Raises
    ------
    BadFrameError
        No usable pixels.
    """
    trend = rough_sky(frame.image, frame.pixel_flags)
    sigma = pixel_noise(frame.image, frame.pixel_flags, trend) if trend is not None else float("nan")
    if trend is None or not (np.isfinite(sigma) and sigma > 0):
        raise BadFrameError("no usable pixels")
    ny, nx = frame.image.shape
    middle = float(trend.value(np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2]))[0])
    image = np.ascontiguousarray(frame.image, np.float32)
    if frame.error is None:
        noise = noise_model(middle, sigma, unit=frame.info.unit, read_noise=frame.info.read_noise)
        return Pixels(image, frame.pixel_flags, max(noise.floor, 1e-6 * sigma**2), noise.slope), sigma, noise.source
    slope = error_slope(image, frame.error, frame.pixel_flags)
    # The error image as it would be without light: its pattern stays (vignetting, weights of a stack).
    floor = frame.error * frame.error
    floor -= np.float32(slope) * np.maximum(image, np.float32(0.0))
    np.maximum(floor, np.float32(1e-3 * sigma**2), out=floor)
    return Pixels(image, frame.pixel_flags, floor, slope), sigma, "error image"
