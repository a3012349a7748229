"""Calibrate the measurements of a series: one aperture for each star, one scale for all frames."""

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from gaiaflux.core.ensemble import EnsembleSolution, apply_ensemble, solve_ensemble
from gaiaflux.core.robust import clipped_mean, masked_median
from gaiaflux.core.selection import choose_stars, frame_trends, recommend_radius, series_scatter
from gaiaflux.io.dataset import FRAME_COLUMNS, STAR_COLUMNS, Column, DatasetReader, DatasetWriter
from gaiaflux.model.flags import SPOILED, StarFlag

__all__ = ["calibrate_dataset", "frame_zero_points", "write_frames_csv"]

_GAIA_SYSTEM = "Gaia G"
_BLOCK_VALUES = 4_000_000  # numbers of one array in memory at once
_SAMPLED_FRAMES = 200  # enough for a median
_LEAST_ZERO_POINT_STARS = 3
_CANDIDATE_SNR = 20.0
_TREND_STARS = 200  # brightest, that tell the radii's common ups and downs


@dataclass(frozen=True)
class _Summary:
    """One value per star, from its points at its recommended radius."""

    radius: np.ndarray
    flux: np.ndarray
    snr: np.ndarray
    n_good: np.ndarray
    isolated: np.ndarray


def calibrate_dataset(
    measured: str | Path, path: str | Path, settings: Mapping[str, float], config: Mapping[str, object]
) -> None:
    """Write the dataset of a series.

    Parameters
    ----------
    measured : str or Path
        File of `gaiaflux.ground.dataset.assemble_dataset`.
    path : str or Path
        Dataset to write.
    settings : mapping
        Section ``calibrate``: spatial_order, max_iterations, min_stars, clip_sigma.
    config : mapping
        Configuration of the series, stored as JSON.
    """
    with DatasetReader(measured) as source, DatasetWriter(path) as out:
        frames, stars = source.table("frames"), source.table("stars")
        out.attributes(source.attributes())
        out.attributes(
            {
                "config": json.dumps(config, sort_keys=True),
                "versions": json.dumps(_versions()),
                "created_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )
        for method in source.methods:
            zero_point = _calibrate_method(source, out, method, stars, settings)
            # The first method that has one gives the frames' zero points.
            frames["zero_point"] = np.where(np.isfinite(frames["zero_point"]), frames["zero_point"], zero_point)
        system = _magnitude_system(source)
        out.table("frames", frames, _in_system(FRAME_COLUMNS, system))
        out.table("stars", stars, _in_system(STAR_COLUMNS, system))


def _magnitude_system(source: DatasetReader) -> str:
    return str(source.attributes().get("magnitude_system", _GAIA_SYSTEM))


def _in_system(columns: Mapping[str, Column], system: str) -> dict[str, Column]:
    """Columns whose descriptions name the series' magnitude system."""
    return {
        name: column._replace(description=column.description.replace(_GAIA_SYSTEM, system))
        for name, column in columns.items()
    }


def _versions() -> dict[str, str]:
    packages = ("gaiaflux", "numpy", "scipy", "astropy", "h5py", "numba")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _blocks(n_stars: int, values_per_star: int) -> Iterator[slice]:
    """Blocks of stars that fit the memory, whole chunks of the file."""
    step = max(256, _BLOCK_VALUES // max(values_per_star, 1) // 256 * 256)
    for first in range(0, n_stars, step):
        yield slice(first, min(first + step, n_stars))


def _calibrate_method(
    source: DatasetReader, out: DatasetWriter, method: str, stars: Mapping[str, np.ndarray], settings: Mapping
) -> np.ndarray:
    """Write the group of one method; returns the zero points of the frames [mag]."""
    n_frames, n_stars, _ = source.grid(f"{method}/flux").shape
    unit = source.grid(f"{method}/flux").attrs["unit"]
    shape = (n_stars, n_frames)
    flux = out.grid(
        f"{method}/flux", shape, "f4", unit, "total flux of the star, at the radius recommended for it, as measured"
    )
    error = out.grid(f"{method}/flux_err", shape, "f4", unit, "one-sigma error of flux")
    flags = out.grid(
        f"{method}/flags", shape, "u2", "", "bits of the star flags at the radius recommended for the star"
    )
    x, y = stars["x_ref"], stars["y_ref"]
    summary = _choose_radii(source, method, (flux, error, flags), x, y)
    rows = choose_stars(summary.snr, summary.n_good, x, y, summary.isolated, min_stars=settings["min_stars"])
    ensemble_flux, ensemble_err, ensemble_flags = _read_rows((flux, error, flags), rows)
    good = (ensemble_flags & SPOILED) == 0
    solution = solve_ensemble(
        ensemble_flux,
        ensemble_err,
        good,
        x[rows],
        y[rows],
        spatial_order=settings["spatial_order"],
        max_iterations=settings["max_iterations"],
        min_stars=settings["min_stars"],
        clip_sigma=settings["clip_sigma"],
    )
    members = np.full(n_stars, -1)
    members[rows] = np.arange(rows.size)
    _apply(out, method, (flux, error), solution, x, y, members, unit)
    mags = stars["phot_g_mean_mag"]
    series, per_frame = frame_zero_points(solution, ensemble_flux, good, mags[rows], summary.flux, mags)
    _describe(out, method, source, summary, solution, rows, series)
    return per_frame


def _choose_radii(source: DatasetReader, method: str, grids: tuple, x: np.ndarray, y: np.ndarray) -> _Summary:
    """Pick each star's radius, write its measurements there, and sum each star up."""
    inputs = [source.grid(f"{method}/{name}") for name in ("flux", "flux_err", "flags")]
    n_frames, n_stars, n_radii = inputs[0].shape
    sample = slice(None, None, max(1, n_frames // _SAMPLED_FRAMES))
    names = ("radius", "flux", "snr", "n_good", "isolated")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    trends = calibrators = None
    for block in _blocks(n_stars, n_frames * n_radii):
        values = [grid[:, block] for grid in inputs]
        some = [array[sample] for array in values]
        usable = ((some[2] & SPOILED) == 0) & np.isfinite(some[0]) & np.isfinite(some[1])
        if trends is None:
            # Catalogues begin with their brightest stars.
            bright = _brightest(some[0], some[1], usable)
            calibrators = x[bright], y[bright]
            trends = frame_trends(some[0][:, bright], usable[:, bright], *calibrators)
        scatter = series_scatter(some[0], usable, x[block], y[block], trends, calibrators)
        radius, _ = recommend_radius(some[0], some[1], usable, (some[2] & StarFlag.NEIGHBOUR) != 0, scatter)
        pick = radius[None, :, None]
        flux, error, flags = (np.take_along_axis(array, pick, axis=2)[:, :, 0].T for array in values)
        for grid, array in zip(grids, (flux, error, flags), strict=True):
            grid[block] = array
        good = ((flags & SPOILED) == 0) & np.isfinite(flux) & (error > 0)
        level = masked_median(flux[:, sample], good[:, sample], 1)
        snr = np.nan_to_num(masked_median(flux[:, sample] / np.where(good, error, 1)[:, sample], good[:, sample], 1))
        # What the star did over the series says more than the errors and than the neighbours that are known; a
        # variable star stays a candidate that the ensemble then leaves out.
        own = np.take_along_axis(scatter, radius[:, None], axis=1)[:, 0]
        seen = np.isfinite(own) & (level > 0)
        snr[seen] = np.minimum(snr, np.maximum(level / np.where(own > 0, own, 1.0), _CANDIDATE_SNR))[seen]
        isolated = (((flags & StarFlag.NEIGHBOUR) != 0) & good).sum(axis=1) <= 0.5 * good.sum(axis=1)
        part = (radius, level, snr, good.sum(axis=1), isolated | seen)
        for name, values_of_part in zip(names, part, strict=True):
            parts[name].append(values_of_part)
    return _Summary(**{name: np.concatenate(parts[name]) if parts[name] else np.zeros(0) for name in names})


def _brightest(flux: np.ndarray, error: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Rows of the stars with the best signal-to-noise ratio among those that are often measured by every radius."""
    often = usable.all(axis=2).sum(axis=0)
    possible = np.flatnonzero(often >= 0.7 * often.max(initial=0))
    middle = flux.shape[2] // 2
    good = usable[:, possible, middle]
    snr = np.where(good, flux[:, possible, middle] / np.where(good, error[:, possible, middle], 1.0), 0.0)
    level = np.nan_to_num(masked_median(snr, good, 0))
    return np.sort(possible[np.argsort(-level, kind="stable")[:_TREND_STARS]])


def _read_rows(grids: tuple, rows: np.ndarray) -> list[np.ndarray]:
    """Some rows of chunked datasets, read in whole blocks."""
    n_stars, n_frames = grids[0].shape
    found = [np.empty((rows.size, n_frames), dtype=grid.dtype) for grid in grids]
    for block in _blocks(n_stars, n_frames):
        inside = (rows >= block.start) & (rows < block.stop)
        if inside.any():
            for grid, values in zip(grids, found, strict=True):
                values[inside] = grid[block][rows[inside] - block.start]
    return found


def _apply(out, method, grids, solution, x, y, members, unit) -> None:  # noqa: ANN001
    shape = grids[0].shape
    flux_cal = out.grid(
        f"{method}/flux_cal",
        shape,
        "f4",
        unit,
        "flux on the common scale of the series: flux / (pscale * spatial term of the frame); a star of the ensemble "
        "with the fit of all other stars. NaN where the frame could not be calibrated",
    )
    flux_cal_err = out.grid(
        f"{method}/flux_cal_err", shape, "f4", unit, "one-sigma error of flux_cal, with the error of the frame's scale"
    )
    for block in _blocks(*shape):
        flux_cal[block], flux_cal_err[block] = apply_ensemble(
            solution, grids[0][block], grids[1][block], x[block], y[block], members[block]
        )


def frame_zero_points(
    solution: EnsembleSolution,
    flux: np.ndarray,
    good: np.ndarray,
    mag: np.ndarray,
    all_flux: np.ndarray,
    all_mag: np.ndarray,
) -> tuple[tuple[float, float, int], np.ndarray]:
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
    series : tuple (zero point, scatter of the stars, number of stars)
        G = zero point - 2.5 log10(flux_cal); NaN where no star has a G.
    per_frame : ndarray of float64, shape (m,)
        G = zero point - 2.5 log10(flux as measured). A frame with a scale has the zero point of the series changed by
        its scale, so that missing stars do not shift it; another has the mean over its own stars if there are at
        least 3; else NaN.
    """
    used = np.array([status in ("used", "not solved") for status in solution.star_status], dtype=bool)
    level = np.where(used & (solution.star_flux > 0), solution.star_flux, np.nan)
    series = clipped_mean(mag + 2.5 * np.log10(level))
    if series[2] == 0:
        series = clipped_mean(all_mag + 2.5 * np.log10(np.where(all_flux > 0, all_flux, np.nan)))
    per_frame = np.full(flux.shape[1], np.nan)
    for j in range(flux.shape[1]):
        if solution.solved and np.isfinite(solution.pscale[j]):
            per_frame[j] = series[0] + 2.5 * np.log10(solution.pscale[j])
            continue
        fit = used & good[:, j] & (flux[:, j] > 0)
        if fit.any():
            mean, _, n = clipped_mean(mag[fit] + 2.5 * np.log10(flux[fit, j]))
            per_frame[j] = mean if n >= _LEAST_ZERO_POINT_STARS else np.nan
    return series, per_frame


def _describe(out, method, source, summary, solution, rows, series) -> None:  # noqa: ANN001
    """Write what was solved, and what was not."""
    basis = solution.basis
    terms = [f"u^{p - q} v^{q}" for p in range(basis.order + 1) for q in range(p + 1)]
    note, system = "ok", _magnitude_system(source)
    if series[2] < _LEAST_ZERO_POINT_STARS:
        verdict = "no zero point" if series[2] == 0 else "uncertain"
        note = f"{series[2]} stars with a magnitude in {system}: {verdict}"
    out.attributes(
        {
            "calibration": solution.note,
            "magnitude_system": system,
            "zero_point_mag": series[0],
            "zero_point_scatter_mag": series[1],
            "zero_point_n_stars": series[2],
            "zero_point_note": note,
            "spatial_terms": json.dumps(
                {
                    "terms": terms,
                    "u": f"(x_ref - {basis.x0!r}) / {basis.half!r}",
                    "v": f"(y_ref - {basis.y0!r}) / {basis.half!r}",
                    "means": basis.means.tolist(),
                    "use": "flux_cal = flux / exp(sum over terms of coefficient * (term - mean))",
                }
            ),
        },
        method,
    )
    whole = [""] * summary.snr.size
    for row, status in zip(rows, solution.star_status, strict=True):
        whole[row] = status
    text = "ok, or the reason why the frame has no scale or only that of 1"
    for name, values, unit, description in (
        ("pscale", solution.pscale, "", "photometric scale of the frame: 1 = typical, above 1 = more flux arrives"),
        ("epscale", solution.epscale, "", "one-sigma error of pscale; NaN where it was not solved"),
        ("calibration_status", np.array(solution.frame_status, dtype=object), "", text),
        ("n_ensemble", solution.n_stars, "", "stars of the ensemble that weigh in the frame"),
        ("spatial_order", solution.order, "", "order of the spatial term of the frame; -1 where not solved"),
        (
            "spatial_coefficients",
            solution.coefficients,
            "",
            "natural logarithm of the frame's scale, then of its spatial terms (attribute spatial_terms of the group)",
        ),
        ("spatial_covariance", solution.covariance, "", "covariance of spatial_coefficients"),
        ("ensemble_status", np.array(whole, dtype=object), "", "used; or why left out; empty: not a candidate"),
        ("recommended_radius", summary.radius.astype("i2"), "", "index of the radius recommended for the star"),
        ("radii_pix", source.array(f"{method}/radii_pix"), "pixel", "radii of the apertures in each frame"),
    ):
        out.array(f"{method}/{name}", values, unit, description)


def write_frames_csv(dataset: str | Path, path: str | Path) -> None:
    """Write the table of frames for people.

    Parameters
    ----------
    dataset : str or Path
        Dataset.
    path : str or Path
        CSV file: the columns of ``/frames`` but the plate solutions, and of each method the scale of the frames.
    """
    import pandas as pd

    with DatasetReader(dataset) as source:
        frames = source.table("frames")
        columns = {name: frames[name] for name in FRAME_COLUMNS if name not in ("wcs_header", "observer_au")}
        columns |= {f"observer_{axis}_au": frames["observer_au"][:, k] for k, axis in enumerate("xyz")}
        for method in source.methods:
            for name in ("pscale", "epscale", "n_ensemble", "calibration_status"):
                columns[f"{method}_{name}"] = source.array(f"{method}/{name}")
    pd.DataFrame(columns).to_csv(path, index=False)
