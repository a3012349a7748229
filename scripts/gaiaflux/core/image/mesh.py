"""Values on a mesh of boxes: their measurement in an image, and the way from the mesh to pixels.

A box's value is the iterated clipped mean of its pixels, started from their median. Between the middles of the boxes a
cubic convolution (Keys 1981, IEEE TASSP 29, 1153) interpolates.
"""

from typing import Any, NamedTuple

import numpy as np

from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.kernels.devices import cubic_weights, kth_smallest

__all__ = [
    "BoxStatistics",
    "box_statistics",
    "clipped_level",
    "fill_empty",
    "mesh_shape",
    "mesh_weights",
    "subtract_mesh",
    "windows",
]

CLIP_SIGMA = 3.0
CLIP_ROUNDS = 6
ROW_STEP = 2  # every second row: 2048 pixels of a box know the sky to 1/45 of its noise
MIN_BOX_FRACTION = 0.25  # of clean pixels, below which a box has no value


class BoxStatistics(NamedTuple):
    """Clipped mean, one-pixel noise and number of pixels that counted, of each box.

    Arrays of float32, shape (n_box_rows, n_box_columns); mean and noise are NaN in a box with too few clean pixels.
    """

    level: np.ndarray
    rms: np.ndarray
    number: np.ndarray


def mesh_shape(shape: tuple[int, int], box_pix: int) -> tuple[int, int]:
    """Rows and columns of boxes that an image is divided into.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx) of the image.
    box_pix : int
        Side of a box, about [pixel].

    Returns
    -------
    tuple of int
        At least one each.
    """
    return max(1, round(shape[0] / box_pix)), max(1, round(shape[1] / box_pix))


