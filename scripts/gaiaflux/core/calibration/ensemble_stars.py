"""The stars of the ensemble: chosen once for a series, with the reason for each that was not."""

import numpy as np

__all__ = ["candidate_reasons", "choose_stars"]

_LEAST_SNR = 5.0


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
    possible = (n_good > 0) & np.isfinite(x) & np.isfinite(y) & (snr >= _LEAST_SNR)
    if not possible.any():
        return np.zeros(0, dtype=int)
    for least_snr in (20.0, 10.0, _LEAST_SNR):
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


def candidate_reasons(
    rows: np.ndarray,
    snr: np.ndarray,
    n_good: np.ndarray,
    n_points: np.ndarray,
    n_saturated: np.ndarray,
    isolated: np.ndarray,
    placed: np.ndarray,
) -> np.ndarray:
    """Why each star was not offered to the ensemble.

    Parameters
    ----------
    rows : ndarray of int
        Stars that were, from `choose_stars`.
    snr, isolated : ndarray, shape (n,)
        As `choose_stars` got them.
    n_good, n_points, n_saturated : ndarray of int, shape (n,)
        Points that are unflagged, all points, and saturated ones.
    placed : ndarray of bool, shape (n,)
        The place in the field is known.

    Returns
    -------
    ndarray of str objects, shape (n,)
        Empty for the stars in `rows`.
    """
    least_good = 0.3 * np.quantile(n_good[rows], 0.9) if rows.size else 1.0
    least_snr = np.min(snr[rows], initial=np.inf)
    reason = np.full(len(snr), "not needed: others do better here", dtype=object)
    reason[~isolated] = "not a candidate: neighbours"
    reason[snr < least_snr] = "not a candidate: too faint"
    reason[snr < _LEAST_SNR] = f"not a candidate: S/N below {_LEAST_SNR:.0f}"
    reason[n_good < least_good] = "not a candidate: few good points"
    reason[2 * n_good < n_points] = "not a candidate: flagged in most frames"
    reason[2 * n_saturated > n_points] = "not a candidate: saturated in most frames"
    reason[~placed] = "not a candidate: place unknown"
    reason[n_points == 0] = "not a candidate: never measured"
    reason[rows] = ""
    return reason


def _cell(coordinate: np.ndarray) -> np.ndarray:
    low, high = coordinate.min(), coordinate.max()
    return np.minimum((8 * (coordinate - low) / max(high - low, 1e-9)).astype(int), 7)
