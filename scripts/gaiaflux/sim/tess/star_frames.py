"""Simulated frames of a part of a CCD whose stars move, with known truth."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.sim.tess.response import SIZE_PIX, Response
from gaiaflux.sim.tess.stamp import pixel_variance

__all__ = ["StarFrames", "moved_places", "simulate_star_frames", "star_responses"]

PARTS_OF_TRAIL = 9


@dataclass(frozen=True)
class StarFrames:
    """What is simulated.

    Attributes
    ----------
    x, y : ndarray, shape (n_frames, n_stars)
        True places in each frame [pixel of the frame].
    flux : ndarray, shape (n_stars,)
        [electron/s].
    responses : tuple of Response
        One for each star.
    shape : tuple of int
        (ny, nx).
    cadence_s : float
    sky : ndarray, shape (n_frames, ny, nx), or what is broadcast to it
        [electron/s/pixel].
    trail : ndarray, shape (n_frames, 2)
        How far each frame moves while it is exposed, in x and y; the places are those in the middle [pixel].
    seed : int
        None: without noise.
    """

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    responses: tuple[Response, ...]
    shape: tuple[int, int]
    cadence_s: float = 1800.0
    sky: np.ndarray | float = 100.0
    trail: np.ndarray | None = None
    seed: int | None = 1


def star_responses(x: np.ndarray, y: np.ndarray, corner: tuple[float, float]) -> tuple[Response, ...]:
    """Response functions at places in a frame whose first pixel is at `corner` of the CCD (column, row)."""
    return tuple(Response.at(corner[0] + a, corner[1] + b) for a, b in zip(x, y, strict=True))


def moved_places(x: np.ndarray, y: np.ndarray, shift: np.ndarray, roll: np.ndarray, pivot: np.ndarray) -> np.ndarray:
    """Places of stars in frames that are shifted and turned.

    Parameters
    ----------
    x, y : ndarray, shape (n_stars,)
        At no shift [pixel].
    shift : ndarray, shape (n_frames, 2)
        [pixel].
    roll : ndarray, shape (n_frames,)
        [rad].
    pivot : ndarray, shape (2,)
        About which the frames turn [pixel].

    Returns
    -------
    ndarray of float64, shape (2, n_frames, n_stars)
    """
    cos, sin = np.cos(roll)[:, None], np.sin(roll)[:, None]
    far_x, far_y = x - pivot[0], y - pivot[1]
    return np.stack(
        [
            pivot[0] + cos * far_x - sin * far_y + shift[:, :1],
            pivot[1] + sin * far_x + cos * far_y + shift[:, 1:],
        ]
    )


def simulate_star_frames(setup: StarFrames) -> np.ndarray:
    """Images of the stars, with photon and readout noise.

    Parameters
    ----------
    setup : StarFrames

    Returns
    -------
    ndarray of float32, shape (n_frames, ny, nx)
        With the sky [electron/s].
    """
    n, (ny, nx) = len(setup.x), setup.shape
    images = np.zeros((n, ny, nx))
    half = SIZE_PIX // 2 + 2
    steps = np.zeros((1, n, 2))
    if setup.trail is not None:
        steps = (np.arange(PARTS_OF_TRAIL)[:, None, None] / (PARTS_OF_TRAIL - 1) - 0.5) * setup.trail
    for k, (response, flux) in enumerate(zip(setup.responses, setup.flux, strict=True)):
        column, row = np.rint(np.median(setup.x[:, k])), np.rint(np.median(setup.y[:, k]))
        left, low = int(column) - half, int(row) - half
        stamp = np.zeros((n, 2 * half + 1, 2 * half + 1))
        for step in steps:
            x, y = setup.x[:, k] + step[:, 0] - left, setup.y[:, k] + step[:, 1] - low
            stamp += flux / len(steps) * response.light(x, y, stamp.shape[1:])
        rows = slice(max(low, 0), min(low + 2 * half + 1, ny))
        columns = slice(max(left, 0), min(left + 2 * half + 1, nx))
        if rows.start < rows.stop and columns.start < columns.stop:
            images[:, rows, columns] += stamp[
                :, rows.start - low : rows.stop - low, columns.start - left : columns.stop - left
            ]
    images += setup.sky
    if setup.seed is not None:
        rng = np.random.default_rng(setup.seed)
        for image in images:
            image += rng.normal(size=image.shape) * np.sqrt(pixel_variance(np.maximum(image, 0.0), setup.cadence_s))
    return images.astype(np.float32)
