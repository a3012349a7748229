"""The figures of the report; each function draws on axes that it is given."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, NullFormatter

from gaiaflux.core.calibration.noise_budget import noise_curves
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.report.figures.conditions import condition_panels, draw_frames
from gaiaflux.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MANY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILION,
    WARMTH,
    drawing,
    few_ticks,
    say,
    thin,
)
from gaiaflux.report.series import LightCurve, MethodSummary, SeriesSummary, TimeAxis, read_light_curve, read_series
from gaiaflux.report.statistics import CONSTANT, MethodStatistics

__all__ = [
    "draw_chi2",
    "draw_light_curve",
    "draw_map",
    "draw_precision",
    "light_curve_figure",
    "map_figure",
    "overview_figure",
    "precision_figure",
    "reference_shape",
    "running_median",
    "save_overview",
]

_BIN_MAG = 0.5
_LEAST_IN_BIN = 3
_LABEL_SPACING = 0.035  # of the height of the axes
_SKY = "sky"
_NOISE_LINES = (
    ("noise_photon", "photons", GREEN, "-"),
    ("noise_background", _SKY, PURPLE, "-"),
    ("noise_zero_point", "zero point", GREY, "-"),
    ("noise_scintillation", "scintillation", SKY, "-"),
)


def draw_precision(axes: Axes, found: MethodStatistics, *, numbered: int = 0, legend: bool = True) -> None:
    """Scatter of the stars against their magnitude, with the errors that were predicted and what they are made of.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    found : MethodStatistics
        Numbers of the stars.
    numbered : int
        The most variable single stars get their rank.
    legend : bool
        Explain the symbols.
    """
    known = np.isfinite(found.mag) & (found.scatter > 0)
    saturated = known & (found.saturated >= 0.5)
    flagged = known & ~found.clean & ~saturated
    blended = known & found.clean & found.blended
    single = known & found.clean & ~found.blended
    size = 3.2 if known.sum() < MANY else 1.8
    kinds = (
        (blended, "o", "none", PALE, size, found.blend),
        (flagged, "x", ORANGE, ORANGE, size + 0.6, "most points flagged"),
        (single, "o", BLUE, "none", size, "single star"),
        (saturated, "^", VERMILION, "none", size + 1.6, "saturated"),
    )
    for mask, marker, face, edge, width, label in kinds:
        if mask.any():
            drawn = axes.plot(
                found.mag[mask], found.scatter[mask] * 1e3, marker, ms=width, mfc=face, mec=edge, mew=0.7, label=label,
                alpha=0.85, zorder=2 + (mask is single),
            )[0]  # fmt: skip
            thin(drawn, int(known.sum()))
    curve = np.isfinite(found.mag) & (found.expected > 0) & (found.clean if found.clean.any() else True)
    curve &= ~found.blended if (curve & ~found.blended).any() else True
    _draw_noise(axes, found, curve, " (single stars)" if single.any() else "")
    for rank, row in enumerate(found.most_variable(numbered, blended=False), start=1):
        if known[row] and found.excess[row] > CONSTANT:
            axes.plot(found.mag[row], found.scatter[row] * 1e3, "o", ms=8, mfc="none", mec=VERMILION, mew=1.0, zorder=5)
            axes.annotate(
                str(rank), (found.mag[row], found.scatter[row] * 1e3), (6, 3), textcoords="offset points",
                color=VERMILION, fontsize=8, zorder=5,
            )  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, which="major", color="#e8e8e8", lw=0.6)
    axes.set_axisbelow(True)
    what = "scatter of the light curve" if known.any() else "predicted error of the flux"
    axes.set(xlabel="Gaia G (mag)", ylabel=f"{what} (mmag)")
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", handletextpad=0.4)
    if not known.any() and not curve.any():
        say(axes, "no star has enough points")


def _draw_noise(axes: Axes, found: MethodStatistics, use: np.ndarray, which: str) -> None:
    """Lines of the predicted error of some stars and of its terms."""
    if not use.any():
        return
    curves = noise_curves(
        found.mag[use],
        {"expected": found.expected[use], **{name: values[use] for name, values in found.noise.items()}},
        step=_BIN_MAG,
        least=_LEAST_IN_BIN,
    )
    middle, lines = curves["magnitude"], []
    for name, label, color, dashes in _NOISE_LINES if middle.size > 1 else ():
        values = 1e3 * curves.get(name, np.zeros(0))
        if values.size and (values > 0).sum() > 1:
            lines.append((values, label, color, dashes))
    if lines and found.floor > 0:
        lines.append((np.full(middle.size, 1e3 * found.floor), "floor", INK, ":"))
    for values, _, color, dashes in lines:
        axes.plot(middle, np.where(values > 0, values, np.nan), color=color, ls=dashes, lw=1.1, zorder=4)
    total = 1e3 * curves["expected"]
    if middle.size > 1:
        axes.plot(middle, total, color=INK, lw=1.6, label=f"predicted error{which}", zorder=4)
    else:
        axes.plot(found.mag[use], found.expected[use] * 1e3, "_", color=INK, ms=7, label="predicted error", zorder=4)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    apart, last = (high / low) ** _LABEL_SPACING, 0.0
    for value, label, color in sorted(
        (values[np.flatnonzero(values > 0)[-1]], label, color) for values, label, color, _ in lines if label != _SKY
    ):
        last = max(float(value), last * apart)
        axes.annotate(
            label, (middle[-1], last), (4, 0), textcoords="offset points", color=color, fontsize=7.5, va="center",
            zorder=5,
        )  # fmt: skip
    for values, label, color, _ in lines:
        if label == _SKY:  # its faint end is among the stars
            first = np.flatnonzero(values > 0)[0]
            axes.annotate(
                label, (middle[first], values[first]), (2, -4), textcoords="offset points", color=color, fontsize=7.5,
                va="top", zorder=5,
            )  # fmt: skip


def running_median(mag: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median magnitude and value in bins of half a magnitude with enough stars."""
    if mag.size == 0:
        return np.zeros(0), np.zeros(0)
    place = np.floor(mag / _BIN_MAG).astype(int)
    filled = [b for b in np.unique(place) if (place == b).sum() >= _LEAST_IN_BIN]
    return (
        np.array([np.median(mag[place == b]) for b in filled]),
        np.array([np.median(values[place == b]) for b in filled]),
    )


