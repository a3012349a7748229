"""Pixels of full-frame images of TESS whose sky cannot be believed: sudden excess of a tile, and what is known by hand.

The limits are those of the TASOC photometry (Handberg et al. 2021, AJ 162, 170), where the first is called "background
shenanigans".
"""

from typing import NamedTuple

import numpy as np

from gaiaflux.core.sky.focal_plane import FIRST_SCIENCE_COLUMN

__all__ = ["Region", "excess_flags", "excluded_region", "sky_excess", "without_light"]

LIMIT = 40.0
"""Deviation of a tile's sky from its usual value [electron/s]."""
BLOCK = 25
"""Frames, the medians of which say what is usual."""


class Region(NamedTuple):
    """Rows and columns of the image, 0-based, the last ones exclusive."""

    first_row: int
    last_row: int
    first_column: int
    last_column: int


# Middle of the exposures [MJD TDB], half a step of 30 minutes beyond the last and before the first frame: frames are
# told apart whether times are those of the spacecraft or of the barycentre, and without the number of the full frame.
_MARS_UNTIL = 58325.402  # full frame 4724
_EARTH = (58463.506, 58463.776)  # full frames 11354 to 11366
_OUTPUT_D = 44 + 1536  # its first column on the CCD


def sky_excess(images: np.ndarray, mean_image: np.ndarray) -> np.ndarray:
    """Excess of a tile of each frame over the mean image.

    Parameters
    ----------
    images : ndarray, shape (n, ny, nx)
        Tile of the images without their sky [electron/s]; NaN is passed over.
    mean_image : ndarray, shape (ny, nx)
        Tile of the mean image [electron/s].

    Returns
    -------
    ndarray of float32, shape (n,)
        Median over the pixels, which no single star moves; NaN without any finite pixel.
    """
    offset = (images - mean_image).reshape(len(images), -1).astype(np.float32, copy=False)
    known = np.isfinite(offset)
    if known.all():
        return np.asarray(np.median(offset, axis=1))
    found = np.full(len(images), np.nan, np.float32)
    some = known.any(axis=1)
    found[some] = np.nanmedian(np.where(known[some], offset[some], np.nan), axis=1)
    return found


def excess_flags(excess: np.ndarray, good: np.ndarray, limit: float = LIMIT) -> np.ndarray:
    """Tiles and frames whose sky is far from what is usual in the tile.

    Parameters
    ----------
    excess : ndarray, shape (n, ...)
        `sky_excess` of each tile, for example (n, n_tile_rows, n_tile_columns) [electron/s].
    good : ndarray of bool, shape (n,)
        Frames by which the usual value is known; all where none is good.
    limit : float
        [electron/s].

    Returns
    -------
    ndarray of bool, shape (n, ...)
        True = suspicious; NaN is not.

    Notes
    -----
    What is usual is the mean of the medians of blocks of 25 frames. A block takes its frames from the whole series, so
    that an hour of stray light is spread over all blocks and moves none.
    """
    use = good if good.any() else np.ones(len(excess), bool)
    values = np.asarray(excess, np.float64)[use]
    n_blocks = max(1, -(-len(values) // BLOCK))
    medians = np.stack([_median(values[k::n_blocks]) for k in range(n_blocks)])
    known = np.isfinite(medians)
    usual = np.where(known, medians, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.asarray(np.abs(excess - usual) > limit)


def without_light(image: np.ndarray) -> bool:
    """Whether an image is zero or NaN in all pixels, as frames without any quality flag can be.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)

    Returns
    -------
    bool
    """
    return not np.any(np.nan_to_num(image, posinf=0.0, neginf=0.0))


def excluded_region(
    sector: int, camera: int, ccd: int, mjd: float, shape: tuple[int, int], first_column: int = FIRST_SCIENCE_COLUMN
) -> Region | None:
    """Pixels of a frame that are known to be useless.

    Parameters
    ----------
    sector, camera, ccd : int
        Of the frame.
    mjd : float
        Middle of the exposure [MJD TDB].
    shape : tuple of int
        (ny, nx) of the image.
    first_column : int
        Column of its first pixel on the CCD, 0-based, with the virtual columns.

    Returns
    -------
    Region or None
        In sector 1 Mars floods the last output of camera 1, CCD 4, up to the full frame 4724; at the end of sector 5,
        in full frames 11354 to 11366, the Earth shines into camera 1.
    """
    ny, nx = shape
    if sector == 1 and (camera, ccd) == (1, 4) and mjd <= _MARS_UNTIL:
        first = max(_OUTPUT_D - first_column, 0)
        return Region(0, ny, first, nx) if first < nx else None
    if sector == 5 and camera == 1 and _EARTH[0] <= mjd <= _EARTH[1]:
        return Region(0, ny, 0, nx)
    return None


def _median(values: np.ndarray) -> np.ndarray:
    """Median over the first axis without NaN; NaN where there is nothing else."""
    known = np.isfinite(values)
    ordered = np.sort(np.where(known, values, np.inf), axis=0)
    count = known.sum(axis=0)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0)[None] // 2, axis=0)[0]
    high = np.take_along_axis(ordered, np.minimum(count // 2, len(values) - 1)[None], axis=0)[0]
    return np.where(count > 0, 0.5 * (low + high), np.nan)
