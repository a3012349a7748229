"""Bad columns and rows of a detector whose image comes without a mask.

Where stars are hardly wider than a pixel, each piece of a bad column looks like one.
"""

from itertools import pairwise

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA

__all__ = ["bad_lines"]

SEGMENT = 512  # pixels along a line that are judged together: a column is bad from some row on
SAMPLES = 24  # of these that are looked at
BESIDE = 5  # lines to either side that a line is compared with
OFFSET_SIGMA = 8.0  # scatters of the medians of all lines by which a bad one is off
LEAST_OFFSET = 1.5  # the same in noises of a pixel
SCATTER_RATIO = 2.5  # to the median scatter of all lines' pixels
MOST_LINES = 0.02  # of all: more are a pattern of the read-out, and no defects


def bad_lines(image: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Pixels of columns and rows that are off, or scatter more, than those beside them.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Finite counts.
    flags : ndarray of uint8, shape (ny, nx)
        Nonzero = unusable already.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        Whole pieces of some 512 pixels. A star is on a small part of a line and moves neither its median nor its median
        deviation.
    """
    bad = _bad_columns(image, flags)
    bad |= _bad_columns(np.ascontiguousarray(image.T), np.ascontiguousarray(flags.T)).T
    return bad


def _bad_columns(image: np.ndarray, flags: np.ndarray) -> np.ndarray:
    ny, nx = image.shape
    bad = np.zeros((ny, nx), bool)
    n_segments = max(1, ny // SEGMENT)
    if nx < 4 * BESIDE or ny < SAMPLES:
        return bad
    edges = np.linspace(0, ny, n_segments + 1).astype(np.int64)
    for first, last in pairwise(edges):
        rows = np.linspace(first, last - 1, SAMPLES).astype(np.int64)
        sample = image[rows]
        middle = np.median(sample, axis=0)
        scatter = np.median(np.abs(sample - middle), axis=0)
        usual = float(np.median(scatter))
        offset = np.abs(middle - _median_beside(middle))
        limit = max(OFFSET_SIGMA * MAD_TO_SIGMA * float(np.median(offset)), LEAST_OFFSET * MAD_TO_SIGMA * usual)
        odd = (offset > limit) | (scatter > SCATTER_RATIO * np.maximum(_median_beside(scatter), usual))
        odd &= (flags[rows] == 0).any(axis=0)
        if usual > 0 and np.count_nonzero(odd) <= max(MOST_LINES * nx, 1):
            bad[first:last, odd] = True
    return bad


def _median_beside(values: np.ndarray) -> np.ndarray:
    """Median of the values to both sides of each."""
    padded = np.pad(values, BESIDE, mode="reflect")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * BESIDE + 1)
    return np.asarray(np.median(np.delete(around, BESIDE, axis=1), axis=1))
