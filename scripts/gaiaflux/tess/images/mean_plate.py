"""Plate solution of the mean of the good images: where catalogued stars are when the motion is zero."""

import logging

import numpy as np

from gaiaflux.core.cadences.frame_motion import FrameMotion, plate_correction
from gaiaflux.core.plate.sip import fit_tan_sip
from gaiaflux.core.sky.projection import invert_distortion, pixel_to_sky
from gaiaflux.model.image_reference import ImageReference
from gaiaflux.model.wcs import TanSip

__all__ = ["mean_plate"]

LOG = logging.getLogger(__name__)
_GRID = 12  # points a side that carry the correction over


def mean_plate(reference: ImageReference, motion: FrameMotion) -> TanSip:
    """Correct the plate solution of the reference image by the stars.

    Their mean places differ from those of the reference image by its own motion and by the error of its solution. The
    motion of the images is about these mean places, so that a place of the catalogue with the motion of a frame added
    is where the star is in it.

    Parameters
    ----------
    reference : ImageReference
    motion : FrameMotion
        From the reference's stars that tell it.

    Returns
    -------
    TanSip
        In coordinates of the images; that of the reference where no star has a mean place.
    """
    if not np.isfinite(motion.star_offset).all(axis=1).any():
        LOG.warning("no star tells where the images are: the plate solution is that of %s", reference.frame_id)
        return reference.wcs
    tells = reference.tells
    correction = plate_correction(motion, reference.x[tells], reference.y[tells], reference.shape)
    ny, nx = reference.shape
    x, y = (one.ravel() for one in np.meshgrid(np.linspace(0, nx - 1, _GRID), np.linspace(0, ny - 1, _GRID)))
    moved = correction.at(x, y)
    order = max(1, correction.x.order, correction.y.order)
    LOG.info("stars are %.3f, %.3f pixel beside the solution of %s", *moved.mean(axis=0), reference.frame_id)
    sky = pixel_to_sky(reference.wcs, x, y)
    corrected = fit_tan_sip(reference.wcs, x + moved[:, 0], y + moved[:, 1], sky, order=order, steps=3)
    return invert_distortion(corrected)
