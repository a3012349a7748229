"""The frames of one stamp, as the fits take them, and their mean."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA, masked_median

__all__ = ["MeanImage", "ShiftCells", "StampFrames", "mean_image", "pixel_variance", "shift_cells"]

SPIKE_SIGMA = 8.0
SAMPLE = 501  # frames that say how much a pixel scatters from one frame to the next


@dataclass(frozen=True)
class StampFrames:
    """Frames of one stamp in the order of time; each array is C-contiguous.

    Attributes
    ----------
    flux, flux_err : ndarray of float32, shape (n_times, ny, nx)
        Light without the background, and its error without the background's [electron/s]; NaN where there is none.
    background_err : ndarray of float32, shape (n_times, ny, nx)
        Error of the background that was subtracted, common to neighbouring pixels [electron/s]; NaN counts as 0.
    good : ndarray of bool, shape (n_times,)
        Frames that count in means, and that say what is usual.
    shift : ndarray of float64, shape (n_times, 2)
        Shift of the stars in x and y [pixel].
    """

    flux: np.ndarray
    flux_err: np.ndarray
    background_err: np.ndarray
    good: np.ndarray
    shift: np.ndarray

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.flux)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the stamp."""
        return self.flux.shape[1], self.flux.shape[2]

    @property
    def counted(self) -> np.ndarray:
        """The good frames; all where none is good, shape (n_times,)."""
        return self.good if self.good.any() else np.ones(len(self), bool)

    @property
    def mean_shift(self) -> np.ndarray:
        """Mean shift of the frames that count, shape (2,) [pixel]."""
        return self.shift[self.counted].mean(axis=0)

    def of(self, which: np.ndarray) -> "StampFrames":
        """Some of the frames, by row or mask."""
        arrays = (self.flux, self.flux_err, self.background_err, self.good, self.shift)
        return StampFrames(*(np.ascontiguousarray(array[which]) for array in arrays))


@dataclass(frozen=True)
class MeanImage:
    """Mean of the good frames.

    Attributes
    ----------
    image : ndarray of float64, shape (ny, nx)
        [electron/s]; NaN where no good frame has a number.
    count : ndarray of int64, shape (ny, nx)
        Frames that count.
    variance : ndarray of float64, shape (ny, nx)
        Of a single frame, see `pixel_variance` [electron^2/s^2].
    bled : ndarray of bool, shape (ny, nx), optional
        Pixels that are full in some frames, or hold charge of full ones: no fit uses them.
    """

    image: np.ndarray
    count: np.ndarray
    variance: np.ndarray
    bled: np.ndarray | None = None


@dataclass(frozen=True)
class ShiftCells:
    """Shifts on a grid.

    Attributes
    ----------
    cell : ndarray of int64, shape (n_times,)
        Row of each frame in `place`.
    place : ndarray of float64, shape (n_cells, 2)
        Shift of each cell that a frame is in: its middle [pixel].
    centre : ndarray of float64, shape (n_cells, 2)
        Mean shift of the frames that count in it [pixel]; its middle where none does.
    share : ndarray of float64, shape (n_cells,)
        Part of the frames that count in it.
    """

    cell: np.ndarray
    place: np.ndarray
    centre: np.ndarray
    share: np.ndarray


def shift_cells(shift: np.ndarray, count: np.ndarray, step: float) -> ShiftCells:
    """Sort frames by their shift into the cells of a grid.

    Parameters
    ----------
    shift : ndarray, shape (n_times, 2)
        Finite [pixel].
    count : ndarray of bool, shape (n_times,)
        Frames that count in `centre` and `share`.
    step : float
        Side of a cell [pixel].

    Returns
    -------
    ShiftCells
    """
    nodes = np.rint(shift / step).astype(np.int64)
    places, cell = np.unique(nodes, axis=0, return_inverse=True)
    cell = cell.reshape(-1).astype(np.int64)
    middle = places * step
    number = np.bincount(cell[count], minlength=len(middle)).astype(np.float64)
    sums = [np.bincount(cell[count], shift[count, axis], len(middle)) for axis in range(2)]
    mean = np.stack(sums, axis=1) / np.maximum(number, 1.0)[:, None]
    centre = np.where(number[:, None] > 0, mean, middle)
    return ShiftCells(cell, middle, centre, number / max(number.sum(), 1.0))


def mean_image(frames: StampFrames) -> MeanImage:
    """Mean of the frames that count; what stands out of both its neighbours in time counts as the median of the three.

    Parameters
    ----------
    frames : StampFrames

    Returns
    -------
    MeanImage
    """
    flux = frames.flux[frames.counted]
    if len(flux) >= 3:
        flux = _without_spikes(flux)
    seen = np.isfinite(flux)
    count = seen.sum(axis=0)
    total = np.where(seen, flux, 0.0).sum(axis=0, dtype=np.float64)
    image = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return MeanImage(image, count, pixel_variance(frames))


def pixel_variance(frames: StampFrames) -> np.ndarray:
    """Variance of a pixel in one frame: the mean of its errors' squares over the good frames.

    A pixel's own error in one frame follows its noise, and weights that do so bias a fit.

    Parameters
    ----------
    frames : StampFrames

    Returns
    -------
    ndarray of float64, shape (ny, nx)
        [electron^2/s^2]; from the differences between frames where no error is known; infinite for a pixel without any
        number.
    """
    err, flux = frames.flux_err[frames.counted], frames.flux[frames.counted]
    valid = np.isfinite(err) & (err > 0) & np.isfinite(flux)
    count = valid.sum(axis=0)
    square = np.where(valid, err, 0.0)
    total = np.einsum("tji,tji->ji", square, square, dtype=np.float64, casting="unsafe")
    variance = np.where(count > 0, total / np.maximum(count, 1), np.inf)
    missing = (count == 0) & np.isfinite(flux).any(axis=0)
    if missing.any():
        steps = np.abs(np.diff(flux[:, missing].astype(np.float64), axis=0))
        middle = masked_median(np.where(np.isfinite(steps), steps, 0.0), np.isfinite(steps), 0)
        from_steps = 0.5 * (MAD_TO_SIGMA * middle) ** 2
        variance[missing] = np.where(from_steps > 0, from_steps, np.inf)
    return variance


def _without_spikes(flux: np.ndarray) -> np.ndarray:
    before, after = flux[:-2], flux[2:]
    low, high = np.fmin(before, after), np.fmax(before, after)
    middle = np.fmin(np.fmax(flux[1:-1], low), high)
    away = np.abs(flux[1:-1] - middle)
    # The step between frames scatters whether a frame is the middle one of three or not.
    step = np.abs(before - after)[:: max(1, len(away) // SAMPLE)]
    with np.errstate(invalid="ignore"):
        usual = np.median(np.where(np.isfinite(step), step, 0.0), axis=0)
        spike = away > SPIKE_SIGMA * usual
    made = flux.copy()
    made[1:-1][spike] = middle[spike]
    return made
