"""Polynomials of two variables up to a total degree, as a plate solution uses them."""

import numpy as np

__all__ = ["exponents", "polynomial_terms", "square"]


def exponents(order: int) -> list[tuple[int, int]]:
    """Powers (p, q) of the terms u^p v^q with p + q <= order, sorted by p + q, then by q."""
    return [(degree - q, q) for degree in range(order + 1) for q in range(degree + 1)]


def polynomial_terms(u: np.ndarray, v: np.ndarray, order: int) -> np.ndarray:
    """Products u^p v^q with p + q <= order, sorted by p + q, then by q.

    Parameters
    ----------
    u, v : ndarray, shape (n,)
        Coordinates, best between -1 and 1.
    order : int
        Highest p + q.

    Returns
    -------
    ndarray of float64, shape ((order + 1) * (order + 2) / 2, n)
        One row for each (p, q) of `_exponents`.
    """
    rows = np.empty((len(exponents(order)), len(u)))
    rows[0] = 1.0
    k = 1
    for degree in range(1, order + 1):
        for q in range(degree + 1):
            # Every term is one of the terms of a degree less, times u or v.
            previous = k - degree if q < degree else k - degree - 1
            np.multiply(rows[previous], u if q < degree else v, out=rows[k])
            k += 1
    return rows


def square(coefficients: np.ndarray, order: int, extent: float) -> np.ndarray:
    """Matrix of coefficients ``[p, q]`` for unscaled variables.

    Parameters
    ----------
    coefficients : ndarray, shape (n_terms,)
        In the order of `exponents`, for variables divided by `extent`.
    order : int
        Highest p + q.
    extent : float
        Scale of the variables.

    Returns
    -------
    ndarray of float64, shape (order + 1, order + 1)
    """
    matrix = np.zeros((order + 1, order + 1))
    for k, (p, q) in enumerate(exponents(order)):
        matrix[p, q] = coefficients[k] / extent ** (p + q)
    return matrix
