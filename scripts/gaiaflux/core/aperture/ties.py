"""What the apertures of a frame say of the same stars: by how much their corrections differ from those of the series.

Each frame measures its aperture corrections anew, and the error of that is common to all stars of an aperture. Stars
that are measured by another one have another error, and no scale of the frame takes both off.
"""

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA, masked_median

__all__ = ["aperture_ties"]

_LEAST_SNR = 5.0
_LEAST_STARS = 5
_STAR_SCATTER = 2e-3  # of the ratio of two apertures, relative: no star is trusted better
_CLIP = 3.0
_TURNS = 6
_EVIDENT = 3.0  # sigma, from which on a frame's tie is believed as it is


def aperture_ties(flux: np.ndarray, flux_err: np.ndarray, usable: np.ndarray, reference: int) -> np.ndarray:
    """Natural logarithm of the flux by each aperture over that by one of them, less what is usual for the star.

    Parameters
    ----------
    flux, flux_err : ndarray, shape (m, n, k)
        Total fluxes of bright stars by k apertures in m frames, and their errors.
    usable : ndarray of bool, shape (m, n, k)
        Points that count.
    reference : int
        Aperture that the others are tied to.

    Returns
    -------
    ndarray of float64, shape (m, k)
        0 where fewer than five stars tell; drawn towards 0 by its error where it does not stand out of it.
    """
    m, _, k = flux.shape
    firm = usable & (flux > _LEAST_SNR * flux_err)
    ties = np.zeros((m, k))
    for index in range(k):
        if index == reference:
            continue
        use = firm[:, :, index] & firm[:, :, reference]
        pair = [np.where(use, flux[:, :, which], 1.0).astype(float) for which in (index, reference)]
        noise = [
            np.where(use, flux_err[:, :, which], 0.0) / light
            for which, light in zip((index, reference), pair, strict=True)
        ]
        # The noise of the smaller aperture is in the larger one too.
        variance = np.abs(noise[0] ** 2 - noise[1] ** 2) + _STAR_SCATTER**2
        ties[:, index] = _common(np.log(pair[0] / pair[1]), variance, use)
    return ties


def _common(ratio: np.ndarray, variance: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Change of a ratio from frame to frame that all stars share, shape (m,)."""
    tie = np.zeros(len(ratio))
    error2 = np.full(len(ratio), np.inf)
    kept = use
    for _ in range(_TURNS):
        usual = np.nan_to_num(masked_median(ratio - tie[:, None], use, 0))
        left = np.where(use, ratio - usual, 0.0)
        about = left - tie[:, None]
        spread = MAD_TO_SIGMA * np.nan_to_num(masked_median(np.abs(about) / np.sqrt(variance), use, 1))
        kept = use & (np.abs(about) <= _CLIP * np.maximum(spread, 1.0)[:, None] * np.sqrt(variance))
        weight = np.where(kept, 1.0 / variance, 0.0)
        total = weight.sum(axis=1)
        told = kept.sum(axis=1) >= _LEAST_STARS
        tie = np.where(told, (weight * left).sum(axis=1) / np.where(told, total, 1.0), 0.0)
        error2 = np.where(told, np.maximum(spread, 1.0) ** 2 / np.where(told, total, 1.0), np.inf)
        tie[told] -= np.median(tie[told]) if told.any() else 0.0
    told = np.isfinite(error2)
    if not told.any():
        return tie
    size2 = max((MAD_TO_SIGMA * np.median(np.abs(tie[told]))) ** 2 - np.median(error2[told]), 0.0)
    evident = told & (tie**2 > _EVIDENT**2 * error2)
    share = size2 / (size2 + np.where(told, error2, 1.0))
    return np.where(evident, tie, np.where(told, share * tie, 0.0))
