"""A target with full pixels: which they are, the aperture that follows their charge, and what is outside of it.

The charge of a full pixel is not lost, so that the sum over it and the column along which it ran is the light of the
star. What falls outside of the aperture is known from the response function, whose wings are fitted to the pixels that
are not full.
"""

from typing import NamedTuple

import numpy as np

from gaiaflux.core.cadences.frames import MeanImage, StampFrames, shift_cells
from gaiaflux.core.cadences.scene import SceneStars, StaticScene
from gaiaflux.core.image.bleeding import Bleeding, find_bleeding
from gaiaflux.core.maths.robust import robust_scatter
from gaiaflux.core.psf.stamp_light import stamp_light

__all__ = [
    "CENTRE_PIX",
    "Enclosed",
    "bleeding_of_stamp",
    "bleeding_of_star",
    "bright_aperture",
    "enclosed_light",
    "expected_motion",
    "grown_aperture",
    "halo_pixels",
    "light_in",
    "star_images",
    "stars_outside",
]

CENTRE_PIX = 2.0  # a star whose nearest full pixel is farther did not fill it
HIGH_PART = 0.99  # of the frames in which a pixel has no more than what counts as its light
SAMPLE = 501  # frames that say so
NOT_FULL = 0.5  # of the level: where the mean has no more, no frame is looked at
CELL_PIX = 1.0 / 16.0
MOTION_PIX = 1.0 / 32.0
LEAST_WING_ERR = 0.02  # relative error of the light outside of an aperture, where the wings fit better than that
SIGMA = 3.0
BRIGHT_PIX = 5  # from the charge: reach of an aperture without a response function
PURE = 0.9  # part of a pixel's light that is the target's


class Enclosed(NamedTuple):
    """Part of a star's light in an aperture: in each frame, shape (n_times,), and the error that all frames share."""

    part: np.ndarray
    error: float


class StarImages(NamedTuple):
    """Light of the target and of all others in the mean of the frames, shape (ny, nx) [electron/s]."""

    target: np.ndarray
    others: np.ndarray


