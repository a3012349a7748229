"""What every star's light curve scatters by, over magnitude, beside what is predicted."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from gaiaflux.core.calibration.noise_budget import noise_curves
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
    say,
    thin,
)
from gaiaflux.report.series import MethodSummary
from gaiaflux.report.statistics import CONSTANT, MethodStatistics

__all__ = ["draw_chi2", "draw_precision", "precision_figure", "running_median"]

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
