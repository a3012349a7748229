"""Pixels of full-frame images that are known to be useless."""

import numpy as np

from gaiaflux.core.cadences.sky_excess import excluded_region
from gaiaflux.tess.stamp.stamps import Stamp

__all__ = ["excluded_pixels"]


def excluded_pixels(ccd: tuple[int, int, int], mjd: np.ndarray, limits: Stamp, stamp: Stamp) -> np.ndarray:
    """Pixels of a stamp that are excluded by hand.

    Parameters
    ----------
    ccd : tuple of int
        Sector, camera, CCD.
    mjd : ndarray, shape (n,)
        Middles of the exposures [MJD TDB].
    limits : tuple of int
        What the images show of the CCD.
    stamp : tuple of int
        Part of that.

    Returns
    -------
    ndarray of bool, shape (n, rows, columns)
    """
    first_row, last_row, first_column, last_column = limits
    shape = (last_row - first_row, last_column - first_column)
    found = np.zeros((len(mjd), stamp[1] - stamp[0], stamp[3] - stamp[2]), bool)
    y, x = np.arange(stamp[0], stamp[1]) - first_row, np.arange(stamp[2], stamp[3]) - first_column
    for row, when in enumerate(mjd):
        region = excluded_region(*ccd, float(when), shape, first_column)
        if region is not None:
            high = (y >= region.first_row) & (y < region.last_row)
            found[row] = high[:, None] & (x >= region.first_column) & (x < region.last_column)
    return found
