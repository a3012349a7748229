"""The response function of a CCD, or a nominal one where no file was given."""

import numpy as np

from gaiaflux.core.psf.sampled import SampledPsf, sampled_psf
from gaiaflux.model.image_reference import ImageReference
from gaiaflux.tess.stamp.instrument import InstrumentFiles

__all__ = ["response_or_nominal"]

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
        A round Gaussian where there are no files: enough for the places of stars, whose errors it makes are alike in
        all frames.

    Raises
    ------
    FileNotFoundError
        There are files, and none of this CCD.
    """
    given = instrument.response(*reference.place)
    if given is not None:
        return given
    offset = np.arange(-_OVERSAMPLING * _REACH_PIX, _OVERSAMPLING * _REACH_PIX + 1) / _OVERSAMPLING
    profile = np.exp(-0.5 * (offset / SIGMA_PIX) ** 2)
    samples = np.outer(profile, profile)[None, None]
    return sampled_psf(samples, _OVERSAMPLING, np.zeros(1), np.zeros(1), reference.shape)
