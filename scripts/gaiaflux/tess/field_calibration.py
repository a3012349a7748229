"""What all stars of a CCD do alike is taken off the fluxes of a field, by an ensemble for each CCD.

A frame of a field's dataset belongs to one CCD of one sector. Its scale, and the slope of the scale over the CCD, come
from stars that are bright, single, unsaturated and, as the ensemble itself judges, constant.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from gaiaflux.core.calibration.ensemble_stars import choose_stars
from gaiaflux.core.calibration.terms import SeriesFacts
from gaiaflux.core.maths.field_basis import n_terms
from gaiaflux.core.maths.robust import clipped_scatter, masked_median
from gaiaflux.io.dataset import DatasetWriter
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.settings.calibrate import CalibrateSettings
from gaiaflux.model.status import OK, StarUse
from gaiaflux.model.units import MAG_PER_RELATIVE
from gaiaflux.series.calibration_tables import (
    ENSEMBLE_STATUS,
    ERROR_FACTOR,
    FRAME_TEXTS,
    frame_columns,
    spatial_record,
    star_notes,
)
from gaiaflux.series.light_curves import Calibration, calibrated_block, fit_series_noise, photons_per_unit
from gaiaflux.series.solution import solve_series
from gaiaflux.series.star_summary import (
    ApertureSummary,
    Grids,
    Measured,
    join_summaries,
    sampled_frames,
    star_blocks,
    sum_up,
)
from gaiaflux.tess.stamp.measurement import HIGH_CONTAMINATION

__all__ = ["CcdStars", "calibrate_method"]

BRIGHTEST, FAINTEST = 8.0, 12.0
"""Magnitudes T of the stars of an ensemble: brighter ones saturate, fainter ones tell little."""
LEAST_STARS = 20
"""So many of them a CCD needs."""
_SETTINGS = CalibrateSettings(spatial_order=1, max_iterations=20, min_stars=10, clip_sigma=4.0)
_LEAST_SCATTER = 1e-4  # above the air a bright star can be trusted better than from the ground
_MOST_STARS, _MOST_POINTS = 300, 6_000_000  # of an ensemble
_SWITCHED_OFF = "not calibrated: the ensemble is switched off"
_NOTHING_COMMON = "not calibrated: the stars of the CCD have less in common than their ensemble can tell; pscale is 1"
_NO_FRAMES = "not calibrated: no target was measured"
_UNIT = "electron/s"


@dataclass(frozen=True)
class CcdStars:
    """Stars of one CCD in one sector, and its frames.

    Attributes
    ----------
    name : str
        As the names of the frames begin.
    frames : ndarray of int, shape (m,)
        Columns of the dataset, in the order of time.
    rows : ndarray of int, shape (n,)
        Rows of the dataset, ascending.
    x, y : ndarray of float64, shape (n,)
        Column and row of the stars on the CCD [pixel, 0-based]; NaN where not known.
    spoiled : ndarray of bool, shape (m,)
        Frames that no scale is sought for: they may show other stars.
    """

    name: str
    frames: np.ndarray
    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray
    spoiled: np.ndarray

    def judged(self, measured: Measured) -> Measured:
        """Measurements of the CCD's stars in its frames, those in spoiled frames flagged as none."""
        none = np.where(self.spoiled, StarFlag.NOT_MEASURED, 0).astype(measured.flags.dtype)
        return measured._replace(flags=measured.flags | none)

    @property
    def places(self) -> dict[str, np.ndarray]:
        """Places of the stars as columns of ``/stars``; no term asks for their colours."""
        return {"x_ref": self.x, "y_ref": self.y, "colour": np.full(len(self.rows), np.nan)}


class _CcdEnsemble(NamedTuple):
    """What an ensemble says of a CCD: the verdict, one for each of its stars, and the solution where there is one."""

    note: str
    notes: np.ndarray
    calibration: Calibration | None = None
    noise: tuple[float, np.ndarray] = (0.0, np.ones(0))
    record: Mapping[str, Any] = {}


class _Piece(NamedTuple):
    """Stars of a CCD in a block of the dataset's rows: number of the CCD, which of its stars, where in the block."""

    ccd: int
    stars: np.ndarray
    place: tuple[np.ndarray, ...]


