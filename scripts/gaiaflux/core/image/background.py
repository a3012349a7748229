"""Smooth sky level and its noise, from clipped statistics in boxes.

The level of a box is the iterated clipped mean of its pixels, started from its median; boxes are median-filtered
(Bertin & Arnouts 1996, A&AS 117, 393) about a quadratic surface, and interpolated by a cubic convolution (Keys 1981,
IEEE TASSP 29, 1153).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.kernels.devices import cubic_weights, kth_smallest
from gaiaflux.core.maths.surface import fit_surface
from gaiaflux.model.errors import BadFrameError

__all__ = ["Background", "BackgroundEstimator", "BoxBackground", "estimate_background", "subtract_background"]

CLIP_SIGMA = 3.0
CLIP_ROUNDS = 6
ROW_STEP = 2  # every second row: 2048 pixels of a box know the sky to 1/45 of its noise
LEAST_TREND = 5  # boxes a side that a quadratic surface needs
MIN_BOX_FRACTION = 0.25  # of clean pixels, below which a box takes its neighbours' value


@dataclass(frozen=True)
class Background:
    """Sky level and noise per box.

    Attributes
    ----------
    level, rms : ndarray of float32, shape (n_box_rows, n_box_columns)
        Sky and one-pixel noise in the image's unit; finite everywhere.
    box_pix : int
        Side of a box, about: a row and a column are divided into boxes of one size [pixel].
    shape : tuple of int
        (ny, nx) of the image.
    """

    level: np.ndarray
    rms: np.ndarray
    box_pix: int
    shape: tuple[int, int]

    def level_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Sky level at positions.

        Parameters
        ----------
        x, y : ndarray, shape (n,)
            0-based pixel coordinates; outside of the image the edge value holds.

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        return _mesh_at(self.level, self.shape, x, y)

    def rms_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """One-pixel noise at positions; as `level_at`."""
        return _mesh_at(self.rms, self.shape, x, y)


BackgroundEstimator = Callable[[np.ndarray, np.ndarray], Background]
"""Sky of an image (float32, finite) whose pixels with nonzero flags are left out; raises BadFrameError without any."""


def estimate_background(image: np.ndarray, pixel_flags: np.ndarray, box_pix: int = 64) -> Background:
    """Sky level and noise in boxes.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Finite values.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Nonzero pixels are left out.
    box_pix : int
        Side of a box, about [pixel].

    Returns
    -------
    Background

    Raises
    ------
    BadFrameError
        No box has enough clean pixels, or the pixels do not vary at all.
    """
    ny, nx = image.shape
    rows, columns = max(1, round(ny / box_pix)), max(1, round(nx / box_pix))
    level = np.empty((rows, columns), np.float32)
    rms = np.empty((rows, columns), np.float32)
    scratch = np.empty((box_pix + box_pix // 2 + 1) ** 2, np.float32)
    _box_statistics(image, pixel_flags, box_pix, level, rms, scratch)
    if not np.isfinite(level).any():
        raise BadFrameError("no clean pixels to measure the sky")
    if not (rms[np.isfinite(rms)] > 0).any():
        raise BadFrameError("all pixels have the same value")
    rms[~(rms > 0)] = np.nan
    level[np.isnan(rms)] = np.nan
    return Background(_fill_and_filter(level, trend=True), _fill_and_filter(rms), box_pix, (ny, nx))


@dataclass(frozen=True)
class BoxBackground:
    """A `BackgroundEstimator`: `estimate_background` in boxes of one size.

    Attributes
    ----------
    box_pix : int
        Side of a box, about [pixel].
    """

    box_pix: int = 64

    def __call__(self, image: np.ndarray, pixel_flags: np.ndarray) -> Background:
        """Sky level and noise of an image; see `estimate_background`."""
        return estimate_background(image, pixel_flags, self.box_pix)


def subtract_background(image: np.ndarray, background: Background) -> np.ndarray:
    """Image without its sky.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
    background : Background

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        A new image.
    """
    result = np.empty_like(image)
    wx, ix = _mesh_weights(image.shape[1], background.level.shape[1])
    wy, iy = _mesh_weights(image.shape[0], background.level.shape[0])
    starts = np.concatenate([[0], np.flatnonzero(np.any(np.diff(ix, axis=0) != 0, axis=1)) + 1, [len(ix)]])
    line = np.empty(background.level.shape[1], np.float32)
    _subtract(image, background.level, np.ascontiguousarray(wx.T), ix, starts, wy, iy, line, result)
    return result


def _mesh_weights(n: int, n_mesh: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (n, 4) and mesh indices (n, 4) of the cubic convolution for each pixel of an axis."""
    return _mesh_weights_at(np.arange(n, dtype=np.float64), n, n_mesh)


