"""Scales of the frames of a series with all terms that its stars support."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gaiaflux.core.calibration.ensemble import EnsembleSolution, solve_ensemble
from gaiaflux.core.calibration.ensemble_fit import LEAST_SCATTER
from gaiaflux.core.calibration.excursions import deviating_runs
from gaiaflux.core.calibration.scintillation import scintillation
from gaiaflux.core.calibration.term_fit import SeriesTerms, fit_terms, with_terms
from gaiaflux.core.calibration.terms import SERIES_TERMS, SeriesFacts, Term
from gaiaflux.model.settings.calibrate import CalibrateSettings
from gaiaflux.model.status import OK

__all__ = ["frame_scintillation", "series_facts", "solve_series"]


def frame_scintillation(frames: Mapping[str, np.ndarray]) -> tuple[np.ndarray, str]:
    """Scintillation of each frame, and what is not known of it.

    Parameters
    ----------
    frames : mapping of str to ndarray
        Columns of ``/frames``.

    Returns
    -------
    relative : ndarray of float64, shape (n_frames,)
        NaN where it is not known.
    note : str
        ``ok`` or what is missing.
    """
    names = ("aperture_m", "airmass", "exptime_s", "site_height_m")
    relative = scintillation(*(frames[name] for name in names))
    unknown = ~np.isfinite(relative) & (frames["status"] == OK)
    if not unknown.any():
        return relative, OK
    missing = [name for name in names if not np.isfinite(frames[name][unknown]).all()]
    why = f"{', '.join(missing)} not known" if missing else "a value that cannot be"
    return relative, f"left out in {unknown.sum()} of {len(unknown)} frames: {why}"


def series_facts(
    frames: Mapping[str, np.ndarray], stars: Mapping[str, np.ndarray], rows: np.ndarray, reference: str
) -> SeriesFacts:
    """What the shared terms are functions of.

    Parameters
    ----------
    frames, stars : mapping of str to ndarray
        Columns of ``/frames`` and ``/stars``.
    rows : ndarray of int
        Stars of the ensemble.
    reference : str
        frame_id of the reference image.

    Returns
    -------
    SeriesFacts
    """
    names, camera = np.unique(frames["camera"].astype(str), return_inverse=True)
    return SeriesFacts(
        x=stars["x_ref"][rows],
        y=stars["y_ref"][rows],
        colour=stars["colour"][rows],
        airmass=frames["airmass"],
        camera=camera,
        camera_names=[str(name) for name in names],
        axes=_axes(frames, reference),
    )


def _axes(frames: Mapping[str, np.ndarray], reference: str) -> np.ndarray:
    """Detector axes of the frames over those of the reference image."""
    # A frame without a plate solution is turned like the others.
    matrices = np.stack([frames[f"wcs_cd{k}"] for k in ("1_1", "1_2", "2_1", "2_2")], axis=1).reshape(-1, 2, 2)
    area = matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] * matrices[:, 1, 0]
    known = np.flatnonzero(np.abs(area) > 0)
    axes = np.repeat(np.eye(2)[None], len(matrices), axis=0)
    if known.size:
        at = np.flatnonzero(frames["frame_id"][known] == reference)
        first = matrices[known[at[0] if at.size else 0]]
        axes[known] = np.linalg.inv(matrices[known]) @ first
    return axes


def solve_series(
    flux: np.ndarray,
    flux_err: np.ndarray,
    good: np.ndarray,
    facts: SeriesFacts,
    settings: CalibrateSettings,
    shared: Sequence[Term] = SERIES_TERMS,
    least_scatter: float = LEAST_SCATTER,
) -> tuple[EnsembleSolution, SeriesTerms]:
    """Solve for the frames' scales and spatial terms, then for the shared terms, then for the frames again.

    Stars do not count in frames in which they deviate for a while
    (`gaiaflux.core.calibration.excursions.deviating_runs`).

    Parameters
    ----------
    flux, flux_err : ndarray, shape (n, m)
        Fluxes of the stars of the ensemble, and their errors with the scintillation.
    good : ndarray of bool, shape (n, m)
        Points that no flag spoils.
    facts : SeriesFacts
        Of the n stars and m frames.
    settings : CalibrateSettings
    shared : sequence of Term
        The shared terms to try.
    least_scatter : float
        Relative scatter that each star is taken to have at least.

    Returns
    -------
    solution : EnsembleSolution
        With the shared terms that were kept.
    terms : SeriesTerms
        The shared terms, kept or not.
    """
    first = solve_ensemble(flux, flux_err, good, facts.x, facts.y, settings, least_scatter)
    if not first.solved:
        return first, fit_terms(first, facts, shared)
    terms = fit_terms(first, facts, shared)
    settings = replace(settings, spatial_order=first.basis.order)
    solution = first
    if terms.any:
        factor = np.exp(terms.table(facts.stars))
        flux, flux_err = flux / factor, flux_err / factor
        solution = solve_ensemble(flux, flux_err, good, facts.x, facts.y, settings, least_scatter)
    residual, sigma, use = _residuals(flux, flux_err, good, facts, solution)
    runs = deviating_runs(residual, np.hypot(sigma, least_scatter), use, min_stars=settings.min_stars)
    if runs.any():
        solution = solve_ensemble(flux, flux_err, good & ~runs, facts.x, facts.y, settings, least_scatter)
    return with_terms(solution, terms) if terms.any else solution, terms


class _Residuals(NamedTuple):
    """Of the stars of the ensemble, shape (n, m): relative residuals and errors, and which points count."""

    residual: np.ndarray
    sigma: np.ndarray
    use: np.ndarray


def _residuals(
    flux: np.ndarray, flux_err: np.ndarray, good: np.ndarray, facts: SeriesFacts, solution: EnsembleSolution
) -> _Residuals:
    """Residuals from a solution in which no star hides what it does."""
    used = solution.used
    frames = np.isfinite(solution.coefficients[:, 0])
    model = np.nan_to_num(solution.coefficients) @ solution.basis.terms(facts.x, facts.y).T
    model = np.exp(model.T) * np.where(used, solution.star_flux, 1.0)[:, None]
    use = good & used[:, None] & frames & np.isfinite(flux) & np.isfinite(flux_err) & (flux_err > 0)
    # A star of great weight hides a part of what it does in the frame's scale.
    residual = np.where(use, flux / model - 1.0, 0.0) / np.maximum(1.0 - solution.self_weight, 0.1)
    return _Residuals(residual, np.where(use, flux_err / model, 1.0), use)
