"""Calibrate the measurements of a series: one aperture for each star, one scale for all frames."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gaiaflux.core.calibration.common_error import without_common_error
from gaiaflux.core.calibration.ensemble import EnsembleSolution
from gaiaflux.core.calibration.ensemble_stars import choose_stars
from gaiaflux.core.calibration.terms import SERIES_TERMS, Term
from gaiaflux.core.maths.robust import ClippedMean, clipped_mean
from gaiaflux.io.dataset import FRAME_COLUMNS, SCHEMA_VERSION, STAR_COLUMNS, DatasetReader, DatasetWriter
from gaiaflux.model.columns import Column
from gaiaflux.model.flags import SPOILED
from gaiaflux.model.method import MEASUREMENTS
from gaiaflux.model.methods import method_named, methods_named
from gaiaflux.model.settings.calibrate import CalibrateSettings
from gaiaflux.model.status import OK
from gaiaflux.series.aperture_ties import radius_term, tie_series, write_ties
from gaiaflux.series.calibration_tables import star_notes, write_noise, write_solution, write_terms
from gaiaflux.series.dataset_facts import dataset_facts
from gaiaflux.series.frame_flags import FACTS, frame_flags
from gaiaflux.series.further_arrays import write_further_arrays
from gaiaflux.series.light_curves import (
    Calibration,
    fit_changing_sky,
    fit_series_noise,
    photons_per_unit,
    write_light_curves,
)
from gaiaflux.series.magnitudes import magnitude_scale, write_magnitude_scale
from gaiaflux.series.method_choice import write_recommendation
from gaiaflux.series.method_facts import copy_facts
from gaiaflux.series.response import find_response, write_response
from gaiaflux.series.sky_share import SkyShare
from gaiaflux.series.solution import frame_scintillation, series_facts, solve_series
from gaiaflux.series.star_summary import ApertureSummary, Grids, choose_and_write, read_rows

__all__ = ["ZeroPoints", "calibrate_dataset", "frame_zero_points"]

_GAIA_SYSTEM = "Gaia G"
_LEAST_ZERO_POINT_STARS = 3


def calibrate_dataset(
    measured: str | Path,
    path: str | Path,
    settings: CalibrateSettings,
    config: Mapping[str, Any],
    shared: Sequence[Term] = SERIES_TERMS,
    *,
    deciding: int = 1,
) -> None:
    """Write the dataset of a series.

    Parameters
    ----------
    measured : str or Path
        File of `gaiaflux.series.assembly.assemble_dataset`.
    path : str or Path
        Dataset to write.
    settings : CalibrateSettings
    config : mapping
        Configuration of the series, stored as JSON.
    shared : sequence of Term
        Terms to try that all frames share.
    deciding : int
        Every so many frames decide by the stars' scatter which aperture and which method suits a star; the others can
        then judge the choice.
    """
    with DatasetReader(measured) as source, DatasetWriter(path) as out:
        frames, stars = source.table("frames"), source.stars()
        out.attributes(source.attributes())
        out.attributes(
            {
                "schema_version": SCHEMA_VERSION,  # whatever that of the measured arrays was
                **dataset_facts(config),
            }
        )
        summaries = {}
        methods = [method.name for method in methods_named(source.methods)]
        for method in methods:
            zero_point, summaries[method] = _calibrate_method(
                source, out, method, (frames, stars), settings, shared, deciding
            )
            # The first method that has one gives the frames' zero points.
            frames["zero_point"] = np.where(np.isfinite(frames["zero_point"]), frames["zero_point"], zero_point)
        frames["flags"] = frame_flags(frames, {method: _frame_facts(out, method) for method in methods})
        system = _magnitude_system(source)
        out.table("frames", frames, _in_system(FRAME_COLUMNS, system))
        out.stars(stars, _in_system(STAR_COLUMNS, system))
        if summaries:
            write_recommendation(out, summaries)


def _frame_facts(out: DatasetWriter, method: str) -> dict[str, np.ndarray]:
    """What the flags of the frames are decided by."""
    names = [f"{method}/{name}" for name in FACTS]
    return {name.partition("/")[2]: out.read(name) for name in names if name in out}


def _magnitude_system(source: DatasetReader) -> str:
    return str(source.attributes().get("magnitude_system", _GAIA_SYSTEM))


def _in_system(columns: Mapping[str, Column], system: str) -> dict[str, Column]:
    """Columns whose descriptions name the series' magnitude system."""
    return {
        name: column._replace(description=column.description.replace(_GAIA_SYSTEM, system))
        for name, column in columns.items()
    }


