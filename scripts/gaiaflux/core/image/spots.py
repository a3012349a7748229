"""Bright spots of an image outside of what is known to be bright."""

import numpy as np

from gaiaflux.core.maths.robust import robust_scatter

__all__ = ["bright_spots"]

_SIGMA = 50.0
_SIDE = 2  # pixels to either side in which a spot is the brightest


def bright_spots(image: np.ndarray, known: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that are the brightest around them and far above the scatter of the others.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Without its sky; NaN is passed over.
    known : ndarray of bool, shape (ny, nx)
        True = not looked at: covered by a star that is known.
    limit : float
        Least light of a spot's brightest pixel [image unit]; it is 50 times the scatter of the pixels, too.

    Returns
    -------
    x, y : ndarray of int64, shape (n,)
        Column and row of each [pixel, 0-based].
    """
    light = np.where(known | ~np.isfinite(image), -np.inf, image)
    seen = np.isfinite(light)
    if not seen.any():
        return np.empty(0, np.int64), np.empty(0, np.int64)
    bright = light > max(limit, _SIGMA * float(robust_scatter(light[seen])))
    rows, columns = np.nonzero(bright)
    side = 2 * _SIDE + 1
    around = np.lib.stride_tricks.sliding_window_view(np.pad(light, _SIDE, constant_values=-np.inf), (side, side))
    highest = around[rows, columns].max(axis=(1, 2)) <= light[rows, columns]
    return columns[highest].astype(np.int64), rows[highest].astype(np.int64)
