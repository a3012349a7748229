"""Fit of an ensemble: stars' fluxes and frames' terms solved together, with weights that are iterated.

The weights follow from the measured errors, each star's own excess scatter, each frame's excess chi-squared, and a
tapered clip of outliers.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaiaflux.core.maths.field_basis import n_terms
from gaiaflux.core.maths.robust import MAD_TO_SIGMA, masked_median, weighted_medians
from gaiaflux.core.maths.two_way import column_fit, joint_step, leverage
from gaiaflux.model.settings.calibrate import CalibrateSettings

__all__ = ["LEAST_MODEL_SNR", "LEAST_SCATTER", "EnsembleFit", "EnsemblePoints", "fit_ensemble", "held_out_scatter"]

LEAST_SCATTER = 1e-3
"""From the ground no star is trusted better than 1 mmag, or a few bright ones would be the ensemble."""

LEAST_MODEL_SNR = 5.0
"""A point of which the model says less than this signal-to-noise ratio does not weigh."""

_START_SCATTER = 5e-3
_REJECT_EXCESS = 2.0
_REJECT_CLIPPED = 0.1
_LEAST_POINTS = 8  # below, the scatter of a star says nothing about it
_FRAME_PRIOR = 20.0  # stars' worth of belief that a frame's errors are right
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class EnsemblePoints:
    """Measurements of n stars in m frames, and the terms of the field that describe them.

    Attributes
    ----------
    flux, flux_err : ndarray of float64, shape (n, m)
        NaN where not measured.
    usable, bright : ndarray of bool, shape (n, m)
        Points that count, and those of them that are above their error.
    terms : ndarray, shape (n, k)
        Spatial terms at the place of each star; the first is 1.
    order : ndarray of int, shape (m,)
        Order of the polynomial of each frame; -1 for one that is not solved.
    strong : ndarray of bool, shape (m,)
        Frames that the stars' fluxes follow from.
    """

    flux: np.ndarray
    flux_err: np.ndarray
    usable: np.ndarray
    bright: np.ndarray
    terms: np.ndarray
    order: np.ndarray
    strong: np.ndarray

    @property
    def tied(self) -> np.ndarray:
        """Stars that are seen in a strong frame, shape (n,)."""
        return np.asarray(self.bright[:, self.strong].any(axis=1))

    @property
    def log_flux(self) -> np.ndarray:
        """Natural logarithm of the flux; 0 where not bright, shape (n, m)."""
        return np.log(np.where(self.bright, self.flux, 1.0))


class _Verdict(NamedTuple):
    """What the residuals say of the n stars and m frames."""

    scatter: np.ndarray  # (n,) excess scatter of each star
    frame_chi: np.ndarray  # (m,) at least 1
    kept: np.ndarray  # (n,) stars of the ensemble
    excess: np.ndarray  # (n,) noise over that of other stars with the same errors


@dataclass(frozen=True)
class EnsembleFit:
    """What `fit_ensemble` found for n stars and m frames with k terms.

    Attributes
    ----------
    star : ndarray, shape (n,)
        ln flux; NaN where a star is not tied to the others.
    coefficients, covariance : ndarray, shape (m, k) and (m, k, k)
        Of the frames.
    weight, residual : ndarray, shape (n, m)
        Inverse variances in the fit, and relative residuals from it.
    leverage : ndarray, shape (n, m)
        Share of each point in the fit at its own place.
    scatter : ndarray, shape (n,)
        Excess scatter of each star.
    kept : ndarray of bool, shape (n,)
        Stars of the ensemble.
    excess : ndarray, shape (n,)
        Noise of each star over that of other stars with the same errors.
    """

    star: np.ndarray
    coefficients: np.ndarray
    covariance: np.ndarray
    weight: np.ndarray
    residual: np.ndarray
    leverage: np.ndarray
    scatter: np.ndarray
    kept: np.ndarray
    excess: np.ndarray


@dataclass(frozen=True)
class _Residuals:
    """Relative residuals of n stars in m frames from a model, all of shape (n, m)."""

    value: np.ndarray
    noise: np.ndarray  # relative error; 1 where not used
    use: np.ndarray


def fit_ensemble(
    points: EnsemblePoints, settings: CalibrateSettings, least_scatter: float = LEAST_SCATTER
) -> EnsembleFit:
    """Alternate between weights and the joint solution until the frames' terms stand still.

    Parameters
    ----------
    points : EnsemblePoints
        Measurements.
    settings : CalibrateSettings
        Its `spatial_order` is in the terms of the points already.
    least_scatter : float
        Relative scatter that each star is taken to have at least.

    Returns
    -------
    EnsembleFit
    """
    terms, order, strong, tied = points.terms, points.order, points.strong, points.tied
    n, m = points.flux.shape
    active = (order >= 0)[:, None] & (np.arange(terms.shape[1]) < np.asarray(n_terms(np.maximum(order, 0)))[:, None])
    star, coefficients = _start(points)
    verdict = _Verdict(np.full(n, _START_SCATTER), np.ones(m), tied.copy(), np.ones(n))
    pull = np.zeros((n, m))
    for iteration in range(settings.max_iterations):
        found = _residuals(points, star, coefficients)
        if iteration:
            verdict = _judge(found, pull, verdict, strong, settings, least_scatter)
        total = (found.noise**2 + verdict.scatter[:, None] ** 2) * verdict.frame_chi**2
        taper = np.clip(0.5 * (settings.clip_sigma + 1.0 - np.abs(found.value) / np.sqrt(total)), 0.0, 1.0)
        all_weight = np.where(found.use, taper / total, 0.0)
        weight = all_weight * verdict.kept[:, None]

        step_star, step = joint_step(found.value[:, strong], weight[:, strong], all_weight[:, strong], terms)
        star = star + step_star
        coefficients[strong] += step
        drift = np.median(coefficients[strong], axis=0)
        coefficients[strong] -= drift
        star = star + terms @ drift
        # Frames of lower order follow the stars and do not shape them.
        weak = ~strong & (order >= 0)
        shift = found.value - step_star[:, None] - (terms @ drift)[:, None]
        step_weak, inverse = column_fit(shift, weight, terms, active)
        coefficients[weak] += step_weak[weak]
        pull = leverage(weight, terms, inverse)
        moved = np.abs(terms @ (step - drift).T).max()
        if weak.any():
            moved = max(moved, np.abs(terms @ step_weak[weak].T).max())
        if iteration >= 3 and moved < _TOLERANCE:
            break
    model = np.exp(star[:, None] + terms @ coefficients.T)
    return EnsembleFit(
        star=np.where(tied, star, np.nan),
        coefficients=coefficients,
        covariance=inverse,
        weight=weight,
        residual=np.where(found.use, np.nan_to_num(points.flux) / model - 1.0, 0.0),
        leverage=pull,
        scatter=verdict.scatter,
        kept=verdict.kept,
        excess=verdict.excess,
    )


def _residuals(points: EnsemblePoints, star: np.ndarray, coefficients: np.ndarray) -> _Residuals:
    """Residuals from the model, of the points that it does not say to be lost in the noise."""
    model = np.exp(star[:, None] + points.terms @ coefficients.T)
    error = np.where(points.usable, points.flux_err, np.inf)
    use = points.usable & points.tied[:, None] & (points.order >= 0) & (model > LEAST_MODEL_SNR * error)
    noise = np.where(use, points.flux_err / model, 1.0)
    return _Residuals(np.where(use, np.nan_to_num(points.flux) / model - 1.0, 0.0), noise, use)


def _start(points: EnsemblePoints) -> tuple[np.ndarray, np.ndarray]:
    """Start values: ln flux of the stars (n,), coefficients of the frames (m, k)."""
    star, _ = _polish(points)
    use = points.bright & points.tied[:, None]
    noise = np.where(use, points.flux_err / np.where(use, points.flux, 1.0), np.inf)
    # By their weight: in bad seeing many faint stars may agree on the light of their neighbours.
    scale = weighted_medians(
        points.log_flux - np.nan_to_num(star)[:, None], np.where(use, 1.0 / (noise**2 + _START_SCATTER**2), 0.0)
    )
    coefficients = np.zeros((points.flux.shape[1], points.terms.shape[1]))
    coefficients[:, 0] = scale
    return np.nan_to_num(star), coefficients


def _polish(points: EnsemblePoints) -> tuple[np.ndarray, np.ndarray]:
    """Median polish of the logarithms in the strong frames: stars (n,), NaN where without a point; frames (m,)."""
    use = points.bright & points.strong
    log_flux = np.log(np.where(use, points.flux, 1.0))
    scale = np.zeros(points.flux.shape[1])
    for _ in range(15):
        star = masked_median(log_flux - scale, use, 1)
        new = np.nan_to_num(masked_median(log_flux - np.nan_to_num(star)[:, None], use, 0))
        new -= np.median(new[points.strong])
        moved = np.abs(new - scale).max()
        scale = new
        if moved < 1e-4:
            break
    return star, scale


def _judge(
    found: _Residuals,
    pull: np.ndarray,
    former: _Verdict,
    strong: np.ndarray,
    settings: CalibrateSettings,
    least_scatter: float,
) -> _Verdict:
    """New excess scatter of the stars and chi of the frames; which stars are kept."""
    noise, scatter, frame_chi = found.noise, former.scatter, former.frame_chi
    points = found.use & strong
    n_points = points.sum(axis=1)
    # What a star pulled the frame towards itself is given back, or a bright one would look ever quieter.
    own = np.abs(found.value) / np.sqrt(np.maximum(1.0 - pull, 0.1))
    typical = np.nan_to_num(masked_median((noise * frame_chi) ** 2, points, 1), nan=1.0)
    chi = MAD_TO_SIGMA * np.nan_to_num(
        masked_median(own / np.sqrt((noise * frame_chi) ** 2 + scatter[:, None] ** 2), points, 1)
    )
    excess2 = chi**2 * (typical + scatter**2) - typical
    judged = n_points >= _LEAST_POINTS
    new = np.where(judged, np.sqrt(np.maximum(excess2, least_scatter**2)), _START_SCATTER)
    usual = np.median(new[judged]) if judged.any() else _START_SCATTER
    excess = np.sqrt((typical + new**2) / (typical + usual**2))
    clipped = (points & (own > settings.clip_sigma * frame_chi * np.sqrt(noise**2 + usual**2))).sum(axis=1)
    excess = np.where(clipped > _REJECT_CLIPPED * n_points, np.maximum(excess, _REJECT_EXCESS * 1.01), excess)
    excess = np.where(judged, excess, 1.0)
    kept = (excess <= _REJECT_EXCESS) & (n_points > 0)
    if kept.sum() < settings.min_stars:
        best = np.argsort(np.where(n_points > 0, excess, np.inf), kind="stable")[: settings.min_stars]
        kept[best[n_points[best] > 0]] = True

    counted = found.use & kept[:, None]
    n_frame = counted.sum(axis=0)
    u = own / np.sqrt(noise**2 + new[:, None] ** 2)
    chi2 = np.nan_to_num((MAD_TO_SIGMA * masked_median(u, counted, 0)) ** 2, nan=1.0)
    chi = np.sqrt(np.maximum((n_frame * chi2 + _FRAME_PRIOR) / (n_frame + _FRAME_PRIOR), 1.0))
    return _Verdict(new, chi, kept, excess)


def held_out_scatter(fit: EnsembleFit, points: EnsemblePoints, highest: int) -> np.ndarray:
    """Scatter of each point about the fit of all others by each order, relative to that by the highest.

    Parameters
    ----------
    fit : EnsembleFit
        By the highest order.
    points : EnsemblePoints
        That it was fitted to.
    highest : int
        Order of its terms.

    Returns
    -------
    ndarray of float64, shape (highest + 1,)
        For the orders 0, 1, ...; the last is 1.
    """
    strong, terms = points.strong, points.terms
    weight, coefficients = fit.weight[:, strong], fit.coefficients[strong]
    share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    whole = fit.residual[:, strong] + terms[:, 1:] @ coefficients[:, 1:].T
    chi2 = []
    for order in range(highest + 1):
        some = terms[:, : n_terms(order)]
        row_step, step = joint_step(whole, weight, weight, some)
        _, inverse = column_fit(whole, weight, some, np.ones(step.shape, dtype=bool))
        left = whole - row_step[:, None] - some @ step.T
        others = np.maximum((1.0 - leverage(weight, some, inverse)) * (1.0 - share), 0.05)
        chi2.append((weight * (left / others) ** 2).sum())
    return np.sqrt(np.array(chi2) / chi2[-1]) if chi2[-1] > 0 else np.ones(len(chi2))
