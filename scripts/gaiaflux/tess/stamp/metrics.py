"""How good a light curve is, in the figures of the TASOC photometry module."""

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA

__all__ = ["edge_flux", "performance", "scatter_on_timescale"]

_HOUR_D = 1.0 / 24.0
_TREND_ORDER = 3


def performance(
    time: np.ndarray, flux: np.ndarray, flux_err: np.ndarray, pos_centroid: np.ndarray, quality: np.ndarray
) -> dict[str, float | list[float]]:
    """Figures of a light curve, of the cadences of quality 0 with a finite flux.

    Parameters
    ----------
    time : ndarray, shape (n,)
        [d].
    flux, flux_err : ndarray, shape (n,)
        [electron/s].
    pos_centroid : ndarray, shape (n, 2)
        Column and row [pixel].
    quality : ndarray of int, shape (n,)
        Bits of the mission.

    Returns
    -------
    dict
        ``mean_flux`` (median [electron/s]), ``variance`` (of the relative flux), ``rms_hour`` (robust scatter of
        means over an hour, relative), ``ptp`` (median step from point to point, relative), ``variability`` (scatter
        about a cubic over the usual error), ``pos_centroid`` (median [column, row]). NaN where too few points are
        there to say.
    """
    good = (quality == 0) & np.isfinite(flux)
    time, flux, flux_err, pos_centroid = time[good], flux[good], flux_err[good], pos_centroid[good]
    mean = float(np.median(flux)) if flux.size else np.nan
    relative = flux / mean - 1.0 if mean else np.full(flux.shape, np.nan)
    seen = pos_centroid[np.isfinite(pos_centroid).all(axis=1)]
    return {
        "mean_flux": mean,
        "variance": float(np.var(relative, ddof=1)) if relative.size > 1 else np.nan,
        "rms_hour": scatter_on_timescale(time, relative, _HOUR_D),
        "ptp": float(np.median(np.abs(np.diff(relative)))) if relative.size > 1 else np.nan,
        "variability": _variability(time, relative, flux_err / abs(mean)) if mean else np.nan,
        "pos_centroid": np.median(seen, axis=0).tolist() if len(seen) else [np.nan, np.nan],
    }


def scatter_on_timescale(time: np.ndarray, flux: np.ndarray, timescale: float) -> float:
    """Robust scatter of means over a time.

    Parameters
    ----------
    time, flux : ndarray, shape (n,)
        Finite.
    timescale : float
        Length of a bin [unit of time].

    Returns
    -------
    float
        In the unit of the flux; NaN with fewer than two bins.
    """
    if time.size == 0:
        return np.nan
    number = np.floor((time - time.min()) / timescale).astype(np.int64)
    _, place = np.unique(number, return_inverse=True)
    means = np.bincount(place, flux) / np.bincount(place)
    if means.size < 2:
        return np.nan
    return float(MAD_TO_SIGMA * np.median(np.abs(means - np.median(means))))


def edge_flux(mean_image: np.ndarray, mask: np.ndarray) -> float:
    """Light of a mask's pixels on the rim of the stamp: what a larger stamp might add.

    Parameters
    ----------
    mean_image : ndarray, shape (rows, columns)
        [electron/s]; NaN counts as 0.
    mask : ndarray of bool, shape (rows, columns)
        Pixels that are summed up.

    Returns
    -------
    float
        [electron/s].
    """
    rim = np.ones(mask.shape, bool)
    rim[1:-1, 1:-1] = False
    return float(np.nansum(mean_image[rim & mask]))


def _variability(time: np.ndarray, flux: np.ndarray, error: np.ndarray) -> float:
    use = np.isfinite(error) & (error > 0)
    if use.sum() <= _TREND_ORDER + 1:
        return np.nan
    middle, half = (time[use].max() + time[use].min()) / 2, max(float(np.ptp(time[use])) / 2, 1e-12)
    phase = (time[use] - middle) / half
    trend = np.polynomial.polynomial.polyfit(phase, flux[use], _TREND_ORDER, w=1.0 / error[use])
    left = flux[use] - np.polynomial.polynomial.polyval(phase, trend)
    return float(np.std(left) / np.median(error[use]))
