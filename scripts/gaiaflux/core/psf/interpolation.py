"""Cubic convolution of tables of a PSF (Keys 1981, IEEE TASSP 29, 1153), and its derivatives."""

from collections.abc import Callable

import numpy as np

from gaiaflux.core.kernels.compile import device
from gaiaflux.core.kernels.devices import cubic_weights

__all__ = ["cubic_slopes", "interpolate"]

Weights = Callable[[np.ndarray], tuple[np.ndarray, ...]]


@device
def cubic_slopes(t: float) -> tuple[float, float, float, float]:
    """Derivatives of `gaiaflux.core.kernels.devices.cubic_weights` with respect to `t`; arrays in Python."""
    return (
        -0.5 + t * (2.0 - 1.5 * t),
        t * (-5.0 + 4.5 * t),
        0.5 + t * (4.0 - 4.5 * t),
        t * (-1.0 + 1.5 * t),
    )


def interpolate(
    nodes: np.ndarray, dx: np.ndarray, dy: np.ndarray, across: Weights = cubic_weights, along: Weights = cubic_weights
) -> np.ndarray:
    """Cubic convolution of a table whose middle is offset 0; zero outside of it.

    Parameters
    ----------
    nodes : ndarray, shape (size, size)
        Values at whole offsets; size is odd.
    dx, dy : ndarray
        Offsets, of one shape.
    across, along : callable
        Weights of the nodes in x and in y: `cubic_slopes` gives the derivative.

    Returns
    -------
    ndarray of float64
        Of the shape of `dx`.
    """
    half = (nodes.shape[0] - 1) // 2
    padded = np.pad(nodes, 2)
    result = np.zeros(np.broadcast(dx, dy).shape)
    px, py = dx + half, dy + half
    inside = (px > -2) & (py > -2) & (px < 2 * half + 2) & (py < 2 * half + 2)
    px, py = np.where(inside, px, 0.0), np.where(inside, py, 0.0)
    ix, iy = np.floor(px).astype(int), np.floor(py).astype(int)
    for j, wy in enumerate(along(py - iy)):
        for i, wx in enumerate(across(px - ix)):
            rows, columns = iy + j + 1, ix + i + 1
            known = (rows >= 0) & (rows < padded.shape[0]) & (columns >= 0) & (columns < padded.shape[1])
            taken = padded[np.where(known, rows, 0), np.where(known, columns, 0)]
            result += np.where(known, wy * wx * taken, 0.0)
    return np.where(inside, result, 0.0)