def calibrate_method(
    out: DatasetWriter,
    method: str,
    ccds: Sequence[CcdStars],
    tmag: np.ndarray,
    frames: Mapping[str, np.ndarray],
    *,
    enabled: bool,
) -> np.ndarray:
    """Write ``flux_cal`` and ``flux_cal_err`` of a method, and the scales of the frames.

    Parameters
    ----------
    out : DatasetWriter
        Has the method's flux, flux_err, flags and contamination.
    method : str
        Group.
    ccds : sequence of CcdStars
        Each frame is of one of them.
    tmag : ndarray, shape (n_stars,)
        Magnitude T; NaN where unknown.
    frames : mapping of str to ndarray
        Columns of ``/frames``.
    enabled : bool
        Whether fluxes are calibrated. Where not, and on a CCD with fewer than `LEAST_STARS` suitable stars, fluxes are
        as measured, and ``calibration_status`` says why.

    Returns
    -------
    ndarray of float64, shape (n_frames,)
        pscale: 1 for a frame that is as measured, NaN where a CCD has scales and this frame has none.
    """
    grids = Grids(*(out.made(f"{method}/{name}") for name in Grids._fields))
    if enabled:
        photons = photons_per_unit(frames, _UNIT)
        summaries = _summaries(grids, out.made(f"{method}/contamination"), ccds)
        found = [
            _solve(grids, ccd, summary, tmag[ccd.rows], None if photons is None else photons[ccd.frames])
            for ccd, summary in zip(ccds, summaries, strict=True)
        ]
    else:
        found = [_CcdEnsemble(_SWITCHED_OFF, np.full(len(ccd.rows), "", object)) for ccd in ccds]
    _write_fluxes(out, method, grids, ccds, found)
    _write_notes(out, method, grids.flux.shape[0], ccds, found)
    return _write_scales(out, method, grids.flux.shape[1], ccds, found)


def _pieces(ccds: Sequence[CcdStars], block: slice) -> Iterator[_Piece]:
    for k, ccd in enumerate(ccds):
        at = np.flatnonzero((ccd.rows >= block.start) & (ccd.rows < block.stop))
        if at.size:
            yield _Piece(k, at, np.ix_(ccd.rows[at] - block.start, ccd.frames))


def _summaries(grids: Grids, contamination: Any, ccds: Sequence[CcdStars]) -> list[ApertureSummary]:
    """What the stars of each CCD did in its frames; a star with much light of others counts as not isolated."""
    parts: list[list[ApertureSummary]] = [[] for _ in ccds]
    for block in star_blocks(*grids.flux.shape):
        whole, foreign = Measured(*(grid[block] for grid in grids)), contamination[block]
        for piece in _pieces(ccds, block):
            sample = sampled_frames(len(ccds[piece.ccd].frames))
            unknown = np.full(len(piece.stars), np.nan)
            picked = ccds[piece.ccd].judged(Measured(*(array[piece.place] for array in whole)))
            summary = sum_up(picked, sample, np.zeros(len(piece.stars), int), unknown, unknown)
            light = foreign[piece.place][:, sample]
            known = np.isfinite(light)
            much = np.nan_to_num(masked_median(np.where(known, light, 0.0), known, 1)) > HIGH_CONTAMINATION
            parts[piece.ccd].append(replace(summary, isolated=summary.isolated & ~much))
    return [join_summaries(some) for some in parts]


