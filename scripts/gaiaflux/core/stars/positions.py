"""Places of stars that are fitted together: steps towards where their light is."""

from typing import NamedTuple

import numpy as np

from gaiaflux.core.kernels.compile import kernel
from gaiaflux.core.psf.equations import neighbour_share
from gaiaflux.core.psf.fluxes import Solution

__all__ = ["astray", "moved", "position_steps"]

MAX_STEP = 0.25  # [FWHM] that a position may change at once
MAX_SHIFT = 0.7  # [FWHM] in all
# A known star is astray that is so far [FWHM] and so many errors from its place, bright, alone and not cut off.
ASTRAY_FWHM, ASTRAY_SIGMA, ASTRAY_SNR = 0.2, 10.0, 30.0
ASTRAY_NEIGHBOURS, ASTRAY_LIGHT = 0.1, 0.9
MOST_ASTRAY = 0.1  # of such stars: more is an error of the plate solution


def astray(solution: Solution, n_known: int, fwhm: float) -> np.ndarray:
    """Known stars whose light is clearly not where they should be.

    Parameters
    ----------
    solution : Solution
    n_known : int
        They come first.
    fwhm : float
        Seeing [pixel].

    Returns
    -------
    ndarray of bool, shape (n_known,)
        None where they are too many for errors of single stars.
    """
    steps, stamps = position_steps(solution, 0), solution.stamps
    flux = solution.flux
    full = stamps.values.sum(axis=(1, 2), dtype=np.float64)
    tested = (flux > ASTRAY_SNR * solution.error) & (solution.sums.light > ASTRAY_LIGHT * full)
    tested &= np.abs(neighbour_share(solution.equations, flux)) < ASTRAY_NEIGHBOURS * flux
    distance = np.hypot(steps.dx, steps.dy)
    off = (tested & (distance > np.maximum(ASTRAY_FWHM * fwhm, ASTRAY_SIGMA * steps.error)))[:n_known]
    too_many = np.count_nonzero(off) > max(MOST_ASTRAY * np.count_nonzero(tested[:n_known]), 2.0)
    return np.zeros(n_known, dtype=bool) if too_many else off


def moved(solution: Solution, free: np.ndarray, start: np.ndarray, fwhm: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions after one step of some stars; one that has walked off returns to its start.

    Parameters
    ----------
    solution : Solution
    free : ndarray of bool, shape (n,)
        Stars that may move.
    start : ndarray, shape (2, n)
        Where they were first [pixel].
    fwhm : float
        Seeing [pixel].

    Returns
    -------
    x, y : ndarray, shape (n,)
        [pixel]
    """
    x, y = solution.stamps.x.copy(), solution.stamps.y.copy()
    first = int(np.argmax(free)) if free.any() else len(free)
    dx, dy, _ = position_steps(solution, first)
    free = free[first:]
    x[first:] += np.clip(dx, -MAX_STEP * fwhm, MAX_STEP * fwhm) * free
    y[first:] += np.clip(dy, -MAX_STEP * fwhm, MAX_STEP * fwhm) * free
    away = np.hypot(x - start[0], y - start[1]) > MAX_SHIFT * fwhm
    return np.where(away, start[0], x), np.where(away, start[1], y)


class PositionSteps(NamedTuple):
    """Newton steps of positions along x and y, and the error along an axis, each of shape (n,) [pixel]."""

    dx: np.ndarray
    dy: np.ndarray
    error: np.ndarray


def position_steps(solution: Solution, first: int) -> PositionSteps:
    """Steps of the stars from a row on.

    Parameters
    ----------
    solution : Solution
    first : int
        That row.

    Returns
    -------
    PositionSteps
        Steps of 0 and an error of half the stamp for stars without light.
    """
    steps = np.zeros((3, len(solution.stamps) - first))
    stamps = solution.stamps
    _newton_steps(
        solution.residual, solution.weight, stamps.values, stamps.column, stamps.row, solution.flux, first, steps
    )
    return PositionSteps(*steps)


@kernel(
    "void(float32[:, ::1], float32[:, ::1], float32[:, :, ::1], int64[::1], int64[::1], float64[::1], int64,"
    " float64[:, ::1])"
)
def _newton_steps(
    residual: np.ndarray,
    weight: np.ndarray,
    values: np.ndarray,
    column: np.ndarray,
    row: np.ndarray,
    flux: np.ndarray,
    first: int,
    steps: np.ndarray,
) -> None:
    """Derivatives are differences of the stamp's pixels; the flux is uncorrelated with the position of a round star."""
    ny, nx = residual.shape
    n, size, _ = values.shape
    half = (size - 1) // 2
    for k in range(first, n):
        gx = 0.0
        gy = 0.0
        hxx = 0.0
        hxy = 0.0
        hyy = 0.0
        for j in range(max(0, row[k] - half + 1), min(ny, row[k] + half)):
            b = j - row[k] + half
            for i in range(max(0, column[k] - half + 1), min(nx, column[k] + half)):
                a = i - column[k] + half
                w = weight[j, i]
                left, right = values[k, b, a - 1], values[k, b, a + 1]
                below, above = values[k, b - 1, a], values[k, b + 1, a]
                if not w > 0 or left == 0 or right == 0 or below == 0 or above == 0:
                    continue
                dx = 0.5 * flux[k] * (left - right)
                dy = 0.5 * flux[k] * (below - above)
                gx += w * dx * residual[j, i]
                gy += w * dy * residual[j, i]
                hxx += w * dx * dx
                hxy += w * dx * dy
                hyy += w * dy * dy
        det = hxx * hyy - hxy * hxy
        if flux[k] > 0 and det > 1e-6 * hxx * hyy:
            steps[0, k - first] = (hyy * gx - hxy * gy) / det
            steps[1, k - first] = (hxx * gy - hxy * gx) / det
            steps[2, k - first] = np.sqrt(0.5 * (hxx + hyy) / det)
        else:
            steps[2, k - first] = half
