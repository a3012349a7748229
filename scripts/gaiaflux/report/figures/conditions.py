"""Figures of the conditions along a series: one point per frame."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gaiaflux.report.figures.style import BLUE, GREY, VERMILION, few_ticks, say, thin
from gaiaflux.report.series import SeriesSummary, TimeAxis

__all__ = ["condition_panels", "conditions_figure", "draw_frames"]


def condition_panels(series: SeriesSummary) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
    """Label, values (one per frame) and errors or None of what a series is judged by; NaN where not known."""
    frames = series.frames
    scale = np.nanmedian(series.scale_arcsec) if np.isfinite(series.scale_arcsec).any() else np.nan
    pixel = np.where(np.isfinite(series.scale_arcsec), series.scale_arcsec, scale)
    panels: list[tuple[str, np.ndarray, np.ndarray | None]] = []
    if np.isfinite(scale):
        panels.append(("seeing, FWHM (arcsec)", frames["fwhm_pix"] * pixel, None))
    else:
        panels.append(("seeing, FWHM (pixel)", frames["fwhm_pix"], None))
    units = sorted(set(frames["unit"][series.ok]) - {""})
    panels.append((f"sky ({' or '.join(units) or 'count'} / pixel)", frames["sky"], None))
    for method in series.methods:
        named = f" ({method.name})" if len(series.methods) > 1 else ""
        panels.append((f"transparency, pscale{named}", method.pscale, method.epscale))
    panels.append(("plate solution, rms (mas)", frames["wcs_rms_mas"], None))
    panels.append(("stars measured", np.where(series.ok, frames["n_measured"], np.nan).astype(float), None))
    for method in series.methods:
        for name, reported in method.declared.reported.items():
            if reported.axis and name in method.facts and np.isfinite(method.facts[name]).any():
                panels.append((reported.axis, method.facts[name], None))
    for method in series.methods:
        named = f" ({method.name})" if len(series.methods) > 1 else ""
        panels.append((f"scatter / error, bright stars{named}", method.statistics.frame_pull, None))
    return [panel for panel in panels if np.isfinite(panel[1]).any()] or panels


def conditions_figure(series: SeriesSummary) -> Figure:
    """Seeing, sky, transparency, astrometry and number of stars along the series."""
    axis = series.time_axis() if series.one_night else series.frame_axis()
    panels = condition_panels(series)
    n_rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(10.4, 1.55 * n_rows + 0.5), layout="constrained")
    grid = figure.subplots(n_rows, 2, sharex=True, squeeze=False)
    for axes, (label, values, errors) in zip(grid.T.ravel(), panels, strict=False):
        draw_frames(axes, series, axis, values, errors)
        axes.set_title(label, fontweight="normal", fontsize=9)
        if label.startswith("scatter"):
            axes.axhline(1.0, color=GREY, lw=0.8, ls="--", zorder=0)
    for axes in grid.T.ravel()[len(panels) :]:
        axes.set_visible(False)
    for column in grid.T:
        lowest = [axes for axes in column if axes.get_visible()][-1:]
        for axes in lowest:
            axes.set_xlabel(axis.label)
            axes.tick_params(labelbottom=True)
    figure.align_ylabels()
    return figure


def draw_frames(
    axes: Axes, series: SeriesSummary, axis: TimeAxis, values: np.ndarray, errors: np.ndarray | None = None
) -> None:
    """One quantity of the frames; ticks at the foot mark frames that were not measured."""
    use = np.isfinite(values) & np.isfinite(axis.values)
    if use.any():
        shown = np.where(np.isfinite(errors[use]), errors[use], 0.0) if errors is not None else None
        drawn = axes.errorbar(
            axis.values[use], values[use], shown, fmt="o", ms=2.2 if use.sum() > 200 else 3.4, mew=0, color=BLUE,
            elinewidth=0.8,
        )  # fmt: skip
        for artist in drawn.get_children():
            thin(artist, 3 * int(use.sum()))
    else:
        say(axes, "nothing measured")
        return
    lost = ~series.ok & np.isfinite(axis.values)
    if lost.any():
        axes.plot(
            axis.values[lost], np.full(lost.sum(), 0.02), "|", color=VERMILION, ms=7, mew=1.2,
            transform=axes.get_xaxis_transform(), clip_on=False,
        )  # fmt: skip
    time = series.frames["mjd_utc"]
    if not series.one_night:
        for gap in np.flatnonzero(np.diff(time) > 0.5):
            axes.axvline(gap + 0.5, color="#e3e3e3", lw=0.7, zorder=0)
    axes.yaxis.set_major_locator(few_ticks(4))
    axes.grid(True, axis="y", color="#eeeeee", lw=0.6)
    axes.set_axisbelow(True)
