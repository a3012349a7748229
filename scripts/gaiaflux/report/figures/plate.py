"""Figures of the plate solutions: pointing, distortion, and what the residuals leave over the detector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gaiaflux.io.batch_file import BatchReader
from gaiaflux.io.plate_solution import plate_of_record
from gaiaflux.model.errors import InputError
from gaiaflux.model.status import OK
from gaiaflux.model.wcs import TanSip
from gaiaflux.report.figures.field_map import reference_shape
from gaiaflux.report.figures.style import BLUE, INK, VERMILION, say, thin
from gaiaflux.report.series import SeriesSummary

__all__ = ["ResidualMap", "plate_figure", "stack_residuals"]

_CELLS = 8
_LEAST_IN_CELL = 5
_LEAST_SNR = 20.0
_SAMPLED_FRAMES = 300
_ARROWS = 11


@dataclass(frozen=True)
class ResidualMap:
    """Typical residuals of the stars of all plate solutions, in cells of the detector.

    Attributes
    ----------
    n_matches : int
        Matched stars with a signal-to-noise ratio of at least 20, in all frames that were used.
    n_frames : int
        Frames that were used: all, or some hundreds of a long series.
    n : ndarray of int, shape (8, 8)
        Matches in each cell, [y, x].
    dx_mas, dy_mas : ndarray, shape (8, 8)
        Medians [mas]; NaN below 5 matches.
    shape : tuple of int
        (ny, nx) of the detector.
    """

    n_matches: int
    n_frames: int
    n: np.ndarray
    dx_mas: np.ndarray
    dy_mas: np.ndarray
    shape: tuple[int, int]


def stack_residuals(paths: Sequence[str | Path], shape: tuple[int, int]) -> ResidualMap:
    """Put the residuals of the plate solutions together.

    Parameters
    ----------
    paths : sequence of path
        Batches of `refine_wcs`.
    shape : tuple of int
        (ny, nx) of the frames; matches outside count to the nearest cell.

    Returns
    -------
    ResidualMap
        Medians per cell.
    """
    solved = [(path, frame_id) for path in paths for frame_id in _solved_frames(path)]
    solved = solved[:: -(-len(solved) // _SAMPLED_FRAMES) or 1]
    cells, offsets = [np.zeros(0, dtype=int)], [np.zeros((2, 0))]
    for path in dict.fromkeys(path for path, _ in solved):
        with BatchReader(path) as batch:
            for frame_id in (name for where, name in solved if where == path):
                matches = batch.array(frame_id, "matches")
                matches = matches[matches["snr"] >= _LEAST_SNR]
                column = np.clip(matches["x"] / shape[1] * _CELLS, 0, _CELLS - 1).astype(int)
                row = np.clip(matches["y"] / shape[0] * _CELLS, 0, _CELLS - 1).astype(int)
                cells.append(row * _CELLS + column)
                offsets.append(np.stack([matches["dx_mas"], matches["dy_mas"]]))
    cell, offset = np.concatenate(cells), np.concatenate(offsets, axis=1)
    n = np.bincount(cell, minlength=_CELLS * _CELLS)
    middle = np.full((2, n.size), np.nan)
    for k in np.flatnonzero(n >= _LEAST_IN_CELL):
        middle[:, k] = np.median(offset[:, cell == k], axis=1)
    dx, dy = middle.reshape(2, _CELLS, _CELLS)
    return ResidualMap(int(n.sum()), len(solved), n.reshape(_CELLS, _CELLS), dx, dy, shape)


def _solved_frames(path: str | Path) -> list[str]:
    with BatchReader(path) as batch:
        return [frame_id for frame_id in batch.frame_ids if batch.attrs(frame_id)["status"] == OK]


def plate_figure(series: SeriesSummary, reference: Mapping[str, Any], residuals: ResidualMap | None) -> Figure:
    """Pointing of the frames, distortion of the reference image, and the stacked residuals where they are given."""
    panels = 3 if residuals is not None else 2
    figure = Figure(figsize=(3.47 * panels, 3.5), layout="constrained")
    axes = figure.subplots(1, panels)
    _draw_pointing(axes[0], series)
    _draw_distortion(axes[1], reference, reference_shape(series, reference))
    if residuals is not None:
        _draw_residuals(axes[2], residuals)
    return figure


def _draw_pointing(axes: Axes, series: SeriesSummary) -> None:
    axes.set_title("Pointing of the frames")
    centre = series.centre_deg
    known = np.isfinite(centre).all(axis=1)
    if not known.any():
        say(axes, "no plate solution")
        return
    rows = np.flatnonzero(known & (series.frames["frame_id"] == series.attributes.get("reference_frame_id")))
    origin = centre[rows[0]] if rows.size else centre[known][0]
    east = ((centre[known, 0] - origin[0] + 180.0) % 360.0 - 180.0) * np.cos(np.deg2rad(origin[1])) * 3600.0
    north = (centre[known, 1] - origin[1]) * 3600.0
    thin(axes.plot(east, north, "o", ms=3.4, mew=0, color=BLUE, alpha=0.8)[0], int(known.sum()))
    axes.plot(0, 0, "+", color=VERMILION, ms=9, mew=1.3)
    axes.set_aspect("equal", adjustable="datalim")
    axes.invert_xaxis()
    axes.set(xlabel="east of the reference image (arcsec)", ylabel="north (arcsec)")


def _draw_distortion(axes: Axes, reference: Mapping[str, Any], shape: tuple[int, int] | None) -> None:
    axes.set_title("Distortion")
    try:
        wcs = plate_of_record(reference) if shape else None
    except InputError:  # the page can do without
        wcs = None
    if wcs is None or shape is None or wcs.a.size + wcs.b.size <= 2:
        say(axes, "none" if wcs else "no plate solution")
        return
    x, y = np.meshgrid(np.linspace(0, shape[1] - 1, _ARROWS), np.linspace(0, shape[0] - 1, _ARROWS))
    _draw_arrows(axes, x, y, *_distortion_pix(wcs, x, y), shape, "pixel")


def _distortion_pix(wcs: TanSip, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    u, v = x - wcs.crpix[0], y - wcs.crpix[1]
    return np.polynomial.polynomial.polyval2d(u, v, wcs.a), np.polynomial.polynomial.polyval2d(u, v, wcs.b)


def _draw_residuals(axes: Axes, found: ResidualMap) -> None:
    axes.set_title("Residuals")
    if not np.isfinite(found.dx_mas).any():
        say(axes, "too few stars")
        return
    ny, nx = found.shape
    x, y = np.meshgrid((np.arange(_CELLS) + 0.5) / _CELLS * nx, (np.arange(_CELLS) + 0.5) / _CELLS * ny)
    _draw_arrows(axes, x, y, found.dx_mas, found.dy_mas, found.shape, "mas")


def _draw_arrows(
    axes: Axes, x: np.ndarray, y: np.ndarray, dx: np.ndarray, dy: np.ndarray, shape: tuple[int, int], unit: str
) -> None:
    """Arrows whose longest is as long as a step of their grid, with a key."""
    known = np.isfinite(dx) & np.isfinite(dy)
    longest = float(np.hypot(dx, dy)[known].max())
    step = shape[1] / (x.shape[1] - 1)
    scale = longest / step if longest > 0 else 1.0
    arrows = axes.quiver(
        x[known], y[known], dx[known], dy[known], angles="xy", scale_units="xy", scale=scale, color=INK, width=0.005,
        headwidth=4, headlength=4,
    )  # fmt: skip
    if longest > 0:
        exponent = 10.0 ** np.floor(np.log10(longest))
        key = next(k * exponent for k in (5.0, 2.0, 1.0) if k * exponent <= longest * 1.0001)
        axes.quiverkey(arrows, 0.86, 1.04, key, f"{key:g} {unit}", labelpos="W", coordinates="axes", labelsep=0.05)
    axes.set_aspect("equal")
    pad = 0.12
    axes.set(xlim=(-pad * shape[1], (1 + pad) * shape[1]), ylim=(-pad * shape[0], (1 + pad) * shape[0]))
    axes.set(xlabel="x (pixel)", ylabel="y (pixel)")
