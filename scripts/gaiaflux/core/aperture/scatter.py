"""What the scatter of fluxes says of apertures: common trends, stated errors, the radius that does best."""

import numpy as np

from gaiaflux.core.maths.field_basis import make_basis
from gaiaflux.core.maths.polynomials import n_terms
from gaiaflux.core.maths.robust import MAD_TO_SIGMA, masked_median
from gaiaflux.core.maths.two_way import column_fit

__all__ = [
    "frame_trends",
    "predicted_error",
    "recommend_radius",
    "trend_factors",
    "trend_order",
]

_RELATIVE_FLOOR = 1e-3  # below, more photons do not help
_NEIGHBOUR_FLOOR = 5e-3  # what a flagged neighbour's light adds when the seeing changes
_AS_GOOD = 1.02
_TREND_ORDER = 2
_LEAST_CALIBRATORS = {_TREND_ORDER: 30, 0: 5}  # by the order of the polynomial
_CLIP = 3.0


def trend_order(n_stars: int) -> int:
    """Order of the polynomials that so many stars can carry in every frame, though some are not measured: 2 or 0."""
    return _TREND_ORDER if n_stars >= 1.5 * _LEAST_CALIBRATORS[_TREND_ORDER] else 0


def frame_trends(
    flux: np.ndarray, usable: np.ndarray, x: np.ndarray, y: np.ndarray, *, order: int = _TREND_ORDER
) -> np.ndarray:
    """How the fluxes of a series go up and down from frame to frame, over the field, by each radius.

    Good enough to compare radii: a robust polynomial in x and y for every frame and radius.

    Parameters
    ----------
    flux : ndarray, shape (n_frames, n_stars, n_radii)
        Fluxes of bright stars.
    usable : ndarray of bool, shape (n_frames, n_stars, n_radii)
        Measured, and not flagged as bad.
    x, y : ndarray, shape (n_stars,)
        Place in the field [pixel].
    order : int
        Of the polynomial, from `trend_order`.

    Returns
    -------
    ndarray of float64, shape (n_radii, n_frames, n_terms)
        Coefficients of the polynomial of ln flux; NaN for a frame with fewer than 30 stars, 5 for order 0.
    """
    terms = _trend_terms(x, y, (x, y), int(n_terms(order)))
    result = np.full((flux.shape[2], flux.shape[0], terms.shape[1]), np.nan)
    everything = np.ones((flux.shape[0], terms.shape[1]), dtype=bool)
    for k in range(flux.shape[2]):
        use = (usable[:, :, k] & (flux[:, :, k] > 0)).T
        log_flux = np.log(np.where(use, flux[:, :, k].T, 1.0))
        coefficients = np.zeros(result.shape[1:])
        weight = use.astype(float)
        for _ in range(8):
            fitted = log_flux - terms @ coefficients.T
            residual = fitted - np.nan_to_num(masked_median(fitted, use, 1))[:, None]
            spread = MAD_TO_SIGMA * np.nan_to_num(masked_median(np.abs(residual), use, 0))
            weight = (use & (np.abs(residual) <= _CLIP * spread)).astype(float)
            coefficients += column_fit(residual, weight, terms, everything)[0]
        enough = weight.sum(axis=0) >= _LEAST_CALIBRATORS[order]
        result[k, enough] = coefficients[enough]
    return result


def trend_factors(
    x: np.ndarray, y: np.ndarray, trend: np.ndarray, calibrators: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """What `frame_trends` says of any stars.

    Parameters
    ----------
    x, y : ndarray, shape (n_stars,)
        Place in the field [pixel].
    trend : ndarray, shape (n_frames, n_terms)
        Coefficients of one radius.
    calibrators : tuple of ndarray
        Positions x and y of the stars that the trends were made with [pixel].

    Returns
    -------
    factor : ndarray of float32, shape (n_stars, n_frames)
        Flux in the frame over that in a typical one; 1 where not known.
    known : ndarray of bool, shape (n_frames,)
        Whether the frame has a trend.
    """
    known = np.isfinite(trend).all(axis=1)
    terms = _trend_terms(x, y, calibrators, trend.shape[1])
    return np.exp((terms @ np.nan_to_num(trend).T).astype(np.float32)), known


def _trend_terms(x: np.ndarray, y: np.ndarray, calibrators: tuple[np.ndarray, np.ndarray], number: int) -> np.ndarray:
    """So many polynomial terms, held at the edge of the field beyond which no calibrator lies."""
    x_all, y_all = calibrators
    if not len(x_all) or number == 1:
        return np.ones((len(x), 1))
    basis = make_basis(x_all, y_all, np.ones(len(x_all), bool), _TREND_ORDER)
    return basis.terms(np.clip(x, x_all.min(), x_all.max()), np.clip(y, y_all.min(), y_all.max()))


def predicted_error(flux: np.ndarray, flux_err: np.ndarray, usable: np.ndarray, neighbour: np.ndarray) -> np.ndarray:
    """Error of a typical frame by each aperture.

    Parameters
    ----------
    flux, flux_err : ndarray of float32, shape (n_frames, n_stars, n_radii)
        Total flux by each radius (the same quantity for all), and its error.
    usable : ndarray of bool, shape (n_frames, n_stars, n_radii)
        Measured, and not flagged as bad.
    neighbour : ndarray of bool, shape (n_frames, n_stars, n_radii)
        A neighbour disturbs that aperture.

    Returns
    -------
    ndarray of float64, shape (n_stars, n_radii)
        Median over the frames of the measured error, 0.1 % of the flux, and 0.5 % of it where a neighbour disturbs, in
        flux; raised where the radius has fewer usable points. NaN without any.
    """
    n_frames, n_stars, n_radii = flux.shape
    use = np.ascontiguousarray(usable.reshape(n_frames, -1).T)
    level = masked_median(flux.reshape(n_frames, -1).T, use, 1).reshape(n_stars, n_radii)
    level = np.max(np.nan_to_num(level), axis=1)
    floor2 = _RELATIVE_FLOOR**2 + np.where(neighbour, np.float32(_NEIGHBOUR_FLOOR**2), np.float32(0.0))
    predicted = np.sqrt(np.square(flux_err) + np.square(level.astype(np.float32))[:, None] * floor2)
    score = masked_median(predicted.reshape(n_frames, -1).T, use, 1).reshape(n_stars, n_radii)
    count = use.sum(axis=1).reshape(n_stars, n_radii)
    return score * np.sqrt(count.max(axis=1, keepdims=True) / np.maximum(count, 1))


def recommend_radius(
    flux: np.ndarray, flux_err: np.ndarray, usable: np.ndarray, neighbour: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Aperture of each star with the least predicted error in a typical frame.

    Parameters
    ----------
    flux, flux_err, usable, neighbour
        As for `predicted_error`.

    Returns
    -------
    index : ndarray of int, shape (n_stars,)
        Smallest radius within 2 % of the best; the middle one for a star without a usable point.
    score : ndarray of float64, shape (n_stars, n_radii)
        What `predicted_error` says.
    """
    score = predicted_error(flux, flux_err, usable, neighbour)
    known = np.where(np.isfinite(score), score, np.inf)
    best = known.min(axis=1, keepdims=True)
    index = np.argmax(known <= _AS_GOOD * best, axis=1)
    return np.where(np.isfinite(best[:, 0]), index, score.shape[1] // 2), score
