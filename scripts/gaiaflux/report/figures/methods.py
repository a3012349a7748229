"""Methods of photometry side by side."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from gaiaflux.report.figures.precision import running_median
from gaiaflux.report.figures.style import GREY, INK, say, thin
from gaiaflux.report.series import MethodSummary, SeriesSummary

__all__ = ["comparison_figure", "scatter_ratio"]

_TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


def scatter_ratio(first: MethodSummary, second: MethodSummary) -> tuple[np.ndarray, np.ndarray]:
    """Stars that both methods measure well.

    Parameters
    ----------
    first, second : MethodSummary
        Methods.

    Returns
    -------
    mag : ndarray, shape (n,)
        Of the stars with a scatter by both, without spoiled ones.
    ratio : ndarray, shape (n,)
        Scatter by the first over that by the second.
    """
    one, other = first.statistics, second.statistics
    both = one.clean & other.clean & np.isfinite(one.mag) & (one.scatter > 0) & (other.scatter > 0)
    return one.mag[both], one.scatter[both] / other.scatter[both]


def comparison_figure(series: SeriesSummary) -> Figure:
    """Scatter of the light curves by each method, and the ratio of the others' to that of the first.

    Parameters
    ----------
    series : SeriesSummary
        With two methods or more.

    Returns
    -------
    Figure
        To be saved inside `gaiaflux.report.figures.style.drawing`.
    """
    figure = Figure(figsize=(10.4, 4.7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    _draw_scatter(left, series.methods)
    _draw_ratios(right, series.methods)
    right.set_xlabel(left.get_xlabel())
    return figure


def _draw_ratios(axes: Axes, methods: Sequence[MethodSummary]) -> None:
    """Points and running medians; in the methods' colours where there are several ratios."""
    first, *others = methods
    alone = len(others) == 1
    ratios = []
    for method in others:
        mag, ratio = scatter_ratio(method, first)
        if not mag.size:
            continue
        ratios.append(ratio)
        points, line = (GREY, INK) if alone else (method.declared.look.colour,) * 2
        thin(axes.plot(mag, ratio, "o", ms=2.6, mew=0, color=points, alpha=0.6)[0], mag.size)
        middle, values = running_median(mag, np.log10(ratio))
        if middle.size > 1:
            axes.plot(middle, 10**values, color=line, lw=1.6, label="median" if alone else method.declared.label)
            axes.legend(loc="upper left")
    if ratios:
        axes.axhline(1.0, color=GREY, lw=0.8, ls="--", zorder=0)
        axes.set_yscale("log")
        low, high = np.quantile(np.concatenate(ratios), (0.01, 0.99))
        axes.set_ylim(min(low, 0.5) / 1.1, max(high, 2.0) * 1.1)
        axes.yaxis.set_major_locator(FixedLocator(_TICKS))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        say(axes, "no star is well\nmeasured by both" if alone else "no star is well\nmeasured by two")
    by = others[0].declared.by if alone else "each"
    axes.set_ylabel(f"scatter by {by} / by {first.declared.by}")


def _draw_scatter(axes: Axes, methods: Sequence[MethodSummary]) -> None:
    """Points and running medians of each method, of stars that no flag spoils."""
    drawn = False
    for method in methods:
        found, color, name = method.statistics, method.declared.look.colour, method.name
        use = found.clean & np.isfinite(found.mag) & (found.scatter > 0)
        if not use.any():
            continue
        drawn = True
        thin(
            axes.plot(found.mag[use], found.scatter[use] * 1e3, "o", ms=2.4, mew=0, color=color, alpha=0.5)[0],
            int(use.sum()),
        )
        middle, values = running_median(found.mag[use], np.log10(found.scatter[use]))
        if middle.size > 1:
            axes.plot(middle, 10**values * 1e3, color=color, lw=2.0, label=f"{name}: median scatter")
        middle, values = running_median(found.mag[use], np.log10(found.expected[use]))
        if middle.size > 1:
            axes.plot(middle, 10**values * 1e3, color=color, lw=1.2, ls=":", label=f"{name}: predicted error")
    system = methods[0].attributes["magnitude_system"]
    axes.set(xlabel=f"{system} (mag)", ylabel="scatter of the light curve (mmag)")
    if not drawn:
        say(axes, "no star has enough points")
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, which="major", color="#e8e8e8", lw=0.6)
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left")
