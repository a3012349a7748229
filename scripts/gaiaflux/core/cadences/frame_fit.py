"""The fit of all frames at known places: static scene, two passes with a cut in time, frames that are elsewhere."""

from dataclasses import dataclass, field, replace

import numpy as np

from gaiaflux.core.cadences.frames import MeanImage, ShiftCells, StampFrames, shift_cells
from gaiaflux.core.cadences.linear import (
    CELL_PIX,
    FramePromises,
    LinearModel,
    StaticResidual,
    fit_linear,
    linear_model,
)
from gaiaflux.core.cadences.outliers import UsualResidual, usual_residual, worst_pixels
from gaiaflux.core.cadences.scene import FreeStars, StaticScene, choose_free
from gaiaflux.core.cadences.scene_fit import FitOptions, usable_pixels
from gaiaflux.core.maths.robust import robust_scatter

__all__ = ["FrameFit", "fit_frames_of_scene"]

FARTHEST_SHIFT = 3.0  # a frame that is farther from the usual is not measured [pixel]
BRIDGED = 0.02  # what columns of derivatives may bridge [pixel]
SURE = 5.0  # sigma of the fitted jitter from which the frame's shift is corrected by it
MOVES = 3
TURNS = 12
FEWEST = 50  # frames that say how much the background changes
RUN = 25
LEAST_SKY = 0.1  # of the error of a fit that leaves the background free
UNUSUAL_SKY = 4.0
WIDEST = 0.25  # part of a stamp that may stand out before the frame itself is unlike the others


@dataclass(frozen=True)
class FrameFit:
    """Result of `fit_frames_of_scene`.

    Attributes
    ----------
    shift : ndarray of float64, shape (n_times, 2)
        Shifts, corrected where the fit shows that the frame is elsewhere [pixel].
    position, position_err : ndarray of float64, shape (n_times, 2)
        Shifts with the jitter that was fitted, and its error [pixel].
    moved, unlike, measured : ndarray of bool, shape (n_times,)
        Frames whose shift was corrected; in which so many pixels stand out that the frame itself is unlike the others;
        that are not too far off to be measured.
    clipped : ndarray of bool, shape (n_times, n_pixels)
        Pixels that stand out in time and were left out.
    free : FreeStars
    value, variance : ndarray of float64, shape (n_times, n_groups + 1)
        Light of the groups of stars and background, and variance of the noise [electron/s].
    plane : ndarray of float64, shape (n_times, 2)
        Slopes of the background in x and y about the middle of the stamp; 0 where none are fitted [electron/s/pixel^2].
    residual : ndarray of float32, shape (n_times, n_pixels)
        Frames minus model and static residual [electron/s]; NaN in a pixel that does not count.
    chi2 : ndarray of float64, shape (n_times,)
    n_used : ndarray of int64, shape (n_times,)
        Pixels that count.
    n_columns : int
        Of the fit.
    usual : UsualResidual
    relative_noise : ndarray of float64, shape (n_times,)
        Stated noise of each frame over the usual one.
    weight : ndarray of float64, shape (ny, nx)
        Weight of the pixels.
    sky, sky_err : ndarray of float64, shape (n_times,)
        What the background was promised to be, and how far from it it may be; infinite where nothing was promised
        [electron/s/pixel].
    """

    shift: np.ndarray
    position: np.ndarray
    position_err: np.ndarray
    moved: np.ndarray
    unlike: np.ndarray
    measured: np.ndarray
    clipped: np.ndarray
    free: FreeStars
    value: np.ndarray
    variance: np.ndarray
    plane: np.ndarray
    residual: np.ndarray
    chi2: np.ndarray
    n_used: np.ndarray
    n_columns: int
    usual: UsualResidual
    relative_noise: np.ndarray
    weight: np.ndarray
    sky: np.ndarray
    sky_err: np.ndarray


def fit_frames_of_scene(frames: StampFrames, mean: MeanImage, scene: StaticScene, options: FitOptions) -> FrameFit:
    """Fit all frames twice: the first fit shows what each pixel always leaves and what stands out of that in time.

    Parameters
    ----------
    frames : StampFrames
    mean : MeanImage
    scene : StaticScene
    options : FitOptions

    Returns
    -------
    FrameFit
    """
    work = _Work.start(frames, mean, scene, options)
    everything = np.arange(len(frames))
    work.fit(everything)
    noise = np.sqrt(work.variance.ravel())
    usual = usual_residual(
        work.residual, work.relative, noise, work.shift, frames.counted & work.measured, options.clip_sigma
    )
    work.static = usual.static
    work.promise_sky()
    work.fit(everything)
    work.clip(np.flatnonzero(usual.away), usual)
    for _ in range(MOVES):
        elsewhere = work.move()
        if not len(elsewhere):
            break
        work.fit(elsewhere)
        work.clip(elsewhere, usual)
    return work.result(usual)


