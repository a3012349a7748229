"""Frames in which the stars are not what they usually are: smeared while the frame was exposed, or far away."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.cadences.frame_motion import FrameMotion
from gaiaflux.core.maths.robust import MAD_TO_SIGMA, MEDIAN_NOISE, masked_median

__all__ = ["EventLimits", "FrameEvents", "frame_events"]


@dataclass(frozen=True)
class EventLimits:
    """What counts as an event.

    Attributes
    ----------
    trail : float
        Motion within an exposure [pixel].
    moved : float
        Distance from where the frames around it are [pixel].
    sure : float
        Errors of the width that a smeared frame is wider by, at least.
    window, near : int
        Frames, before and after together, that the stars' width, and the place of a frame, are compared with.
    """

    trail: float = 0.3
    moved: float = 0.3
    sure: float = 5.0
    window: int = 51
    near: int = 15


@dataclass(frozen=True)
class FrameEvents:
    """What frames suffered; arrays of shape (n_frames,).

    Attributes
    ----------
    lost : ndarray of bool
        The stars were not found, or do not agree.
    smeared : ndarray of bool
        The stars moved within the exposure.
    moved : ndarray of bool
        The frame is away from those around it.
    trail : ndarray of float64
        Length of an even motion that would make the stars as wide as they are, beside the frames around it [pixel]; NaN
        without stars.
    spread : ndarray of float64
        Variance of the stars' images beyond that of the frames around it, mean of both axes [pixel^2]; NaN without
        stars.
    spread_err : ndarray of float64
        One-sigma error, from how well the stars agree [pixel^2].
    """

    lost: np.ndarray
    smeared: np.ndarray
    moved: np.ndarray
    trail: np.ndarray
    spread: np.ndarray
    spread_err: np.ndarray


def frame_events(
    motion: FrameMotion,
    spread: np.ndarray,
    spread_err: np.ndarray,
    good: np.ndarray | None = None,
    limits: EventLimits | None = None,
) -> FrameEvents:
    """Find frames that are smeared, far away, or lost.

    An even motion of length L adds a variance of L^2 / 12 along its direction, L^2 / 24 to the mean of both axes.

    Parameters
    ----------
    motion : FrameMotion
    spread, spread_err : ndarray, shape (n_frames, n_stars)
        Of `Centroids`, in the order of time; NaN where a star was not found [pixel^2].
    good : ndarray of bool, shape (n_frames,), optional
        Frames that tell what is usual; by default all.
    limits : EventLimits, optional

    Returns
    -------
    FrameEvents
    """
    limits = limits or EventLimits()
    spread, spread_err = np.asarray(spread, np.float64), np.asarray(spread_err, np.float64)
    good = np.ones(len(spread), bool) if good is None else np.asarray(good, bool)
    known = np.isfinite(spread) & (spread_err > 0.0)
    usual = _median(np.where(known & good[:, None], spread, np.nan), 0)
    apart = np.where(known, spread - usual, np.nan)
    width = _median(apart, 1)
    count = np.isfinite(apart).sum(axis=1)
    scatter = MAD_TO_SIGMA * _median(np.abs(apart - width[:, None]), 1)
    noise = np.maximum(scatter, _median(np.where(known, spread_err, np.nan), 1))
    error = MEDIAN_NOISE * noise / np.sqrt(np.maximum(count, 1))
    wider = width - _running_median(np.where(good, width, np.nan), limits.window)
    trail = np.sqrt(24.0 * np.maximum(wider, 0.0))
    smeared = (trail > limits.trail) & (wider > limits.sure * error)
    around = [_running_median(np.where(good, line, np.nan), limits.near) for line in motion.centre.T]
    away = np.hypot(*(motion.centre.T - np.stack(around)))
    return FrameEvents(motion.lost, smeared, away > limits.moved, trail, wider, error)


def _median(values: np.ndarray, axis: int) -> np.ndarray:
    """Median of what is not NaN; NaN where nothing is."""
    return masked_median(values, np.isfinite(values), axis)


def _running_median(values: np.ndarray, window: int) -> np.ndarray:
    """Median of the values around each, fewer at the ends; NaN where there is none."""
    half = window // 2
    padded = np.concatenate([np.full(half, np.nan), values, np.full(half, np.nan)])
    return _median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), 1)
