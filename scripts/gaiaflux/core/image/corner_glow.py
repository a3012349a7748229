"""Glow in the corners of a camera's field: light that depends on the distance from the optical axis.

Rings of 15 pixels from 2,400 pixels outwards, as the TASOC photometry has them (Handberg et al. 2021, AJ 162, 170).
"""

from functools import cached_property

import numpy as np

from gaiaflux.core.image.mesh import clipped_level, mesh_weights
from gaiaflux.core.kernels.compile import kernel
from gaiaflux.core.sky.focal_plane import Pointing, ccd_of_sky

__all__ = ["FIRST_RADIUS_PIX", "RING_PIX", "CornerGlow", "axis_distance", "ring_weights"]

FIRST_RADIUS_PIX = 2400.0
RING_PIX = 15.0
STEPS_PER_PIX = 8  # of the table by which glow is laid on pixels
ENOUGH_PIXELS = 1024  # of a ring, above which every second, third ... is looked at
LEAST_PIXELS = 50  # of a ring, below which its neighbours count


def axis_distance(camera: int, ccd: int, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Distance of pixels from a camera's optical axis.

    Parameters
    ----------
    camera, ccd : int
        1 to 4.
    column, row : ndarray, shapes that broadcast
        0-based, with the virtual columns.

    Returns
    -------
    ndarray of float64, broadcast shape
        [pixel].

    Raises
    ------
    ValueError
        No such camera or CCD.
    """
    # What a camera sees on its axis does not depend on where it points.
    axis_column, axis_row = ccd_of_sky(Pointing(0.0, 0.0, 0.0), camera, ccd, 0.0, 0.0)
    return np.asarray(np.hypot(column - float(axis_column), row - float(axis_row)))


def ring_weights(distance: np.ndarray, n_rings: int) -> tuple[np.ndarray, np.ndarray]:
    """What each ring counts at distances from the axis: a cubic between the middles of the rings.

    Parameters
    ----------
    distance : ndarray of float64, shape (n,)
        [pixel]. Up to the middle of the innermost ring that ring counts, so that its light goes on inwards.
    n_rings : int
        At least 1.

    Returns
    -------
    weights : ndarray of float32, shape (n, 4)
    indices : ndarray of int64, shape (n, 4)
    """
    place = np.maximum(distance - FIRST_RADIUS_PIX, 0.5 * RING_PIX) - 0.5
    return mesh_weights(place, round(n_rings * RING_PIX), n_rings, smooth_edges=True)


class CornerGlow:
    """Rings of one image.

    Parameters
    ----------
    distance : ndarray, shape (ny, nx)
        Of each pixel from the optical axis [pixel].

    Attributes
    ----------
    n_rings : int
        0 where no pixel is far enough out.
    inside : ndarray of bool, shape (ny, nx)
        Pixels in rings.
    """

    def __init__(self, distance: np.ndarray) -> None:
        beyond = float(distance.max()) - FIRST_RADIUS_PIX
        self.n_rings = max(0, int(np.ceil(beyond / RING_PIX)))
        self.inside = distance > FIRST_RADIUS_PIX
        self._all = np.flatnonzero(self.inside).astype(np.int32)
        outwards = distance.ravel()[self._all] - FIRST_RADIUS_PIX
        self._step = np.rint(outwards * STEPS_PER_PIX).astype(np.int32)
        ring = np.minimum((outwards / RING_PIX).astype(np.int64), max(self.n_rings - 1, 0))
        order = np.argsort(ring, kind="stable")
        sizes = np.bincount(ring, minlength=self.n_rings)
        place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        looked_at = place % np.maximum(sizes // ENOUGH_PIXELS, 1)[ring[order]] == 0
        order = order[looked_at]
        self._pixels = self._all[order]
        self._starts = np.searchsorted(ring[order], np.arange(self.n_rings + 1)).astype(np.int64)

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        n = round(self.n_rings * RING_PIX * STEPS_PER_PIX) + 1
        return ring_weights(FIRST_RADIUS_PIX + np.arange(n) / STEPS_PER_PIX, self.n_rings)

    def subtract(self, image: np.ndarray, glow: np.ndarray) -> np.ndarray:
        """Image without a glow.

        Parameters
        ----------
        image : ndarray of float32, shape (ny, nx)
        glow : ndarray of float32, shape (n_rings,)

        Returns
        -------
        ndarray of float32, shape (ny, nx)
            A new image.
        """
        weights, indices = self._table
        table = (weights * glow[indices]).sum(axis=1, dtype=np.float32)
        result = image.copy()
        _take_off(result.reshape(-1), self._all, self._step, table)
        return result

    def measure(self, image: np.ndarray, flags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Clipped mean of the pixels of each ring, without single rings that stand out, relative to the innermost.

        Parameters
        ----------
        image : ndarray of float32, shape (ny, nx)
            Without the smooth sky; finite where it is not flagged.
        flags : ndarray of uint8, shape (ny, nx)
            Nonzero pixels are left out.

        Returns
        -------
        glow, glow_err : ndarray of float64, shape (n_rings,)
            Errors are those of the means, two thirds of which are left where neighbouring rings hardly differ. Zero
            without two rings of 50 usable pixels.
        """
        n = self.n_rings
        level, rms, count = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.float32)
        scratch = np.empty(int(np.diff(self._starts).max(initial=0)), np.float32)
        _ring_statistics(image, flags, self._pixels, self._starts, level, rms, count, scratch)
        known = np.flatnonzero(count >= LEAST_PIXELS)
        if len(known) < 2:
            return np.zeros(n), np.zeros(n)
        glow, error = _filled(level.astype(np.float64), rms / np.sqrt(np.maximum(count, 1.0)), known)
        padded = np.pad(glow, 1, mode="edge")
        middle = np.median(np.stack([padded[:-2], glow, padded[2:]]), axis=0)
        # The median of three leaves a monotonous profile as it is, and takes a ring that stands out.
        return middle - middle[0], error


