"""Polynomials of two variables up to a total degree: their terms, their order, and how many points they need.

Terms are u^p v^q sorted by p + q, then by q: 1, u, v, u^2, u v, v^2, ... A matrix of terms has a row for each point and
a column for each term. How coordinates are scaled is the caller's business: best to values between -1 and 1.
"""

import numpy as np

__all__ = ["STARS_PER_TERM", "exponents", "n_terms", "order_for", "polynomial_terms", "power_terms", "square"]

STARS_PER_TERM = 5
"""Points that each term of a polynomial over the field asks for."""


def exponents(order: int) -> list[tuple[int, int]]:
    """Powers (p, q) of the terms u^p v^q with p + q <= order, sorted by p + q, then by q."""
    return [(degree - q, q) for degree in range(order + 1) for q in range(degree + 1)]


def n_terms(order: int | np.ndarray) -> int | np.ndarray:
    """Number of terms of an order, or of each of several."""
    return (order + 1) * (order + 2) // 2


def order_for(n_points: int, max_order: int) -> int:
    """Highest order that a number of points supports (five points for each term).

    Parameters
    ----------
    n_points : int
        Number of points.
    max_order : int
        Highest order wanted.

    Returns
    -------
    int
        Order, at least 0.
    """
    return max((k for k in range(max_order + 1) if n_points >= STARS_PER_TERM * n_terms(k)), default=0)


def polynomial_terms(u: np.ndarray, v: np.ndarray, order: int) -> np.ndarray:
    """Terms at points, each made of one of a degree less.

    Parameters
    ----------
    u, v : ndarray, shape (n,)
        Coordinates.
    order : int
        Highest p + q.

    Returns
    -------
    ndarray of float64, shape (n, n_terms)
        The values of each term are contiguous in memory.
    """
    rows = np.empty((n_terms(order), len(u)))
    rows[0] = 1.0
    k = 1
    for degree in range(1, order + 1):
        for q in range(degree + 1):
            # Every term is one of the terms of a degree less, times u or v.
            previous = k - degree if q < degree else k - degree - 1
            np.multiply(rows[previous], u if q < degree else v, out=rows[k])
            k += 1
    return rows.T


def power_terms(u: np.ndarray, v: np.ndarray, order: int) -> np.ndarray:
    """The same terms as powers of u and v; from degree 3 on they differ from `polynomial_terms` in the last digit.

    Parameters
    ----------
    u, v : ndarray, shape (n,)
        Coordinates.
    order : int
        Highest p + q.

    Returns
    -------
    ndarray of float64, shape (n, n_terms)
        The terms of each point are contiguous in memory.
    """
    return np.stack([u**p * v**q for p, q in exponents(order)], axis=-1)


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