def _calibrate_method(
    source: DatasetReader,
    out: DatasetWriter,
    method: str,
    tables: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]],
    settings: CalibrateSettings,
    shared: Sequence[Term],
    deciding: int,
) -> tuple[np.ndarray, ApertureSummary]:
    """Write the group of one method; returns the zero points of the frames [mag], and a summary of the stars."""
    frames, stars = tables
    n_frames, n_stars, n_radii = source.grid(f"{method}/flux").shape
    unit = str(source.grid(f"{method}/flux").attrs["unit"])
    grids = _grids(out, method, (n_stars, n_frames), unit, f"{method}/radii_pix" in source)
    response = find_response(source, method, frames, stars, settings)
    summary, radii = choose_and_write(source, method, grids, frames, stars, deciding=deciding, response=response)
    x, y = stars["x_ref"], stars["y_ref"]
    clean = summary.isolated & (2 * summary.n_good >= summary.n_points)
    rows = choose_stars(summary.snr, summary.n_good, x, y, clean, min_stars=settings.min_stars)
    measured = read_rows(grids, rows)
    ties = tie_series(source, method, frames, summary)
    tied = 1.0 if ties is None else np.exp(ties[:, summary.radius[rows]].T)
    if response is not None:
        tied = tied * np.exp(response.log(rows))
        write_response(out, method, response)
    flux, error = measured.flux / tied, measured.flux_err / tied
    good = (measured.flags & SPOILED) == 0
    twinkling, twinkling_note = frame_scintillation(frames)
    reference = str(source.attributes().get("reference_frame_id", ""))
    solution, terms = solve_series(
        flux,
        np.hypot(without_common_error(flux, error, good), np.nan_to_num(twinkling) * flux),
        good,
        series_facts(frames, stars, rows, reference),
        settings,
        shared,
    )
    if ties is not None:
        solution = replace(solution, shared=(*solution.shared, radius_term(ties, terms.context)))
        write_ties(out, method, ties)
    members = np.full(n_stars, -1)
    members[rows] = np.arange(rows.size)
    calibration = Calibration(solution, members, twinkling, photons_per_unit(frames, unit), summary.radius, response)
    share = SkyShare(source, method, summary, radii, n_radii)
    if share.stated:
        share.changing = fit_changing_sky(share, grids, calibration, stars)
    measured = measured._replace(flux_err=share.less(measured.flux_err, rows))
    noise, factor = fit_series_noise(calibration, rows, measured, stars)
    write_light_curves(out, method, grids, calibration, stars, (noise.excess, factor), share)
    if share.stated:
        out.attributes({"sky_changing_part": share.changing}, method)
    write_further_arrays(source, out, method_named(method), (calibration, noise.excess, factor), stars)
    write_solution(out, method, solution, star_notes(solution, rows, summary, stars))
    write_terms(out, method, terms)
    write_noise(out, method, noise, factor, (twinkling, twinkling_note))
    if radii is not None:
        text = "index of the radius recommended for the star"
        out.array(f"{method}/recommended_radius", summary.radius.astype("i2"), "", text)
        text = "radii of the apertures in each frame; those behind the measured ones have one size in all frames, and "
        text += "their fluxes are interpolated between the two measured ones next to them"
        out.array(f"{method}/radii_pix", radii, "pixel", text)
    copy_facts(source, out, method)
    mags = stars["mag"]
    zero_points = frame_zero_points(solution, flux, good, mags[rows], summary.flux, mags)
    _write_zero_point(out, method, zero_points.series, _magnitude_system(source))
    if _magnitude_system(source) == _GAIA_SYSTEM:
        level = np.where(solution.with_flux, solution.star_flux, np.nan)
        scale = magnitude_scale(level, rows, summary.flux, stars, source.array("frames/filter"))
        write_magnitude_scale(out, method, scale)
    return zero_points.per_frame, summary


