"""Runs of frames in which a star is brighter or fainter than usual: a transit, an eclipse, a flare, a slow change.

No single point of them stands out, but together they pull the scales of their frames, and so take away a part of the
same change of the other stars that change in these frames.
"""

from typing import NamedTuple

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA, masked_median

__all__ = ["deviating_runs"]

_SIGNIFICANT = 5.0  # standard deviations of the mean of a run
_LEAST = 3  # frames of a run
_CLIP = 4.0  # standard deviations that one point counts at most: a run is not one bad point
_LONGEST = 0.4  # of the frames of a star: beyond, nothing tells what is usual
_GROWTH = 1.25  # from one length that is tried to the next
_ROUNDS = 6  # runs of one star
_MOST_OF_FRAME = 1.0 / 3.0  # of the weights: beyond, the frame deviates and not the stars
_LEAST_POINTS = 8


def deviating_runs(residual: np.ndarray, sigma: np.ndarray, use: np.ndarray, *, min_stars: int) -> np.ndarray:
    """Points of stars in runs of consecutive frames in which they deviate together.

    Parameters
    ----------
    residual, sigma : ndarray, shape (n, m)
        Relative residuals of n stars in m frames, in the order of time, from a model with one constant per star; their
        standard deviations.
    use : ndarray of bool, shape (n, m)
        Points that count.
    min_stars : int
        Stars that have to be left in a frame.

    Returns
    -------
    ndarray of bool, shape (n, m)
        True in the runs: each of at least 3 points whose mean is 5 of its standard deviations from the star's level, in
        all at most 0.4 of the star's points. None in a frame of whose weights that would be more than a third.
    """
    count = use.sum(axis=1)
    inside = np.zeros(use.shape, dtype=bool)
    if use.shape[1] < _LEAST_POINTS or not use.any():
        return inside
    sigma = np.where(use, sigma * _noise(residual / np.where(use, sigma, 1.0), use)[:, None], 1.0)
    weight = np.where(use, sigma**-2.0, 0.0)
    level = np.nan_to_num(masked_median(np.where(use, residual, 0.0), use, 1))
    looked = count >= _LEAST_POINTS
    lengths = _lengths(use.shape[1])
    for _ in range(_ROUNDS):
        # What one point says, in units of its own standard deviation, with the sign of its deviation.
        pull = np.clip((residual - level[:, None]) / sigma, -_CLIP, _CLIP)
        free = use & ~inside
        run = _best_run(np.where(free, pull, 0.0), np.where(free, weight, 0.0), free, lengths)
        found = looked & (run.significance >= _SIGNIFICANT)
        if not found.any():
            break
        frames = np.arange(use.shape[1])
        new = inside | (found[:, None] & (frames >= run.first[:, None]) & (frames < run.end[:, None]) & use)
        # A star that mostly deviates has no usual level: what is beyond the limit stays.
        found &= new.sum(axis=1) <= _LONGEST * count
        looked = found
        inside = np.where(found[:, None], new, inside)
        quiet = np.where(inside, 0.0, weight)
        total = quiet.sum(axis=1)
        mean = (quiet * np.clip(residual - level[:, None], -_CLIP * sigma, _CLIP * sigma)).sum(axis=1)
        level = level + np.where(found & (total > 0), mean / np.where(total > 0, total, 1.0), 0.0)
    share = (weight * inside).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-300)
    left = (use & ~inside).sum(axis=0)
    return inside & (share <= _MOST_OF_FRAME) & (left >= min_stars)


def _noise(pull: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Scatter of each star from one point to the next over what is stated; at least 1, shape (n,)."""
    pair = use[:, 1:] & use[:, :-1]
    step = np.where(pair, np.abs(np.diff(np.where(use, pull, 0.0), axis=1)), 0.0)
    return np.maximum(np.nan_to_num(MAD_TO_SIGMA * masked_median(step, pair, 1) / np.sqrt(2.0), nan=1.0), 1.0)


def _lengths(n_frames: int) -> list[int]:
    longest, length, found = _LONGEST * n_frames, float(_LEAST), []
    while length <= longest:
        found.append(round(length))
        length = max(length * _GROWTH, length + 1.0)
    return found


class _Run(NamedTuple):
    """A run of each of n stars: its first frame, the one after its last, and its significance."""

    first: np.ndarray
    end: np.ndarray
    significance: np.ndarray


def _best_run(pull: np.ndarray, weight: np.ndarray, use: np.ndarray, lengths: list[int]) -> _Run:
    """The most significant run of each star."""
    n = len(pull)
    zero = np.zeros((n, 1))
    root = np.sqrt(weight)
    sums = np.concatenate([zero, np.cumsum(pull * root, axis=1)], axis=1)
    weights = np.concatenate([zero, np.cumsum(weight, axis=1)], axis=1)
    counts = np.concatenate([np.zeros((n, 1), dtype=int), np.cumsum(use, axis=1)], axis=1)
    first, end, best = np.zeros(n, dtype=int), np.zeros(n, dtype=int), np.zeros(n)
    for length in lengths:
        total = weights[:, length:] - weights[:, :-length]
        enough = (counts[:, length:] - counts[:, :-length] >= _LEAST) & (total > 0)
        value = np.abs(sums[:, length:] - sums[:, :-length]) / np.sqrt(np.where(enough, total, 1.0))
        value = np.where(enough, value, 0.0)
        at = np.argmax(value, axis=1)
        there = value[np.arange(n), at]
        better = there > best
        first[better], end[better], best[better] = at[better], at[better] + length, there[better]
    return _Run(first, end, best)
