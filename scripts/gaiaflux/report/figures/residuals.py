"""What PSF photometry leaves of a frame: the image beside its residual, in units of the pixels' noise."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from gaiaflux.core.maths.robust import robust_scatter
from gaiaflux.model.frame import Frame
from gaiaflux.report.figures.style import VERMILION, drawing

__all__ = ["crowded_part", "residual_figure", "save_residual_picture"]

_SIGMAS = 5.0  # at the ends of the colour scale
_ZOOM_PIX = 128
_LEAST_SNR = 5.0


def crowded_part(
    shape: tuple[int, int], x: np.ndarray, y: np.ndarray, weight: np.ndarray, size: int = _ZOOM_PIX
) -> tuple[int, int]:
    """Lower left corner (x, y) of the square of the frame with most stars.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    x, y, weight : ndarray, shape (n,)
        Places of the stars [pixel; NaN = none] and how much each counts.
    size : int
        Side of the square [pixel].
    """
    step = size // 4
    rows, columns = (max((length - size) // step + 1, 1) for length in shape)
    known = np.isfinite(x) & np.isfinite(y) & (weight > 0)
    best, corner = -1.0, (0, 0)
    for row in range(rows):
        for column in range(columns):
            x0, y0 = column * step, row * step
            inside = known & (x >= x0) & (x < x0 + size) & (y >= y0) & (y < y0 + size)
            count = float(weight[inside].sum())
            if count > best:
                best, corner = count, (x0, y0)
    return corner


def residual_figure(
    frame: Frame,
    residual: np.ndarray,
    sigma: np.ndarray,
    attrs: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> Figure:
    """Image and residual of a whole frame, and of its most crowded part.

    Parameters
    ----------
    frame : Frame
        The image as it was measured.
    residual, sigma : ndarray of float32, shape (ny, nx)
        The same without its stars and its sky, and the noise of each pixel, infinite where one is not used.
    attrs, arrays : mapping
        Of the PSF photometry: ``sky``, ``pixel_noise``, ``psf_fwhm_pix``; ``x``, ``y``, ``flux``, ``flux_err``.

    Returns
    -------
    Figure
        To be saved inside `gaiaflux.report.figures.style.drawing`.
    """
    ny, nx = frame.image.shape
    pulls = np.where(np.isfinite(sigma), residual / sigma, np.nan)
    seen = (arrays["flux"] > _LEAST_SNR * arrays["flux_err"]).astype(float)
    size = min(_ZOOM_PIX, ny, nx)
    x0, y0 = crowded_part((ny, nx), arrays["x"], arrays["y"], seen, size)
    part = (slice(y0, y0 + size), slice(x0, x0 + size))
    good = np.where(frame.pixel_flags == 0, frame.image, np.nan)
    figure = Figure(figsize=(11.0, 4.9 + 5.0 * min(ny / nx, 1.5)), layout="constrained")
    axes = figure.subplots(2, 2, height_ratios=(min(ny / nx, 1.5), 1.0))
    noise = float(attrs["pixel_noise"])
    for row, (picture, pull, where) in enumerate(((good, pulls, (0, 0)), (good[part], pulls[part], (x0, y0)))):
        _draw_counts(axes[row, 0], picture, float(attrs["sky"]), noise, where)
        drawn = _draw_sigma(axes[row, 1], pull, where)
    figure.colorbar(
        drawn,
        ax=axes[:, 1],
        shrink=0.5,
        aspect=40,
        pad=0.02,
        extend="both",
        label="residual over the noise of the pixel",
    )
    for image in axes[0]:
        _outline(image, x0, y0, size)
    quiet = pulls[np.isfinite(pulls)]
    spread = robust_scatter(quiet)
    beyond = 100.0 * float((np.abs(quiet) > _SIGMAS).mean()) if quiet.size else float("nan")
    axes[0, 0].set_title(frame.info.frame_id)
    axes[0, 1].set_title("Without its stars")
    text = f"scatter {spread:.2f}, {beyond:.2g} % beyond {_SIGMAS:g}"
    axes[0, 1].set_title(text, loc="right", fontweight="normal", fontsize=8.5)
    axes[1, 0].set_title(f"Most crowded {size} pixels")
    facts = f"FWHM {float(attrs['psf_fwhm_pix']):.2f} pixel; ochre: bad"
    axes[1, 0].set_title(facts, loc="right", fontweight="normal", fontsize=8.5)
    return figure


def _draw_counts(axes: Axes, picture: np.ndarray, sky: float, noise: float, corner: tuple[int, int]) -> AxesImage:
    shown = np.arcsinh((picture - sky) / (3.0 * noise))
    top = max(float(np.nanquantile(shown, 0.998)), 1.0) if np.isfinite(shown).any() else 1.0
    return _show(axes, shown, corner, cmap="Greys", vmin=-0.6, vmax=top)


def _draw_sigma(axes: Axes, pull: np.ndarray, corner: tuple[int, int]) -> AxesImage:
    return _show(axes, pull, corner, cmap="RdBu_r", vmin=-_SIGMAS, vmax=_SIGMAS)


def _show(axes: Axes, values: np.ndarray, corner: tuple[int, int], **style: Any) -> AxesImage:
    x0, y0 = corner
    ny, nx = values.shape
    axes.set_facecolor("#d8c27a")  # bad pixels
    place = (x0 - 0.5, x0 + nx - 0.5, y0 - 0.5, y0 + ny - 0.5)
    axes.set(xlabel="x (pixel)", ylabel="y (pixel)")
    return axes.imshow(values, origin="lower", extent=place, **style)


def _outline(axes: Axes, x0: int, y0: int, size: int) -> None:
    x1, y1 = x0 + size - 0.5, y0 + size - 0.5
    axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=VERMILION, lw=0.9)


def save_residual_picture(
    path: str | Path,
    frame: Frame,
    residual: np.ndarray,
    sigma: np.ndarray,
    attrs: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Save `residual_figure` as PNG."""
    with drawing():
        residual_figure(frame, residual, sigma, attrs, arrays).savefig(path, dpi=120, metadata={"Software": None})
