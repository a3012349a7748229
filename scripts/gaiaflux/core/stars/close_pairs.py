"""Found stars close beside given ones, where one star whose place or form is a little off is easily taken for two."""

import numpy as np

from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.psf.fluxes import FluxOptions, Solution, solve_fluxes
from gaiaflux.core.psf.protocol import Psf
from gaiaflux.core.stars.deep_kernels import near_known

__all__ = ["MIN_SEPARATION", "apart", "halves"]

MIN_SEPARATION = 0.45  # [FWHM] of a new peak from a known star; closer pairs have to be proven
UPON = 0.25  # [FWHM]: so close no second star can be told from a misfit of the first one
# A place may be wrong by so many of its errors, of which one is the plate solution's [FWHM].
PLACE_SIGMA, PLATE_ERROR = 5.0, 0.02


def apart(found_x: np.ndarray, found_y: np.ndarray, x: np.ndarray, y: np.ndarray, distance: float) -> np.ndarray:
    """Found places without a star within a distance.

    Parameters
    ----------
    found_x, found_y : ndarray of float64, shape (n_found,)
        Places [pixel].
    x, y : ndarray of float64, shape (n,)
        Stars [pixel].
    distance : float
        [pixel].

    Returns
    -------
    ndarray of bool, shape (n_found,)
    """
    order = np.argsort(y, kind="stable")
    alone = np.ones(len(found_x), np.bool_)
    near_known(x[order], y[order], np.ascontiguousarray(found_x), np.ascontiguousarray(found_y), distance, alone)
    return alone


def halves(
    pixels: Pixels,
    psf: Psf,
    solution: Solution,
    place_error: np.ndarray,
    fwhm: float,
    needed: np.ndarray,
    options: FluxOptions,
) -> np.ndarray:
    """Found stars that together with a given one are a single star, as far as the image shows.

    Parameters
    ----------
    pixels : Pixels
    psf : Psf
        Of the image.
    solution : Solution
        All stars, the given ones first.
    place_error : ndarray, shape (n_known,)
        One sigma of the given places along an axis [pixel]; infinite where it is not known.
    fwhm : float
        Seeing [pixel].
    needed : ndarray, shape (n,)
        By so much chi2 of the pair must be less than that of one star in the middle of its light. Where that is five
        errors from the given place, there are two.
    options : FluxOptions

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    x, y, flux = solution.stamps.x, solution.stamps.y, np.maximum(solution.flux, 0.0)
    none, n_known = np.zeros(len(x), dtype=bool), len(place_error)
    if n_known == 0:
        return none
    upon, close = none.copy(), none.copy()
    upon[n_known:] = ~apart(x[n_known:], y[n_known:], x[:n_known], y[:n_known], UPON * fwhm)
    close[n_known:] = ~apart(x[n_known:], y[n_known:], x[:n_known], y[:n_known], MIN_SEPARATION * fwhm)
    doubtful = np.flatnonzero(close & ~upon)
    if not len(doubtful):
        return upon
    distance = np.hypot(np.subtract.outer(x[doubtful], x[:n_known]), np.subtract.outer(y[doubtful], y[:n_known]))
    given = distance.argmin(axis=1)
    light = flux[doubtful] + flux[given]
    share = flux[doubtful] / np.where(light > 0, light, 1.0)
    beside = share * distance[np.arange(len(given)), given]
    possible = beside < PLACE_SIGMA * np.hypot(place_error[given], PLATE_ERROR * fwhm)
    if not possible.any():
        return upon
    doubtful, given, light, share = doubtful[possible], given[possible], light[possible], share[possible]
    one_x, one_y, one_flux = x.copy(), y.copy(), flux.copy()
    one_x[given] += share * (x[doubtful] - x[given])
    one_y[given] += share * (y[doubtful] - y[given])
    one_flux[given] = light
    rest = np.setdiff1d(np.arange(len(x)), doubtful)
    single = solve_fluxes(pixels, psf, one_x[rest], one_y[rest], one_flux[rest], options)
    half = (solution.stamps.values.shape[1] - 1) // 2
    at = solution.stamps.row[given], solution.stamps.column[given]
    worse = _chi2(single.residual, solution.weight, *at, half) - _chi2(solution.residual, solution.weight, *at, half)
    upon[doubtful] = worse < needed[doubtful]
    return upon


def _chi2(residual: np.ndarray, weight: np.ndarray, row: np.ndarray, column: np.ndarray, half: int) -> np.ndarray:
    """Weighted squares of the residual in squares around some pixels."""
    square = [
        np.s_[max(j - half, 0) : max(j + half + 1, 0), max(i - half, 0) : max(i + half + 1, 0)]
        for j, i in zip(row, column, strict=True)
    ]
    return np.array([np.sum(np.square(residual[s], dtype=np.float64) * weight[s]) for s in square])