def _filled(level: np.ndarray, error: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rings with too few pixels from those beside them, with the step from ring to ring as an error."""
    rings = np.arange(len(level))
    steps = np.gradient(level[known], known)
    filled = np.interp(rings, known, level[known])
    for end, beyond in ((0, rings < known[0]), (-1, rings > known[-1])):
        filled[beyond] += steps[end] * (rings[beyond] - known[end])
    wide = np.interp(rings, known, error[known])
    absent = ~np.isin(rings, known)
    return filled, np.where(absent, np.hypot(wide, np.interp(rings, known, np.abs(steps))), wide)


@kernel(
    "void(float32[:, ::1], uint8[:, ::1], int32[::1], int64[::1], float32[::1], float32[::1], float32[::1],"
    " float32[::1])",
    fastmath=True,
)
def _ring_statistics(
    image: np.ndarray,
    flags: np.ndarray,
    pixels: np.ndarray,
    starts: np.ndarray,
    level: np.ndarray,
    rms: np.ndarray,
    number: np.ndarray,
    scratch: np.ndarray,
) -> None:
    """`pixels`: flat, ring after ring, from `starts` on."""
    nx = image.shape[1]
    for ring in range(len(level)):
        n = 0
        for k in range(starts[ring], starts[ring + 1]):
            y, x = pixels[k] // nx, pixels[k] % nx
            scratch[n] = image[y, x]
            n += 1 if flags[y, x] == 0 else 0
        if n == 0:
            level[ring] = 0.0
            rms[ring] = 0.0
            number[ring] = 0.0
            continue
        level[ring], rms[ring], number[ring] = clipped_level(scratch, n)


@kernel("void(float32[::1], int32[::1], int32[::1], float32[::1])")
def _take_off(image: np.ndarray, pixels: np.ndarray, step: np.ndarray, table: np.ndarray) -> None:
    for k in range(len(pixels)):
        image[pixels[k]] -= table[step[k]]