def _slow(level: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Medians of the frames in use, in runs of `RUN`, joined by straight lines."""
    rows = np.flatnonzero(use)
    runs = np.array_split(rows, max(1, len(rows) // RUN))
    return np.interp(np.arange(len(level)), [run.mean() for run in runs], [np.median(level[run]) for run in runs])


def _relative_noise(frames: StampFrames, weight: np.ndarray) -> np.ndarray:
    """Stated noise of each frame, over the usual one."""
    err = frames.flux_err.reshape(len(frames), -1)
    use = np.isfinite(err) & (err > 0)
    square = np.where(use, err, 0.0) ** 2 @ weight.ravel().astype(np.float32)
    count = use @ (weight.ravel() > 0).astype(np.float32)
    square = np.where((count > 0) & (square > 0), square / np.maximum(count, 1), 1.0)
    return np.sqrt(square).astype(np.float64)


@dataclass
class _Work:
    """Frames on their way through the passes."""

    frames: StampFrames
    scene: StaticScene
    free: FreeStars
    options: FitOptions
    variance: np.ndarray
    usable: np.ndarray
    relative: np.ndarray
    measured: np.ndarray
    shift: np.ndarray
    static: StaticResidual
    value: np.ndarray
    spread: np.ndarray
    plane: np.ndarray
    residual: np.ndarray
    chi2: np.ndarray
    n_used: np.ndarray
    jitter: np.ndarray
    sure: np.ndarray
    clipped: np.ndarray
    moved: np.ndarray
    unlike: np.ndarray
    sky: np.ndarray
    usual_sky: np.ndarray
    cells: ShiftCells
    models: dict[float, LinearModel] = field(default_factory=dict)
    sky_err: float = np.inf

    @classmethod
    def start(cls, frames: StampFrames, mean: MeanImage, scene: StaticScene, options: FitOptions) -> "_Work":
        n, n_pixels = len(frames), mean.image.size
        usable = usable_pixels(mean, options)
        weight = np.where(usable, 1.0 / np.where(usable, mean.variance, 1.0), 0.0)
        usual = np.median(frames.shift[frames.counted], axis=0)
        measured = (np.abs(frames.shift - usual) < FARTHEST_SHIFT).all(axis=1)
        free = choose_free(scene, usual, weight, options.most_free)
        empty, no = np.full((n, free.n_groups + 1), np.nan), np.zeros(n, bool)
        shift = np.where(measured[:, None], frames.shift, usual)
        return cls(
            frames=frames,
            scene=scene,
            free=free,
            options=options,
            variance=mean.variance,
            usable=usable,
            relative=_relative_noise(frames, weight),
            measured=measured,
            shift=shift,
            static=StaticResidual.none(n_pixels),
            value=empty,
            spread=empty.copy(),
            plane=np.zeros((n, 2)),
            residual=np.full((n, n_pixels), np.nan, np.float32),
            chi2=np.full(n, np.nan),
            n_used=np.zeros(n, np.int64),
            jitter=np.zeros((n, 2)),
            sure=np.full((n, 2), np.inf),
            clipped=np.zeros((n, n_pixels), bool),
            moved=no,
            unlike=no.copy(),
            sky=np.zeros(n),
            usual_sky=np.ones(n, bool),
            cells=shift_cells(shift, frames.good, CELL_PIX),
        )

    def promise_sky(self) -> None:
        """See how much the background really changes, apart from the noise of a fit that leaves it free.

        In frames like the others the fit need not find it anew, which costs much of the light in a small stamp.
        """
        level, noise = self.value[:, -1], self.spread[:, -1]
        use = self.frames.counted & self.measured & np.isfinite(level) & (noise > 0)
        if use.sum() < FEWEST:
            return
        formal = float(np.median(noise[use]))
        stated = self.frames.background_err[use]
        stated = stated[np.isfinite(stated)]
        least = max(float(np.median(stated)) if stated.size else 0.0, LEAST_SKY * np.sqrt(formal))
        self.sky = _slow(level, use)
        away = level - self.sky
        self.sky_err = float(np.sqrt(max(robust_scatter(away[use]) ** 2 - formal, least**2)))
        with np.errstate(invalid="ignore"):
            self.usual_sky = np.abs(away) < UNUSUAL_SKY * np.sqrt(self.sky_err**2 + noise)

    def fit(self, which: np.ndarray) -> None:
        """Fit some of the frames as matters stand."""
        usual = self.usual_sky[which]
        for part, sky_err in ((which[usual], self.sky_err), (which[~usual], np.inf)):
            if len(part):
                self._fit_like(part, sky_err)

    def _fit_like(self, which: np.ndarray, sky_err: float) -> None:
        some = self.frames if len(which) == len(self.frames) else self.frames.of(which)
        model = self._model(sky_err)
        cells = replace(self.cells, cell=self.cells.cell[which])
        solution = fit_linear(some, model, cells, self.clipped[which], self.static, some.shift, self.sky[which])
        kept = self.free.n_groups + 1
        self.value[which], self.spread[which] = solution.value[:, :kept], solution.variance[:, :kept]
        if self.options.plane:
            self.plane[which] = solution.value[:, kept : kept + 2]
        self.residual[which], self.chi2[which] = solution.residual, solution.chi2
        self.n_used[which] = solution.n_used
        place = cells.place[cells.cell]
        self.jitter[which] = place + solution.value[:, -2:] - self.shift[which]
        error = np.sqrt(np.maximum(np.diagonal(model.inverse, axis1=1, axis2=2)[:, -2:], 0.0))
        self.sure[which] = SURE * error[cells.cell] * self.relative[which, None]

    def _model(self, sky_err: float) -> LinearModel:
        """Model of all cells; it is made once for all fits in which the shifts are the same."""
        if sky_err not in self.models:
            promises = FramePromises(self.options.jitter_err, sky_err, self.options.plane)
            at = (self.scene, self.free, self.cells.place, self.variance, self.usable)
            self.models[sky_err] = linear_model(*at, promises=promises)
        return self.models[sky_err]

    def clip(self, which: np.ndarray, usual: UsualResidual) -> None:
        """Leave out what stands out in some of the frames, the worst first."""
        left = which
        for _ in range(TURNS):
            distance = usual.distance(self.residual[left], self.relative[left], self.shift[left])
            worst = worst_pixels(distance, self.options.clip_sigma)
            left = left[worst.any(axis=1)]
            if not len(left):
                break
            self.clipped[left] |= worst[worst.any(axis=1)]
            self.fit(left)
        whole = self.clipped[which].sum(axis=1) > WIDEST * self.usable.sum()
        self.unlike[which] = whole
        if whole.any():
            self.clipped[which[whole]] = False
            self.fit(which[whole])

    def move(self) -> np.ndarray:
        """Correct the shift of frames that are elsewhere for certain; those frames."""
        with np.errstate(invalid="ignore"):
            far = (np.abs(self.jitter) > BRIDGED) & (np.abs(self.jitter) > self.sure)
        away = np.flatnonzero(far.any(axis=1) & self.measured)
        if not len(away):
            return away
        self.moved[away] = True
        self.shift[away] += np.clip(self.jitter[away], -0.5, 0.5)
        self.clipped[away] = False
        self.cells, self.models = shift_cells(self.shift, self.frames.good, CELL_PIX), {}
        return away

    def result(self, usual: UsualResidual) -> FrameFit:
        gone = ~self.measured
        self.value[gone], self.spread[gone] = np.nan, np.nan
        weight = np.where(self.usable, 1.0 / np.where(self.usable, self.variance, 1.0), 0.0)
        return FrameFit(
            shift=self.shift,
            position=self.shift + np.where(np.isfinite(self.jitter), self.jitter, 0.0),
            position_err=self.sure / SURE,
            moved=self.moved,
            unlike=self.unlike,
            measured=self.measured,
            clipped=self.clipped,
            free=self.free,
            value=self.value,
            variance=self.spread,
            plane=self.plane,
            residual=self.residual,
            chi2=self.chi2,
            n_used=self.n_used,
            n_columns=self.free.n_groups + (5 if self.options.plane else 3),
            usual=usual,
            relative_noise=self.relative,
            weight=weight,
            sky=self.sky,
            sky_err=np.where(self.usual_sky, self.sky_err, np.inf),
        )
