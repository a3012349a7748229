"""One page of a series: precision, variability, light curves and conditions."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from gaiaflux.io.dataset import DatasetReader
from gaiaflux.model.methods import APERTURE
from gaiaflux.report.figures.conditions import condition_panels, draw_frames
from gaiaflux.report.figures.field_map import draw_map, reference_shape
from gaiaflux.report.figures.light_curve import draw_light_curve
from gaiaflux.report.figures.precision import draw_precision
from gaiaflux.report.figures.style import (
    BLUE,
    VERMILION,
    drawing,
    few_ticks,
    say,
)
from gaiaflux.report.series import MethodSummary, SeriesSummary, read_light_curve, read_series
from gaiaflux.report.statistics import CONSTANT, MethodStatistics

__all__ = ["overview_figure", "save_overview"]


def overview_figure(series: SeriesSummary, method: MethodSummary, source: DatasetReader) -> Figure:
    """Precision, map, light curves and conditions in one picture.

    Parameters
    ----------
    series, method : SeriesSummary, MethodSummary
        What to draw.
    source : DatasetReader
        Open dataset, for the light curves.

    Returns
    -------
    Figure
        To be saved inside `drawing`.
    """
    figure = Figure(figsize=(11, 8.6), layout=ConstrainedLayoutEngine(w_pad=0.10, h_pad=0.08))
    rows: Any = figure.subfigures(2, 1, height_ratios=(1.12, 1))
    upper, lower = rows
    left, right = upper.subplots(1, 2, width_ratios=(1.12, 1))
    draw_precision(left, method.statistics, numbered=6)
    left.set_title("Precision of every star")
    draw_map(right, series, method, reference_shape(series))
    right.set_title("Variability over the field")
    curves, conditions = lower.subfigures(1, 2, width_ratios=(1.12, 1))
    found, axis = method.statistics, series.time_axis()
    ranks, constant = _presented(found)
    rows = [*ranks.values(), *constant]
    for k, axes in enumerate(np.ravel(curves.subplots(max(len(rows), 1), 1, sharex=True))):
        if k >= len(rows):
            say(axes, "no light curve")
            continue
        draw_light_curve(
            axes, axis, read_light_curve(source, method, int(rows[k])), VERMILION if k < len(ranks) else BLUE
        )
        axes.set_ylabel("mag")
        axes.yaxis.set_major_locator(few_ticks(3))
        title = f"star {series.stars['star_id'][rows[k]]}, "
        title += f"number {list(ranks)[k]} above" if k < len(ranks) else "constant"
        axes.set_title("Light curves" if k == 0 else "")
        axes.set_title(title, loc="right", fontweight="normal", fontsize=8.5)
        if k == len(rows) - 1:
            axes.set_xlabel(axis.label)
    axis = axis if series.one_night else series.frame_axis()
    panels = condition_panels(series)
    pscale = "transparency, pscale" + (f" ({method.name})" if len(series.methods) > 1 else "")
    chosen = [panels[0], *(panel for panel in panels if panel[0] == pscale or panel[0].startswith("plate"))]
    grid = conditions.subplots(len(chosen), 1, sharex=True)
    for axes, (label, values, errors) in zip(grid, chosen, strict=True):
        draw_frames(axes, series, axis, values, errors)
        axes.set_title("Conditions" if axes is grid[0] else "")
        axes.set_title(label, loc="right", fontweight="normal", fontsize=8.5)
    grid[-1].set_xlabel(axis.label)
    return figure


def _presented(found: MethodStatistics) -> tuple[dict[int, int], np.ndarray]:
    """Rows by rank of the two most variable single stars and of the brightest variable one; of a constant star."""
    rows = [int(row) for row in found.most_variable(6, blended=False)]
    variable = {rank: row for rank, row in enumerate(rows, start=1) if found.excess[row] > CONSTANT}
    others = sorted(list(variable)[2:], key=lambda rank: np.nan_to_num(found.mag[variable[rank]], nan=np.inf))
    return {rank: variable[rank] for rank in [*list(variable)[:2], *others[:1]]}, found.brightest_constant(1)


def save_overview(dataset_path: str | Path, png_path: str | Path, method: str = APERTURE.name) -> None:
    """Save one picture of a dataset, for a page that presents it.

    Parameters
    ----------
    dataset_path : str or Path
        Dataset.
    png_path : str or Path
        Picture to write: 2 x 2 panels, about 1600 pixels wide.
    method : str
        Method of photometry.

    Raises
    ------
    ValueError
        The dataset has no such method.
    """
    with DatasetReader(dataset_path) as source, drawing():
        series = read_series(source)
        chosen = [found for found in series.methods if found.name == method]
        if not chosen:
            raise ValueError(f"{dataset_path} has no method {method}")
        figure = overview_figure(series, chosen[0], source)
        figure.savefig(png_path, dpi=150, metadata={"Software": None})