def _grids(out: DatasetWriter, method: str, shape: tuple[int, int], unit: str, has_radii: bool) -> Grids:
    """Datasets of what was measured of each star."""
    where = ", at the radius recommended for it" if has_radii else ""
    flux_is, error_is, flags_are = (method_named(method).arrays[name] for name in MEASUREMENTS)
    return Grids(
        out.grid(f"{method}/flux", shape, flux_is.dtype, unit, f"{flux_is.description}{where}, as measured"),
        out.grid(f"{method}/flux_err", shape, error_is.dtype, unit, error_is.description),
        out.grid(f"{method}/flags", shape, flags_are.dtype, flags_are.unit, f"{flags_are.description}{where}"),
    )


class ZeroPoints(NamedTuple):
    """Zero points to the catalogue's magnitudes (G in what follows), without colour terms.

    Attributes
    ----------
    series : ClippedMean
        G = zero point - 2.5 log10(flux_cal), from so many stars; NaN where no star has a G.
    per_frame : ndarray of float64, shape (m,)
        G = zero point - 2.5 log10(flux as measured). A frame with a scale has the zero point of the series changed by
        its scale, so that missing stars do not shift it; another has the mean over its own stars if there are at
        least 3; else NaN.
    """

    series: ClippedMean
    per_frame: np.ndarray


def frame_zero_points(
    solution: EnsembleSolution,
    flux: np.ndarray,
    good: np.ndarray,
    mag: np.ndarray,
    all_flux: np.ndarray,
    all_mag: np.ndarray,
) -> ZeroPoints:
    """Zero points from fluxes to the catalogue's magnitudes (G in what follows), without colour terms.

    Parameters
    ----------
    solution : EnsembleSolution
        Scales of the m frames.
    flux, good : ndarray, shape (n, m)
        Fluxes as measured of the stars of the ensemble, and whether they are usable.
    mag : ndarray, shape (n,)
        Their G [mag]; NaN where unknown.
    all_flux, all_mag : ndarray, shape (s,)
        Typical flux and G of all stars; used where the ensemble has none with a G.

    Returns
    -------
    ZeroPoints
    """
    used = solution.with_flux
    level = np.where(used & (solution.star_flux > 0), solution.star_flux, np.nan)
    series = clipped_mean(mag + 2.5 * np.log10(level))
    if series.n == 0:
        series = clipped_mean(all_mag + 2.5 * np.log10(np.where(all_flux > 0, all_flux, np.nan)))
    per_frame = np.full(flux.shape[1], np.nan)
    for j in range(flux.shape[1]):
        if solution.solved and np.isfinite(solution.pscale[j]):
            per_frame[j] = series.mean + 2.5 * np.log10(solution.pscale[j])
            continue
        fit = used & good[:, j] & (flux[:, j] > 0)
        if fit.any():
            mean, _, n = clipped_mean(mag[fit] + 2.5 * np.log10(flux[fit, j]))
            per_frame[j] = mean if n >= _LEAST_ZERO_POINT_STARS else np.nan
    return ZeroPoints(series, per_frame)


def _write_zero_point(out: DatasetWriter, method: str, series: ClippedMean, system: str) -> None:
    note = OK
    if series.n < _LEAST_ZERO_POINT_STARS:
        verdict = "no zero point" if series.n == 0 else "uncertain"
        note = f"{series.n} stars with a magnitude in {system}: {verdict}"
    out.attributes(
        {
            "magnitude_system": system,
            "zero_point_mag": series.mean,
            "zero_point_scatter_mag": series.scatter,
            "zero_point_n_stars": series.n,
            "zero_point_note": note,
        },
        method,
    )
