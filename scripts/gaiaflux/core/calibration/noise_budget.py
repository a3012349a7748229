"""What the scatter of light curves is made of: photons, sky, zero points, scintillation, and a floor that is fitted.

The variance of a point of a constant star, relative to its flux, is taken to be ``measured^2 + zero point^2 +
scintillation^2 + floor^2 - common^2``: the first is what photometry states (photons, sky, read-out, background), one
floor for all stars holds what nobody states, such as flat-field errors, or else one common part holds what is stated
but goes with the frame's scale, such as the error of an aperture correction that all stars share. In a frame in which
the stars scatter by more, as in bad seeing where neighbours melt together, all of it is multiplied by one factor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA, MEDIAN_NOISE, masked_median
from gaiaflux.model.status import OK

__all__ = ["NoiseFit", "fit_noise", "frame_factors", "noise_curves"]

_LEAST_STARS = 8
_LEAST_POINTS = 8
_BRIGHT, _BRIGHT_STARS = 4.0, 20  # largest stated variance over that of the best stars; at least so many stars
_LEAST_RELATIVE = 1e-3  # no star weighs as if it were known better
_LEAST_PART = 0.25  # of the stated variance that is never taken off
_CLIP = 4.0
_STAR_SCATTER = 0.1  # relative, of the variances of like stars, beyond counting statistics
_LIMIT = 2.0  # a star whose variance deviates by more says nothing of the others
_LEAST_SPREAD = 0.5  # of the deviations, in units of their errors
_PHOTON_STARS = 10
_PHOTON_PART = 0.3  # of the variance, above which a star tells of its photons
_WRONG = 1.25
_SIGNIFICANT = 4.0
_ROUNDS = 12
_DOUBT = 2.0  # errors of a frame's chi-squared that are taken to be chance


@dataclass(frozen=True)
class NoiseFit:
    """What `fit_noise` found.

    Attributes
    ----------
    floor : float
        Relative standard deviation that is added to all errors; 0 where nothing is missing or too little is known.
    common : float
        Relative standard deviation that is taken off all errors; 0 where there is a floor or too little is known.
    n_stars : int
        Stars that it was fitted to.
    note : str
        ``ok`` or why there is no fit.
    photon_factor, photon_factor_err : float
        Variance that goes with the photons of bright stars over what is stated; NaN where it cannot be told.
    photon_note : str
        ``ok``, or what that says of the gain, or why it cannot be told.
    """

    floor: float
    common: float
    n_stars: int
    note: str
    photon_factor: float
    photon_factor_err: float
    photon_note: str

    @property
    def excess(self) -> float:
        """Relative variance that is added to that of the other terms; negative where something is taken off."""
        return self.floor**2 - self.common**2


def fit_noise(flux: np.ndarray, flux_err: np.ndarray, use: np.ndarray, photons: np.ndarray | None) -> NoiseFit:
    """Floor of the scatter, and whether the photon noise is what the gain says.

    Parameters
    ----------
    flux, flux_err : ndarray, shape (n, m)
        Calibrated fluxes of constant stars, and their errors without the floor.
    use : ndarray of bool, shape (n, m)
        Points that count.
    photons : ndarray, shape (n, m), or None
        Electrons that each point stands for; None where the gain is not known.

    Returns
    -------
    NoiseFit
        From the variance of each star, weighted with the points' variances so that no cloudy frame decides.
    """
    use = use & np.isfinite(flux) & np.isfinite(flux_err) & (flux_err > 0)
    level = masked_median(np.where(use, flux, 0.0), use, 1)
    rows = np.flatnonzero((use.sum(axis=1) >= _LEAST_POINTS) & (level > 0))
    unknown = "too little is known of the gain" if photons is None else ""
    if rows.size < _LEAST_STARS:
        note = f"{rows.size} constant stars, {_LEAST_STARS} needed"
        return NoiseFit(0.0, 0.0, int(rows.size), f"no floor: {note}", float("nan"), float("nan"), unknown or note)
    use, level = use[rows], level[rows, None]
    value = np.where(use, flux[rows] / level, 1.0)
    error2 = np.where(use, (flux_err[rows] / level) ** 2, 1.0)
    floor2 = 0.0
    for _ in range(_ROUNDS):
        parts = _star_variances(value, error2, use, floor2, None if photons is None else photons[rows])
        # The bright ones: what a faint star has too much of is its neighbours'.
        stated = parts.light + parts.rest
        bright = stated <= max(_BRIGHT * np.quantile(stated, 0.1), np.sort(stated)[min(_BRIGHT_STARS, len(stated)) - 1])
        fit = _weighted(parts.of(bright), floor2, 1.0, with_photons=False)
        done = abs(fit.floor2 - floor2) < 1e-3 * max(abs(fit.floor2), 1e-8)
        floor2 = fit.floor2
        if done:
            break
    note = OK if floor2 >= 0 else "ok: a part of the stated errors is common to the stars of a frame"
    light = _photon_factor(parts, floor2) if photons is not None else _PhotonFactor(np.nan, np.nan, floor2, unknown)
    floor, common = (float(np.sqrt(max(value, 0.0))) for value in (light.floor2, -light.floor2))
    return NoiseFit(floor, common, fit.n_stars, note, light.factor, light.error, light.note)


def frame_factors(flux: np.ndarray, flux_err: np.ndarray, use: np.ndarray, excess: float) -> np.ndarray:
    """By what the errors of each frame have to be multiplied, as constant stars say.

    Parameters
    ----------
    flux, flux_err, use : ndarray, shape (n, m)
        As for `fit_noise`.
    excess : float
        Relative variance that goes with the errors: `NoiseFit.excess`.

    Returns
    -------
    ndarray of float64, shape (m,)
        Robust scatter of the stars over their errors, less what may be chance; at least 1, and 1 where fewer than 8
        stars are known.
    """
    use = use & np.isfinite(flux) & np.isfinite(flux_err) & (flux_err > 0)
    level = masked_median(np.where(use, flux, 0.0), use, 1)
    use = use & ((use.sum(axis=1) >= _LEAST_POINTS) & (level > 0))[:, None]
    scale = np.where(level > 0, level, 1.0)[:, None]
    value, error2 = np.where(use, flux / scale, 1.0), np.where(use, (flux_err / scale) ** 2, 1.0)
    pull = _clipped_mean(value, np.maximum(error2 + excess, _LEAST_PART * error2), use).pull
    points = use.sum(axis=1, keepdims=True)
    pull = pull * np.sqrt(points / np.maximum(points - 1, 1))
    number = use.sum(axis=0)
    chi2 = (MAD_TO_SIGMA * np.nan_to_num(masked_median(np.where(use, pull, 0.0), use, 0))) ** 2
    chance = _DOUBT * 2.0 * MEDIAN_NOISE / np.sqrt(np.maximum(number, 1))
    return np.sqrt(1.0 + np.where(number >= _LEAST_STARS, np.maximum(chi2 - 1.0 - chance, 0.0), 0.0))


class _Mean(NamedTuple):
    """Mean of each row (n,), and of its points (n, m) the absolute deviation over the error, and the weight."""

    mean: np.ndarray
    pull: np.ndarray
    weight: np.ndarray


class _StarVariances(NamedTuple):
    """Of n stars the variance, the part of the stated one that is photon noise, the rest of it, and the points."""

    variance: np.ndarray
    light: np.ndarray
    rest: np.ndarray
    n_points: np.ndarray

    def of(self, rows: np.ndarray) -> "_StarVariances":
        """Some of the stars."""
        return _StarVariances(*(values[rows] for values in self))


class _FloorFit(NamedTuple):
    """Floor squared from so many stars, and the factor on their photon noise that goes with it."""

    floor2: float
    n_stars: int
    factor: float
    factor_err: float


class _PhotonFactor(NamedTuple):
    """Factor on the photon noise, its error, the floor squared that goes with it, and what it says."""

    factor: float
    error: float
    floor2: float
    note: str


def _clipped_mean(value: np.ndarray, total: np.ndarray, use: np.ndarray) -> _Mean:
    """Weighted mean of each row without outliers."""
    weight = np.where(use, 1.0 / total, 0.0)
    for _ in range(2):
        whole = weight.sum(axis=1)
        mean = (weight * value).sum(axis=1) / np.where(whole > 0, whole, 1.0)
        pull = np.abs(value - mean[:, None]) / np.sqrt(total)
        usual = MAD_TO_SIGMA * np.nan_to_num(masked_median(np.where(use, pull, 0.0), use, 1))
        weight = np.where(use & (pull <= _CLIP * np.maximum(usual, 0.3)[:, None]), 1.0 / total, 0.0)
    return _Mean(mean, pull, weight)


def _star_variances(
    value: np.ndarray, error2: np.ndarray, use: np.ndarray, floor2: float, photons: np.ndarray | None
) -> _StarVariances:
    """What each star scatters by, and what is stated."""
    total = np.maximum(error2 + floor2, _LEAST_PART * error2)
    mean, _, weight = _clipped_mean(value, total, use)
    whole = weight.sum(axis=1)
    n = (weight > 0).sum(axis=1)
    variance = (weight * (value - mean[:, None]) ** 2).sum(axis=1) / whole * n / np.maximum(n - 1, 1)
    stated = (weight * error2).sum(axis=1) / whole
    light = np.zeros(len(stated))
    if photons is not None:
        light = (weight / np.maximum(np.where(use, photons, 1.0), 1.0)).sum(axis=1) / whole
        light = np.minimum(light, stated)
    return _StarVariances(variance, light, stated - light, n)


def _weighted(parts: _StarVariances, floor2: float, factor: float, *, with_photons: bool) -> _FloorFit:
    """Floor squared (and photon factor) by weighted least squares of the stars' variances, without odd stars."""
    variance, light, rest, n = parts
    keep = np.ones(len(variance), dtype=bool)
    answer, covariance = np.array([floor2, factor]), np.zeros((2, 2))
    for _ in range(_ROUNDS):
        model = np.maximum(rest + light * answer[1] + answer[0], _LEAST_PART * (rest + light))
        sigma = np.maximum(model, _LEAST_RELATIVE**2) * np.sqrt(2.0 / np.maximum(n - 1, 1) + _STAR_SCATTER**2)
        odd = (variance - model) / sigma
        # What varies a little lies on one side only: the other side tells the scatter of the quiet ones.
        middle = np.median(odd)
        below = MAD_TO_SIGMA * np.median(middle - odd[odd <= middle])
        keep = np.abs(odd - middle) <= _LIMIT * max(below, _LEAST_SPREAD)
        design = np.stack([np.ones(len(n)), light], axis=1)[:, : 1 + with_photons]
        wanted = variance - rest - (0.0 if with_photons else light * factor)
        a, b = (design / sigma[:, None])[keep], (wanted / sigma)[keep]
        normal = a.T @ a
        inverse = np.linalg.pinv(normal)
        new = inverse @ (a.T @ b)
        answer = np.array([new[0], new[1] if with_photons else factor])
        covariance[: len(new), : len(new)] = inverse
    chi2 = max(float(np.mean(((variance - (rest + light * answer[1] + answer[0])) / sigma)[keep] ** 2)), 1.0)
    return _FloorFit(float(answer[0]), int(keep.sum()), float(answer[1]), float(np.sqrt(covariance[1, 1] * chi2)))


