"""The deep image on which the stars of a field are found: the reference image, and the best frames beside it."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gaiaflux.core.image.background import BackgroundEstimator, subtract_background
from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.stars.cosmic_rays import flag_cosmic_rays
from gaiaflux.core.stars.detection import estimate_fwhm
from gaiaflux.core.stars.stacking import Layer, flux_scale, resample, stack_layers
from gaiaflux.core.stars.trails import flag_trails
from gaiaflux.ground.frame.noise import frame_noise
from gaiaflux.ground.frame.pixels import pixels_of
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.frame import Frame
from gaiaflux.model.wcs import TanSip

__all__ = ["CleanImage", "add_frames", "clean_image"]

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CleanImage:
    """A frame that is ready for a fit of all its stars.

    Attributes
    ----------
    pixels : Pixels
        Image, with sky; cosmic rays are flagged.
    fwhm : float
        Seeing [pixel].
    layer : Layer
        The same without sky.
    """

    pixels: Pixels
    fwhm: float
    layer: Layer


def clean_image(frame: Frame, estimate: BackgroundEstimator) -> CleanImage:
    """Find sky, seeing, noise and cosmic rays of a frame.

    Parameters
    ----------
    frame : Frame
    estimate : BackgroundEstimator
        How the sky is measured.

    Returns
    -------
    CleanImage

    Raises
    ------
    BadFrameError
        No sky or no star can be measured.
    """
    background = estimate(frame.image, frame.pixel_flags)
    image = subtract_background(frame.image, background)
    flags, _ = flag_trails(image, frame.pixel_flags, background)
    fwhm = estimate_fwhm(image, flags, background)
    if not np.isfinite(fwhm):
        raise BadFrameError("no stars found")
    pixels = pixels_of(frame, frame_noise(frame))
    flags, _ = flag_cosmic_rays(image, flags, background, fwhm_pix=fwhm, flux_variance=pixels.slope)
    sky = max(float(np.median(background.level)), 0.0)
    floor = float(np.median(pixels.floor)) + pixels.slope * sky
    return CleanImage(pixels.with_flags(flags), fwhm, Layer(image, flags, floor, pixels.slope, fwhm))


def add_frames(
    reference: CleanImage,
    wcs: TanSip,
    others: Iterable[tuple[Frame, TanSip]],
    x: np.ndarray,
    y: np.ndarray,
    estimate: BackgroundEstimator,
) -> Pixels:
    """Stack frames on the reference image.

    Parameters
    ----------
    reference : CleanImage
    wcs : TanSip
        Its plate solution.
    others : iterable of (Frame, TanSip)
        Further frames with theirs; one that cannot be used is left out with a warning. They are asked for one by one.
    x, y : ndarray, shape (n,)
        Places of the catalogue's stars on the reference image [pixel].
    estimate : BackgroundEstimator
        How the sky is measured.

    Returns
    -------
    Pixels
        On the reference image's pixels and flux scale; the reference image itself, with its sky, where it is alone.
    """
    layers = [reference.layer]
    for frame, solution in others:
        try:
            layers.append(_layer(reference.layer, frame, solution, wcs, x, y, estimate))
        except BadFrameError as reason:
            LOG.warning("%s is left out of the stack: %s", frame.info.frame_id, reason)
    if len(layers) == 1:
        return reference.pixels
    return stack_layers(layers)


def _layer(
    reference: Layer,
    frame: Frame,
    solution: TanSip,
    wcs: TanSip,
    x: np.ndarray,
    y: np.ndarray,
    estimate: BackgroundEstimator,
) -> Layer:
    own = clean_image(frame, estimate).layer
    layer = resample(own, solution, wcs)
    scale = flux_scale(layer, reference, x, y)
    if not np.isfinite(scale):
        raise BadFrameError("no star in common with the reference image")
    return layer.scaled(scale)
