"""Where in the field the stars vary."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gaiaflux.core.sky.projection import sky_to_plane
from gaiaflux.report.figures.style import (
    GREY,
    PALE,
    VERMILION,
    WARMTH,
    thin,
)
from gaiaflux.report.series import MethodSummary, SeriesSummary
from gaiaflux.report.statistics import CONSTANT

__all__ = ["draw_map", "map_figure", "on_image", "reference_shape"]


def draw_map(axes: Axes, series: SeriesSummary, method: MethodSummary, shape: tuple[int, int] | None) -> None:
    """Stars on the reference image, or in the sky without one, larger where brighter, coloured by their excess.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    series, method : SeriesSummary, MethodSummary
        What to draw.
    shape : tuple of int or None
        (ny, nx) of the reference image.
    """
    found = method.statistics
    x, y = (series.stars["x_ref"], series.stars["y_ref"]) if on_image(series) else _offsets(series)
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
    if on_image(series):
        axes.set(xlabel="x on the reference image (pixel)", ylabel="y (pixel)")
    else:
        axes.invert_xaxis()
        axes.set(xlabel="east of the first star (deg)", ylabel="north (deg)")


def on_image(series: SeriesSummary) -> bool:
    """Whether the stars have places on a reference image."""
    return bool(np.isfinite(series.stars["x_ref"]).any() or not len(series.stars["x_ref"]))


def _offsets(series: SeriesSummary) -> tuple[np.ndarray, np.ndarray]:
    """Degrees to the east and to the north of the first star, in the plane that touches the sky there."""
    ra, dec = series.stars["ra_deg"], series.stars["dec_deg"]
    return sky_to_plane((float(ra[0]), float(dec[0])), ra, dec)


def _frame_patch(shape: tuple[int, int]) -> Rectangle:
    return Rectangle((-0.5, -0.5), shape[1], shape[0], fill=False, ec=GREY, lw=0.8)


def map_figure(series: SeriesSummary, method: MethodSummary, shape: tuple[int, int] | None) -> Figure:
    """Map of the stars alone."""
    figure = Figure(figsize=(6.6, 5.6), layout="constrained")
    draw_map(figure.subplots(), series, method, shape)
    return figure


def reference_shape(series: SeriesSummary, reference: Mapping[str, Any] | None = None) -> tuple[int, int] | None:
    """(ny, nx) of the reference image, from its record or its row in the dataset."""
    if reference and reference.get("nx"):
        return int(reference["ny"]), int(reference["nx"])
    rows = np.flatnonzero(series.frames["frame_id"] == series.attributes.get("reference_frame_id"))
    if rows.size and series.frames["nx"][rows[0]] > 0:
        return int(series.frames["ny"][rows[0]]), int(series.frames["nx"][rows[0]])
    return None
