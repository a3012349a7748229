"""Mean of an image in rings around places."""

from typing import Any, NamedTuple

import numpy as np

from gaiaflux.core.kernels.compile import kernel
from gaiaflux.core.kernels.devices import kth_smallest

__all__ = ["LEAST_PIXELS", "RingMeans", "ring_means"]

LEAST_PIXELS = 20
CLIP_SIGMA = 3.0


class RingMeans(NamedTuple):
    """Means in rings, and their variance by the pixels' noise, of shape (n, n_rings); NaN and inf with few pixels."""

    level: np.ndarray
    variance: np.ndarray


def ring_means(
    residual: np.ndarray, weight: np.ndarray, x: np.ndarray, y: np.ndarray, edges: np.ndarray, most: int
) -> RingMeans:
    """Weighted mean of an image in rings around places, clipped at three times the noise of a pixel.

    Parameters
    ----------
    residual : ndarray of float32, shape (ny, nx)
        Image, C-contiguous.
    weight : ndarray of float32, shape (ny, nx)
        Inverse variance; 0 = not used.
    x, y : ndarray, shape (n,)
        Places [pixel].
    edges : ndarray, shape (n_rings + 1,)
        Radii between which the rings lie, ascending [pixel].
    most : int
        Pixels of a ring that are used, about: of a wider one a part, evenly spread.

    Returns
    -------
    RingMeans
        NaN with fewer than 20 good pixels.
    """
    n, n_rings = len(x), len(edges) - 1
    level, variance = np.full((n, n_rings), np.nan), np.full((n, n_rings), np.inf)
    places = (np.ascontiguousarray(values, np.float64) for values in (x, y))
    edges = np.asarray(edges, np.float64)
    scratch = np.empty(most, np.float32)
    _ring_means(residual, weight, *places, edges, CLIP_SIGMA, LEAST_PIXELS, scratch, level, variance)
    return RingMeans(level, variance)


@kernel(
    "void(float32[:, ::1], float32[:, ::1], float64[::1], float64[::1], float64[::1], float64, int64, float32[::1],"
    " float64[:, ::1], float64[:, ::1])"
)
def _ring_means(
    residual: np.ndarray,
    weight: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    edges: np.ndarray,
    clip: float,
    least: int,
    scratch: np.ndarray,
    level: np.ndarray,
    variance: np.ndarray,
) -> None:
    """The median of some pixels, then the mean of those near it."""
    ny, nx = residual.shape
    for k in range(len(x)):
        for ring in range(len(edges) - 1):
            inner, outer = edges[ring], edges[ring + 1]
            # Of a wide ring some pixels say enough.
            step = max(1, int(np.pi * (outer * outer - inner * inner) / len(scratch)))
            middle = 0.0
            for turn in range(2):
                total: Any = 0.0
                power: Any = 0.0
                n = 0
                for j in range(max(0, int(np.ceil(y[k] - outer))), min(ny - 1, int(np.floor(y[k] + outer))) + 1):
                    dy2 = (j - y[k]) ** 2
                    if dy2 > outer * outer:
                        continue
                    width = np.sqrt(outer * outer - dy2)
                    for i in range(max(0, int(np.ceil(x[k] - width))), min(nx - 1, int(np.floor(x[k] + width))) + 1):
                        w = weight[j, i]
                        if (i + j) % step != 0 or not w > 0 or (i - x[k]) ** 2 + dy2 < inner * inner:
                            continue
                        d = residual[j, i] - middle
                        if turn == 0:
                            if n < len(scratch):
                                scratch[n] = residual[j, i]
                            n += 1
                        elif d * d * w <= clip * clip:
                            total += w * residual[j, i]
                            power += w
                            n += 1
                if n < least:
                    break
                if turn == 0:
                    m = min(n, len(scratch))
                    middle = kth_smallest(scratch, m, m // 2)
                else:
                    middle = total / power
            if n >= least:
                level[k, ring] = middle
                variance[k, ring] = 1.0 / power
