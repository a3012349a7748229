"""Light curves of single stars."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gaiaflux.report.figures.style import (
    BLUE,
    GREY,
    few_ticks,
    say,
    thin,
)
from gaiaflux.report.series import LightCurve, TimeAxis

__all__ = ["draw_light_curve", "light_curve_figure"]


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