def draw_chi2(axes: Axes, found: MethodStatistics) -> None:
    """Histogram of the reduced chi-squared of single stars, with what constant stars and right errors give."""
    use = np.isfinite(found.chi2) & found.clean & ~found.blended
    if not use.any():
        say(axes, "no single star has\nenough points")
        return
    edges = np.logspace(-1, 2, 46)
    inside = np.clip(found.chi2[use], edges[0] * 1.001, edges[-1] * 0.999)
    counts, _ = np.histogram(inside, edges)
    axes.stairs(counts, edges, fill=True, color=SKY, alpha=0.75, label="single stars")
    freedom = max(float(np.median(found.n_good[use])) - 1.0, 1.0)
    # Density of chi-squared over its degrees of freedom in the middle of each bin, as counts.
    middle = np.sqrt(edges[:-1] * edges[1:])
    log_density = (freedom / 2 - 1) * np.log(middle) - freedom * middle / 2
    weight = np.exp(log_density - log_density.max()) * np.diff(edges)
    axes.plot(middle, weight / weight.sum() * use.sum(), color=INK, label="constant stars, right errors")
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, max(counts.max(), (weight / weight.sum()).max() * use.sum()) * 2.5)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set(xlabel=r"reduced $\chi^2$ of the light curve", ylabel="stars")
    axes.legend(loc="upper right")


def precision_figure(method: MethodSummary) -> Figure:
    """Scatter-magnitude diagram and histogram of chi-squared."""
    figure = Figure(figsize=(10.4, 4.7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.75, 1))
    draw_precision(left, method.statistics, numbered=6)
    left.set_xlabel(f"{method.attributes['magnitude_system']} (mag)")
    draw_chi2(right, method.statistics)
    return figure


