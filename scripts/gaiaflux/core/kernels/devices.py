"""What several kernels need: order statistics, the inverse of a symmetric 3 x 3 matrix, cubic interpolation."""

import numpy as np

from gaiaflux.core.kernels.compile import device

__all__ = ["cubic_weights", "inverse_symmetric3", "kth_smallest"]


@device
def kth_smallest(values: np.ndarray, n: int, k: int) -> float:
    """Return the k-th smallest of the first n values, which are reordered (Hoare's quickselect)."""
    low, high = 0, n - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                swap = values[i]
                values[i] = values[j]
                values[j] = swap
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]


@device
def inverse_symmetric3(
    h00: float, h01: float, h02: float, h11: float, h12: float, h22: float, smallest: float
) -> tuple[float, float, float, float, float, float, bool]:
    """Inverse of a symmetric matrix, and whether there is one.

    There is none, and the result is zero, where the determinant is below `smallest` times the product of the diagonal.
    """
    det = h00 * (h11 * h22 - h12 * h12) - h01 * (h01 * h22 - h12 * h02) + h02 * (h01 * h12 - h11 * h02)
    if not det > smallest * h00 * h11 * h22:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, False
    return (
        (h11 * h22 - h12 * h12) / det,
        (h02 * h12 - h01 * h22) / det,
        (h01 * h12 - h02 * h11) / det,
        (h00 * h22 - h02 * h02) / det,
        (h02 * h01 - h00 * h12) / det,
        (h00 * h11 - h01 * h01) / det,
        True,
    )


@device
def cubic_weights(t: float) -> tuple[float, float, float, float]:
    """Weights of the nodes at -1, 0, 1 and 2 for a place `t` from 0 to 1 (cubic convolution, a = -1/2).

    Keys (1981, IEEE TASSP 29, 1153). In Python `t` may be an array; the weights then have its shape.
    """
    return (
        t * (-0.5 + t * (1.0 - 0.5 * t)),
        1.0 + t * t * (-2.5 + 1.5 * t),
        t * (0.5 + t * (2.0 - 1.5 * t)),
        t * t * (-0.5 + 0.5 * t),
    )
