"""Figures of the full-frame images of a CCD: its field, its sky in time, how it moved."""

import numpy as np
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure

from gaiaflux.report.ccd_images import CcdSummary, stars_on_ccd
from gaiaflux.report.figures.style import BLUE, GREY, INK, ORANGE, SKY, VERMILION, few_ticks, say, thin
from gaiaflux.report.series import SeriesSummary

__all__ = ["field_figure", "motion_figure", "sky_figure"]

_GAP_CADENCES = 1.5


def field_figure(ccd: CcdSummary, series: SeriesSummary) -> Figure:
    """Mean image with the stars that were measured; which pixels told the sky.

    Parameters
    ----------
    ccd : CcdSummary
    series : SeriesSummary
        Dataset of the stars.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(10.4, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    image = ccd.mean_image
    known = image[np.isfinite(image)]
    noise = max(float(np.median(np.abs(known - np.median(known)))), 1e-3) if known.size else 1.0
    top = float(np.percentile(known, 99.9)) if known.size else 1.0
    norm = AsinhNorm(3.0 * noise, -3.0 * noise, max(top, 10.0 * noise))
    drawn = left.imshow(image, origin="lower", cmap="gray_r", norm=norm, extent=ccd.extent, interpolation="nearest")
    bar = figure.colorbar(drawn, ax=left, shrink=0.85, pad=0.02, aspect=28)
    bar.outline.set_visible(False)
    bar.set_label("mean of the good frames without the sky (electron/s)")
    placed = stars_on_ccd(series, ccd.name)
    if placed.stars.size:
        rings = left.scatter(placed.column, placed.row, 30, fc="none", ec=ORANGE, lw=0.9, label="measured star")
        thin(rings, 5 * placed.stars.size)
    y, x = np.nonzero(ccd.saturated)
    if x.size:
        x, y = (first + ccd.step * place for first, place in zip(ccd.corner, (x, y), strict=True))
        thin(left.plot(x, y, "s", ms=1.2, mew=0, color=VERMILION, label="saturated pixel")[0], x.size)
    right.imshow(
        np.where(ccd.starry, 1.0, 0.0), origin="lower", cmap="Greys", vmin=0, vmax=1.6, extent=ccd.extent,
        interpolation="nearest",
    )  # fmt: skip
    for axes, title in ((left, "mean image"), (right, "pixels of stars (dark); the others tell the sky")):
        axes.set_title(title)
        axes.set(xlabel="column of the CCD (pixel)", ylabel="row (pixel)", xlim=ccd.extent[:2], ylim=ccd.extent[2:])
    if left.get_legend_handles_labels()[0]:
        left.legend(loc="upper left", bbox_to_anchor=(0.0, -0.1), ncols=2, handletextpad=0.3)
    return figure


def sky_figure(ccd: CcdSummary) -> Figure:
    """Film strip of the sky, and its level against time.

    Parameters
    ----------
    ccd : CcdSummary

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(10.4, 4.4), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(1, 1.25))
    upper, lower = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    start = _start(ccd)
    if not ccd.shown.size:
        say(upper.subplots(), "no frame has a sky")
    else:
        strip = np.atleast_1d(upper.subplots(1, len(ccd.shown)))
        low, high = np.nanpercentile(ccd.strip, [0.5, 99.5])
        for axes, k, image in zip(strip, ccd.shown, ccd.strip, strict=True):
            drawn = axes.imshow(image, origin="lower", cmap="viridis", vmin=low, vmax=max(high, low + 1e-3))
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"{ccd.mjd_tdb[k] - start:.2f}", fontweight="normal", fontsize=8.5)
        bar = upper.colorbar(drawn, ax=list(strip), shrink=0.9, pad=0.01, aspect=18)
        bar.outline.set_visible(False)
        bar.set_label("electron/s/pixel")
    axes = lower.subplots()
    time = ccd.mjd_tdb - start
    thin(axes.plot(time, ccd.sky, ".", ms=3.5, color=SKY, label="median of the mesh")[0], time.size)
    thin(axes.plot(*_with_gaps(ccd, time, ccd.smoothed), color=INK, lw=0.9, label="smoothed in time")[0], time.size)
    for k in ccd.shown:
        axes.axvline(time[k], color="#e3e3e3", lw=0.8, zorder=0)
    axes.yaxis.set_major_locator(few_ticks(5))
    axes.set(xlabel=_time_label(start), ylabel="sky (electron/s/pixel)")
    axes.legend(loc="upper right")
    return figure


def motion_figure(ccd: CcdSummary) -> Figure:
    """Movement of the images' middle against time, and the error of it.

    Parameters
    ----------
    ccd : CcdSummary

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(10.4, 3.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    start = _start(ccd)
    time = ccd.mjd_tdb - start
    if not np.isfinite(ccd.shift).any():
        say(upper, "no frame has a known movement")
    # A frame that was exposed elsewhere would leave nothing to be seen of the others.
    usual = np.nanmedian(ccd.shift, axis=0) if np.isfinite(ccd.shift).any() else np.zeros(2)
    for axis, (name, color) in enumerate((("columns", BLUE), ("rows", ORANGE))):
        shown = np.where(np.abs(ccd.shift[:, axis] - usual[axis]) < 3.0, ccd.shift[:, axis], np.nan)
        thin(upper.plot(time, shown, ".", ms=3.5, color=color, label=f"along {name}")[0], time.size)
        error = np.where(ccd.shift_err[:, axis] > 0, 1e3 * ccd.shift_err[:, axis], np.nan)
        thin(lower.plot(time, error, ".", ms=3.0, color=color)[0], time.size)
    lower.yaxis.set_major_locator(few_ticks(3))
    lower.set_ylim(bottom=0.0)
    for axes in (upper, lower):
        axes.grid(True, axis="y", color="#eeeeee", lw=0.6)
        axes.set_axisbelow(True)
    upper.axhline(0.0, color=GREY, lw=0.7, ls="--", zorder=0)
    upper.set_ylabel("movement (pixel)")
    if upper.get_legend_handles_labels()[0]:
        upper.legend(loc="upper right", ncols=2)
    lower.set(xlabel=_time_label(start), ylabel="error (0.001 pixel)")
    figure.align_ylabels()
    return figure


def _start(ccd: CcdSummary) -> float:
    known = ccd.mjd_tdb[np.isfinite(ccd.mjd_tdb)]
    return float(np.floor(known.min())) if known.size else 0.0


def _time_label(start: float) -> str:
    return f"MJD - {start:.0f} (d, TDB at the spacecraft)"


def _with_gaps(ccd: CcdSummary, time: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A line that breaks where there are no frames."""
    after = np.flatnonzero(np.diff(time) > _GAP_CADENCES * ccd.cadence_s / 86400.0) + 1
    return np.insert(time, after, np.nan), np.insert(values, after, np.nan)
