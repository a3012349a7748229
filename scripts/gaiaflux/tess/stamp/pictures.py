"""Pictures of a target: the stamp, what the fit makes of it, and the light curve."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["delete_pictures", "picture_of_target", "save_picture"]

_MARK = "gaiaflux-"
_LEFT = "image - model"


def save_picture(figure: "Figure", folder: str | Path, name: str) -> Path:
    """Write a figure as PNG.

    Parameters
    ----------
    figure : Figure
    folder : str or Path
        It is made.
    name : str
        Of what it shows.

    Returns
    -------
    Path
    """
    path = Path(folder) / f"{_MARK}{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    return path


def delete_pictures(folder: str | Path) -> None:
    """Remove the files that `save_picture` made; others stay, and so do those behind a link.

    Parameters
    ----------
    folder : str or Path
        Need not be there.
    """
    folder = Path(folder)
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in folder.glob(f"{_MARK}*.png"):
        if not path.is_symlink():
            path.unlink()


def picture_of_target(
    title: str, image: np.ndarray, model: np.ndarray | None, mask: np.ndarray | None, stars: Table, lightcurve: Table
) -> "Figure":
    """Mean image, model and what is left; below them the light curve.

    Parameters
    ----------
    title : str
    image : ndarray, shape (rows, cols)
        Mean image [electron/s].
    model : ndarray, shape (rows, cols), optional
        The same by the fit.
    mask : ndarray of bool, shape (rows, cols), optional
        Pixels that are summed up; drawn as an outline.
    stars : Table
        row_stamp, column_stamp, tmag.
    lightcurve : Table
        time, flux, quality.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.5), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1.3, 1.0], squeeze=False).ravel()
    figure.suptitle(title)
    shown = [("image", image)]
    if model is not None:
        shown += [("model", model), (_LEFT, image - model)]
    for axes, (name, values) in zip(np.atleast_1d(above.subplots(1, len(shown))), shown, strict=True):
        _draw_stamp(axes, name, values, image, stars)
        if mask is not None and min(mask.shape) > 1:
            axes.contour(mask.astype(float), [0.5], colors="white", linewidths=1.0)
        ticks = None if name == _LEFT else _ticks(image)
        if name == "image":
            axes.set_ylabel("row of the stamp (pixel)")
        above.colorbar(axes.images[0], ax=axes, shrink=0.8, label="electron / s", ticks=ticks, format="%g")
    _draw_light_curve(below.subplots(), lightcurve)
    return figure


def _draw_light_curve(axes: "Axes", lightcurve: Table) -> None:
    """Draw a light curve on the scale of its cadences of quality 0; those with a bit may be far outside."""
    time, flux = (np.asarray(lightcurve[name], np.float64) for name in ("time", "flux"))
    good = np.asarray(lightcurve["quality"]) == 0
    for use, colour, label in ((good, "#0072B2", "quality 0"), (~good, "#D55E00", "with a bit of the mission")):
        if use.any():
            axes.plot(time[use], flux[use], ".", ms=3, color=colour, label=label)
    told = flux[good & np.isfinite(flux)]
    if told.size and np.ptp(told) > 0:
        low, high = told.min() - 0.2 * np.ptp(told), told.max() + 0.2 * np.ptp(told)
        axes.set_ylim(low, high)
        outside = int(((flux < low) | (flux > high)).sum())
        if outside:
            axes.set_title(f"{outside} of {len(flux)} cadences are outside of the scale", fontsize="small", loc="right")
    axes.ticklabel_format(useOffset=False)
    axes.set_xlabel("BTJD (d)")
    axes.set_ylabel("flux (electron / s)")
    axes.legend(loc="best", fontsize="small")


def _draw_stamp(axes: "Axes", name: str, values: np.ndarray, image: np.ndarray, stars: Table) -> None:
    """Draw a stamp on the scale of the mean image, or what is left on a scale of its own."""
    from matplotlib.colors import AsinhNorm

    ny, nx = values.shape
    limit = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    if name == _LEFT:
        axes.imshow(values, origin="lower", cmap="RdBu", vmin=-limit, vmax=limit)
    else:
        low, high = (np.nanmin(image), np.nanmax(image)) if np.isfinite(image).any() else (0.0, 1.0)
        scale = AsinhNorm(linear_width=_linear_width(image), vmin=low, vmax=high)
        axes.imshow(values, origin="lower", cmap="viridis", norm=scale)
    inside = (np.abs(stars["column_stamp"] - (nx - 1) / 2) <= nx / 2) & (
        np.abs(stars["row_stamp"] - (ny - 1) / 2) <= ny / 2
    )
    size = 4.0 * 10 ** (0.2 * (16.0 - np.clip(np.nan_to_num(np.asarray(stars["tmag"][inside]), nan=16.0), 5.0, 16.0)))
    colour = "0.4" if name == _LEFT else "white"
    axes.scatter(stars["column_stamp"][inside], stars["row_stamp"][inside], s=size, fc="none", ec=colour, lw=0.7)
    axes.set_title(name, fontsize="medium")
    axes.set_xlabel("column of the stamp (pixel)")


def _linear_width(image: np.ndarray) -> float:
    """Flux below which the scale is linear."""
    return max(float(np.nanmedian(np.abs(image))), 1e-3) if np.isfinite(image).any() else 1.0


def _ticks(image: np.ndarray) -> list[float]:
    """Zero and the powers of ten on the part of the scale that is logarithmic."""
    top = np.nanmax(image) if np.isfinite(image).any() else 1.0
    return [0.0, *(10.0**k for k in range(-3, 8) if 2.0 * _linear_width(image) <= 10.0**k <= top)]
