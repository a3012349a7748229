"""Static solution with a response function that is known over the field: of which place it is to be, is fitted too.

The function changes along straight lines only between the places where it was measured: after each step it is taken
from the new place.
"""

from dataclasses import replace

import numpy as np

from gaiaflux.core.cadences.frames import MeanImage, StampFrames
from gaiaflux.core.cadences.scene import SceneStars, StaticScene
from gaiaflux.core.cadences.scene_fit import FitOptions, solve_scene
from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.core.psf.stamp_light import FIELD_PIX, shape_tables, star_tables

__all__ = ["solve_in_field"]

TURNS = 6
SETTLED_PIX = 10.0
LONGEST_PIX = 256.0


def solve_in_field(
    frames: StampFrames,
    mean: MeanImage,
    stars: SceneStars,
    psf: SampledPsf,
    corner: tuple[float, float],
    options: FitOptions,
) -> StaticScene:
    """Solve for the stars that matter, and for the place of the field that the function is like.

    Parameters
    ----------
    frames : StampFrames
    mean : MeanImage
        Of the same frames.
    stars : SceneStars
        The target first.
    psf : SampledPsf
    corner : tuple of float
        Column and row of the stamp's first pixel, in the coordinates of the function.
    options : FitOptions

    Returns
    -------
    StaticScene
        With rows of `stars`; `shape` is the whole way to that place.

    Raises
    ------
    ValueError
        No pixel of the mean is usable.
    """
    rows, place, turn = np.arange(len(stars)), np.zeros(2), 0
    scene: StaticScene | None = None
    while True:
        some = stars.of(rows)
        x, y = corner[0] + some.x + place[0], corner[1] + some.y + place[1]
        origin = (float(place[0] / FIELD_PIX), float(place[1] / FIELD_PIX))
        here = replace(options, static=replace(options.static, field_origin=origin))
        scene = solve_scene(frames, mean, some, star_tables(psf, x, y), shape_tables(psf, x[0], y[0]), here, scene)
        step = np.clip(scene.shape * FIELD_PIX, -LONGEST_PIX, LONGEST_PIX)
        scene = replace(scene, rows=rows[scene.rows], shape=scene.shape + origin)
        turn += 1
        if np.abs(step).max() < SETTLED_PIX or turn == TURNS:
            return scene
        rows, place = scene.rows, place + step
