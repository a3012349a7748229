"""What a calibration found, written beside the light curves: scales, terms, comparison stars, and what was left out."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from gaiaflux.core.calibration.ensemble import EnsembleSolution
from gaiaflux.core.calibration.ensemble_stars import candidate_reasons
from gaiaflux.core.calibration.noise_budget import NoiseFit
from gaiaflux.core.calibration.term_fit import SeriesTerms
from gaiaflux.io.dataset import DatasetWriter
from gaiaflux.model.units import MAG_PER_RELATIVE
from gaiaflux.series.star_summary import ApertureSummary

__all__ = [
    "ENSEMBLE_STATUS",
    "ERROR_FACTOR",
    "frame_columns",
    "spatial_record",
    "star_notes",
    "write_noise",
    "write_solution",
    "write_terms",
]

_USE = (
    "flux_cal = flux / exp(sum over terms of coefficient * (term - mean) + colour term + radius_coefficients of the "
    "star's aperture, where there are any)"
)
ENSEMBLE_STATUS = "used; or why the star was left out of the ensemble, or not offered to it"
FRAME_TEXTS = {
    "pscale": "photometric scale of the frame: 1 = typical, above 1 = more flux arrives",
    "epscale": "one-sigma error of pscale; NaN where it was not solved",
    "calibration_status": "ok, or the reason why the frame has no scale or only that of 1",
    "n_ensemble": "stars of the ensemble that weigh in the frame",
    "spatial_order": "order of the frame's own spatial terms; -1 where not solved",
    "spatial_coefficients": "natural logarithm of the frame's scale, then of its spatial terms (attribute "
    "spatial_terms)",
    "spatial_covariance": "covariance of spatial_coefficients",
}
"""What a calibration says of each frame."""
ERROR_FACTOR = "factor on all errors of the frame: what the stars of the ensemble scatter by beyond theirs; at least 1"


def star_notes(
    solution: EnsembleSolution, rows: np.ndarray, summary: ApertureSummary, stars: Mapping[str, np.ndarray]
) -> np.ndarray:
    """What the ensemble says of each star: ``used``, or why it was left out or not offered; str objects."""
    notes = candidate_reasons(
        rows,
        summary.snr,
        summary.n_good,
        summary.n_points,
        summary.n_saturated,
        summary.isolated.astype(bool),
        np.isfinite(stars["x_ref"]) & np.isfinite(stars["y_ref"]),
    )
    notes[rows] = solution.star_status
    return notes


def spatial_record(solution: EnsembleSolution, x: str = "x_ref", y: str = "y_ref") -> dict[str, Any]:
    """What the spatial terms of a solution are, for JSON; `x` and `y` are the columns of the stars' places."""
    basis = solution.basis
    return {
        "terms": [f"u^{p - q} v^{q}" for p in range(basis.order + 1) for q in range(p + 1)],
        "u": f"({x} - {basis.x0!r}) / {basis.half!r}",
        "v": f"({y} - {basis.y0!r}) / {basis.half!r}",
        "means": basis.means.tolist(),
        "use": _USE,
        "held_out_scatter_by_order": solution.order_scatter.tolist(),
    }


def frame_columns(solution: EnsembleSolution) -> dict[str, np.ndarray]:
    """What a dataset has of a solution for each frame, by the names of `FRAME_TEXTS`."""
    return {
        "pscale": solution.pscale,
        "epscale": solution.epscale,
        "calibration_status": np.array(solution.frame_status, dtype=object),
        "n_ensemble": solution.n_stars,
        "spatial_order": solution.order,
        "spatial_coefficients": solution.coefficients,
        "spatial_covariance": solution.covariance,
    }


def write_solution(out: DatasetWriter, method: str, solution: EnsembleSolution, notes: np.ndarray) -> None:
    """Write the frames' scales and spatial terms, and what became of each star.

    Parameters
    ----------
    out : DatasetWriter
        Dataset.
    method : str
        Group.
    solution : EnsembleSolution
        Of the frames of the dataset.
    notes : ndarray of str objects, shape (n_stars,)
        From `star_notes`.
    """
    out.attributes({"calibration": solution.note, "spatial_terms": json.dumps(spatial_record(solution))}, method)
    for name, values in frame_columns(solution).items():
        out.array(f"{method}/{name}", values, "", FRAME_TEXTS[name])
    out.array(f"{method}/ensemble_status", notes, "", ENSEMBLE_STATUS)


def write_terms(out: DatasetWriter, method: str, terms: SeriesTerms) -> None:
    """Write the terms that all frames share, those that were left out with the reason, and the frames' coefficients.

    Parameters
    ----------
    out : DatasetWriter
        Dataset.
    method : str
        Group.
    terms : SeriesTerms
        Of the frames of the dataset.
    """
    rows = [
        {
            "term": name,
            "value_mag": float(-MAG_PER_RELATIVE * value) if value else 0.0,
            "error_mag": float(MAG_PER_RELATIVE * error) if value else None,
            "note": note,
            "unit": term.unit,
            "description": term.description,
        }
        for name, term, value, error, note in zip(
            terms.names, terms.terms, terms.values, terms.errors, terms.notes, strict=True
        )
    ]
    out.attributes(
        {
            "series_terms": json.dumps(rows),
            "colour_zero": terms.context.colour_zero,
            "airmass_zero": terms.context.airmass_zero,
        },
        method,
    )
    for shared in terms.shared:
        functions = shared.functions
        if not functions.degree:
            values = shared.coefficients[:, 0] if shared.coefficients.shape[1] == 1 else shared.coefficients
            out.array(f"{method}/{functions.name}_coefficients", values, functions.unit, functions.description)


def write_noise(
    out: DatasetWriter, method: str, noise: NoiseFit, factor: np.ndarray, scintillation: tuple[np.ndarray, str]
) -> None:
    """Write the floor, what the photon noise says of the gain, and of each frame its factor and scintillation."""
    out.attributes(
        {
            "noise_floor_mag": MAG_PER_RELATIVE * noise.floor,
            "noise_common_mag": MAG_PER_RELATIVE * noise.common,
            "noise_floor_n_stars": noise.n_stars,
            "noise_note": noise.note,
            "photon_noise_factor": noise.photon_factor,
            "photon_noise_factor_err": noise.photon_factor_err,
            "photon_noise_note": noise.photon_note,
            "scintillation_note": scintillation[1],
        },
        method,
    )
    text = "scintillation of a star in the frame, after Young (1967); NaN where not known, and not in flux_cal_err"
    out.array(f"{method}/scintillation", MAG_PER_RELATIVE * scintillation[0], "mag", text)
    out.array(f"{method}/error_factor", factor, "", ERROR_FACTOR)
