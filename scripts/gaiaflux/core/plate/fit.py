"""Robust, weighted fit of a plate solution to matched stars, its order, and the noise of the stars."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.maths.polynomials import polynomial_terms
from gaiaflux.core.plate.search import CELLS, MatchLists, image_cell
from gaiaflux.core.plate.sip import correct_plane, scaled_pixels
from gaiaflux.core.sky.projection import pixel_to_plane, sky_to_plane
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.wcs import TanSip

__all__ = ["PlateFit", "centroid_noise", "fit_plate", "overstated"]

STUDENT_DEGREES = 5.0  # of the t distribution that residuals are taken to follow
PAIRS_PER_TERM = 2.5  # of the correction of an axis
CLIP_CHI2 = 36.0  # both axes together, of the noise model

# Stars of like stated error that say what theirs is, from so many stars on, and the least part of the stated variance.
LIKE_STARS, FEWEST_LIKE, LEAST_PART = 31, 80, 0.01


@dataclass(frozen=True)
class PlateFit:
    """A solution and the pairs that it was fitted to.

    Attributes
    ----------
    wcs : TanSip
        Solution, without inverse polynomials.
    pairs : tuple of ndarray of int64, shape (n,)
        Rows of the stars and of the catalogue in `MatchLists`.
    residuals : ndarray of float64, shape (2, n)
        Measured minus predicted position [pixel].
    weight, variance : ndarray of float64, shape (n,)
        Weight in the fit, 0 where clipped [1/pixel^2], and variance of one axis [pixel^2].
    covariance : ndarray of float64, shape (n_terms, n_terms)
        Of the coefficients of one axis, for `scaled_pixels` [pixel^2].
    """

    wcs: TanSip
    pairs: tuple[np.ndarray, np.ndarray]
    residuals: np.ndarray
    weight: np.ndarray
    variance: np.ndarray
    covariance: np.ndarray


def fit_plate(
    lists: MatchLists,
    base: TanSip,
    wcs: TanSip,
    pairs: tuple[np.ndarray, np.ndarray],
    variance: np.ndarray,
    highest: int,
    repeat: int,
) -> PlateFit:
    """Fit a correction to `base`, by iterated weights of Student's t distribution; its order has the smallest BIC.

    Parameters
    ----------
    lists : MatchLists
        Both lists.
    base : TanSip
        Solution that is corrected: its distortion of a higher order than the correction stays as it is.
    wcs : TanSip
        Better solution, whose residuals give the first weights.
    pairs : tuple of ndarray of int64
        Rows of the stars and of the catalogue in `lists`.
    variance : ndarray, shape (n,)
        Of one axis [pixel^2].
    highest : int
        Highest order of the correction.
    repeat : int
        Rounds of weights.

    Returns
    -------
    PlateFit

    Raises
    ------
    BadFrameError
        The stars do not fix a solution.
    """
    stars, catalog = pairs
    x, y, ra, dec = lists.x[stars], lists.y[stars], lists.ra[catalog], lists.dec[catalog]
    order = _highest_order(x, y, wcs.shape, highest)
    terms = polynomial_terms(*scaled_pixels(base, x, y), order).T
    residuals = _residuals(wcs, x, y, ra, dec)
    for step in range(repeat):
        chi2 = np.sum(residuals**2, axis=0) / variance
        weight = (STUDENT_DEGREES + 2.0) / (STUDENT_DEGREES + chi2) / variance
        weight[chi2 > (CLIP_CHI2 if step > 0 else 4.0 * CLIP_CHI2)] = 0.0
        weighted = terms * weight
        normal = weighted @ terms.T
        if step == 0:
            wcs = base
            for _ in range(2):
                wcs = _corrected(wcs, _residuals(wcs, x, y, ra, dec) @ weighted.T, normal, 1)[0]
            residuals = _residuals(wcs, x, y, ra, dec)
            used = weight > 0
            order = min(order, _highest_order(x[used], y[used], wcs.shape, highest))
            order = _best_order(normal, residuals @ weighted.T, weight, residuals, order)
        wcs, covariance = _corrected(wcs, residuals @ weighted.T, normal, order)
        residuals = _residuals(wcs, x, y, ra, dec)
    return PlateFit(wcs, pairs, residuals, weight, variance, covariance)


def _corrected(wcs: TanSip, right: np.ndarray, normal: np.ndarray, order: int) -> tuple[TanSip, np.ndarray]:
    """Solve the normal equations for a correction of an order; the solution and its covariance [pixel^2]."""
    k = (order + 1) * (order + 2) // 2
    try:
        covariance = np.linalg.inv(normal[:k, :k])
    except np.linalg.LinAlgError:
        raise BadFrameError("the matched stars lie on a line: they do not fix a plate solution") from None
    return correct_plane(wcs, -wcs.cd @ (right[:, :k] @ covariance)), covariance


def _residuals(wcs: TanSip, x: np.ndarray, y: np.ndarray, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Measured minus predicted position, shape (2, n) [pixel]; the local distortion of the scale is neglected."""
    miss = np.stack(pixel_to_plane(wcs, x, y)) - np.stack(sky_to_plane(wcs.crval, ra, dec))
    return np.linalg.inv(wcs.cd) @ miss


