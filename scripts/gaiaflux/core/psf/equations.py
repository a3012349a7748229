"""Linear fit of the fluxes of all stars of a frame together: normal equations, their solution and its errors."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gaiaflux.core.kernels.compile import kernel
from gaiaflux.core.psf.protocol import Stamps
from gaiaflux.core.psf.sparse import conjugate_gradients, local_errors

__all__ = [
    "ROUGH",
    "NormalEquations",
    "StarSums",
    "close_pairs",
    "flux_errors",
    "neighbour_share",
    "normal_equations",
    "solve",
    "sum_stamps",
]

TOLERANCE = 1e-5  # of the last solution, all residuals together, in units of the stars' own errors
ROUGH = 1.0  # of those that another turn follows
MAX_ITERATIONS = 200
NEAREST = 16  # neighbours that the error of a star takes into account, the most influential ones
SAME_PLACE = 0.99  # overlap of two stars on one place
RIDGE = 1e-6  # of the diagonal: two stars on one place share their light instead of growing without bound
# Pairs whose stamps share less than this part of their weight do not know of each other.
LEAST_OVERLAP = 1e-4


@dataclass(frozen=True)
class StarSums:
    """Sums over the stamp of each star; every attribute has shape (n,).

    Attributes
    ----------
    gradient : ndarray of float64
        Sum of weight * PSF * residual.
    curvature : ndarray of float64
        Sum of weight * PSF^2.
    light : ndarray of float64
        Part of the PSF's light, within its circle, that falls on pixels with weight.
    chi2 : ndarray of float64
        Sum of weight * residual^2 over the pixels of the circle.
    n_pixels : ndarray of int64
        Pixels of the circle with weight.
    """

    gradient: np.ndarray
    curvature: np.ndarray
    light: np.ndarray
    chi2: np.ndarray
    n_pixels: np.ndarray


@dataclass(frozen=True)
class NormalEquations:
    """Symmetric sparse matrix: sums of weight * PSF_i * PSF_j.

    Attributes
    ----------
    diagonal : ndarray of float64, shape (n,)
    start : ndarray of int64, shape (n + 1,)
        Where the neighbours of each star begin in the arrays that follow.
    neighbour : ndarray of int64, shape (2 n_pairs,)
        Each pair is there twice.
    overlap : ndarray of float64, shape (2 n_pairs,)
        Off-diagonal elements.
    """

    diagonal: np.ndarray
    start: np.ndarray
    neighbour: np.ndarray
    overlap: np.ndarray


def sum_stamps(residual: np.ndarray, weight: np.ndarray, stamps: Stamps) -> StarSums:
    """Sums over each star's pixels.

    Parameters
    ----------
    residual : ndarray of float32, shape (ny, nx)
        Image without sky and without the stars' present model.
    weight : ndarray of float32, shape (ny, nx)
        Inverse variance; 0 = not used.
    stamps : Stamps

    Returns
    -------
    StarSums
    """
    n = len(stamps)
    gradient, curvature, light, chi2 = (np.zeros(n) for _ in range(4))
    n_pixels = np.zeros(n, np.int64)
    _sum_stamps(residual, weight, stamps.values, stamps.column, stamps.row, gradient, curvature, light, chi2, n_pixels)
    return StarSums(gradient, curvature, light, chi2, n_pixels)


def close_pairs(stamps: Stamps) -> np.ndarray:
    """Pairs of stars whose circles meet.

    Parameters
    ----------
    stamps : Stamps

    Returns
    -------
    ndarray of int64, shape (n_pairs, 2)
        Rows of the stars, the smaller one first.
    """
    order = np.argsort(stamps.row, kind="stable")
    n_pairs = _close_pairs(stamps.x, stamps.y, order, stamps.row, stamps.radius, np.zeros((0, 2), np.int64))
    pairs = np.zeros((n_pairs, 2), np.int64)
    _close_pairs(stamps.x, stamps.y, order, stamps.row, stamps.radius, pairs)
    return pairs


def normal_equations(
    weight: np.ndarray, stamps: Stamps, diagonal: np.ndarray, pairs: np.ndarray | None = None
) -> NormalEquations:
    """Overlaps of all pairs of stars.

    Parameters
    ----------
    weight : ndarray of float32, shape (ny, nx)
    stamps : Stamps
    diagonal : ndarray, shape (n,)
        `StarSums.curvature`.
    pairs : ndarray of int64, shape (n_pairs, 2), optional
        `close_pairs` of the stamps, where they are known.

    Returns
    -------
    NormalEquations
    """
    n = len(stamps)
    pairs = close_pairs(stamps) if pairs is None else pairs
    overlap = np.zeros(len(pairs))
    _overlaps(weight, stamps.values, stamps.column, stamps.row, pairs, overlap)
    scale = np.sqrt(diagonal[pairs[:, 0]] * diagonal[pairs[:, 1]])
    # Slopes of a PSF overlap with either sign.
    kept = np.abs(overlap) > LEAST_OVERLAP * scale
    pairs, overlap = pairs[kept], overlap[kept]
    # Each pair once for either star, grouped by star.
    of = np.concatenate([pairs[:, 0], pairs[:, 1]])
    other = np.concatenate([pairs[:, 1], pairs[:, 0]])
    by_star = np.lexsort((other, of))
    count = np.bincount(of, minlength=n)
    start = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    return NormalEquations(diagonal, start, other[by_star], np.concatenate([overlap, overlap])[by_star])


def solve(equations: NormalEquations, gradient: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """Solve the normal equations by conjugate gradients with the diagonal as preconditioner.

    Parameters
    ----------
    equations : NormalEquations
    gradient : ndarray, shape (n,)
        Right-hand side.
    tolerance : float
        Norm of the residuals at which the iteration ends, in units of the stars' own errors.

    Returns
    -------
    ndarray of float64, shape (n,)
        0 for stars without any weight.
    """
    n = len(gradient)
    solution = np.zeros(n)
    diagonal = equations.diagonal * (1.0 + RIDGE)
    if n:
        conjugate_gradients(
            diagonal,
            equations.start,
            equations.neighbour,
            equations.overlap,
            np.ascontiguousarray(gradient, np.float64),
            solution,
            np.zeros((4, n)),
            tolerance,
            MAX_ITERATIONS,
        )
    return solution


def flux_errors(equations: NormalEquations) -> np.ndarray:
    """One-sigma errors of the fluxes, with the covariance of the neighbours that are fitted at the same time.

    Parameters
    ----------
    equations : NormalEquations

    Returns
    -------
    ndarray of float64, shape (n,)
        Infinite for stars without any weight.

    Notes
    -----
    Square root of the last element of the inverse of the block of a star and the 16 neighbours that share most of its
    weight. The exact diagonal of the inverse of the whole matrix is larger by what neighbours of neighbours add: by
    less than 1 % up to half a star in a circle as wide as the FWHM, by 2 % at one star, by 12 % at two.
    """
    n = len(equations.diagonal)
    errors = np.full(n, np.inf)
    local_errors(
        equations.diagonal * (1.0 + RIDGE),
        equations.start,
        equations.neighbour,
        equations.overlap,
        errors,
        np.zeros((NEAREST + 1, NEAREST + 1)),
        np.zeros(NEAREST + 1, np.int64),
        np.zeros(NEAREST + 1),
    )
    return errors


def coincident(equations: NormalEquations) -> np.ndarray:
    """Whether two neighbours are on one place, for each off-diagonal element.

    Parameters
    ----------
    equations : NormalEquations

    Returns
    -------
    ndarray of bool, shape (2 n_pairs,)
    """
    of = np.repeat(np.arange(len(equations.diagonal)), np.diff(equations.start))
    limit = SAME_PLACE * np.sqrt(equations.diagonal[of] * equations.diagonal[equations.neighbour])
    return equations.overlap > limit


def neighbour_share(equations: NormalEquations, flux: np.ndarray, left_out: np.ndarray | None = None) -> np.ndarray:
    """What the neighbours would add to each star's flux if they were not fitted.

    Parameters
    ----------
    equations : NormalEquations
    flux : ndarray, shape (n,)
    left_out : ndarray of bool, shape (2 n_pairs,), optional
        Off-diagonal elements that do not count.

    Returns
    -------
    ndarray of float64, shape (n,)
        In the unit of `flux`.
    """
    of = np.repeat(np.arange(len(flux)), np.diff(equations.start))
    overlap = equations.overlap if left_out is None else np.where(left_out, 0.0, equations.overlap)
    total = np.bincount(of, overlap * flux[equations.neighbour], minlength=len(flux))
    return np.divide(total, equations.diagonal, out=np.zeros(len(flux)), where=equations.diagonal > 0)


@kernel(
    "void(float32[:, ::1], float32[:, ::1], float32[:, :, ::1], int64[::1], int64[::1], float64[::1], float64[::1],"
    " float64[::1], float64[::1], int64[::1])",
    fastmath=True,
)
def _sum_stamps(
    residual: np.ndarray,
    weight: np.ndarray,
    values: np.ndarray,
    column: np.ndarray,
    row: np.ndarray,
    gradient: np.ndarray,
    curvature: np.ndarray,
    light: np.ndarray,
    chi2: np.ndarray,
    n_pixels: np.ndarray,
) -> None:
    ny, nx = residual.shape
    n, size, _ = values.shape
    half = (size - 1) // 2
    for k in range(n):
        first = max(0, column[k] - half)
        count = min(nx, column[k] + half + 1) - first
        start = first - (column[k] - half)
        if count <= 0:
            continue
        for j in range(max(0, row[k] - half), min(ny, row[k] + half + 1)):
            r = residual[j, first : first + count]
            w = weight[j, first : first + count]
            p = values[k, j - row[k] + half, start : start + count]
            g = np.float32(0.0)
            h = np.float32(0.0)
            s = np.float32(0.0)
            c = np.float32(0.0)
            m = np.float32(0.0)
            for i in range(count):
                wp = w[i] * p[i]
                g += wp * r[i]
                h += wp * p[i]
                used = np.float32(1.0) if wp > 0 else np.float32(0.0)
                s += used * p[i]
                c += used * w[i] * r[i] * r[i]
                m += used
            gradient[k] += g
            curvature[k] += h
            light[k] += s
            chi2[k] += c
            n_pixels[k] += int(m)


@kernel("int64(float64[::1], float64[::1], int64[::1], int64[::1], float64, int64[:, ::1])")
def _close_pairs(
    x: np.ndarray, y: np.ndarray, order: np.ndarray, row: np.ndarray, radius: float, pairs: np.ndarray
) -> int:
    """Pairs of stars whose circles meet; as many as fit into `pairs` are written, all are counted."""
    n = 0
    reach = 2.0 * radius
    for a in range(len(order)):
        k = order[a]
        for b in range(a + 1, len(order)):
            o = order[b]
            if row[o] - row[k] > reach + 1.0:
                break
            dx = x[o] - x[k]
            dy = y[o] - y[k]
            if dx * dx + dy * dy < reach * reach:
                if n < len(pairs):
                    pairs[n, 0] = min(k, o)
                    pairs[n, 1] = max(k, o)
                n += 1
    return n


@kernel("void(float32[:, ::1], float32[:, :, ::1], int64[::1], int64[::1], int64[:, ::1], float64[::1])", fastmath=True)
def _overlaps(
    weight: np.ndarray, values: np.ndarray, column: np.ndarray, row: np.ndarray, pairs: np.ndarray, overlap: np.ndarray
) -> None:
    ny, nx = weight.shape
    size = values.shape[1]
    half = (size - 1) // 2
    for q in range(len(pairs)):
        a, b = pairs[q, 0], pairs[q, 1]
        first = max(0, max(column[a], column[b]) - half)
        count = min(nx, min(column[a], column[b]) + half + 1) - first
        if count <= 0:
            continue
        start_a = first - (column[a] - half)
        start_b = first - (column[b] - half)
        total: Any = 0.0
        for j in range(max(0, max(row[a], row[b]) - half), min(ny, min(row[a], row[b]) + half + 1)):
            w = weight[j, first : first + count]
            pa = values[a, j - row[a] + half, start_a : start_a + count]
            pb = values[b, j - row[b] + half, start_b : start_b + count]
            s = np.float32(0.0)
            for i in range(count):
                s += w[i] * pa[i] * pb[i]
            total += s
        overlap[q] = total