def _mesh_weights_at(pixel: np.ndarray, n: int, n_mesh: int) -> tuple[np.ndarray, np.ndarray]:
    """Cubic between the middles of the boxes, straight in the outer half of the outermost ones."""
    position = np.clip((pixel + 0.5) * n_mesh / n - 0.5, -0.5, n_mesh - 0.5) if n_mesh > 1 else np.zeros(len(pixel))
    first = np.clip(np.floor(position), 0.0, max(n_mesh - 2, 0))
    t = position - first
    weights = np.stack(cubic_weights(t), axis=1)
    outside = (t < 0) | (t > 1)
    weights[outside] = np.stack([np.zeros_like(t), 1 - t, t, np.zeros_like(t)], axis=1)[outside]
    indices = np.clip(first[:, None].astype(np.int64) + np.arange(-1, 3), 0, n_mesh - 1)
    return np.ascontiguousarray(weights, np.float32), indices


def _mesh_at(mesh: np.ndarray, shape: tuple[int, int], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    wx, ix = _mesh_weights_at(np.asarray(x, np.float64), shape[1], mesh.shape[1])
    wy, iy = _mesh_weights_at(np.asarray(y, np.float64), shape[0], mesh.shape[0])
    return np.einsum("ni,nj,nij->n", wy, wx, mesh[iy[:, :, None], ix[:, None, :]].astype(np.float64))


def _fill_and_filter(mesh: np.ndarray, *, trend: bool = False) -> np.ndarray:
    """Fill empty boxes from their neighbours, ring by ring, then take the 3x3 median.

    With `trend`, of what a quadratic surface leaves: the median of a summit lies below it, that of an edge beside it.
    """
    mesh = mesh.astype(np.float64)
    while np.isnan(mesh).any():
        windows = _windows(mesh)
        counts = np.isfinite(windows).sum(axis=-1)
        sums = np.nansum(windows, axis=-1)
        fill = np.isnan(mesh) & (counts > 0)
        mesh[fill] = sums[fill] / counts[fill]
    smooth = np.zeros_like(mesh)
    rows, columns = mesh.shape
    if trend and min(rows, columns) >= LEAST_TREND:
        y, x = (values.ravel() for values in np.indices(mesh.shape))
        surface = fit_surface(x, y, mesh.ravel(), np.zeros(mesh.size), mesh.shape, 2)
        smooth = surface.value(x, y).reshape(mesh.shape)
    return (smooth + np.median(_windows(mesh - smooth, "edge"), axis=-1)).astype(np.float32)


def _windows(mesh: np.ndarray, mode: str = "constant") -> np.ndarray:
    values: dict[str, Any] = {"constant_values": np.nan} if mode == "constant" else {}
    how: Any = mode
    padded = np.pad(mesh, 1, mode=how, **values)
    view = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return view.reshape(*mesh.shape, 9)


@device
def _clipped_sums(values: np.ndarray, n: int, centre: float, lower: float, upper: float) -> tuple[float, float, float]:
    count: Any = np.float32(0.0)
    total: Any = 0.0
    square: Any = 0.0
    step = 256
    for start in range(0, n, step):
        c = np.float32(0.0)
        s = np.float32(0.0)
        q = np.float32(0.0)
        block = values[start : min(start + step, n)]
        for i in range(len(block)):
            d = block[i] - np.float32(centre)
            inside = np.float32(1.0) if (d >= np.float32(lower)) & (d <= np.float32(upper)) else np.float32(0.0)
            c += inside
            s += inside * d
            q += inside * d * d
        count += c
        total += s
        square += q
    return count, total, square


@kernel(
    "void(float32[:, ::1], uint8[:, ::1], int64, float32[:, ::1], float32[:, ::1], float32[::1])",
    fastmath=True,
)
def _box_statistics(
    image: np.ndarray, flags: np.ndarray, box: int, level: np.ndarray, rms: np.ndarray, scratch: np.ndarray
) -> None:
    ny, nx = image.shape
    rows, columns = level.shape
    step = ROW_STEP if box >= 32 else 1
    for row in range(rows):
        y0 = row * ny // rows
        y1 = (row + 1) * ny // rows
        for column in range(columns):
            x0 = column * nx // columns
            x1 = (column + 1) * nx // columns
            n = 0
            for y in range(y0, y1, step):
                for x in range(x0, x1):
                    scratch[n] = image[y, x]
                    n += 1 if flags[y, x] == 0 else 0
            if n * step < MIN_BOX_FRACTION * (y1 - y0) * (x1 - x0) or n < 16:
                level[row, column] = np.nan
                rms[row, column] = np.nan
                continue
            # The 16th and the 50th percentile of every 8th pixel start the clipping well even under bright stars.
            stride = max(1, n // 512)
            m = 0
            for i in range(0, n, stride):
                swap = scratch[m]
                scratch[m] = scratch[i]
                scratch[i] = swap
                m += 1
            median = kth_smallest(scratch, m, m // 2)
            sigma = median - kth_smallest(scratch, m, int(0.16 * m))
            centre = median
            mean = 0.0
            for _ in range(CLIP_ROUNDS):
                if not sigma > 0:
                    break
                limit = CLIP_SIGMA * sigma
                count, total, square = _clipped_sums(scratch, n, centre, -limit, limit)
                mean = total / count
                # Clipping a normal distribution at 3 sigma narrows it to 0.9866 sigma.
                new = np.sqrt(max(square / count - mean * mean, 0.0)) / 0.9866
                centre += mean
                mean = 0.0
                done = abs(new - sigma) < 0.003 * sigma
                sigma = new
                if done:
                    break
            level[row, column] = centre
            rms[row, column] = sigma


@kernel(
    "void(float32[:, ::1], float32[:, ::1], float32[:, ::1], int64[:, ::1], int64[::1], float32[:, ::1],"
    " int64[:, ::1], float32[::1], float32[:, ::1])",
    fastmath=True,
)
def _subtract(
    image: np.ndarray,
    mesh: np.ndarray,
    wx: np.ndarray,
    ix: np.ndarray,
    starts: np.ndarray,
    wy: np.ndarray,
    iy: np.ndarray,
    line: np.ndarray,
    result: np.ndarray,
) -> None:
    """`starts`: columns at which the mesh indices `ix` change; between them a row is a plain loop."""
    for y in range(image.shape[0]):
        for column in range(mesh.shape[1]):
            line[column] = (
                wy[y, 0] * mesh[iy[y, 0], column]
                + wy[y, 1] * mesh[iy[y, 1], column]
                + wy[y, 2] * mesh[iy[y, 2], column]
                + wy[y, 3] * mesh[iy[y, 3], column]
            )
        for k in range(len(starts) - 1):
            first, last = starts[k], starts[k + 1]
            c0, c1 = line[ix[first, 0]], line[ix[first, 1]]
            c2, c3 = line[ix[first, 2]], line[ix[first, 3]]
            w0, w1, w2, w3 = wx[0, first:last], wx[1, first:last], wx[2, first:last], wx[3, first:last]
            pixels, out = image[y, first:last], result[y, first:last]
            for x in range(last - first):
                out[x] = pixels[x] - (w0[x] * c0 + w1[x] * c1 + w2[x] * c2 + w3[x] * c3)