def box_statistics(
    image: np.ndarray,
    flags: np.ndarray,
    box_pix: int,
    *,
    slopes: tuple[np.ndarray, np.ndarray] | None = None,
    wanted: np.ndarray | None = None,
    row_step: int | None = None,
) -> BoxStatistics:
    """Clipped statistics of the boxes of an image.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Finite where it is not flagged.
    flags : ndarray of uint8, shape (ny, nx)
        Nonzero pixels are left out.
    box_pix : int
        Side of a box, about [pixel].
    slopes : tuple of ndarray of float32, shape (n_box_rows, n_box_columns), optional
        Slopes of the image along x and y in each box [unit/pixel]: they are taken off about the box's middle, so that
        neither do they widen the distribution nor do left out pixels to one side move its mean.
    wanted : ndarray of bool, shape (n_box_rows, n_box_columns), optional
        Boxes to measure; the others have no value.
    row_step : int, optional
        Every so many rows are looked at; every second where the boxes are large.

    Returns
    -------
    BoxStatistics
    """
    mesh = mesh_shape(image.shape, box_pix)
    found = BoxStatistics(*(np.empty(mesh, np.float32) for _ in range(3)))
    flat = np.zeros(mesh, np.float32)
    along_x, along_y = slopes or (flat, flat)
    want = np.ones(mesh, np.uint8) if wanted is None else wanted.astype(np.uint8)
    step = row_step or (ROW_STEP if box_pix >= 32 else 1)
    scratch = np.empty((box_pix + box_pix // 2 + 1) ** 2, np.float32)
    _box_statistics(image, flags, want, along_x, along_y, step, *found, scratch)
    return found


def mesh_weights(
    pixel: np.ndarray, n: int, n_mesh: int, *, smooth_edges: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """What each node of one axis of a mesh counts at places of that axis.

    Cubic between the middles of the boxes, straight in the outer half of the outermost ones.

    Parameters
    ----------
    pixel : ndarray of float64, shape (n_places,)
        0-based, integer = middle of a pixel; beyond the image its edge counts.
    n, n_mesh : int
        Pixels and nodes of the axis.
    smooth_edges : bool
        The mesh goes on beyond its outermost nodes as the parabola through the last three, so that lines and parabolas
        stay what they are up to the edge; else with the outermost value between the last two nodes, which bends even a
        line by up to 2/27 of a step, and straight beyond.

    Returns
    -------
    weights : ndarray of float32, shape (n_places, 4)
    indices : ndarray of int64, shape (n_places, 4)
        Nodes; one may stand there twice at the edge.
    """
    position = np.clip((pixel + 0.5) * n_mesh / n - 0.5, -0.5, n_mesh - 0.5) if n_mesh > 1 else np.zeros(len(pixel))
    first = np.clip(np.floor(position), 0.0, max(n_mesh - 2, 0))
    t = position - first
    weights = np.stack(cubic_weights(t), axis=1)
    outside = (t < 0) | (t > 1)
    weights[outside] = np.stack([np.zeros_like(t), 1 - t, t, np.zeros_like(t)], axis=1)[outside]
    if smooth_edges and n_mesh > 1:
        _mend_edges(weights, t, first == 0, n_mesh)
        _mend_edges(weights[:, ::-1], 1.0 - t, first == n_mesh - 2, n_mesh)
    indices = np.clip(first[:, None].astype(np.int64) + np.arange(-1, 3), 0, n_mesh - 1)
    return np.ascontiguousarray(weights, np.float32), indices


def _mend_edges(weights: np.ndarray, t: np.ndarray, edge: np.ndarray, n_mesh: int) -> None:
    """Give the weight of the node beyond the edge, which comes first, to those inside; in place."""
    out = edge & (t < 0)
    if n_mesh > 2:
        # Keys' own boundary; its parabola has the same slope at the outermost node.
        ghost = np.where(edge & ~out, weights[:, 0], 0.0)[:, None] * np.array([0.0, 3.0, -3.0, 1.0])
        parabola = np.stack([0.0 * t, 0.5 * (t - 1.0) * (t - 2.0), t * (2.0 - t), 0.5 * t * (t - 1.0)], axis=1)
        weights[out] = parabola[out]
    else:
        ghost = np.where(edge & ~out, weights[:, 0], 0.0)[:, None] * np.array([0.0, 2.0, -1.0, 0.0])
    weights[edge & ~out, 0] = 0.0
    weights += ghost


def fill_empty(mesh: np.ndarray) -> np.ndarray:
    """Mesh whose empty boxes have the mean of their neighbours, ring by ring.

    Parameters
    ----------
    mesh : ndarray, shape (n_box_rows, n_box_columns)
        NaN = empty; not all of it.

    Returns
    -------
    ndarray of float64, shape (n_box_rows, n_box_columns)
    """
    mesh = mesh.astype(np.float64)
    while np.isnan(mesh).any():
        around = windows(mesh)
        counts = np.isfinite(around).sum(axis=-1)
        sums = np.nansum(around, axis=-1)
        fill = np.isnan(mesh) & (counts > 0)
        mesh[fill] = sums[fill] / counts[fill]
    return mesh


def windows(mesh: np.ndarray, mode: str = "constant") -> np.ndarray:
    """Each box with its eight neighbours.

    Parameters
    ----------
    mesh : ndarray of float64, shape (n_box_rows, n_box_columns)
        Any values.
    mode : str
        Of `numpy.pad`, beyond the edge: "constant" is NaN there.

    Returns
    -------
    ndarray of float64, shape (n_box_rows, n_box_columns, 9)
    """
    values: dict[str, Any] = {"constant_values": np.nan} if mode == "constant" else {}
    how: Any = mode
    padded = np.pad(mesh, 1, mode=how, **values)
    view = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return view.reshape(*mesh.shape, 9)


def subtract_mesh(image: np.ndarray, mesh: np.ndarray, *, smooth_edges: bool = False) -> np.ndarray:
    """Image without what a mesh has in its pixels.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Any values.
    mesh : ndarray of float32, shape (n_box_rows, n_box_columns)
        Finite.
    smooth_edges : bool
        As in `mesh_weights`.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        A new image.
    """
    result = np.empty_like(image)
    (wy, iy), (wx, ix) = (
        mesh_weights(np.arange(n, dtype=np.float64), n, n_mesh, smooth_edges=smooth_edges)
        for n, n_mesh in zip(image.shape, mesh.shape, strict=True)
    )
    starts = np.concatenate([[0], np.flatnonzero(np.any(np.diff(ix, axis=0) != 0, axis=1)) + 1, [len(ix)]])
    line = np.empty(mesh.shape[1], np.float32)
    _subtract(image, mesh, np.ascontiguousarray(wx.T), ix, starts, wy, iy, line, result)
    return result


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


@device
def clipped_level(scratch: np.ndarray, n: int) -> tuple[float, float, float]:
    """Clipped mean, scatter and number of the first n values, which are reordered; n is 1 at least."""
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
    kept: Any = np.float32(n)
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
        kept = count
        done = abs(new - sigma) < 0.003 * sigma
        sigma = new
        if done:
            break
    return centre, sigma, kept


@kernel(
    "void(float32[:, ::1], uint8[:, ::1], uint8[:, ::1], float32[:, ::1], float32[:, ::1], int64, float32[:, ::1],"
    " float32[:, ::1], float32[:, ::1], float32[::1])",
    fastmath=True,
)
def _box_statistics(
    image: np.ndarray,
    flags: np.ndarray,
    wanted: np.ndarray,
    slope_x: np.ndarray,
    slope_y: np.ndarray,
    step: int,
    level: np.ndarray,
    rms: np.ndarray,
    number: np.ndarray,
    scratch: np.ndarray,
) -> None:
    ny, nx = image.shape
    rows, columns = level.shape
    for row in range(rows):
        y0 = row * ny // rows
        y1 = (row + 1) * ny // rows
        for column in range(columns):
            x0 = column * nx // columns
            x1 = (column + 1) * nx // columns
            along_x, along_y = slope_x[row, column], slope_y[row, column]
            middle_x = np.float32(0.5 * (x0 + x1 - 1))
            middle_y = np.float32(0.5 * (y0 + y1 - 1))
            n = 0
            for y in range(y0, y1 if wanted[row, column] else y0, step):
                tilt = along_y * (np.float32(y) - middle_y)
                for x in range(x0, x1):
                    scratch[n] = image[y, x] - (tilt + along_x * (np.float32(x) - middle_x))
                    n += 1 if flags[y, x] == 0 else 0
            if n * step < MIN_BOX_FRACTION * (y1 - y0) * (x1 - x0) or n < 16:
                level[row, column] = np.nan
                rms[row, column] = np.nan
                number[row, column] = 0.0
                continue
            level[row, column], rms[row, column], number[row, column] = clipped_level(scratch, n)


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
