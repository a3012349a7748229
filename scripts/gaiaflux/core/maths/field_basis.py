"""Low-order polynomials over the field of view, centred on a set of stars."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.maths.polynomials import STARS_PER_TERM, n_terms, power_terms

__all__ = ["FieldBasis", "field_order", "make_basis"]

_LEAST_EIGENVALUE = 0.02


@dataclass(frozen=True)
class FieldBasis:
    """Terms 1, u, v, u^2, u v, v^2, ... with u = (x - x0) / half and v = (y - y0) / half, less `means`.

    Attributes
    ----------
    x0, y0, half : float
        Centre and half size of the field [pixel].
    order : int
        Highest order.
    means : ndarray of float64, shape (k,)
        Mean of each term over the stars that it is centred on; 0 for the constant.
    """

    x0: float
    y0: float
    half: float
    order: int
    means: np.ndarray

    def terms(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Terms at positions.

        Parameters
        ----------
        x, y : ndarray, shape (n,)
            Position [pixel]; where NaN, the terms are 0 but for the constant.

        Returns
        -------
        ndarray of float64, shape (n, k)
            The first column is 1.
        """
        known = np.isfinite(x) & np.isfinite(y)
        values = power_terms((x - self.x0) / self.half, (y - self.y0) / self.half, self.order) - self.means
        values[~known] = 0.0
        values[:, 0] = 1.0
        return values


def make_basis(x: np.ndarray, y: np.ndarray, stars: np.ndarray, order: int) -> FieldBasis:
    """Basis scaled to, and centred on, some of the stars.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Positions [pixel].
    stars : ndarray of bool, shape (n,)
        Which stars count; none is allowed.
    order : int
        Highest order.

    Returns
    -------
    FieldBasis
        The basis.
    """
    x, y = x[stars], y[stars]
    if x.size == 0:
        return FieldBasis(0.0, 0.0, 1.0, order, np.zeros(n_terms(order)))
    x0, y0 = 0.5 * (x.min() + x.max()), 0.5 * (y.min() + y.max())
    half = max(np.ptp(x), np.ptp(y), 2.0) / 2.0
    means = power_terms((x - x0) / half, (y - y0) / half, order).mean(axis=0)
    means[0] = 0.0
    return FieldBasis(float(x0), float(y0), float(half), order, means)


def field_order(x: np.ndarray, y: np.ndarray, present: np.ndarray, highest: int) -> np.ndarray:
    """Highest order that the stars of each frame can carry: five stars for each term, spread over the field.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Positions [pixel].
    present : ndarray of bool, shape (n, m)
        Which star is in which frame.
    highest : int
        Limit.

    Returns
    -------
    ndarray of int, shape (m,)
        0 to `highest`.
    """
    count = present.sum(axis=0)
    order = np.zeros(present.shape[1], dtype=int)
    for trial in range(1, highest + 1):
        terms = make_basis(x, y, np.asarray(present.any(axis=1)), trial).terms(x, y)
        terms /= np.sqrt(np.maximum((terms**2).mean(axis=0), 1e-12))
        gram = np.einsum("nj,nk,nl->jkl", present.astype(float), terms, terms, optimize=True)
        least = np.linalg.eigvalsh(gram / np.maximum(count, 1)[:, None, None])[:, 0]
        order[(count >= STARS_PER_TERM * n_terms(trial)) & (least > _LEAST_EIGENVALUE)] = trial
    return order
