"""The function of a star in the mean of frames that are shifted against each other."""

from dataclasses import replace

import numpy as np

from gaiaflux.core.kernels.devices import cubic_weights
from gaiaflux.core.psf.sampled import SampledPsf

__all__ = ["mean_psf"]


def mean_psf(psf: SampledPsf, shifts: np.ndarray, share: np.ndarray) -> SampledPsf:
    """Mean of a function over shifts: that of a star in the mean of the frames, at its place at shift 0.

    Parameters
    ----------
    psf : SampledPsf
    shifts : ndarray, shape (m, 2)
        Shifts in x and y, finite and small against the reach of the samples [pixel].
    share : ndarray, shape (m,)
        Part of the frames at each shift; of sum 1.

    Returns
    -------
    SampledPsf
        Between its samples the function is joined as it is in each frame (Keys 1981, IEEE TASSP 29, 1153); light that
        leaves the samples is lost.

    Raises
    ------
    ValueError
        A shift that is not finite.
    """
    places = np.asarray(shifts, np.float64).reshape(-1, 2) * psf.oversampling
    if not np.isfinite(places).all():
        raise ValueError("a shift of the frames is not finite")
    whole = np.floor(places).astype(np.int64)
    reach = int(np.abs(whole).max(initial=0)) + 2
    # Weight of the samples j and i steps away from a sample, in y and x.
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for (x, y), (i, j), part in zip(places - whole, whole, share, strict=True):
        along, across = (np.arange(first - 1, first + 3) + reach for first in (j, i))
        kernel[np.ix_(along, across)] += part * np.outer(cubic_weights(y), cubic_weights(x))
    size = psf.samples.shape[-1]
    padded = np.pad(psf.samples, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    samples = np.zeros_like(psf.samples)
    for j, i in np.argwhere(kernel):
        rows, columns = (slice(2 * reach - first, 2 * reach - first + size) for first in (j, i))
        samples += kernel[j, i] * padded[:, :, rows, columns]
    return replace(psf, samples=samples)
