"""Pixels in which stars of a catalogue are seen above the sky of TESS."""

import numpy as np

from gaiaflux.core.image.ccd_sky import SkyGrid
from gaiaflux.core.image.local_sky import paint_discs

__all__ = ["star_mask"]

SATURATION = 9e4
"""Light of a full pixel [electron/s]."""

# Largest part of a star's light in a pixel, by the distance of the pixel from the star [pixel]. Up to 5 pixels from the
# mission's response functions of sector 1 (camera 1, CCD 4), beyond from a star of magnitude 6.8 in a frame of it.
_RADIUS = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 12.0, 16.0, 24.0, 40.0])
_PART = np.array(
    [0.28, 0.20, 0.095, 0.042, 0.0215, 0.0123, 0.0061, 0.0030, 9.1e-4, 4e-4, 6e-5, 2e-5, 1.2e-5, 4e-6, 1e-6]
)
_PEAK = 0.2  # part of the light in the brightest pixel, by which a star is known to saturate
_COLUMN = 0.5  # part in the fullest column
_BLEED = 1.5  # lengths of a bleed column, of which one end may be the longer
_SIDE = 2  # columns to either side of it
_RAISED = 10.0 ** (0.5 * np.arange(8))  # by which the limit is raised where stars leave too little
_LEAST_CLEAN = 0.4  # part of a box that has to stay clean


def star_mask(
    x: np.ndarray,
    y: np.ndarray,
    flux: np.ndarray,
    grid: SkyGrid,
    noise: float,
    *,
    part: float = 0.5,
) -> np.ndarray:
    """Pixels in which a star puts more than a part of the sky's noise, and bleed columns.

    Parameters
    ----------
    x, y : ndarray, shape (n_stars,)
        Places in the image, 0-based; they may lie outside of it.
    flux : ndarray, shape (n_stars,)
        [electron/s]; NaN or negative covers nothing.
    grid : SkyGrid
        Image and boxes.
    noise : float
        Of the sky in one pixel of one frame [electron/s].
    part : float
        Of the noise, from which on a pixel is a star's.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        True = star. Where that leaves less than 0.4 of a box, the limit is raised there by half decades:
        a box is better seen between the faint stars of a crowd than not at all.
    """
    light = np.nan_to_num(np.asarray(flux, np.float64), nan=0.0)
    rows, columns = (np.arange(n + 1) * size // n for n, size in zip(grid.mesh_shape, grid.shape, strict=True))
    area = np.diff(rows)[:, None] * np.diff(columns)
    covers = np.zeros(grid.shape, bool)
    due = np.ones(grid.mesh_shape, bool)
    for raised in _RAISED:
        mask = _painted(x, y, light, grid.shape, raised * part * noise)
        covered = np.add.reduceat(np.add.reduceat(mask, columns[:-1], axis=1, dtype=np.int32), rows[:-1], axis=0)
        settled = due & ((covered <= (1.0 - _LEAST_CLEAN) * area) | (raised == _RAISED[-1]))
        pixels = np.repeat(np.repeat(settled, np.diff(rows), axis=0), np.diff(columns), axis=1)
        covers |= pixels & (mask != 0)
        due &= ~settled
        if not due.any():
            break
    return covers | _bleeding(x, y, light, grid.shape)


def _painted(x: np.ndarray, y: np.ndarray, flux: np.ndarray, shape: tuple[int, int], limit: float) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    seen = flux * _PART[0] > limit
    ratio = limit / np.where(seen, flux, 1.0)
    radius = np.exp(np.interp(-np.log(ratio), -np.log(_PART), np.log(_RADIUS)))
    paint_discs(mask, x, y, np.where(seen, np.maximum(radius, 1.0), 0.0))
    return mask


def _bleeding(x: np.ndarray, y: np.ndarray, flux: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Columns along which the charge of saturated stars runs, up and down."""
    mask = np.zeros(shape, bool)
    for k in np.flatnonzero(_PEAK * flux > SATURATION):
        half = _BLEED * 0.5 * _COLUMN * flux[k] / SATURATION + _RADIUS[7]
        bottom, top = (int(np.clip(np.rint(y[k] + side * half), 0, shape[0])) for side in (-1.0, 1.0))
        left, right = (int(np.clip(np.rint(x[k]) + side, 0, shape[1])) for side in (-_SIDE, _SIDE + 1))
        mask[bottom:top, left:right] = True
    return mask
