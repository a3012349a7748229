"""Smooth functions of the position in the frame: robust, weighted polynomials of low order."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.maths.polynomials import n_terms, polynomial_terms
from gaiaflux.core.maths.robust import MAD_TO_SIGMA

__all__ = ["Surface", "fit_surface", "frame_terms"]

_FITS = 5  # in turns with the clipping


@dataclass(frozen=True)
class Surface:
    """Polynomial of total degree `order` in x and y, which are scaled to -1..1 over the frame.

    Attributes
    ----------
    coefficients : ndarray of float64, shape (n_terms,)
        In the order of `frame_terms`.
    covariance : ndarray of float64, shape (n_terms, n_terms)
        Of the coefficients.
    order : int
        Total degree.
    shape : tuple of int
        (ny, nx) of the frame.
    scatter : float
        Scatter about the surface beyond the given errors, one sigma.
    n_used : int
        Points left after clipping.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    order: int
    shape: tuple[int, int]
    scatter: float
    n_used: int

    def value(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Value at positions x, y [pixel, 0-based], shape (n,)."""
        return frame_terms(x, y, self.shape, self.order) @ self.coefficients

    def error(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """One-sigma error of `value`, without the scatter, shape (n,)."""
        design = frame_terms(x, y, self.shape, self.order)
        return np.sqrt(np.maximum(np.sum((design @ self.covariance) * design, axis=1), 0.0))

    def gradient(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slopes along x and y [per pixel], each of shape (n,); exact for order <= 2."""
        value = [self.value(x + dx, y + dy) for dx, dy in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))]
        return value[0] - value[1], value[2] - value[3]


def fit_surface(
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    z_err: np.ndarray,
    shape: tuple[int, int],
    order: int,
    *,
    clip: float = 4.0,
) -> Surface:
    """Fit a polynomial with weights 1 / (error^2 + scatter^2); the scatter is estimated with it.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Positions [pixel, 0-based].
    z, z_err : ndarray, shape (n,)
        Finite values and errors; errors may be zero (the scatter is then the error).
    shape : tuple of int
        (ny, nx) of the frame.
    order : int
        Total degree; lowered if there are fewer points than terms.
    clip : float
        Points farther than this many sigmas are left out.

    Returns
    -------
    Surface
        With infinite errors where a single point leaves them unknown.

    Raises
    ------
    ValueError
        No point at all.
    """
    z = np.asarray(z, np.float64)
    if len(z) == 0:
        raise ValueError("a surface needs at least one point")
    while order > 0 and len(z) <= n_terms(order):
        order -= 1
    design = frame_terms(x, y, shape, order)
    size = design.shape[1]
    variance = np.asarray(z_err, np.float64) ** 2
    tiny = max(1e-12 * float(np.max(np.abs(z))), 1e-50) ** 2
    # Start from the median: a constant cannot be pulled by outliers.
    residual = z - _median(z)
    spread2 = (MAD_TO_SIGMA * _median(np.abs(residual))) ** 2
    kept = residual**2 <= clip**2 * (variance + spread2) + tiny
    scatter2 = spread2
    coefficients, covariance = np.zeros(size), np.zeros((size, size))
    for _ in range(_FITS):
        weight = np.where(kept, 1.0 / (variance + scatter2 + tiny), 0.0)
        normal = design.T @ (design * weight[:, None])
        # A breath of ridge keeps the matrix invertible where the points are in one place.
        normal[np.diag_indices(size)] *= 1.0 + 1e-9
        covariance = np.linalg.inv(normal)
        coefficients = covariance @ (design.T @ (weight * z))
        residual2 = (z - design @ coefficients) ** 2
        n_kept = int(np.count_nonzero(kept))
        if n_kept > size:
            dof = n_kept / (n_kept - size)
            excess = np.sum(weight**2 * (residual2 * dof - variance)) / np.sum(weight**2)
            scatter2 = max(float(excess), 0.0)
        total = variance + scatter2 + tiny
        # Median based: so far off may the scatter of the kept points be while outliers are still among them.
        robust2 = _median(residual2 / total) / 0.4549
        kept = residual2 <= clip**2 * total * min(max(robust2, 1e-6), 1.0 if n_kept > size else np.inf) + tiny
        if np.count_nonzero(kept) <= size:
            kept[:] = True
    return Surface(
        coefficients, covariance, order, (shape[0], shape[1]), float(np.sqrt(scatter2)), int(np.count_nonzero(kept))
    )


def frame_terms(x: np.ndarray, y: np.ndarray, shape: tuple[int, int], order: int) -> np.ndarray:
    """Terms of `polynomial_terms` of positions scaled to -1..1 over the frame.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Positions [pixel].
    shape : tuple of int
        (ny, nx) of the frame.
    order : int
        Total degree.

    Returns
    -------
    ndarray of float64, shape (n, n_terms)
        C-contiguous.
    """
    ny, nx = shape
    half_x, half_y = max((nx - 1) / 2, 1.0), max((ny - 1) / 2, 1.0)
    u = np.asarray(x, np.float64) / half_x - (nx - 1) / 2 / half_x
    v = np.asarray(y, np.float64) / half_y - (ny - 1) / 2 / half_y
    return np.ascontiguousarray(polynomial_terms(u, v, order))


def _median(values: np.ndarray) -> float:
    """Upper median: `numpy.median` takes longer than the fit."""
    return float(np.partition(values, len(values) // 2)[len(values) // 2])
