"""The stars of a stamp in the mean of its frames: which matter, in which pixels, and their places and light."""

from dataclasses import dataclass, field, replace

import numpy as np

from gaiaflux.core.cadences.frames import MeanImage, ShiftCells, StampFrames, shift_cells
from gaiaflux.core.cadences.scene import SceneStars, StaticScene, choose_stars
from gaiaflux.core.cadences.static_scene import StaticOptions, solve_static
from gaiaflux.core.psf.stamp_light import StarTables

__all__ = ["FitOptions", "solve_scene", "usable_pixels"]

MEAN_CELL_PIX = 1.0 / 16.0


@dataclass(frozen=True)
class FitOptions:
    """How frames are fitted.

    Attributes
    ----------
    light_part : float
        A star enters that puts more than this part of the target's noise in one frame into the stamp.
    most_stars, most_free : int
        No more stars than these enter; are fitted in each frame.
    jitter_err : float
        How far a frame may be from its stated shift [pixel].
    plane : bool
        Fit slopes of the background too.
    clip_sigma : float
        What stands out in time by this much is no part of the scene.
    saturation : float
        A pixel of the mean above this is not used [electron/s].
    static : StaticOptions
    """

    light_part: float = 0.5
    most_stars: int = 60
    most_free: int = 5
    jitter_err: float = 0.05
    plane: bool = False
    clip_sigma: float = 5.0
    saturation: float = 9.0e4
    static: StaticOptions = field(default_factory=StaticOptions)


def solve_scene(
    frames: StampFrames,
    mean: MeanImage,
    stars: SceneStars,
    tables: StarTables,
    shapes: StarTables,
    options: FitOptions,
    start: StaticScene | None = None,
) -> StaticScene:
    """Choose the stars that matter, and solve for them in the mean of the good frames.

    Parameters
    ----------
    frames : StampFrames
    mean : MeanImage
        Of the same frames.
    stars : SceneStars
        The target first.
    tables : StarTables
        Of the same stars.
    shapes : StarTables
        How their function may differ, see `gaiaflux.core.psf.stamp_light.shape_tables`.
    options : FitOptions
    start : StaticScene, optional
        Solution of the same stars, in their order, with a function that is nearly this one.

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
    weight = np.where(usable, 1.0 / np.where(usable, mean.variance, 1.0), 0.0)
    cells = shift_cells(frames.shift, frames.counted, MEAN_CELL_PIX)
    seen = np.flatnonzero(cells.share > 0)
    cells = ShiftCells(cells.cell, cells.place[seen], cells.centre[seen], cells.share[seen])
    rows = choose_stars(stars, tables, cells.share @ cells.centre, weight, options.light_part, options.most_stars)
    limited = MeanImage(np.where(usable, mean.image, np.nan), mean.count, mean.variance)
    if start is not None:
        start = replace(start, x=start.x[rows], y=start.y[rows], flux=start.flux[rows])
    scene = solve_static(limited, cells, stars.of(rows), tables.of(rows), shapes, options.static, start)
    return StaticScene(**{**vars(scene), "rows": rows})


def usable_pixels(mean: MeanImage, options: FitOptions) -> np.ndarray:
    """Pixels that a fit may use: with a mean and a variance, not full, and without the charge of full ones.

    Parameters
    ----------
    mean : MeanImage
    options : FitOptions

    Returns
    -------
    ndarray of bool, shape (ny, nx)
    """
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(mean.image) & np.isfinite(mean.variance) & ~(mean.image > options.saturation)
    return usable if mean.bled is None else usable & ~mean.bled
