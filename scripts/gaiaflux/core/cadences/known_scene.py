"""The scene of a stamp from a solution of all stars around it, and light curves on the level of that."""

import numpy as np

from gaiaflux.core.cadences.frames import MeanImage, StampFrames, shift_cells
from gaiaflux.core.cadences.scene import SceneStars, StaticScene, choose_stars
from gaiaflux.core.cadences.scene_fit import MEAN_CELL_PIX, FitOptions, usable_pixels
from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.core.psf.stamp_light import mean_stamp_light, star_tables

__all__ = ["known_scene", "on_level"]

SURE = 0.1  # part of its light up to which the error of a star's level may be


def known_scene(
    frames: StampFrames,
    mean: MeanImage,
    stars: SceneStars,
    psf: SampledPsf,
    corner: tuple[float, float],
    options: FitOptions,
) -> StaticScene:
    """Take the stars that matter as they are given; only the background of the mean is fitted.

    Parameters
    ----------
    frames : StampFrames
    mean : MeanImage
        Of the same frames.
    stars : SceneStars
        The target first, with light and places that were solved for.
    psf : SampledPsf
    corner : tuple of float
        Column and row of the stamp's first pixel, in the coordinates of the function.
    options : FitOptions

    Returns
    -------
    StaticScene
        With rows of `stars`.

    Raises
    ------
    ValueError
        No pixel of the mean is usable.
    """
    usable = usable_pixels(mean, options)
    if not usable.any():
        raise ValueError("no pixel of the stamp has a usable mean")
    weight = np.where(usable, 1.0 / np.where(usable, mean.variance, 1.0), 0.0)
    cells = shift_cells(frames.shift, frames.counted, MEAN_CELL_PIX)
    seen = cells.share > 0
    tables = star_tables(psf, corner[0] + stars.x, corner[1] + stars.y)
    rows = choose_stars(stars, tables, cells.share @ cells.centre, weight, options.light_part, options.most_stars)
    some, tables = stars.of(rows), tables.of(rows)
    shape = mean.image.shape
    light = mean_stamp_light(tables, some.x, some.y, cells.centre[seen], cells.share[seen], (shape[0], shape[1])).light
    flux = np.nan_to_num(some.flux)
    model = np.tensordot(flux, light, 1)
    image = np.where(usable, mean.image, 0.0)
    background = float(np.sum(weight * (image - model)) / np.sum(weight))
    model = model + background
    chi2 = float(np.sum(weight * np.maximum(mean.count, 1) * (image - model) ** 2)) / max(1, int(usable.sum()) - 1)
    no = np.zeros(2)
    return StaticScene(rows, tables, some.x, some.y, flux, some.flux_err, no, no, background, model, chi2)


def on_level(flux: np.ndarray, counted: np.ndarray, level: float, level_err: float) -> np.ndarray:
    """A light curve with the mean that the star has where all stars around it were solved for.

    What a small stamp leaves of the sky and of stars that no catalogue has goes into the target's light, the same in
    all frames.

    Parameters
    ----------
    flux : ndarray, shape (n_times,)
        [electron/s].
    counted : ndarray of bool, shape (n_times,)
        Frames whose mean was solved.
    level, level_err : float
        Light in their mean, and its error [electron/s].

    Returns
    -------
    ndarray of float64, shape (n_times,)
        As it is where the level is not known to a tenth.
    """
    used = counted & np.isfinite(flux)
    if not (used.any() and level_err < SURE * level):
        return flux
    return flux + (level - float(np.mean(flux[used])))