def _photon_factor(parts: _StarVariances, floor2: float) -> _PhotonFactor:
    """What the stars that tell of their photons say of the gain; the floor changes where the gain is wrong."""
    telling = int((parts.light > _PHOTON_PART * (parts.light + parts.rest + max(floor2, 0.0))).sum())
    if telling < _PHOTON_STARS:
        note = f"not known: {telling} stars whose scatter is photon noise, {_PHOTON_STARS} needed"
        return _PhotonFactor(float("nan"), float("nan"), floor2, note)
    fit = _weighted(parts, floor2, 1.0, with_photons=True)
    factor, error = fit.factor, fit.factor_err
    wrong = max(factor, 1.0 / max(factor, 1e-3)) > _WRONG and abs(factor - 1.0) > _SIGNIFICANT * error
    if not wrong:
        return _PhotonFactor(factor, error, floor2, OK)
    size = "large" if factor > 1 else "small"
    note = (
        f"the photon noise of bright stars has {factor:.2f} times the variance that the gain says: the gain is "
        f"probably too {size} by about that factor"
    )
    return _PhotonFactor(factor, error, fit.floor2, note)


def noise_curves(
    mag: np.ndarray, terms: Mapping[str, np.ndarray], *, step: float = 0.5, least: int = 5
) -> dict[str, np.ndarray]:
    """Each term of the noise against magnitude, for the plot of scatter over magnitude.

    Parameters
    ----------
    mag : ndarray, shape (n,)
        Magnitudes of the stars; NaN is passed over.
    terms : mapping of str to ndarray of shape (n,)
        Terms and scatter of each star, such as the arrays ``noise_...`` of a dataset [mag]; NaN is passed over.
    step : float
        Width of the bins [mag].
    least : int
        Stars that a bin needs.

    Returns
    -------
    dict of str to ndarray, shape (k,)
        ``magnitude`` (middle of each bin, increasing), ``n_stars``, and the median of each term; NaN for a term that no
        star of the bin has.
    """
    known = np.isfinite(mag)
    bins = np.floor(np.where(known, mag, 0.0) / step).astype(int)
    found = [b for b in np.unique(bins[known]) if (known & (bins == b)).sum() >= least]
    rows = [known & (bins == b) for b in found]
    curves = {
        "magnitude": (np.array(found, dtype=float) + 0.5) * step,
        "n_stars": np.array([row.sum() for row in rows], dtype=int),
    }
    for name, values in terms.items():
        some = [values[row][np.isfinite(values[row])] for row in rows]
        curves[name] = np.array([np.median(one) if one.size else np.nan for one in some])
    return curves
