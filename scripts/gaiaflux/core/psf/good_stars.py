"""The choice of the good stars of a frame.

It is the PSF's neighbour because the fit of the PSF is the first that needs it; the aperture correction is another.
"""

import numpy as np

__all__ = ["choose_good_stars"]


def choose_good_stars(
    fit: np.ndarray,
    snr: np.ndarray,
    share: np.ndarray,
    ladder: tuple[tuple[float, float], ...],
    wanted: int,
    most: int,
) -> np.ndarray:
    """Rows of bright stars with little light of neighbours, the brightest first.

    Parameters
    ----------
    fit : ndarray of bool, shape (n,)
        Stars that may be chosen at all.
    snr : ndarray, shape (n,)
        Signal-to-noise ratios; NaN is never chosen.
    share : ndarray, shape (n,)
        Neighbours' light over the star's; NaN is never chosen.
    ladder : tuple of tuple of float
        Pairs of a least signal-to-noise ratio and a largest share, from the strictest on: the first one that enough
        stars meet is taken, or else the last one.
    wanted : int
        Enough stars.
    most : int
        No more than these.

    Returns
    -------
    ndarray of int64
        May be empty.
    """
    chosen = np.zeros(0, np.int64)
    for least_snr, largest_share in ladder:
        chosen = np.flatnonzero(fit & (snr > least_snr) & (share < largest_share))
        if len(chosen) >= wanted:
            break
    return chosen[np.argsort(-snr[chosen], kind="stable")][:most]
