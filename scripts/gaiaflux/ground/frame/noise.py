"""Sky and noise of a frame: where they are found, for all methods, and how the sky is measured."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.image.background import Background, BackgroundEstimator, BoxBackground
from gaiaflux.core.image.local_sky import rough_sky
from gaiaflux.core.image.noise import NoiseModel, noise_model, pixel_noise
from gaiaflux.core.maths.surface import Surface
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.frame import Frame

__all__ = ["FrameNoise", "background_estimator", "frame_noise", "noise_above"]


@dataclass(frozen=True)
class FrameNoise:
    """Smooth sky and noise of a frame.

    Attributes
    ----------
    trend : Surface
        Sky [image unit].
    sigma : float
        Noise of a pixel of the sky [image unit].
    model : NoiseModel
        Variance of a pixel by its counts.
    source : str
        Where the variances come from, for a person to read.
    """

    trend: Surface
    sigma: float
    model: NoiseModel
    source: str


def background_estimator(box_pix: int) -> BackgroundEstimator:
    """How the sky of all frames is measured: in boxes of a side [pixel]."""
    return BoxBackground(int(box_pix))


def frame_noise(frame: Frame) -> FrameNoise:
    """Find sky and noise of a frame whose stars are not known yet.

    Parameters
    ----------
    frame : Frame
        Pixels.

    Returns
    -------
    FrameNoise

    Raises
    ------
    BadFrameError
        No usable pixels.
    """
    trend = rough_sky(frame.image, frame.pixel_flags)
    sigma = pixel_noise(frame.image, frame.pixel_flags, trend) if trend is not None else float("nan")
    if trend is None or not np.isfinite(sigma):
        raise BadFrameError("no usable pixels")
    ny, nx = frame.image.shape
    middle = float(trend.value(np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2]))[0])
    # `info.gain` is already in pixels in electrons; pixels in adu have none.
    model = noise_model(middle, sigma, unit=frame.info.unit, read_noise=frame.info.read_noise)
    return FrameNoise(trend, sigma, model, model.source if frame.error is None else "error image")


def noise_above(background: Background, frame: Frame) -> NoiseModel:
    """Variance of the pixels of a frame once its measured background is taken off; the slope is that of the light."""
    sky, sigma = float(np.median(background.level)), float(np.median(background.rms))
    return noise_model(sky, sigma, unit=frame.info.unit, read_noise=frame.info.read_noise)
