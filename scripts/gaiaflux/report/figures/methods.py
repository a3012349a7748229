"""Methods of photometry side by side."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from gaiaflux.report.figures.precision import running_median
from gaiaflux.report.figures.style import BLUE, GREY, INK, ORANGE, say, thin
from gaiaflux.report.series import MethodSummary, SeriesSummary

__all__ = ["comparison_figure", "scatter_ratio"]

_TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_COLORS = {"aperture": ORANGE, "psf": BLUE}


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
    """Scatter of the light curves by each method, and the ratio of the PSF's to the apertures'.

    Parameters
    ----------
    series : SeriesSummary
        With the methods ``aperture`` and ``psf``.

    Returns
    -------
    Figure
        To be saved inside `gaiaflux.report.figures.style.drawing`.
    """
    methods = {method.name: method for method in series.methods}
    figure = Figure(figsize=(10.4, 4.7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    _draw_scatter(left, methods)
    mag, ratio = scatter_ratio(methods["psf"], methods["aperture"])
    if mag.size:
        thin(right.plot(mag, ratio, "o", ms=2.6, mew=0, color=GREY, alpha=0.6)[0], mag.size)
        middle, values = running_median(mag, np.log10(ratio))
        if middle.size > 1:
            right.plot(middle, 10**values, color=INK, lw=1.6, label="median")
            right.legend(loc="upper left")
        right.axhline(1.0, color=GREY, lw=0.8, ls="--", zorder=0)
        right.set_yscale("log")
        low, high = np.quantile(ratio, (0.01, 0.99))
        right.set_ylim(min(low, 0.5) / 1.1, max(high, 2.0) * 1.1)
        right.yaxis.set_major_locator(FixedLocator(_TICKS))
        right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        right.yaxis.set_minor_formatter(NullFormatter())
    else:
        say(right, "no star is well\nmeasured by both")
    right.set(xlabel=left.get_xlabel(), ylabel="scatter by the PSF / by apertures")
    return figure


def _draw_scatter(axes: Axes, methods: Mapping[str, MethodSummary]) -> None:
    """Points and running medians of each method, of stars that no flag spoils."""
    drawn = False
    for name, method in methods.items():
        found, color = method.statistics, _COLORS.get(name, GREY)
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
    system = next(iter(methods.values())).attributes["magnitude_system"]
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
