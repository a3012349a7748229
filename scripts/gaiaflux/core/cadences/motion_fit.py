"""Least squares behind `gaiaflux.core.cadences.frame_motion`: frames and stars in turn, with outliers left out."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaiaflux.core.cadences.motion_terms import SHIFT_TERMS, MotionOptions, StarPlaces, fit_frame_terms, motion_terms
from gaiaflux.core.maths.robust import MAD_TO_SIGMA

__all__ = ["FrameFits", "fit_motion"]

SETTLED_PIX = 2e-6
LEAST_STARS, LEAST_FRAMES = 8, 8  # that tell the stars' slopes
LEAST_INFORMATION = 1e4  # of a slope: an error of 0.01
LARGEST_SLOPE = 0.1
# Of the scatter of slopes: what all stars share, because stamps stay where they are while the stars move in them.
COMMON_SLOPE = 0.15


class FrameFits(NamedTuple):
    """Terms of each frame's motion about the middle and more; arrays as of `FrameMotion`."""

    value: np.ndarray
    covariance: np.ndarray
    n_terms: np.ndarray
    rms: np.ndarray
    n_used: np.ndarray
    star_offset: np.ndarray
    star_slope: np.ndarray
    star_scatter: np.ndarray


@dataclass
class _State:
    """What changes from turn to turn; axes are (axis, frame, star)."""

    seen: np.ndarray
    error2: np.ndarray
    use: np.ndarray
    offset: np.ndarray
    slope: np.ndarray
    slope_scatter: np.ndarray
    scatter2: np.ndarray

    def weights(self) -> np.ndarray:
        return np.where(self.use, 1.0 / (self.error2 + self.scatter2[:, None]), 0.0)


def fit_motion(places: StarPlaces, mode: str, uv: np.ndarray, good: np.ndarray, options: MotionOptions) -> FrameFits:
    """Fit frames and stars; see `gaiaflux.core.cadences.frame_motion.solve_motion`.

    Parameters
    ----------
    places : StarPlaces
    mode : str
    uv : ndarray, shape (n_stars, 2)
        Places in the catalogue, as for `motion_terms`.
    good : ndarray of bool, shape (n_frames,)
    options : MotionOptions

    Returns
    -------
    FrameFits

    Raises
    ------
    ValueError
        Shapes that do not fit.
    """
    state = _begin(places, mode, good, options)
    found = state.use[0].copy()
    terms = motion_terms(mode, uv)
    n_terms, shift = np.zeros(len(good), np.int64), np.zeros((2, len(good)))
    counts, last = good, False
    for turn in range(options.iterations):
        weight, before = state.weights(), shift
        moving = state.seen - state.offset[:, None] - state.slope[:, None] * shift[:, :, None]
        value, covariance, n_terms = fit_frame_terms(terms, moving, weight, mode, options)
        model = np.einsum("akp,tp->atk", terms, value)
        _fit_stars(state, model, weight, counts)
        left = np.nan_to_num(state.seen - state.offset[:, None] - _centre(value, model, terms, state, counts))
        shift = _shift(value, mode)
        if turn:
            _fit_slopes(state, left, weight * counts[:, None], shift, terms)
        left -= np.where(found, state.slope[:, None] * shift[:, :, None], 0.0)
        agreement = _agreement(state, left, found, n_terms, options)
        counts = good & ~agreement.lost
        if last:
            break
        _learn_scatter(state, left, _leverage(terms, covariance, weight), counts, options)
        same = _leave_out(state, left, found, options) and turn > 1
        last = turn + 2 >= options.iterations or (same and bool(np.abs(shift - before).max() < SETTLED_PIX))
    lost, n_used, rms = agreement
    scale = _excess(left, weight, n_terms, n_used)
    covariance = covariance * scale[:, None, None] + _slopes_covariance(state, terms, weight, shift, covariance)
    covariance = _unmeasured(covariance, value, n_terms, counts)
    value[lost], covariance[lost] = np.nan, np.nan
    n_terms = np.where(lost, 0, n_terms)
    seen = (state.use[0] & counts[:, None]).any(axis=0)
    offset = np.where(seen, state.offset, np.nan).T
    return FrameFits(value, covariance, n_terms, rms, n_used, offset, state.slope.T, np.sqrt(state.scatter2).T)