def draw_map(axes: Axes, series: SeriesSummary, method: MethodSummary, shape: tuple[int, int] | None) -> None:
    """Stars on the reference image, larger where brighter, coloured by their excess.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    series, method : SeriesSummary, MethodSummary
        What to draw.
    shape : tuple of int or None
        (ny, nx) of the reference image.
    """
    found, x, y = method.statistics, series.stars["x_ref"], series.stars["y_ref"]
    known = np.isfinite(x) & np.isfinite(y)
    if shape is not None:
        axes.add_patch(_frame_patch(shape))
    faintest = np.nanmax(found.mag) if np.isfinite(found.mag).any() else 0.0
    size = 1.5 + 1.1 * np.clip(np.nan_to_num(faintest - found.mag), 0, 9) ** 1.6
    size *= np.clip(3000 / max(known.sum(), 1), 0.25, 1.0)
    rest = known & ~np.isfinite(found.excess)
    thin(axes.scatter(x[rest], y[rest], size[rest] * 0.7, c=PALE, lw=0), 5 * int(rest.sum()))
    rows = np.flatnonzero(known & np.isfinite(found.excess))
    rows = rows[np.argsort(found.excess[rows], kind="stable")]
    drawn = axes.scatter(
        x[rows], y[rows], size[rows], c=np.clip(found.excess[rows], 1, 8), cmap=WARMTH, lw=0,
        norm="log", vmin=1, vmax=8,
    )  # fmt: skip
    thin(drawn, 5 * rows.size)  # each is a path of its own
    for rank, row in enumerate(found.most_variable(6, blended=False), start=1):
        if known[row] and found.excess[row] > CONSTANT:
            axes.annotate(str(rank), (x[row], y[row]), (5, 4), textcoords="offset points", color=VERMILION, fontsize=8)
    if rows.size:
        bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.02, aspect=28)
        bar.set_ticks([1, 2, 4, 8], labels=["1", "2", "4", "≥ 8"])
        bar.minorticks_off()
        bar.outline.set_visible(False)
        bar.set_label("excess over stars of like brightness")
    axes.set_aspect("equal", adjustable="datalim" if shape is None else "box")
    if shape is not None:
        axes.set(xlim=(-0.06 * shape[1], 1.06 * shape[1]), ylim=(-0.06 * shape[0], 1.06 * shape[0]))
    axes.set(xlabel="x on the reference image (pixel)", ylabel="y (pixel)")


def _frame_patch(shape: tuple[int, int]):  # noqa: ANN202 (matplotlib.patches is imported only here)
    from matplotlib.patches import Rectangle

    return Rectangle((-0.5, -0.5), shape[1], shape[0], fill=False, ec=GREY, lw=0.8)


def map_figure(series: SeriesSummary, method: MethodSummary, shape: tuple[int, int] | None) -> Figure:
    """Map of the stars alone."""
    figure = Figure(figsize=(6.6, 5.6), layout="constrained")
    draw_map(figure.subplots(), series, method, shape)
    return figure


def draw_light_curve(axes: Axes, axis: TimeAxis, curve: LightCurve, color: str = BLUE) -> None:
    """Points of one star with their errors; spoiled ones are hollow, magnitudes run downwards."""
    good = np.isfinite(curve.mag) & np.isfinite(axis.values) & ~curve.spoiled
    bad = np.isfinite(curve.mag) & np.isfinite(axis.values) & curve.spoiled
    many = good.sum() > 200
    style: dict[str, Any] = {"fmt": "o", "ms": 2.0 if many else 3.2, "mew": 0, "elinewidth": 0.5 if many else 0.8}
    if bad.any():
        axes.plot(axis.values[bad], curve.mag[bad], "o", ms=3.2, mfc="none", mec=GREY, mew=0.7, zorder=1)
    if good.any():
        drawn = axes.errorbar(
            axis.values[good], curve.mag[good], curve.mag_err[good], color=color, ecolor=color, **style
        )
        for artist in drawn.get_children():
            thin(artist, 4 * int(good.sum()))
    shown = good if good.any() else bad
    if shown.any():
        low, high = np.quantile(curve.mag[shown], (0.0, 1.0) if shown.sum() < 50 else (0.002, 0.998))
        pad = max(0.12 * (high - low), 2.0 * float(np.nanmedian(curve.mag_err[shown])), 0.005)
        axes.set_ylim(high + pad, low - pad)
    else:
        say(axes, "no point")
    axes.xaxis.set_major_locator(few_ticks(6))
    axes.yaxis.set_major_locator(few_ticks(5))


def light_curve_figure(axis: TimeAxis, curve: LightCurve, color: str) -> Figure:
    """A small figure of one light curve."""
    figure = Figure(figsize=(3.9, 2.3), layout="constrained")
    axes = figure.subplots()
    draw_light_curve(axes, axis, curve, color)
    axes.set(xlabel=axis.label, ylabel=curve.label)
    return figure


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


def reference_shape(series: SeriesSummary, reference: Mapping[str, Any] | None = None) -> tuple[int, int] | None:
    """(ny, nx) of the reference image, from its record or its row in the dataset."""
    if reference and reference.get("nx"):
        return int(reference["ny"]), int(reference["nx"])
    rows = np.flatnonzero(series.frames["frame_id"] == series.attributes.get("reference_frame_id"))
    if rows.size and series.frames["nx"][rows[0]] > 0:
        return int(series.frames["ny"][rows[0]]), int(series.frames["nx"][rows[0]])
    return None


def save_overview(dataset_path: str | Path, png_path: str | Path, method: str = "aperture") -> None:
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
