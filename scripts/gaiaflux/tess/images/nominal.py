"""The response function of a CCD, or a nominal one where no file was given."""

import logging

import numpy as np

from gaiaflux.core.psf.sampled import SampledPsf, sampled_psf
from gaiaflux.model.image_reference import ImageReference
from gaiaflux.tess.stamp.instrument import InstrumentFiles

__all__ = ["response_or_nominal"]

LOG = logging.getLogger(__name__)
SIGMA_PIX = 0.75
"""Of a nominal star in each axis, the pixel's own width in it [pixel]."""
_OVERSAMPLING, _REACH_PIX = 9, 6


def response_or_nominal(instrument: InstrumentFiles, reference: ImageReference) -> SampledPsf:
    """Response function of the CCD of some images.

    Parameters
    ----------
    instrument : InstrumentFiles
    reference : ImageReference

    Returns
    -------
    SampledPsf
        A round Gaussian where there are no files of it: enough for the places of stars, whose errors it makes are alike
        in all frames.

    """
    try:
        given = instrument.response(*reference.place)
    except FileNotFoundError as reason:
        # The targets on this CCD say so; its images are prepared for those who bring the file later.
        LOG.warning("%s; the places of stars are measured with a nominal one", reason)
        given = None
    if given is not None:
        return given
    offset = np.arange(-_OVERSAMPLING * _REACH_PIX, _OVERSAMPLING * _REACH_PIX + 1) / _OVERSAMPLING
    profile = np.exp(-0.5 * (offset / SIGMA_PIX) ** 2)
    samples = np.outer(profile, profile)[None, None]
    return sampled_psf(samples, _OVERSAMPLING, np.zeros(1), np.zeros(1), reference.shape)
