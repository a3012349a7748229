"""Smooth sky level and its noise, from clipped statistics in boxes.

Boxes (`gaiaflux.core.image.mesh`) are median-filtered (Bertin & Arnouts 1996, A&AS 117, 393) about a quadratic surface.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gaiaflux.core.image.mesh import box_statistics, fill_empty, mesh_weights, subtract_mesh, windows
from gaiaflux.core.maths.surface import fit_surface
from gaiaflux.model.errors import BadFrameError

__all__ = ["Background", "BackgroundEstimator", "BoxBackground", "estimate_background", "subtract_background"]

LEAST_TREND = 5  # boxes a side that a quadratic surface needs


@dataclass(frozen=True)
class Background:
    """Sky level and noise per box.

    Attributes
    ----------
    level, rms : ndarray of float32, shape (n_box_rows, n_box_columns)
        Sky and one-pixel noise in the image's unit; finite everywhere.
    box_pix : int
        Side of a box, about: a row and a column are divided into boxes of one size [pixel].
    shape : tuple of int
        (ny, nx) of the image.
    """

    level: np.ndarray
    rms: np.ndarray
    box_pix: int
    shape: tuple[int, int]

    def level_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Sky level at positions.

        Parameters
        ----------
        x, y : ndarray, shape (n,)
            0-based pixel coordinates; outside of the image the edge value holds.

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        return _mesh_at(self.level, self.shape, x, y)

    def rms_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """One-pixel noise at positions; as `level_at`."""
        return _mesh_at(self.rms, self.shape, x, y)


BackgroundEstimator = Callable[[np.ndarray, np.ndarray], Background]
"""Sky of an image (float32, finite) whose pixels with nonzero flags are left out; raises BadFrameError without any."""


def estimate_background(image: np.ndarray, pixel_flags: np.ndarray, box_pix: int = 64) -> Background:
    """Sky level and noise in boxes.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Finite values.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Nonzero pixels are left out.
    box_pix : int
        Side of a box, about [pixel].

    Returns
    -------
    Background

    Raises
    ------
    BadFrameError
        No box has enough clean pixels, or the pixels do not vary at all.
    """
    ny, nx = image.shape
    level, rms, _ = box_statistics(image, pixel_flags, box_pix)
    if not np.isfinite(level).any():
        raise BadFrameError("no clean pixels to measure the sky")
    if not (rms[np.isfinite(rms)] > 0).any():
        raise BadFrameError("all pixels have the same value")
    rms[~(rms > 0)] = np.nan
    level[np.isnan(rms)] = np.nan
    return Background(_fill_and_filter(level, trend=True), _fill_and_filter(rms), box_pix, (ny, nx))


@dataclass(frozen=True)
class BoxBackground:
    """A `BackgroundEstimator`: `estimate_background` in boxes of one size.

    Attributes
    ----------
    box_pix : int
        Side of a box, about [pixel].
    """

    box_pix: int = 64

    def __call__(self, image: np.ndarray, pixel_flags: np.ndarray) -> Background:
        """Sky level and noise of an image; see `estimate_background`."""
        return estimate_background(image, pixel_flags, self.box_pix)


def subtract_background(image: np.ndarray, background: Background) -> np.ndarray:
    """Image without its sky.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
    background : Background

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        A new image.
    """
    return subtract_mesh(image, background.level)


def _mesh_at(mesh: np.ndarray, shape: tuple[int, int], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    wx, ix = mesh_weights(np.asarray(x, np.float64), shape[1], mesh.shape[1])
    wy, iy = mesh_weights(np.asarray(y, np.float64), shape[0], mesh.shape[0])
    return np.einsum("ni,nj,nij->n", wy, wx, mesh[iy[:, :, None], ix[:, None, :]].astype(np.float64))


def _fill_and_filter(mesh: np.ndarray, *, trend: bool = False) -> np.ndarray:
    """Fill empty boxes from their neighbours, ring by ring, then take the 3x3 median.

    With `trend`, of what a quadratic surface leaves: the median of a summit lies below it, that of an edge beside it.
    """
    mesh = fill_empty(mesh)
    smooth = np.zeros_like(mesh)
    rows, columns = mesh.shape
    if trend and min(rows, columns) >= LEAST_TREND:
        y, x = (values.ravel() for values in np.indices(mesh.shape))
        surface = fit_surface(x, y, mesh.ravel(), np.zeros(mesh.size), mesh.shape, 2)
        smooth = surface.value(x, y).reshape(mesh.shape)
    return (smooth + np.median(windows(mesh - smooth, "edge"), axis=-1)).astype(np.float32)
