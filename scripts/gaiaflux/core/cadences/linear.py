"""Linear fit of all frames of a stamp: light of stars at known places, background, and what is left of the jitter.

The stars' light is tabulated on a grid of shifts, so that the two columns of derivatives never bridge more than half a
cell. All frames weigh their pixels alike: the fit of a cell is made once, and a frame's solution is a product with it;
only a frame that lacks pixels needs a solution of its own.
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.cadences.frames import ShiftCells, StampFrames
from gaiaflux.core.cadences.linear_kernels import fit_frames
from gaiaflux.core.cadences.scene import FreeStars, StaticScene
from gaiaflux.core.psf.stamp_light import stamp_light

__all__ = [
    "CELL_PIX",
    "N_TERMS",
    "FramePromises",
    "LinearModel",
    "LinearSolution",
    "StaticResidual",
    "fit_linear",
    "linear_model",
]

CELL_PIX = 1.0 / 32.0
CELLS_AT_ONCE = 64
N_TERMS = 3


@dataclass(frozen=True)
class LinearModel:
    """What is fitted to each frame, for each cell of the shifts.

    Attributes
    ----------
    columns : ndarray of float64, shape (n_cells, n_columns, n_pixels)
        Light of the groups of stars, constant, plane (none or two), jitter in x and in y.
    weighted : ndarray of float64, of the shape of `columns`
        Columns times weight.
    rows : ndarray of float64, of the shape of `columns`
        What a frame without missing pixels is multiplied with: its solution.
    normal, inverse : ndarray of float64, shape (n_cells, n_columns, n_columns)
        Normal equations with the promises, and their inverse.
    held : ndarray of float64, shape (n_cells, n_pixels)
        Light of the stars that are not fitted [electron/s].
    weight, variance : ndarray of float64, shape (n_pixels,)
        Weight of a pixel, 0 where it does not count; its usual variance.
    promise : ndarray of float64, shape (n_columns,)
        Inverse variance of what is known of a column before: of the jitter, and of the background.
    sky_err : float
        How far the background may be from what is said of it; infinite where nothing is known [electron/s/pixel].
    n_groups : int
        Columns of stars.
    """

    columns: np.ndarray
    weighted: np.ndarray
    rows: np.ndarray
    normal: np.ndarray
    inverse: np.ndarray
    held: np.ndarray
    weight: np.ndarray
    variance: np.ndarray
    promise: np.ndarray
    sky_err: float
    n_groups: int


@dataclass(frozen=True)
class FramePromises:
    """What is known of a frame before, and what is fitted besides stars.

    Attributes
    ----------
    jitter_err : float
        How far a frame's shift may be from where it is said to be [pixel].
    sky_err : float
        How far the background may be from what is said of it; infinite where nothing is known [electron/s/pixel].
    plane : bool
        Fit slopes of the background too, in the linear fit.
    """

    jitter_err: float
    sky_err: float = np.inf
    plane: bool = False


@dataclass(frozen=True)
class StaticResidual:
    """What frames show besides the model, always: it follows the shift and is subtracted before the fit.

    Attributes
    ----------
    terms : ndarray of float64, shape (3, n_pixels)
        Constant [electron/s], and slopes with the shift from the origin in x and y [electron/s/pixel].
    origin : ndarray of float64, shape (2,)
        [pixel].
    """

    terms: np.ndarray
    origin: np.ndarray

    @classmethod
    def none(cls, n_pixels: int) -> "StaticResidual":
        """Nothing is subtracted."""
        return cls(np.zeros((N_TERMS, n_pixels)), np.zeros(2))

    def at(self, shift: np.ndarray) -> np.ndarray:
        """What is subtracted at shifts, shape (n, 2): shape (n, n_pixels) [electron/s]."""
        return self.features(shift - self.origin).T @ self.terms

    @staticmethod
    def features(away: np.ndarray) -> np.ndarray:
        """What the terms are multiplied with, shape (3, n), at shifts from the origin, shape (n, 2)."""
        return np.ascontiguousarray(np.concatenate([np.ones((1, len(away))), away.T]))


@dataclass(frozen=True)
class LinearSolution:
    """Result of `fit_linear`.

    Attributes
    ----------
    value : ndarray of float64, shape (n_times, n_columns)
        In the order of the columns; NaN where it cannot be measured.
    variance : ndarray of float64, shape (n_times, n_columns)
        Of the stars and of the background's constant; of the others NaN.
    residual : ndarray of float32, shape (n_times, n_pixels)
        Frame minus model, what was subtracted as static apart [electron/s]; NaN in a pixel that does not count.
    chi2 : ndarray of float64, shape (n_times,)
        Of the pixels that count.
    n_used : ndarray of int64, shape (n_times,)
        Their number.
    """

    value: np.ndarray
    variance: np.ndarray
    residual: np.ndarray
    chi2: np.ndarray
    n_used: np.ndarray


def linear_model(
    scene: StaticScene,
    free: FreeStars,
    places: np.ndarray,
    variance: np.ndarray,
    usable: np.ndarray,
    *,
    promises: FramePromises,
) -> LinearModel:
    """Prepare the fit for each cell of the shifts.

    Parameters
    ----------
    scene : StaticScene
    free : FreeStars
        Stars that are fitted; the others are held at their light in the scene.
    places : ndarray, shape (n_cells, 2)
        Shifts of the cells [pixel].
    variance : ndarray, shape (ny, nx)
        Usual variance of a pixel.
    usable : ndarray of bool, shape (ny, nx)
        Pixels that count.
    promises : FramePromises

    Returns
    -------
    LinearModel
    """
    shape = variance.shape
    use = usable & np.isfinite(variance) & (variance > 0)
    weight = np.where(use, 1.0 / np.where(use, variance, 1.0), 0.0).ravel()
    share = np.zeros((free.n_groups, len(scene.flux)))
    share[free.group, free.rows] = free.share
    kept = scene.flux.copy()
    kept[free.rows] = 0.0
    sky = _sky(shape, promises.plane)
    n_columns = free.n_groups + len(sky) + 2
    columns = np.empty((len(places), n_columns, weight.size))
    held = np.empty((len(places), weight.size))
    for start in range(0, len(places), CELLS_AT_ONCE):
        part = slice(start, start + CELLS_AT_ONCE)
        x, y = (at + places[part, None, axis] for axis, at in enumerate((scene.x, scene.y)))
        made = stamp_light(scene.tables, x, y, shape)
        light, to_x, to_y = (v.reshape(*x.shape, -1) for v in (made.light, made.along_x, made.along_y))
        columns[part, : free.n_groups] = share @ light
        columns[part, free.n_groups : -2] = sky
        columns[part, -2] = scene.flux @ to_x
        columns[part, -1] = scene.flux @ to_y
        held[part] = kept @ light
    promise = np.zeros(n_columns)
    promise[-2:] = promises.jitter_err**-2.0
    promise[free.n_groups] = promises.sky_err**-2.0
    weighted = columns * weight
    normal = weighted @ np.swapaxes(columns, 1, 2) + np.diag(promise)
    scale = np.sqrt(np.maximum(np.diagonal(normal, axis1=1, axis2=2), 1e-300))
    scales = scale[:, :, None] * scale[:, None, :]
    # A star out of sight of the stamp, or behind pixels that do not count, has no column: it comes out as NaN.
    inverse = np.linalg.pinv(normal / scales, rcond=1e-10, hermitian=True) / scales
    return LinearModel(
        columns,
        weighted,
        inverse @ weighted,
        normal,
        inverse,
        held,
        weight,
        np.where(use, variance, 0.0).ravel(),
        promise,
        promises.sky_err,
        free.n_groups,
    )


def fit_linear(
    frames: StampFrames,
    model: LinearModel,
    cells: ShiftCells,
    clipped: np.ndarray,
    static: StaticResidual,
    shift: np.ndarray,
    sky: np.ndarray,
) -> LinearSolution:
    """Fit all frames.

    Parameters
    ----------
    frames : StampFrames
    model : LinearModel
        For the cells' places.
    cells : ShiftCells
        Cell of each frame.
    clipped : ndarray of bool, shape (n_times, n_pixels)
        Pixels that do not count in a frame.
    static : StaticResidual
        Subtracted from the frames.
    shift : ndarray, shape (n_times, 2)
        Where each frame is said to be: the jitter that is fitted is promised to be near it [pixel].
    sky : ndarray, shape (n_times,)
        What is said of each frame's background [electron/s/pixel].

    Returns
    -------
    LinearSolution
    """
    n, n_pixels = len(frames), model.weight.size
    n_columns = model.columns.shape[1]
    value, variance = np.full((n, n_columns), np.nan), np.full((n, n_columns), np.nan)
    residual = np.full((n, n_pixels), np.nan, np.float32)
    chi2, n_used = np.full(n, np.nan), np.zeros(n, np.int64)
    fit_frames(
        value,
        variance,
        residual,
        chi2,
        n_used,
        *(frame.reshape(n, n_pixels) for frame in (frames.flux, frames.flux_err, frames.background_err)),
        np.ascontiguousarray(clipped).view(np.uint8),
        cells.cell,
        np.concatenate([sky[:, None], shift - cells.place[cells.cell]], axis=1),
        np.ascontiguousarray(StaticResidual.features(shift - static.origin).T),
        np.ascontiguousarray(static.terms),
        model.columns,
        model.weighted,
        model.rows,
        model.normal,
        model.inverse,
        model.held,
        model.weight,
        model.variance,
        model.promise,
        model.sky_err if np.isfinite(model.sky_err) else 0.0,
        model.n_groups,
        np.zeros((4, n_pixels)),
        np.zeros((2, n_columns, n_columns)),
    )
    return LinearSolution(value, variance, residual, chi2, n_used)


def _sky(shape: tuple[int, int], plane: bool) -> np.ndarray:
    """Columns of the background."""
    row, column = np.indices(shape, dtype=np.float64)
    parts = [np.ones(shape)]
    if plane:
        parts += [column - (shape[1] - 1) / 2, row - (shape[0] - 1) / 2]
    return np.stack(parts).reshape(len(parts), -1)
