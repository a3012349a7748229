"""Choices made once for a series: the stars of the ensemble, and the aperture of each star."""

import numpy as np

from gaiaflux.core.robust import masked_median

__all__ = ["choose_stars", "recommend_radius"]

_RELATIVE_FLOOR = 1e-3  # below, more photons do not help
_NEIGHBOUR_FLOOR = 5e-3  # what a flagged neighbour's light adds when the seeing changes
_AS_GOOD = 1.02


def choose_stars(
    snr: np.ndarray,
    n_good: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    isolated: np.ndarray,
    *,
    min_stars: int,
    max_stars: int = 400,
) -> np.ndarray:
    """Candidates for the ensemble: often measured, precise, isolated where enough are, and spread over the field.

    Parameters
    ----------
    snr : ndarray, shape (n,)
        Typical signal-to-noise ratio in one frame.
    n_good : ndarray of int, shape (n,)
        Number of unflagged points.
    x, y : ndarray, shape (n,)
        Place in the field [pixel].
    isolated : ndarray of bool, shape (n,)
        False where neighbours disturb the star.
    min_stars : int
        Number that a frame needs.
    max_stars : int
        Number beyond which more stars do not help.

    Returns
    -------
    ndarray of int
        Rows, ascending.
    """
    possible = (n_good > 0) & np.isfinite(x) & np.isfinite(y) & (snr >= 5.0)
    if not possible.any():
        return np.zeros(0, dtype=int)
    for least_snr in (20.0, 10.0, 5.0):
        chosen = possible & (snr >= least_snr)
        if chosen.sum() >= 3 * min_stars:
            break
    chosen &= n_good >= 0.3 * np.quantile(n_good[chosen], 0.9)
    if (chosen & isolated).sum() >= max(4 * min_stars, 40):
        chosen &= isolated
    rows = np.flatnonzero(chosen)
    if rows.size <= max_stars:
        return rows
    # The best of each of 8 x 8 cells first, then the second best of each, and so on.
    cell = _cell(x[rows]) * 8 + _cell(y[rows])
    badness = np.hypot(1.0 / snr[rows], 3e-3) / np.sqrt(n_good[rows])
    by_cell = np.lexsort((rows, badness, cell))
    first = np.searchsorted(cell[by_cell], cell[by_cell])
    rank = np.arange(rows.size) - first
    best = by_cell[np.lexsort((rows[by_cell], badness[by_cell], rank))[:max_stars]]
    return np.sort(rows[best])


def _cell(coordinate: np.ndarray) -> np.ndarray:
    low, high = coordinate.min(), coordinate.max()
    return np.minimum((8 * (coordinate - low) / max(high - low, 1e-9)).astype(int), 7)


def recommend_radius(
    flux: np.ndarray, flux_err: np.ndarray, usable: np.ndarray, neighbour: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Aperture of each star with the least predicted error in its typical frame.

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
    index : ndarray of int, shape (n_stars,)
        Smallest radius within 2 % of the best; the middle one for a star without a usable point.
    score : ndarray of float64, shape (n_stars, n_radii)
        Median over the frames of the error that is predicted, in flux: the measured one, 0.1 % of the flux, and
        0.5 % of it where a neighbour disturbs; raised where the radius has fewer usable points. NaN without any.
    """
    n_frames, n_stars, n_radii = flux.shape
    use = np.ascontiguousarray(usable.reshape(n_frames, -1).T)
    level = masked_median(flux.reshape(n_frames, -1).T, use, 1).reshape(n_stars, n_radii)
    level = np.max(np.nan_to_num(level), axis=1)
    floor2 = _RELATIVE_FLOOR**2 + np.where(neighbour, np.float32(_NEIGHBOUR_FLOOR**2), np.float32(0.0))
    predicted = np.sqrt(np.square(flux_err) + np.square(level.astype(np.float32))[:, None] * floor2)
    score = masked_median(predicted.reshape(n_frames, -1).T, use, 1).reshape(n_stars, n_radii)
    count = use.sum(axis=1).reshape(n_stars, n_radii)
    score = score * np.sqrt(count.max(axis=1, keepdims=True) / np.maximum(count, 1))
    known = np.where(np.isfinite(score), score, np.inf)
    best = known.min(axis=1, keepdims=True)
    index = np.argmax(known <= _AS_GOOD * best, axis=1)
    return np.where(np.isfinite(best[:, 0]), index, n_radii // 2), score
