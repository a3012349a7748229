"""Quality bits of long exposures from those of the short ones that fall into them."""

import numpy as np

__all__ = ["SPACECRAFT_BITS", "shared_quality"]

SPACECRAFT_BITS = 1 + 2 + 4 + 8 + 32 + 2048 + 4096
"""Bits that a target's cadence shares with all pixels of the CCD: attitude tweak, safe mode, coarse pointing, Earth
pointing, momentum dump, Earth or Moon in the field, scattered light (choice of the TASOC photometry module)."""


def shared_quality(
    middle: np.ndarray, length_d: float, time: np.ndarray, quality: np.ndarray, bits: int = SPACECRAFT_BITS
) -> np.ndarray:
    """Bits that any short exposure has whose middle is within a long one.

    Parameters
    ----------
    middle : ndarray, shape (n,)
        Middles of the long exposures, in any order [d].
    length_d : float
        Their length [d].
    time : ndarray, shape (m,)
        Middles of the short exposures on the same clock, in any order [d]; NaN for none.
    quality : ndarray of int, shape (m,)
        Their bits.
    bits : int
        Those that count.

    Returns
    -------
    ndarray of int32, shape (n,)
    """
    marked = np.isfinite(time) & ((quality & bits) != 0)
    when, what = time[marked], (quality[marked] & bits).astype(np.int32)
    order = np.argsort(when, kind="stable")
    when, what = when[order], what[order]
    first = np.searchsorted(when, middle - length_d / 2, side="left")
    last = np.searchsorted(when, middle + length_d / 2, side="left")
    result = np.zeros(len(middle), np.int32)
    for row in np.flatnonzero(last > first):
        result[row] = np.bitwise_or.reduce(what[first[row] : last[row]])
    return result
