"""Figure of the point-spread function of a frame."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gaiaflux.core.psf.model import PsfModel
from gaiaflux.io.batch_file import BatchReader
from gaiaflux.io.psf_model import read_batch_psf
from gaiaflux.model.status import OK
from gaiaflux.report.figures.style import INK, WARMTH, few_ticks, say

__all__ = ["find_psf", "psf_figure", "psf_montage"]

_PLACES = 3  # along each side of the frame
_STICKS = 7
_LEAST_SCALE = 0.2  # per cent of the centre's brightness at the end of a colour scale


def find_psf(paths: Sequence[str | Path], frame_id: str) -> PsfModel | None:
    """PSF of a frame.

    Parameters
    ----------
    paths : sequence of path
        Batches of `psf_photometry`.
    frame_id : str
        Name of the frame.

    Returns
    -------
    PsfModel or None
        None where the frame is in none of them, or was not measured.
    """
    for path in paths:
        with BatchReader(path) as batch:
            measured = frame_id in batch and batch.attrs(frame_id)["status"] == OK
        if measured:
            return read_batch_psf(path, frame_id)
    return None


def psf_montage(psf: PsfModel, half: int) -> np.ndarray:
    """The PSF at 3 x 3 places of the frame: its corners, sides and middle.

    Parameters
    ----------
    psf : PsfModel
        Function.
    half : int
        Each picture reaches so many pixels from the star's centre.

    Returns
    -------
    ndarray of float64, shape (3, 3, 2 half + 1, 2 half + 1)
        [1/pixel], centred; first axis y.
    """
    ny, nx = psf.shape
    dx, dy = np.meshgrid(np.arange(-half, half + 1.0), np.arange(-half, half + 1.0))
    places = [np.linspace(0.0, side - 1.0, _PLACES) for side in (ny, nx)]
    return np.array([[psf.values(x, y, dx, dy) for x in places[1]] for y in places[0]])


def psf_figure(psf: PsfModel) -> Figure:
    """The PSF over the frame, how it changes, what is added to its analytic core, and its width.

    Parameters
    ----------
    psf : PsfModel
        Function.

    Returns
    -------
    Figure
        To be saved inside `gaiaflux.report.figures.style.drawing`.
    """
    half = int(np.ceil(2.5 * psf.fwhm))
    whole = psf_montage(psf, half)
    middle = whole[_PLACES // 2, _PLACES // 2]
    peak = middle.max()
    core = replace(psf, residual=np.zeros((0, *psf.residual.shape[1:])), residual_order=-1)
    figure = Figure(figsize=(10.4, 3.3), layout="constrained")
    axes = figure.subplots(1, 4)
    shown = np.log10(np.maximum(whole / peak, 1e-4))
    _draw_montage(axes[0], shown, "Greys", (-3.5, 0.0), "log of the brightness")
    axes[0].set_title("At 3 x 3 places")
    _draw_signed(axes[1], 100.0 * (whole - middle) / peak, "% of the peak")
    axes[1].set_title("Minus that of the middle")
    axes[2].set_title("Beside the analytic core")
    if psf.residual_order < 0:
        say(axes[2], "nothing")
    else:
        _draw_signed(axes[2], 100.0 * (whole - psf_montage(core, half)) / peak, "% of the peak")
    _draw_width(axes[3], psf)
    return figure


def _draw_signed(axes: Axes, montage: np.ndarray, label: str) -> None:
    most = max(float(np.abs(montage).max()), _LEAST_SCALE)
    _draw_montage(axes, montage, "RdBu_r", (-most, most), label)


def _draw_montage(axes: Axes, montage: np.ndarray, colors: str, limits: tuple[float, float], label: str) -> None:
    """Pictures of the places side by side, as they lie on the frame."""
    gap = 1
    size = montage.shape[2] + gap
    whole = np.full((_PLACES * size - gap, _PLACES * size - gap), np.nan)
    for row in range(_PLACES):
        for column in range(_PLACES):
            y, x = row * size, column * size
            whole[y : y + size - gap, x : x + size - gap] = montage[row, column]
    drawn = axes.imshow(whole, origin="lower", cmap=colors, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    bar = axes.figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.85, pad=0.02, aspect=24)
    bar.outline.set_visible(False)
    bar.set_label(label)


def _draw_width(axes: Axes, psf: PsfModel) -> None:
    """FWHM over the frame, with sticks along the long axis of the ellipse, longer where it is flatter."""
    ny, nx = psf.shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, 24), np.linspace(0, ny - 1, 24))
    width = psf.fwhm_at(x.ravel(), y.ravel()).reshape(x.shape)
    drawn = axes.imshow(width, origin="lower", extent=(-0.5, nx - 0.5, -0.5, ny - 0.5), cmap=WARMTH)
    x, y = np.meshgrid((np.arange(_STICKS) + 0.5) / _STICKS * nx, (np.arange(_STICKS) + 0.5) / _STICKS * ny)
    flatness, angle = psf.ellipticity_at(x.ravel(), y.ravel())
    most = max(float(flatness.max()), 0.02)
    length = 0.9 * nx / _STICKS * flatness / most
    dx, dy = 0.5 * length * np.cos(angle), 0.5 * length * np.sin(angle)
    axes.plot([x.ravel() - dx, x.ravel() + dx], [y.ravel() - dy, y.ravel() + dy], color=INK, lw=1.0)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(f"Width, ellipticity to {most:.3f}")
    bar = axes.figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.85, pad=0.02, aspect=24)
    bar.outline.set_visible(False)
    bar.set_label("FWHM (pixel)")
    bar.locator = few_ticks(4)
    bar.update_ticks()