def _begin(places: StarPlaces, mode: str, good: np.ndarray, options: MotionOptions) -> _State:
    """Start from medians: what a frame's stars are off by, then what a star is off by in the frames."""
    reference = np.stack([places.x_ref, places.y_ref])
    seen = np.stack([places.x, places.y]).astype(np.float64) - reference[:, None]
    error = np.stack([places.x_err, places.y_err]).astype(np.float64)
    if seen.shape != error.shape or seen.shape[2] != reference.shape[1]:
        raise ValueError(f"errors of shape {error.shape[1:]} and {reference.shape[1]} stars for {seen.shape[1:]}")
    use = (np.isfinite(seen) & np.isfinite(error) & (error > 0.0)).all(axis=0)
    seen[:, ~use] = np.nan
    still = mode == "unchanged"
    shift = np.zeros(seen.shape[:2]) if still else _medians(seen, 2)
    offset = _medians(seen - shift[:, :, None], 1)
    shift = np.zeros(seen.shape[:2]) if still else _medians(seen - offset[:, None], 2)
    usual = _medians(shift[:, good], 1)
    shift, offset = shift - usual[:, None], offset + usual[:, None]
    left = seen - offset[:, None] - shift[:, :, None]
    scatter2 = (MAD_TO_SIGMA * _medians(np.abs(left), 1)) ** 2
    error2 = np.where(use, error**2, 1.0) + options.least_error**2
    use = np.broadcast_to(use, seen.shape).copy()
    return _State(seen, error2, use, offset, np.zeros(offset.shape), np.zeros(2), scatter2)


def _medians(values: np.ndarray, axis: int) -> np.ndarray:
    """Medians of what is not NaN, 0 where nothing is."""
    ordered = np.sort(values, axis=axis)
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    if values.shape[axis] == 0:
        return np.zeros(count.squeeze(axis).shape)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=axis)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[axis] - 1), axis=axis)
    return np.where(count > 0, 0.5 * (low + high), 0.0).squeeze(axis)


def _fit_stars(state: _State, model: np.ndarray, weight: np.ndarray, good: np.ndarray) -> None:
    """Mean offset of each star over the good frames, where it has any."""
    counted = weight * good[:, None]
    total = counted.sum(axis=1)
    left = (counted * np.nan_to_num(state.seen - model)).sum(axis=1)
    state.offset = np.where(total > 0.0, left / np.where(total > 0.0, total, 1.0), state.offset)


def _centre(value: np.ndarray, model: np.ndarray, terms: np.ndarray, state: _State, good: np.ndarray) -> np.ndarray:
    """Take the mean motion of the good frames off `value`, give it to the stars; the motion at the stars."""
    counts = good & (state.use[0].any(axis=1))
    if not counts.any() or not value.shape[1]:
        return model
    mean = value[counts].mean(axis=0)
    value -= mean
    common = terms @ mean
    state.offset += common
    return model - common[:, None]


def _shift(value: np.ndarray, mode: str) -> np.ndarray:
    """Motion of each frame in the middle, shape (2, n_frames)."""
    if not value.shape[1]:
        return np.zeros((2, len(value)))
    return value[:, SHIFT_TERMS[mode]].T.copy()


def _fit_slopes(state: _State, left: np.ndarray, weight: np.ndarray, shift: np.ndarray, terms: np.ndarray) -> None:
    """How much farther each star seems to move than the frame, for its place within a pixel.

    What all stars have in common of it cannot be told from motion: it is taken to be none on the mean of all stars,
    bright or faint, and nowhere in the field.
    """
    for axis in range(2):
        moved = shift[axis][:, None]
        information = (weight[axis] * moved**2).sum(axis=0)
        told = information > LEAST_INFORMATION
        if told.sum() < LEAST_STARS or (weight[axis].sum(axis=1) > 0.0).sum() < LEAST_FRAMES:
            continue
        inverse = 1.0 / np.where(told, information, 1.0)
        slope = np.where(told, (weight[axis] * left[axis] * moved).sum(axis=0) * inverse, 0.0)
        own = terms[axis][:, np.abs(terms[axis]).sum(axis=0) > 0.0]
        scatter2 = max(float(np.median(slope[told] ** 2) / 0.4549 - np.median(inverse[told])), 0.0)
        counts = np.where(told, 1.0 / (scatter2 + inverse + 1e-12), 0.0)
        normal = own.T @ (counts[:, None] * own) + 1e-9 * counts.sum() * np.eye(own.shape[1])
        slope = slope - own @ np.linalg.solve(normal, own.T @ (counts * slope))
        held = np.median(slope[told] ** 2) / 0.4549 - np.median(inverse[told])
        scatter2 = min(max(float(held), 0.0), LARGEST_SLOPE**2)
        state.slope[axis] = np.where(told, slope * scatter2 / (scatter2 + inverse), 0.0)
        state.slope_scatter[axis] = np.sqrt(scatter2)


def _slopes_covariance(
    state: _State, terms: np.ndarray, weight: np.ndarray, shift: np.ndarray, covariance: np.ndarray
) -> np.ndarray:
    """What the stars' mean slopes, which are taken to be zero, add to the covariance of frames that are far off."""
    total = np.zeros(covariance.shape)
    for axis in range(2):
        rows = np.flatnonzero(np.abs(terms[axis]).sum(axis=0) > 0.0)
        counts = (weight[axis] > 0.0).any(axis=0)
        own = terms[axis][counts][:, rows]
        if not state.slope_scatter[axis] > 0.0 or len(own) <= len(rows):
            continue
        mean = state.slope_scatter[axis] ** 2 * np.linalg.pinv(own.T @ own)
        mean[0, 0] += (COMMON_SLOPE * state.slope_scatter[axis]) ** 2
        total[np.ix_(np.arange(len(total)), rows, rows)] += shift[axis][:, None, None] ** 2 * mean
    return total


