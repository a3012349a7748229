"""Columns that always see more of the sky than their neighbours: what the straps behind a CCD send back."""

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA

__all__ = ["column_blocks", "column_light"]

BLOCK_ROWS = 256  # over which a column's light is one number
LEAST_PIXELS = 12  # of the sky, by which it is known
NEIGHBOURS = 10  # columns to either side that say what is usual
SURE = 5.0
_OF_MEDIAN = 1.2533  # error of a median over that of a mean


def column_blocks(n_rows: int) -> np.ndarray:
    """Block of each row, from 0, shape (n_rows,): all blocks are of about `BLOCK_ROWS` rows."""
    n = max(1, round(n_rows / BLOCK_ROWS))
    return np.arange(n_rows) * n // n_rows


def column_light(image: np.ndarray, sky_pixels: np.ndarray) -> np.ndarray:
    """Light of single columns over that of those around them.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Mean of many frames without their sky [electron/s]; NaN is passed over.
    sky_pixels : ndarray of bool, shape (ny, nx)
        Pixels that tell the sky: no star of the catalogue is near.

    Returns
    -------
    ndarray of float32, shape (n_blocks, nx)
        For the blocks of rows of `column_blocks` [electron/s]; 0 for a column that is like the others, as far as its
        pixels can tell.
    """
    ny, nx = image.shape
    block = column_blocks(ny)
    found = np.zeros((block[-1] + 1, nx), np.float32)
    if nx <= 2 * NEIGHBOURS:
        return found
    for k in range(len(found)):
        rows = block == k
        values = np.where(sky_pixels[rows] & np.isfinite(image[rows]), image[rows], np.nan)
        count = np.isfinite(values).sum(axis=0)
        known = count >= LEAST_PIXELS
        if np.count_nonzero(known) < NEIGHBOURS:
            continue
        middle, error = np.full(nx, np.nan), np.full(nx, np.inf)
        middle[known] = np.nanmedian(values[:, known], axis=0)
        spread = MAD_TO_SIGMA * np.nanmedian(np.abs(values[:, known] - middle[known]), axis=0)
        error[known] = _OF_MEDIAN * spread / np.sqrt(count[known])
        padded = np.pad(middle, NEIGHBOURS, constant_values=np.nan)
        around = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1)
        told = np.isfinite(around).sum(axis=1) > NEIGHBOURS // 2
        off = np.full(nx, np.nan)
        use = known & told
        off[use] = middle[use] - np.nanmedian(around[use], axis=1)
        # How columns usually differ is seen in all of them.
        usual = MAD_TO_SIGMA * np.median(np.abs(off[use])) if use.any() else 0.0
        with np.errstate(invalid="ignore"):
            sure = np.abs(off) > SURE * np.maximum(error, usual)
        found[k] = np.where(sure, off, 0.0)
    return found
