"""Sky of many frames of a CCD: smoothed in time as far as it changes slowly, and laid on the pixels of a stamp."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaiaflux.core.image.ccd_sky import SkyGrid
from gaiaflux.core.image.corner_glow import FIRST_RADIUS_PIX, ring_weights
from gaiaflux.core.image.mesh import mesh_weights
from gaiaflux.core.maths.robust import MAD_TO_SIGMA

__all__ = ["SkySeries", "Stamp", "smooth_sky"]

Stamp = tuple[int, int, int, int]
"""First and last row, first and last column in the image, 0-based, the last ones exclusive."""

LONGEST_STEP = 1.5  # cadences from frame to frame; longer is a gap
LEAST_TRIPLES = 30  # of frames, from which on they say how much a box really scatters
LEAST_MESH = 3  # boxes a side, among which one can be odd
ODD_SIGMA = 6.0
_HALF = ((0, 0), (0, 1), (0, 2), (1, 0))  # four of the eight neighbours; the others are opposite to them
CERTAIN = 4.5  # over the root of their number: three errors of a median of triples that share frames
_HALF_OF_NORMAL = 0.6745  # median of the absolute values of a unit Gaussian
_TINY = np.float32(1e-20)  # variance of what has no error


def smooth_sky(
    level: np.ndarray,
    level_err: np.ndarray,
    mjd: np.ndarray,
    good: np.ndarray,
    cadence_d: float,
    width: int = 3,
) -> tuple[np.ndarray, np.ndarray]:
    """Sky smoothed in time, by at most one frame to either side.

    Parameters
    ----------
    level, level_err : ndarray of float32, shape (n, my, mx)
        Sky of each frame and its error, as `gaiaflux.core.image.ccd_sky.measure_sky` gives them; NaN in frames in which
        it could not be measured. Glow is smoothed as a mesh of one row.
    mjd : ndarray of float64, shape (n,)
        Ascending [d].
    good : ndarray of bool, shape (n,)
        Frames that may enter others.
    cadence_d : float
        Usual step from frame to frame [d]; nothing is smoothed over a step longer than 1.5 of it.
    width : int
        3, or 1 for no smoothing.

    Returns
    -------
    smoothed, error : ndarray of float32, shape (n, my, mx)
        A frame that is not good keeps its own sky. Unknown sky is that of the nearest good frames before and after it,
        on the straight line between them, with half of their difference as an error; NaN in a box that is never known.
        A box that is off in single frames, and its neighbours are not, has what these say.
        The error is that of the changes from frame to frame: what the faint stars of a box scatter is part of
        `level_err`, but the same in all frames.

    Raises
    ------
    ValueError
        Another width.

    Notes
    -----
    Of a sky that runs straight, the mean of three frames has a third of the variance and no bias. How far it does not
    is seen in the second differences d, which have the variance 6 s^2 from errors s of the frames and S^2 from the sky.
    The best estimate adds 2 s^2 d / (6 s^2 + S^2) to the frame's own sky (Wiener 1949), and has the variance
    s^2 - 4 s^4 / (6 s^2 + S^2): the mean of three where S is nothing, the frame's own sky where light rises steeply or
    the frame or its neighbour stands out. S is measured around each box and frame.
    """
    if width not in (1, 3):
        raise ValueError(f"the sky is smoothed over 1 or 3 frames, not {width}")
    value, error = _mended(*_without_holes(level, level_err, mjd, good), good)
    if width == 1 or len(mjd) < 3:
        return value, error
    steps = np.diff(mjd) <= LONGEST_STEP * cadence_d
    known = good & np.isfinite(level).reshape(len(level), -1).all(axis=1)
    middle = np.zeros(len(mjd), bool)
    middle[1:-1] = steps[:-1] & steps[1:] & known[:-2] & known[1:-1] & known[2:]
    second = np.zeros_like(value)
    second[1:-1] = value[:-2] - 2.0 * value[1:-1] + value[2:]
    second[~middle] = 0.0
    errors = np.maximum(error.astype(np.float32) ** 2, _TINY)
    variance = np.ones_like(value)
    variance[1:-1] = errors[:-2] + 4.0 * errors[1:-1] + errors[2:]
    ratio = _real_part(second, variance, middle)
    error = error * np.sqrt(ratio)
    part = 1.0 / np.maximum(_around(second**2 / (variance * ratio), middle), 1.0)
    part[~middle] = 0.0
    own = 12.0 * errors / variance
    # With equal errors own = 2: the mean of three.
    smoothed = value + (own / 6.0 * part) * second
    left = 1.0 - own / 3.0 * part * np.where(middle[:, None, None], 1.0, 0.0)
    return smoothed.astype(np.float32), (error * np.sqrt(np.maximum(left, 1.0 / 3.0))).astype(np.float32)


def _mended(value: np.ndarray, error: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Single boxes of single frames that are off: what their neighbours say, and how they usually differ from it.

    Scattered light is wider than a box. What is always there, as the light of faint stars, is no fault.
    """
    n, my, mx = value.shape
    if min(my, mx) < LEAST_MESH or np.count_nonzero(good) < LEAST_TRIPLES:
        return value, error
    padded = np.pad(value, [(0, 0), (1, 1), (1, 1)], mode="reflect", reflect_type="odd")
    # The median of the four means of opposite neighbours, which a slope does not move.
    total, lowest, highest = np.zeros_like(value), np.full_like(value, np.inf), np.full_like(value, -np.inf)
    for j, i in _HALF:
        there, opposite = (padded[:, a : a + my, b : b + mx] for a, b in ((j, i), (2 - j, 2 - i)))
        mean = np.float32(0.5) * (there + opposite)
        total += mean
        np.minimum(lowest, mean, out=lowest)
        np.maximum(highest, mean, out=highest)
    off = value - np.float32(0.5) * (total - lowest - highest)
    usual = np.median(off[good], axis=0)
    off -= usual
    own = MAD_TO_SIGMA * np.median(np.abs(off[good]), axis=0)
    # What all boxes of a frame do is the light's own structure.
    structure = MAD_TO_SIGMA * np.median(np.abs(off).reshape(n, -1), axis=1)
    odd = np.abs(off) > ODD_SIGMA * np.sqrt(error**2 + own**2 + structure[:, None, None] ** 2)
    return np.where(odd, value - off, value), np.where(
        odd, np.hypot(error, np.hypot(own, structure[:, None, None])), error
    )