def _leverage(terms: np.ndarray, covariance: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Part of each star's own noise that the fit of a frame follows, mean of the frames; shape (2, n_stars)."""
    if not terms.shape[2]:
        return np.zeros(weight.shape[::2])
    follows = np.einsum("akp,tpq,akq->atk", terms, covariance, terms, optimize=True) * weight
    count = np.maximum((weight > 0.0).sum(axis=1), 1)
    return np.minimum(follows.sum(axis=1) / count, 0.9)


def _learn_scatter(
    state: _State, left: np.ndarray, leverage: np.ndarray, good: np.ndarray, options: MotionOptions
) -> None:
    """What each star's places scatter by beyond their errors: its own and, of few frames, that of all stars."""
    use = state.use & good[:, None]
    count = use.sum(axis=1)
    size = np.where(use, left**2, np.nan)
    # Cut at 4 usual deviations: an outlier is none of the scatter.
    usual = _medians(size, 1) / 0.4549
    size = np.where(size <= 16.0 * usual[:, None], size, np.nan)
    kept = np.isfinite(size)
    n = np.maximum(kept.sum(axis=1), 1)
    noise2 = np.where(kept, state.error2, 0.0).sum(axis=1) / n
    free = (1.0 - leverage) * np.maximum(1.0 - 1.0 / np.maximum(count, 1), 0.3)
    own = np.where(kept, size, 0.0).sum(axis=1) / n / free - noise2
    few = count < 2
    common = np.maximum(_medians(np.where(few, np.nan, own), 1), 0.0)
    shared = 5.0
    mixed = (np.where(few, 0.0, own) * count + shared * common[:, None]) / (np.where(few, 0, count) + shared)
    state.scatter2 = np.maximum(mixed, options.least_error**2)


def _leave_out(state: _State, left: np.ndarray, found: np.ndarray, options: MotionOptions) -> bool:
    """Which places count in the next turn: in both axes within the limit. Whether they are the same as before."""
    pull2 = (left**2 / (state.error2 + state.scatter2[:, None])).max(axis=0)
    usual = _medians(np.where(found, pull2, np.nan), 1) / 1.2  # median of the larger of two squares
    limit = options.clip**2 * np.clip(usual, 1.0, 100.0)
    use = found & (pull2 <= limit[:, None])
    same = bool((use == state.use[0]).all())
    state.use[:] = use
    return same


class _Agreement(NamedTuple):
    """Frames that are lost, stars that count, and their scatter along an axis [pixel], all of shape (n_frames,)."""

    lost: np.ndarray
    n_used: np.ndarray
    rms: np.ndarray


def _agreement(
    state: _State, left: np.ndarray, found: np.ndarray, n_terms: np.ndarray, options: MotionOptions
) -> _Agreement:
    """Whether enough of the stars found in a frame have moved together."""
    used = state.use[0]
    n_used = used.sum(axis=1)
    rms = np.sqrt((left**2 * used).sum(axis=(0, 2)) / np.maximum(2 * n_used, 1))
    lost = (n_used < np.clip(n_terms, 1, 3)) | (n_used < options.least_agree * found.sum(axis=1))
    lost |= rms > options.worst_rms
    return _Agreement(lost, np.where(lost, 0, n_used), np.where(lost, np.nan, rms))


def _excess(left: np.ndarray, weight: np.ndarray, n_terms: np.ndarray, n_used: np.ndarray) -> np.ndarray:
    """Chi-squared of each frame over its expectation where it is clearly above it, else 1."""
    free = np.maximum(2 * n_used - n_terms, 1)
    chi2 = (left**2 * weight).sum(axis=(0, 2))
    return np.where(chi2 > free + 3.0 * np.sqrt(2.0 * free), chi2 / free, 1.0)


def _unmeasured(covariance: np.ndarray, value: np.ndarray, n_terms: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Give terms that a frame did not fit the variance that they have among other frames."""
    size = value.shape[1]
    full = measured & (n_terms == size)
    if size <= 2 or not full.any():
        return covariance
    others = np.setdiff1d(np.arange(size), SHIFT_TERMS["affine" if size == 6 else "euclidian"])
    variance = (value[full][:, others] ** 2).mean(axis=0)
    rows = np.flatnonzero((n_terms < size) & (n_terms > 0))
    covariance[np.ix_(rows, others, others)] += np.diag(variance)
    return covariance
