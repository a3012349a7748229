"""Picture of what planted stars say of a measurement."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gaiaflux.model.methods import methods_named
from gaiaflux.report.figures.style import GREY, drawing, say

__all__ = ["draw_injection"]

_PANELS = (
    ("completeness", "completeness", "in the catalogue", None),
    ("bias_mag", "measured - true (mag)", "bias", 0.0),
    ("pull_scatter_in_star", "scatter / error", "errors in a light curve", 1.0),
    ("pull_scatter", "scatter / error", "errors with those between stars", 1.0),
)

Columns = Mapping[str, tuple[np.ndarray, str, str]]


def draw_injection(path: str | Path, bins: Columns, title: str) -> None:
    """Draw completeness, bias and pulls over the magnitude.

    Parameters
    ----------
    path : str or Path
        PNG file to write.
    bins : mapping of str to (values, unit, description)
        From `gaiaflux.ground.injection.scores.score_injection`.
    title : str
        What was measured.
    """
    with drawing():
        figure = Figure(figsize=(9.0, 6.0), layout="constrained")
        axes = figure.subplots(2, 2, sharex=True).ravel()
        for axis, (name, label, heading, wanted) in zip(axes, _PANELS, strict=True):
            _panel(axis, bins, name, wanted)
            axis.set(ylabel=label, title=heading)
        for axis in axes[2:]:
            axis.set_xlabel("magnitude on the scale of Gaia G")
        axes[0].set_ylim(-0.03, 1.05)
        if len(bins["method"][0]):
            axes[0].legend(loc="lower left")
        figure.suptitle(title, x=0.01, ha="left")
        figure.savefig(path, dpi=130, metadata={"Software": None})


def _panel(axis: Axes, bins: Columns, name: str, wanted: float | None) -> None:
    values = {key: column[0] for key, column in bins.items()}
    middle = 0.5 * (values["mag_low"] + values["mag_high"])
    if wanted is not None:
        axis.axhline(wanted, color=GREY, linewidth=0.8)
    drawn = False
    kinds = [(method, known) for method in methods_named(set(values["method"])) for known in (True, False)]
    for number, (method, known) in enumerate(kinds):
        own = (values["method"] == method.name) & (values["known"] == known) & np.isfinite(values[name].astype(float))
        if not own.any():
            continue
        drawn = True
        x = middle[own] + 0.05 * (number - (len(kinds) - 1) / 2)
        # Without error bars where a bin has one star.
        error = np.nan_to_num(values["bias_err_mag"][own]) if name == "bias_mag" else None
        axis.errorbar(
            x, values[name][own], error, color=method.look.colour if known else method.look.companion,
            marker=method.look.marker, markersize=4, linewidth=1,
            label=f"{method.label}, star {'known' if known else 'found'}",
        )  # fmt: skip
    if not drawn:
        say(axis, "no planted star was measured")