def _highest_order(x: np.ndarray, y: np.ndarray, shape: tuple[int, int], highest: int) -> int:
    """Order that the number of stars and their spread over the image can carry."""
    coverage = len(np.unique(image_cell(x, y, shape))) / CELLS**2
    order = 1
    while order < highest:
        n_terms = (order + 2) * (order + 3) // 2
        if len(x) < PAIRS_PER_TERM * n_terms or coverage < 0.5 + 0.1 * order:
            break
        order += 1
    return order


def _best_order(normal: np.ndarray, right: np.ndarray, weight: np.ndarray, residuals: np.ndarray, highest: int) -> int:
    """Order of the smallest Bayesian information criterion, for noise of unknown size."""
    n = 2 * int(np.count_nonzero(weight))
    chi2 = float(np.sum(weight * residuals**2))
    scores = []
    for order in range(1, highest + 1):
        k = (order + 1) * (order + 2) // 2
        gain = float(np.sum(right[:, :k] * np.linalg.solve(normal[:k, :k], right[:, :k].T).T))
        scores.append(n * np.log(max(chi2 - gain, 1e-300)) + 2 * k * np.log(n))
    return 1 + int(np.argmin(scores))


def centroid_noise(squares: np.ndarray, variance: np.ndarray) -> tuple[float, float]:
    """Common variance, then a factor on all, that explain squared residuals (sum of both axes) [pixel^2].

    The common part is what the very best stars ask for: the air's image motion, or errors stated too small.

    Parameters
    ----------
    squares : ndarray, shape (n,)
        Squared residuals, both axes together [pixel^2].
    variance : ndarray, shape (n,)
        Stated variance of one axis [pixel^2].

    Returns
    -------
    floor : float
        To be added to `variance` [pixel^2].
    factor : float
        On the sum, 1 to 25.
    """
    # The median of the chi-square of two axes is 1.386.
    squares = squares / 1.386
    best = np.argsort(variance, kind="stable")[: max(len(variance) // 30, min(len(variance), 20))]
    floor = 0.0
    if np.median(squares[best] / variance[best]) > 1.0:
        low, high = 0.0, float(np.max(squares[best]))
        for _ in range(40):
            floor = 0.5 * (low + high)
            low, high = (floor, high) if np.median(squares[best] / (variance[best] + floor)) > 1.0 else (low, floor)
    return floor, float(np.clip(np.median(squares / (variance + floor)), 1.0, 25.0))


def overstated(squares: np.ndarray, variance: np.ndarray, n_terms: int) -> np.ndarray:
    """Part of the stated variance that stars of like variance show: structure of the sky is in stated errors alone.

    Parameters
    ----------
    squares : ndarray, shape (n,)
        Squared residuals, both axes together [pixel^2].
    variance : ndarray, shape (n,)
        Stated variance of one axis [pixel^2].
    n_terms : int
        Of the fit, on each axis.

    Returns
    -------
    ndarray of float64, shape (n,)
        0.01 to 1; 1 of fewer than `FEWEST_LIKE` stars, whose residuals follow the fit.
    """
    n = len(squares)
    if n < FEWEST_LIKE:
        return np.ones(n)
    order = np.argsort(variance, kind="stable")
    chi2 = (squares / variance)[order]
    first = np.clip(np.arange(n) - LIKE_STARS // 2, 0, n - LIKE_STARS)
    # The median of the chi-square of two axes is 1.386.
    shown = np.median(chi2[first[:, None] + np.arange(LIKE_STARS)], axis=1) / 1.386 * n / (n - n_terms)
    part = np.empty(n)
    part[order] = np.clip(shown, LEAST_PART, 1.0)
    return part
