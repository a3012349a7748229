"""Where the stars of a stamp are in each frame: shifts that the mission gives, and movement kernels between times."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = ["KERNEL_PARAMETERS", "KernelSeries", "Shifts", "kernel_offsets", "kernel_series", "measured_shifts"]

KERNEL_PARAMETERS = {"unchanged": 0, "translation": 2, "euclidian": 3, "affine": 6}
"""Number of parameters of each kind of movement: none; (dx, dy); (dx, dy, angle); the rows of a 2 x 3 matrix."""


class Shifts(NamedTuple):
    """Shift of each frame in x and y [pixel], shape (n, 2), and whether it was measured, shape (n,)."""

    shift: np.ndarray
    known: np.ndarray


def measured_shifts(pos_corr: np.ndarray, time: np.ndarray) -> Shifts:
    """Shifts of all frames; one that is not finite is interpolated between its neighbours in time, or held.

    Parameters
    ----------
    pos_corr : ndarray, shape (n, 2)
        Shift in column and row [pixel]; NaN where there is none.
    time : ndarray, shape (n,)
        Of the frames, in any order [d]; NaN where there is none.

    Returns
    -------
    Shifts
        Zero, and not known, where no frame has a shift, or the frame has neither shift nor time.
    """
    pos_corr, time = np.asarray(pos_corr, np.float64), np.asarray(time, np.float64)
    known = np.isfinite(pos_corr).all(axis=1)
    shift = np.where(known[:, None], pos_corr, 0.0)
    steps = np.flatnonzero(known & np.isfinite(time))
    gaps = np.flatnonzero(~known & np.isfinite(time))
    if len(steps) and len(gaps):
        steps = steps[np.argsort(time[steps], kind="stable")]
        for axis in range(2):
            shift[gaps, axis] = np.interp(time[gaps], time[steps], pos_corr[steps, axis])
    return Shifts(shift, known)


@dataclass(frozen=True)
class KernelSeries:
    """Movement of the image with time; made by `kernel_series`.

    Attributes
    ----------
    mode : str
        One of `KERNEL_PARAMETERS`.
    time : ndarray of float64, shape (n,)
        Increasing [d].
    parameters : ndarray of float64, shape (n, n_parameters)
        Finite.
    step : float
        Median step of the times: how far beyond them the first and the last kernel hold [d].
    """

    mode: str
    time: np.ndarray
    parameters: np.ndarray
    step: float

    def at(self, time: np.ndarray) -> np.ndarray:
        """Parameters at times, linear between the kernels.

        Parameters
        ----------
        time : ndarray, shape (m,)
            [d].

        Returns
        -------
        ndarray of float64, shape (m, n_parameters)

        Raises
        ------
        ValueError
            A time that is not finite, or more than one step outside of the series.
        """
        time = np.atleast_1d(np.asarray(time, np.float64))
        if not np.isfinite(time).all():
            raise ValueError("a time is not finite")
        if self.mode == "unchanged":
            return np.zeros((len(time), 0))
        first, last = self.time[0] - self.step, self.time[-1] + self.step
        outside = (time < first) | (time > last)
        if outside.any():
            raise ValueError(f"time {time[outside][0]} is not within {first} to {last}, which the kernels describe")
        columns = [np.interp(time, self.time, values) for values in self.parameters.T]
        return np.stack(columns, axis=1)

    def offsets(self, time: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """Offsets of places at times.

        Parameters
        ----------
        time : ndarray, shape (m,)
            [d].
        xy : ndarray, shape (n, 2)
            Columns and rows [pixel, 0-based].

        Returns
        -------
        ndarray of float64, shape (m, n, 2)
            To be added to `xy` [pixel].

        Raises
        ------
        ValueError
            As `at`.
        """
        return kernel_offsets(self.mode, self.at(time), xy)


def kernel_series(mode: str, time: np.ndarray, parameters: np.ndarray) -> KernelSeries:
    """Series of movement kernels; those without a finite time and finite parameters are left out.

    Parameters
    ----------
    mode : str
        One of `KERNEL_PARAMETERS`.
    time : ndarray, shape (n,)
        In any order; of several kernels of one time the first counts [d].
    parameters : ndarray, shape (n, n_parameters)

    Returns
    -------
    KernelSeries

    Raises
    ------
    ValueError
        Another mode or shape, or no kernel that is finite.
    """
    time = np.atleast_1d(np.asarray(time, np.float64))
    parameters = np.asarray(parameters, np.float64)
    count = _count(mode)
    if parameters.size == 0 and count == 0:
        parameters = np.zeros((len(time), 0))
    if parameters.shape != (len(time), count):
        raise ValueError(f"kernels of shape {parameters.shape} where ({len(time)}, {count}) is due for {mode!r}")
    good = np.isfinite(time) & np.isfinite(parameters).all(axis=1)
    if count and not good.any():
        raise ValueError("no movement kernel is finite")
    ordered, first = np.unique(time[good], return_index=True)
    step = float(np.median(np.diff(ordered))) if len(ordered) > 1 else 0.0
    return KernelSeries(mode, ordered, parameters[good][first], step)


def kernel_offsets(mode: str, parameters: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """How far kernels move places.

    Parameters
    ----------
    mode : str
        One of `KERNEL_PARAMETERS`: with the angle a, "euclidian" moves a place to (x cos a - y sin a + dx, x sin a + y
        cos a + dy); "affine" to the product of its matrix with (x, y, 1).
    parameters : ndarray, shape (n_parameters,) or (m, n_parameters)
    xy : ndarray, shape (n, 2)
        Columns and rows [pixel, 0-based].

    Returns
    -------
    ndarray of float64, shape (n, 2) or (m, n, 2)
        To be added to `xy` [pixel].

    Raises
    ------
    ValueError
        Another mode or number of parameters.
    """
    parameters, xy = np.asarray(parameters, np.float64), np.asarray(xy, np.float64)
    if parameters.shape[-1] != _count(mode):
        raise ValueError(f"{parameters.shape[-1]} parameters where {_count(mode)} are due for {mode!r}")
    if mode == "unchanged":
        return np.zeros((*parameters.shape[:-1], *xy.shape))
    if mode == "translation":
        return np.broadcast_to(parameters[..., None, :], (*parameters.shape[:-1], *xy.shape)).copy()
    if mode == "euclidian":
        dx, dy, angle = np.moveaxis(parameters, -1, 0)
        cos, sin = np.cos(angle), np.sin(angle)
        parameters = np.stack([cos, -sin, dx, sin, cos, dy], axis=-1)
    matrix = parameters.reshape(*parameters.shape[:-1], 2, 3)
    return xy @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2] - xy


def _count(mode: str) -> int:
    try:
        return KERNEL_PARAMETERS[mode]
    except KeyError:
        raise ValueError(f"movement {mode!r} is none of {', '.join(KERNEL_PARAMETERS)}") from None
