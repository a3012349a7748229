"""Stamps: which rectangle of pixels of a CCD belongs to a target.

A stamp is (row_min, row_max, col_min, col_max), 0-based and half-open, in coordinates of the CCD with its 44 leading
virtual columns.
"""

import math
from operator import index

import numpy as np

from gaiaflux.model.cadences import ApertureBit

__all__ = ["Stamp", "around", "common_part", "default_size", "output_bits", "resized"]

Stamp = tuple[int, int, int, int]

_LEAST_SIZE = 15
# Size of the stamp of a star of each TESS magnitude [pixel]; columns of bright stars bleed along the rows' axis.
_TMAG = (0.0, 1.05, 2.11, 3.16, 4.21, 4.74, 5.26, 6.32, 7.37, 8.42, 10.0, 13.0)
_ROWS = (832.0, 344.0, 147.0, 68.0, 36.0, 28.1, 23.0, 17.8, 15.7, 14.9, 14.5, 14.0)
_COLUMNS = (158.0, 100.0, 65.7, 45.3, 33.2, 28.1, 23.0, 17.8, 15.7, 14.9, 14.5, 14.0)
_OUTPUT_COLUMNS = (44, 556, 1068, 1580, 2092)  # first of each CCD output, 0-based, and the end


def default_size(tmag: float) -> tuple[int, int]:
    """Rows and columns that the stamp of a star gets.

    Parameters
    ----------
    tmag : float
        TESS magnitude; NaN where unknown.

    Returns
    -------
    tuple of int
        (rows, columns), 15 at least, interpolated in the sizes of the TASOC photometry module.
    """
    if not math.isfinite(tmag):
        return _LEAST_SIZE, _LEAST_SIZE
    rows, columns = (math.ceil(float(np.interp(tmag, _TMAG, sizes))) for sizes in (_ROWS, _COLUMNS))
    return max(rows, _LEAST_SIZE), max(columns, _LEAST_SIZE)


def around(row: float, column: float, size: tuple[int, int], limits: Stamp) -> Stamp:
    """Stamp with a star in its middle, which makes it odd; cut off at the limits of the data.

    Parameters
    ----------
    row, column : float
        Star [pixel, CCD].
    size : tuple of int
        (rows, columns).
    limits : Stamp
        Where there are pixels.

    Returns
    -------
    Stamp

    Raises
    ------
    ValueError
        Nothing of it is within the limits.
    """
    return resized(limits, limits, (row, column), height=size[0], width=size[1])


def resized(
    stamp: Stamp,
    limits: Stamp,
    target: tuple[float, float],
    *,
    sides: tuple[int, int, int, int] = (0, 0, 0, 0),
    width: int | None = None,
    height: int | None = None,
) -> Stamp:
    """A larger or smaller stamp, cut off at the limits of the data.

    Parameters
    ----------
    stamp : Stamp
        As it is.
    limits : Stamp
        Where there are pixels.
    target : tuple of float
        (row, column) of the star, which is in the middle of a given width or height [pixel, CCD].
    sides : tuple of int
        Pixels by which it grows down, up, left and right; negative ones shrink it.
    width, height : int, optional
        Columns and rows, made odd; they win over `sides`.

    Returns
    -------
    Stamp

    Raises
    ------
    ValueError
        No pixel would remain.
    """
    down, up, left, right = map(index, sides)
    new = [stamp[0] - down, stamp[1] + up, stamp[2] - left, stamp[3] + right]
    for first, size, place in ((0, height, target[0]), (2, width, target[1])):
        if size is not None:
            half = index(size) // 2
            new[first], new[first + 1] = round(place) - half, round(place) + half + 1
    cut = common_part((new[0], new[1], new[2], new[3]), limits)
    if cut[0] >= cut[1] or cut[2] >= cut[3]:
        raise ValueError(f"Invalid stamp selected: rows {cut[0]} to {cut[1]}, columns {cut[2]} to {cut[3]} of the data")
    return cut


def common_part(stamp: Stamp, other: Stamp) -> Stamp:
    """Pixels that two stamps have in common; where they have none, a last row or column is not after the first."""
    return (max(stamp[0], other[0]), min(stamp[1], other[1]), max(stamp[2], other[2]), min(stamp[3], other[3]))


def output_bits(columns: np.ndarray) -> np.ndarray:
    """Bit of the CCD output that reads each column.

    Parameters
    ----------
    columns : ndarray of int
        0-based, with the leading virtual ones.

    Returns
    -------
    ndarray of int32
        `ApertureBit.OUTPUTS`; 0 for virtual columns.
    """
    output = np.searchsorted(_OUTPUT_COLUMNS, columns, side="right")
    bits = np.array([0, *ApertureBit.OUTPUTS, 0], np.int32)
    return bits[output]
