"""Sums over an aperture of a stamp, the aperture of a star from the mean of the frames, and whose light is in it."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.cadences.frames import StampFrames, pixel_variance, shift_cells
from gaiaflux.core.cadences.scene import StaticScene
from gaiaflux.core.maths.robust import robust_scatter
from gaiaflux.core.psf.stamp_light import stamp_light

__all__ = ["ApertureSums", "Contamination", "contamination", "sum_aperture", "threshold_aperture"]

CELL_PIX = 1.0 / 16.0


@dataclass(frozen=True)
class ApertureSums:
    """Sums of each frame over an aperture; every attribute has shape (n_times,) or (n_times, 2).

    Attributes
    ----------
    flux, flux_err : ndarray of float64
        [electron/s]; NaN where a pixel of the aperture is not finite. The error holds the background's, which is the
        same in all pixels.
    centroid : ndarray of float64, shape (n_times, 2)
        Centre of the light in x and y, of the pixels with any [pixel in the stamp]; NaN where there is no light.
    incomplete : ndarray of bool
        Frames with a pixel in the aperture that is not finite.
    """

    flux: np.ndarray
    flux_err: np.ndarray
    centroid: np.ndarray
    incomplete: np.ndarray


@dataclass(frozen=True)
class Contamination:
    """Whose light is in an aperture.

    Attributes
    ----------
    part : ndarray of float64, shape (n_times,)
        Part of the stars' light in the aperture that is not the target's; NaN where the target has none.
    inside : ndarray of float64, shape (n_times,)
        Part of the target's light that is in the aperture.
    """

    part: np.ndarray
    inside: np.ndarray


def sum_aperture(frames: StampFrames, mask: np.ndarray) -> ApertureSums:
    """Sum each frame over an aperture.

    Parameters
    ----------
    frames : StampFrames
    mask : ndarray of bool, shape (ny, nx)
        The aperture; a pixel that is finite in no frame is left out of it.

    Returns
    -------
    ApertureSums
        NaN everywhere where nothing is left of the aperture. A pixel without an error has its usual one.
    """
    n = len(frames)
    mask = mask & np.isfinite(frames.flux).any(axis=0)
    rows, columns = np.nonzero(mask)
    if not len(rows):
        no = np.full(n, np.nan)
        return ApertureSums(no, no.copy(), np.full((n, 2), np.nan), np.ones(n, bool))
    flux = frames.flux[:, rows, columns].astype(np.float64)
    stated = frames.flux_err[:, rows, columns].astype(np.float64)
    err = np.where(stated > 0, stated, np.sqrt(pixel_variance(frames))[rows, columns])
    common = frames.background_err[:, rows, columns].astype(np.float64)
    incomplete = np.logical_not(np.isfinite(flux).all(axis=1))
    noise = (err**2).sum(axis=1) + np.where(np.isfinite(common), common, 0.0).sum(axis=1) ** 2
    noise[~np.isfinite(noise)] = np.nan
    noise[incomplete] = np.nan
    light = np.where(flux > 0, flux, 0.0)
    total = light.sum(axis=1)
    seen = (total > 0) & ~incomplete
    centre = np.stack([light @ columns, light @ rows], axis=1) / np.where(seen, total, 1.0)[:, None]
    centre[~seen] = np.nan
    return ApertureSums(flux.sum(axis=1), np.sqrt(noise), centre, incomplete)


def threshold_aperture(image: np.ndarray, x: float, y: float, *, sigma: float = 3.0) -> np.ndarray:
    """Aperture of a star: pixels of the mean image above a threshold that are downhill from the star's own summit.

    Pixels above the threshold are clustered: each belongs to the summit that the steepest way up leads to. The cluster
    of the star is the one that its pixel, or the nearest pixel above the threshold within two pixels of it, is in.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Mean of the frames; NaN where there is none.
    x, y : float
        Place of the star in the stamp [pixel].
    sigma : float
        Threshold above the median of the image, in units of the scatter of the pixels below the median.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        At least the star's own pixel and its nearest neighbours, 3 x 3 pixels, where nothing stands out near the star.
    """
    finite = np.isfinite(image)
    row, column = np.indices(image.shape)
    distance = np.hypot(column - x, row - y)
    smallest = (np.abs(column - np.rint(x)) <= 1) & (np.abs(row - np.rint(y)) <= 1) & finite
    if not finite.any():
        return smallest
    level = float(np.median(image[finite]))
    below = image[finite & (image <= level)]
    # The half below the median mirrors what the sky alone does.
    noise = robust_scatter(np.concatenate([below, 2.0 * level - below]))
    bright = finite & (np.where(finite, image, -np.inf) > level + sigma * noise)
    near = bright & (distance <= 2.0)
    if not near.any():
        return smallest
    summit = _summits(np.where(bright, image, -np.inf))
    own = int(np.argmin(np.where(near, distance, np.inf)))
    return (summit == summit.flat[own]) & bright


def contamination(
    scene: StaticScene, flux: np.ndarray, rows: np.ndarray, shift: np.ndarray, mask: np.ndarray
) -> Contamination:
    """Part of the light in an aperture that is not the target's, in each frame.

    Parameters
    ----------
    scene : StaticScene
    flux : ndarray, shape (n_times, n)
        Light of some stars in each frame, the target's first; where it is not finite, that in the mean [electron/s].
    rows : ndarray of int64, shape (n,)
        Rows of these stars in the scene; the others have the light that they have in the mean.
    shift : ndarray, shape (n_times, 2)
        Of the frames [pixel].
    mask : ndarray of bool, shape (ny, nx)
        The aperture.

    Returns
    -------
    Contamination
    """
    cells = shift_cells(shift, np.ones(len(shift), bool), CELL_PIX)
    inside = np.empty((len(cells.place), len(scene.flux)))
    for start in range(0, len(inside), 64):
        at = cells.place[start : start + 64]
        made = stamp_light(scene.tables, scene.x + at[:, :1], scene.y + at[:, 1:], mask.shape).light
        inside[start : start + 64] = made[:, :, mask].sum(axis=2)
    light = np.tile(np.maximum(scene.flux, 0.0), (len(shift), 1))
    light[:, rows] = np.where(np.isfinite(flux), np.maximum(flux, 0.0), light[:, rows])
    light *= np.maximum(inside[cells.cell], 0.0)
    total = light.sum(axis=1)
    part = 1.0 - light[:, 0] / np.where(total > 0, total, np.nan)
    return Contamination(part, inside[cells.cell, 0])


def _summits(image: np.ndarray) -> np.ndarray:
    """Flat index of the summit that the steepest way up from each pixel leads to, shape (ny, nx)."""
    ny, nx = image.shape
    padded = np.pad(image, 1, constant_values=-np.inf)
    around = [(j, i) for j in (0, 1, 2) for i in (0, 1, 2)]
    views = np.stack([padded[j : j + ny, i : i + nx] for j, i in around])
    # The pixel itself first: on a plain nothing moves.
    best = np.argmax(np.concatenate([views[4:5], views]), axis=0) - 1
    best[best < 0] = 4
    row, column = np.indices(image.shape)
    steps = np.array(around)[best] - 1
    up = (row + steps[..., 0]) * nx + column + steps[..., 1]
    for _ in range(max(ny, nx)):
        up = up.ravel()[up]
    return up
