"""What several kernels need: the k-th smallest value, and the inverse of a symmetric 3 x 3 matrix."""

import numpy as np

from gaiaflux.core.compiled import device

__all__ = ["inverse_symmetric3", "kth_smallest"]


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