def bleeding_of_stamp(frames: StampFrames, mean: MeanImage, level: float) -> Bleeding:
    """Full pixels of a stamp, and where their charge ran in any but the oddest hundredth of the frames.

    Parameters
    ----------
    frames : StampFrames
    mean : MeanImage
        Of the same frames.
    level : float
        A pixel above this is full [electron/s].

    Returns
    -------
    Bleeding
        A pixel that is full in some frames only spills into the next in these.
    """
    with np.errstate(invalid="ignore"):
        if not (mean.image > NOT_FULL * level).any():
            return Bleeding(np.zeros(frames.shape, bool), np.zeros(frames.shape, np.int32), level)
    flux = frames.flux[frames.counted]
    flux = flux[:: max(1, len(flux) // SAMPLE)]
    light = np.sort(np.where(np.isfinite(flux), flux, -np.inf), axis=0)
    high = light[int(np.ceil(HIGH_PART * (len(light) - 1)))].astype(np.float64)
    return find_bleeding(np.where(np.isfinite(high), np.fmax(high, mean.image), mean.image), level)


def bleeding_of_star(bleeding: Bleeding, stars: SceneStars, shift: np.ndarray) -> Bleeding:
    """The part that the target filled.

    Parameters
    ----------
    bleeding : Bleeding
    stars : SceneStars
        The target first.
    shift : ndarray, shape (2,)
        Mean shift of the frames [pixel].

    Returns
    -------
    Bleeding
        Groups with a full pixel near the target, of which no brighter star of the catalogue is as near, also from
        beyond the edge over which its column comes; none if the catalogue has too little light for it.
    """
    if not bleeding.any or stars.flux[0] < bleeding.level:
        return bleeding.of(np.zeros(0, np.int32))
    flux = np.nan_to_num(stars.flux, nan=0.0)
    x, y = stars.x + shift[0], stars.y + shift[1]
    mine = bleeding.near(x[0], y[0], CENTRE_PIX, full=True)
    for k in np.flatnonzero(flux > flux[0]):
        mine = np.setdiff1d(mine, bleeding.near(x[k], np.clip(y[k], 0, len(bleeding.full) - 1), CENTRE_PIX, full=True))
    return bleeding.of(mine)


def stars_outside(stars: SceneStars, shift: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Stars whose middle is on no pixel of a stamp, shape (n,).

    Parameters
    ----------
    stars : SceneStars
    shift : ndarray, shape (2,)
        Mean shift of the frames [pixel].
    shape : tuple of int
        (ny, nx) of the stamp.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    x, y = stars.x + shift[0], stars.y + shift[1]
    return (x < -0.5) | (y < -0.5) | (x > shape[1] - 0.5) | (y > shape[0] - 0.5)


def star_images(scene: StaticScene, shift: np.ndarray, shape: tuple[int, int]) -> StarImages:
    """Light of the target and of the others as the scene has it.

    Parameters
    ----------
    scene : StaticScene
    shift : ndarray, shape (2,)
        Of the frames [pixel].
    shape : tuple of int
        (ny, nx).

    Returns
    -------
    StarImages
    """
    made = stamp_light(scene.tables, scene.x + shift[0], scene.y + shift[1], shape).light
    light = np.maximum(scene.flux, 0.0)[:, None, None] * made
    return StarImages(light[0], light[1:].sum(axis=0))


def grown_aperture(
    charge: np.ndarray, images: StarImages, allowed: np.ndarray, variance: np.ndarray, background_err: float
) -> np.ndarray:
    """Aperture of a target with full pixels: its charge, and of its wings what is worth its noise.

    Parameters
    ----------
    charge : ndarray of bool, shape (ny, nx)
        Pixels that hold the target's charge.
    images : StarImages
    allowed : ndarray of bool, shape (ny, nx)
        Others that may be in the aperture.
    variance : ndarray, shape (ny, nx)
        Of a pixel in one frame [electron^2/s^2].
    background_err : float
        Error of the background in all pixels of a frame together [electron/s/pixel].

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        Beside the charge only pixels with more light of the target than of others; the brightest of them, as many as
        give the largest ratio of signal to noise.
    """
    wings = allowed & ~charge & (images.target > images.others) & np.isfinite(variance)
    order = np.flatnonzero(wings)
    order = order[np.argsort(-images.target.ravel()[order], kind="stable")]
    held = charge & np.isfinite(variance)
    light = images.target[charge].sum() + np.concatenate([[0.0], np.cumsum(images.target.ravel()[order])])
    noise = variance[held].sum() + np.concatenate([[0.0], np.cumsum(variance.ravel()[order])])
    noise = noise + (background_err * (charge.sum() + np.arange(len(light)))) ** 2
    best = int(np.argmax(light / np.sqrt(np.maximum(noise, 1e-30))))
    aperture = charge.copy()
    aperture.flat[order[:best]] = True
    return aperture


def bright_aperture(charge: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Aperture of a target with full pixels by the mean image alone: its charge and what is bright beside it.

    Parameters
    ----------
    charge : ndarray of bool, shape (ny, nx)
    image : ndarray, shape (ny, nx)
        Mean of the frames; NaN where there is none.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        Within 3 pixels of the charge, joined to it by pixels that stand out by three times the scatter.
    """
    known = np.isfinite(image)
    level = float(np.median(image[known])) if known.any() else 0.0
    below = image[known & (image <= level)]
    noise = robust_scatter(np.concatenate([below, 2.0 * level - below])) if below.size else 0.0
    bright = known & (np.where(known, image, -np.inf) > level + SIGMA * noise)
    grown = charge
    for _ in range(BRIGHT_PIX):
        padded = np.pad(grown, 1)
        around = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
        grown = grown | (around & bright)
    return grown


def enclosed_light(
    scene: StaticScene, shift: np.ndarray, aperture: np.ndarray, images: StarImages, left: np.ndarray
) -> Enclosed:
    """Part of the target's light in an aperture.

    Parameters
    ----------
    scene : StaticScene
    shift : ndarray, shape (n_times, 2)
        Of the frames [pixel].
    aperture : ndarray of bool, shape (ny, nx)
        Charge that ran along columns is in it, as far as it is on the stamp.
    images : StarImages
    left : ndarray, shape (ny, nx)
        What the stars leave of the mean of the frames [electron/s]; NaN in a pixel that tells nothing.

    Returns
    -------
    Enclosed
        The error is the light outside, as far as what is left there doubts it: all of it at most, a fiftieth at least.
    """
    part = light_in(scene, shift, aperture)
    outside = np.isfinite(left) & ~aperture & (images.target > images.others)
    wings = float(images.target[outside].sum())
    doubt = float(np.abs(left[outside]).sum()) / wings if wings > 0 else 1.0
    return Enclosed(part, max(1.0 - float(np.median(part)), 0.0) * min(max(doubt, LEAST_WING_ERR), 1.0))


def light_in(scene: StaticScene, shift: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted sum of the pixels of a star of the target's place and of light 1.

    Parameters
    ----------
    scene : StaticScene
    shift : ndarray, shape (n_times, 2)
        Of the frames [pixel].
    weight : ndarray, shape (ny, nx)
        Of the pixels; a mask where they are summed.

    Returns
    -------
    ndarray of float64, shape (n_times,)
    """
    used = weight != 0
    cells = shift_cells(shift, np.ones(len(shift), bool), CELL_PIX)
    at = np.array([scene.x[0], scene.y[0]]) + cells.place
    made = stamp_light(scene.tables.of(np.array([0])), at[:, :1], at[:, 1:], weight.shape)
    light, *slopes = (part[:, 0][:, used] @ weight[used] for part in (made.light, made.along_x, made.along_y))
    away = shift - cells.place[cells.cell]
    return light[cells.cell] + slopes[0][cells.cell] * away[:, 0] + slopes[1][cells.cell] * away[:, 1]


def expected_motion(scene: StaticScene, shift: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """What the motion of the frames makes of the target's light in some pixels.

    Parameters
    ----------
    scene : StaticScene
    shift : ndarray, shape (n_times, 2)
        Of the frames [pixel].
    pixels : ndarray of bool, shape (ny, nx)

    Returns
    -------
    ndarray of float64, shape (n, n_pixels)
        For each cell of shifts that frames are in, the change of the light over its mean, times their number; in the
        order of ``np.nonzero(pixels)``.
    """
    cells = shift_cells(shift, np.ones(len(shift), bool), MOTION_PIX)
    at = np.array([scene.x[0], scene.y[0]]) + cells.centre
    light = stamp_light(scene.tables.of(np.array([0])), at[:, :1], at[:, 1:], pixels.shape).light[:, 0][:, pixels]
    mean = cells.share @ light
    change = np.where(mean > 0, light / np.where(mean > 0, mean, 1.0) - 1.0, 0.0)
    return change * (cells.share * len(shift))[:, None]


def halo_pixels(images: StarImages, usable: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Pixels with light of the target and hardly any of others, shape (ny, nx).

    Parameters
    ----------
    images : StarImages
    usable : ndarray of bool, shape (ny, nx)
        Pixels that are not full and hold no charge of full ones.
    variance : ndarray, shape (ny, nx)
        Of a pixel in one frame [electron^2/s^2].

    Returns
    -------
    ndarray of bool, shape (ny, nx)
    """
    pure = images.target > PURE * (images.target + images.others)
    return usable & pure & (images.target > SIGMA * np.sqrt(np.where(usable, variance, np.inf)))
