"""Fit of each frame with the places of the stars: Gauss-Newton with promises.

The places of a frame are where the static scene and the linear fit have the stars, but for a shift that all stars
share, of which little is known before, and small ones of their own.
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.cadences.frame_fit import FrameFit
from gaiaflux.core.cadences.frames import StampFrames, shift_cells
from gaiaflux.core.cadences.linear import CELL_PIX
from gaiaflux.core.cadences.newton_kernels import fit_places
from gaiaflux.core.cadences.scene import StaticScene
from gaiaflux.core.psf.stamp_light import stamp_light

__all__ = ["PlaceOptions", "PlaceSolution", "fit_frames_with_places"]


@dataclass(frozen=True)
class PlaceOptions:
    """What is known of the places in a frame.

    Attributes
    ----------
    common_err : float
        How far all stars together may be from where the linear fit of the frame has them, in units of that fit's error:
        it counts the light of the stars that are held, too.
    farthest : float
        The same in pixels, at most.
    own_err : float
        How far a star may be from its place among the others [pixel].
    longest_step : float
        Of a place in one iteration [pixel].
    iterations : int
        At most.
    settled : float
        Steps of places below this end a fit [pixel].
    """

    common_err: float = 5.0
    farthest: float = 0.05
    own_err: float = 0.0003
    longest_step: float = 0.3
    iterations: int = 12
    settled: float = 1e-3


@dataclass(frozen=True)
class PlaceSolution:
    """Result of `fit_frames_with_places`.

    Attributes
    ----------
    flux, flux_err : ndarray of float64, shape (n_times, n_groups)
        Light of the groups of stars [electron/s]; NaN where the fit did not settle or nothing can be measured.
    x, y : ndarray of float64, shape (n_times, n_groups)
        Places in the stamp [pixel].
    background : ndarray of float64, shape (n_times,)
        [electron/s/pixel].
    chi2 : ndarray of float64, shape (n_times,)
    n_used : ndarray of int64, shape (n_times,)
        Pixels that count.
    settled : ndarray of bool, shape (n_times,)
    """

    flux: np.ndarray
    flux_err: np.ndarray
    x: np.ndarray
    y: np.ndarray
    background: np.ndarray
    chi2: np.ndarray
    n_used: np.ndarray
    settled: np.ndarray


def fit_frames_with_places(
    frames: StampFrames, scene: StaticScene, fit: FrameFit, options: PlaceOptions, start: np.ndarray | None = None
) -> PlaceSolution:
    """Fit light and places of the free stars, and a constant, in every frame.

    Parameters
    ----------
    frames : StampFrames
    scene : StaticScene
    fit : FrameFit
        The linear fit of the same frames: where this one begins, and which pixels it leaves out.
    options : PlaceOptions
    start : ndarray, shape (n_times, 2), optional
        Shifts from which the places start; by default those that the linear fit found [pixel].

    Returns
    -------
    PlaceSolution
    """
    free, n, n_pixels = fit.free, len(frames), fit.weight.size
    # Stars that cannot be told apart are one, at the place of the brightest.
    leader = np.array(
        [
            members[np.argmax(scene.flux[free.rows[members]])]
            for members in (np.flatnonzero(free.group == g) for g in range(free.n_groups))
        ]
    )
    rows = free.rows[leader]
    n_stars, n_parameters = len(rows), 3 * len(rows) + 1
    place = np.stack([scene.x[rows], scene.y[rows]], axis=1)
    begin = fit.position if start is None else start
    held_light, where = _held(scene, fit)
    values = np.full((n, n_parameters), np.nan)
    values[:, :n_stars] = np.where(np.isfinite(fit.value[:, :n_stars]), fit.value[:, :n_stars], scene.flux[rows])
    values[:, n_stars:-1] = (place.T[None] + begin[:, :, None]).reshape(n, -1)
    values[:, -1] = np.where(np.isfinite(fit.value[:, n_stars]), fit.value[:, n_stars], 0.0)
    error, chi2 = np.full((n, n_stars), np.nan), np.full(n, np.nan)
    n_used, settled = np.zeros(n, np.int64), np.zeros(n, np.uint8)
    tables = scene.tables.of(rows)
    own = options.own_err**-2.0
    common = np.minimum(options.common_err * fit.position_err.max(axis=1), options.farthest) ** 2
    static = fit.usual.static
    flux = frames.flux if not fit.plane.any() else frames.flux - _plane(fit, frames.shape)
    fit_places(
        values,
        error,
        chi2,
        n_used,
        settled,
        *(frame.reshape(n, n_pixels) for frame in (flux, frames.flux_err)),
        np.ascontiguousarray(fit.clipped).view(np.uint8),
        held_light,
        np.ascontiguousarray(where),
        np.ascontiguousarray(static.features(fit.shift - static.origin).T),
        static.terms,
        np.ascontiguousarray((place.T[None] + fit.position[:, :, None]).reshape(n, -1)),
        fit.weight.ravel(),
        fit.relative_noise,
        fit.sky_err**-2.0,
        fit.sky,
        tables.samples,
        tables.oversampling,
        tables.middle,
        tables.pixels,
        own,
        own * common / (1.0 / own + n_stars * common),
        options.longest_step,
        options.settled,
        options.iterations,
        np.zeros((n_parameters, *frames.shape)),
        np.zeros((n_parameters + 3, n_pixels)),
        np.zeros((2, n_parameters, n_parameters)),
        np.zeros((3, n_parameters)),
    )
    done = settled.astype(bool) & fit.measured
    values[~done], error[~done] = np.nan, np.nan
    at = values[:, n_stars:-1].reshape(n, 2, n_stars)
    return PlaceSolution(values[:, :n_stars], error, at[:, 0], at[:, 1], values[:, -1], chi2, n_used, done)


def _plane(fit: FrameFit, shape: tuple[int, int]) -> np.ndarray:
    """Slopes of the background that the linear fit found, shape (n_times, ny, nx)."""
    row, column = np.indices(shape, dtype=np.float32)
    slopes = np.where(np.isfinite(fit.plane), fit.plane, 0.0).astype(np.float32)[:, :, None, None]
    return slopes[:, 0] * (column - (shape[1] - 1) / 2) + slopes[:, 1] * (row - (shape[0] - 1) / 2)


def _held(scene: StaticScene, fit: FrameFit) -> tuple[np.ndarray, np.ndarray]:
    """Light of the stars that are not fitted and its slopes in x and y, on a grid of shifts, and the frames' places.

    Shapes (n_cells, 3, n_pixels) and (n_times, 3): the row of the grid, and the distances from it in x and y.
    """
    held = np.setdiff1d(np.arange(len(scene.flux)), fit.free.rows)
    n_pixels = fit.weight.size
    if not len(held):
        return np.zeros((1, 3, n_pixels)), np.zeros((len(fit.position), 3))
    cells = shift_cells(fit.position, fit.measured, CELL_PIX)
    light = np.empty((len(cells.place), 3, n_pixels))
    tables = scene.tables.of(held)
    for start in range(0, len(light), 64):
        at = cells.place[start : start + 64]
        made = stamp_light(tables, scene.x[held] + at[:, :1], scene.y[held] + at[:, 1:], fit.weight.shape)
        for k, part in enumerate((made.light, made.along_x, made.along_y)):
            light[start : start + 64, k] = np.einsum("k,ckji->cji", scene.flux[held], part).reshape(len(at), -1)
    return light, np.column_stack([cells.cell, fit.position - cells.place[cells.cell]])