def _real_part(second: np.ndarray, variance: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Part of each box's variance that changes from frame to frame, at most 1, shape (my, mx)."""
    n = np.count_nonzero(middle)
    if n < LEAST_TRIPLES:
        return np.ones(second.shape[1:], np.float32)
    usual = np.median(np.abs(second[middle]) / np.sqrt(variance[middle]), axis=0)
    part = usual / _HALF_OF_NORMAL
    return np.where(part < 1.0 - CERTAIN / np.sqrt(n), np.maximum(part**2, 1e-4), 1.0).astype(np.float32)


def _around(values: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Mean over each box's neighbours in the frame and in those beside it that are used."""
    n, my, mx = values.shape
    weight = use.astype(np.float32)
    total = np.zeros_like(values)
    count = np.zeros(n, np.float32)
    mean: np.ndarray
    for step in (-1, 0, 1):
        here = slice(max(step, 0), n + min(step, 0))
        there = slice(max(-step, 0), n - max(step, 0))
        total[there] += values[here] * weight[here, None, None]
        count[there] += weight[here]
    mean = total / np.maximum(count, 1.0)[:, None, None]
    for axis, size in ((1, my), (2, mx)):
        padded = np.pad(mean, [(1, 1) if k == axis else (0, 0) for k in range(3)], mode="edge")
        mean = np.stack([np.take(padded, range(k, k + size), axis=axis) for k in range(3)]).mean(axis=0)
    return mean


def _without_holes(
    level: np.ndarray, level_err: np.ndarray, mjd: np.ndarray, good: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Unknown values from the nearest good frames."""
    value, error = level.astype(np.float32), level_err.astype(np.float32)
    unknown = ~(np.isfinite(level) & np.isfinite(level_err))
    for j, i in zip(*np.nonzero(unknown.any(axis=0)), strict=True):
        empty = unknown[:, j, i]
        source = good & ~empty
        if not source.any():
            value[empty, j, i], error[empty, j, i] = np.nan, np.nan
            continue
        rows, wanted = np.flatnonzero(source), np.flatnonzero(empty)
        value[wanted, j, i] = np.interp(mjd[wanted], mjd[rows], value[rows, j, i])
        after = np.searchsorted(rows, wanted)
        first, last = rows[np.maximum(after - 1, 0)], rows[np.minimum(after, len(rows) - 1)]
        half = 0.5 * (value[last, j, i] - value[first, j, i])
        error[wanted, j, i] = np.hypot(np.maximum(error[first, j, i], error[last, j, i]), half)
    return value, error


class _Nodes(NamedTuple):
    """Nodes that touch a stamp, as slices of an axis or two, and their weights in its pixels, shape (n_pixels, n)."""

    where: tuple[slice, ...]
    weights: np.ndarray

    def of(self, series: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(series[(slice(None), *self.where)]).reshape(len(series), -1)


@dataclass(frozen=True)
class SkySeries:
    """Sky of all frames of a CCD.

    Attributes
    ----------
    grid : SkyGrid
    level, level_err : ndarray of float32, shape (n, my, mx)
        Sky in the middles of the boxes without the glow, and its error.
    glow, glow_err : ndarray of float32, shape (n, n_rings)
        Glow in the middles of the rings.
    """

    grid: SkyGrid
    level: np.ndarray
    level_err: np.ndarray
    glow: np.ndarray
    glow_err: np.ndarray

    def __len__(self) -> int:
        """Count the frames."""
        return len(self.level)

    def values(self, stamp: Stamp) -> np.ndarray:
        """Sky in the pixels of a stamp.

        Parameters
        ----------
        stamp : tuple of int
            Rows and columns of the image; what lies outside of it has the sky of its edge.

        Returns
        -------
        ndarray of float32, shape (n, n_rows, n_columns)
            [electron/s].
        """
        mesh = self._mesh(stamp)
        found = mesh.of(self.level) @ mesh.weights.T
        rings = self._rings(stamp)
        if rings is not None:
            found += rings.of(self.glow) @ rings.weights.T
        return found.reshape(len(self), *_size(stamp))

    def errors(self, stamp: Stamp) -> np.ndarray:
        """Error of `values`; pixels of a stamp have much of it in common.

        Parameters
        ----------
        stamp : tuple of int
            As for `values`.

        Returns
        -------
        ndarray of float32, shape (n, n_rows, n_columns)
            [electron/s].
        """
        mesh = self._mesh(stamp)
        found = mesh.of(self.level_err) ** 2 @ (mesh.weights**2).T
        rings = self._rings(stamp)
        if rings is not None:
            found += rings.of(self.glow_err) ** 2 @ (rings.weights**2).T
        return np.sqrt(found).reshape(len(self), *_size(stamp))

    def plane(self, stamp: Stamp) -> tuple[np.ndarray, np.ndarray]:
        """Mean and slopes of the plane that fits `values` best.

        Parameters
        ----------
        stamp : tuple of int
            As for `values`.

        Returns
        -------
        mean : ndarray of float64, shape (n,)
            Over the stamp [electron/s].
        slopes : ndarray of float64, shape (n, 2)
            Along x and y [electron/s/pixel].
        """
        rows, columns = _size(stamp)
        y, x = (axis.ravel() - axis.mean() for axis in np.indices((rows, columns)).astype(np.float64))
        # One row or column has no slope across.
        fit = np.stack([np.ones_like(x), x, y]) / [[x.size], [x @ x or 1.0], [y @ y or 1.0]]
        mesh, rings = self._mesh(stamp), self._rings(stamp)
        # The fit of the weights is the fit of what they weigh.
        found = mesh.of(self.level) @ (fit @ mesh.weights).T
        if rings is not None:
            found = found + rings.of(self.glow) @ (fit @ rings.weights).T
        return found[:, 0], found[:, 1:]

    def _mesh(self, stamp: Stamp) -> _Nodes:
        along = []
        for first, last, n, n_mesh in (
            (stamp[0], stamp[1], self.grid.shape[0], self.level.shape[1]),
            (stamp[2], stamp[3], self.grid.shape[1], self.level.shape[2]),
        ):
            pixels = np.arange(first, last, dtype=np.float64)
            along.append(_dense(*mesh_weights(pixels, n, n_mesh, smooth_edges=True)))
        (y, rows), (x, columns) = along
        weights = np.einsum("ja,ib->jiab", y, x).reshape(len(y) * len(x), -1)
        return _Nodes((rows, columns), np.ascontiguousarray(weights))

    def _rings(self, stamp: Stamp) -> _Nodes | None:
        if not self.glow.shape[1]:
            return None
        distance = self.grid.distance(np.arange(stamp[2], stamp[3]), np.arange(stamp[0], stamp[1])[:, None]).ravel()
        if distance.max() <= FIRST_RADIUS_PIX:
            return None
        weights, rings = _dense(*ring_weights(distance, self.glow.shape[1]))
        return _Nodes((rings,), weights)


def _size(stamp: Stamp) -> tuple[int, int]:
    return stamp[1] - stamp[0], stamp[3] - stamp[2]


def _dense(weights: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, slice]:
    """Weights as a matrix over the nodes that occur, and which these are."""
    first, last = int(indices.min()), int(indices.max()) + 1
    matrix = np.zeros((len(weights), last - first), np.float32)
    np.add.at(matrix, (np.arange(len(weights))[:, None], indices - first), weights)
    return matrix, slice(first, last)