def _solve(
    grids: Grids, ccd: CcdStars, summary: ApertureSummary, tmag: np.ndarray, photons: np.ndarray | None
) -> _CcdEnsemble:
    """Scales of the frames of a CCD."""
    n_frames = len(ccd.frames)
    in_band = (tmag >= BRIGHTEST) & (tmag <= FAINTEST)
    suitable = in_band & summary.isolated & (2 * summary.n_good >= summary.n_points)
    some = choose_stars(
        summary.snr,
        np.where(suitable, summary.n_good, 0),
        ccd.x,
        ccd.y,
        summary.isolated,
        min_stars=LEAST_STARS,
        max_stars=min(max(_MOST_POINTS // n_frames, LEAST_STARS), _MOST_STARS),
    )
    if some.size < LEAST_STARS:
        note = f"not calibrated: the CCD needs {LEAST_STARS} suitable stars and has {some.size}; pscale is 1"
        return _CcdEnsemble(note, np.full(len(ccd.rows), "", object))
    measured = _read(grids, ccd, some)
    facts = SeriesFacts(
        x=ccd.x[some],
        y=ccd.y[some],
        colour=np.full(some.size, np.nan),
        airmass=np.full(n_frames, np.nan),
        camera=np.zeros(n_frames, int),
        camera_names=[ccd.name],
        axes=np.repeat(np.eye(2)[None], n_frames, axis=0),
    )
    flux, error = (array.astype(np.float64) for array in measured[:2])
    solution, _ = solve_series(flux, error, measured.usable, facts, _SETTINGS, (), _LEAST_SCATTER)
    notes = star_notes(solution, some, summary, ccd.places)
    notes[~in_band] = f"not a candidate: T outside of {BRIGHTEST:.0f} to {FAINTEST:.0f}"
    if not solution.solved:
        return _CcdEnsemble(solution.note, notes)
    members = np.full(len(ccd.rows), -1)
    members[some] = np.arange(some.size)
    calibration = Calibration(solution, members, np.zeros(n_frames), photons)
    noise, factor = fit_series_noise(calibration, some, measured, ccd.places)
    facts_of = calibration.facts(ccd.places, some)
    cal, _ = calibrated_block(calibration, measured.flux, measured.flux_err, facts_of, some, (noise.excess, factor))
    if not _quieter(measured, cal, solution.used):
        return _CcdEnsemble(_NOTHING_COMMON, notes)
    record = {
        "n_stars": int(solution.used.sum()),
        "noise_floor_mag": MAG_PER_RELATIVE * noise.floor,
        "noise_common_mag": MAG_PER_RELATIVE * noise.common,
        "noise_note": noise.note,
    }
    return _CcdEnsemble(OK, notes, calibration, (noise.excess, factor), record)


def _quieter(measured: Measured, flux_cal: np.ndarray, used: np.ndarray) -> bool:
    """Whether the stars of an ensemble, each calibrated by the others, scatter less than as measured.

    What they have in common is taken off the variance of each star, and what the ensemble does not know is put on it,
    the same for faint stars and for bright ones: the bright ones show it.
    """
    use = measured.usable & np.isfinite(flux_cal) & used[:, None]
    before, after = (_relative_variance(flux, use)[used] for flux in (measured.flux, flux_cal))
    known = np.isfinite(before) & (after > 0)
    return bool(((before - after)[known] / after[known] ** 2).sum() > 0)


def _relative_variance(flux: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Variance of each star without outliers, relative to its flux; NaN where not known."""
    level = masked_median(np.where(use, flux, 0.0), use, 1)
    deviation = np.where(use, flux - np.nan_to_num(level)[:, None], 0.0).astype(np.float64)
    return np.asarray((clipped_scatter(deviation, use) / np.where(level > 0, level, np.nan)) ** 2)


def _read(grids: Grids, ccd: CcdStars, some: np.ndarray) -> Measured:
    """Measurements of some stars of a CCD in its frames."""
    found = [np.empty((some.size, len(ccd.frames)), grid.dtype) for grid in grids]
    chosen = replace(ccd, rows=ccd.rows[some])
    for block in star_blocks(*grids.flux.shape):
        for piece in _pieces([chosen], block):
            for grid, values in zip(grids, found, strict=True):
                values[piece.stars] = grid[block][piece.place]
    return ccd.judged(Measured(*found))


def _write_fluxes(
    out: DatasetWriter, method: str, grids: Grids, ccds: Sequence[CcdStars], found: Sequence[_CcdEnsemble]
) -> None:
    any_solved = any(one.calibration for one in found)
    text = "flux on the series' common scale: "
    text += (
        "flux / (pscale * spatial terms of the frame), by scales of each CCD that leave the level; a star of the "
        "ensemble with the fit of all other stars. As measured on a CCD without an ensemble (calibration_status), "
        "NaN where the frame could not be calibrated"
        if any_solved
        else "as measured, no ensemble corrects it"
    )
    shape = grids.flux.shape
    flux_cal = out.grid(f"{method}/flux_cal", shape, grids.flux.dtype.str[1:], _UNIT, text)
    text = "one-sigma error of flux_cal: that of flux"
    text += ", of the frame's scale and the floor of the method, times error_factor of the frame" if any_solved else ""
    flux_cal_err = out.grid(f"{method}/flux_cal_err", shape, grids.flux.dtype.str[1:], _UNIT, text)
    for block in star_blocks(*shape):
        flux, error = grids.flux[block], grids.flux_err[block]
        cal, cal_err = flux.copy(), error.copy()
        for piece in _pieces(ccds, block):
            calibration, noise = found[piece.ccd].calibration, found[piece.ccd].noise
            if calibration is not None:
                facts = calibration.facts(ccds[piece.ccd].places, piece.stars)
                cal[piece.place], cal_err[piece.place] = calibrated_block(
                    calibration, flux[piece.place], error[piece.place], facts, piece.stars, noise
                )
        flux_cal[block], flux_cal_err[block] = cal, cal_err


def _write_notes(
    out: DatasetWriter, method: str, n_stars: int, ccds: Sequence[CcdStars], found: Sequence[_CcdEnsemble]
) -> None:
    """What became of the stars, and of each CCD."""
    notes = np.full(n_stars, "", object)
    for ccd, one in zip(ccds, found, strict=True):
        # A star of several CCDs is named for what it did, not for where it did nothing.
        free = (notes[ccd.rows] == "") | (one.notes == StarUse.USED)
        notes[ccd.rows] = np.where(free, one.notes, notes[ccd.rows])
    out.array(f"{method}/ensemble_status", notes, "", ENSEMBLE_STATUS)
    left = {ccd.name: one.note for ccd, one in zip(ccds, found, strict=True) if one.calibration is None}
    solved = {ccd.name: one for ccd, one in zip(ccds, found, strict=True) if one.calibration is not None}
    reasons = [*dict.fromkeys(left.values())] or [_NO_FRAMES]
    out.attributes(
        {
            "calibration": OK if solved else "; ".join(reasons),
            "ccds_as_measured": json.dumps(left),
            "ensembles": json.dumps({name: one.record for name, one in solved.items()}),
            "spatial_terms": json.dumps(
                {
                    name: spatial_record(one.calibration.solution, "column", "row")
                    for name, one in solved.items()
                    if one.calibration is not None
                }
            ),
        },
        method,
    )


def _write_scales(
    out: DatasetWriter, method: str, n_frames: int, ccds: Sequence[CcdStars], found: Sequence[_CcdEnsemble]
) -> np.ndarray:
    """Write what the solutions say of the frames; returns pscale."""
    k = n_terms(_SETTINGS.spatial_order)
    whole: dict[str, np.ndarray] = {
        "pscale": np.ones(n_frames),
        "epscale": np.zeros(n_frames),
        "calibration_status": np.full(n_frames, "", object),
        "n_ensemble": np.zeros(n_frames, np.int32),
        "spatial_order": np.full(n_frames, -1, np.int8),
        "spatial_coefficients": np.zeros((n_frames, k)),
        "spatial_covariance": np.zeros((n_frames, k, k)),
        "error_factor": np.ones(n_frames),
    }
    texts = {
        **FRAME_TEXTS,
        "pscale": "photometric scale of the frame: 1 = typical of its CCD, or as measured; above 1 = more flux arrives",
        "epscale": "one-sigma error of pscale; 0 where the frame is as measured",
        "error_factor": ERROR_FACTOR,
    }
    for ccd, one in zip(ccds, found, strict=True):
        whole["calibration_status"][ccd.frames] = one.note
        if one.calibration is not None:
            for name, values in frame_columns(one.calibration.solution).items():
                missing = [(0, most - size) for most, size in zip(whole[name].shape[1:], values.shape[1:], strict=True)]
                whole[name][ccd.frames] = np.pad(values, [(0, 0), *missing]) if missing else values
            whole["error_factor"][ccd.frames] = one.noise[1]
    for name, values in whole.items():
        out.array(f"{method}/{name}", values, "", texts[name])
    return whole["pscale"]
