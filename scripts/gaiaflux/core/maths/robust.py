"""Statistics of incomplete tables, most of them robust."""

from typing import NamedTuple

import numpy as np

__all__ = [
    "MAD_TO_SIGMA",
    "MEDIAN_NOISE",
    "ClippedMean",
    "chi2_about_mean",
    "clipped_mean",
    "clipped_scatter",
    "finite_mean",
    "masked_median",
    "relative_steps",
    "robust_scatter",
    "weighted_median",
    "weighted_medians",
]

MAD_TO_SIGMA = 1.4826
"""Standard deviation over median absolute deviation of a Gaussian."""
MEDIAN_NOISE = 1.17
"""Relative error of a scatter from absolute medians, times the root of the number of values."""

_CLIP = 3.5
_CLIPPED = 0.9946  # standard deviation of a unit Gaussian that is cut at 3.5


def masked_median(values: np.ndarray, use: np.ndarray, axis: int) -> np.ndarray:
    """Median over the used values along an axis; NaN where none is used.

    Parameters
    ----------
    values : ndarray, shape (n, m)
        Not NaN where used.
    use : ndarray of bool, shape (n, m)
        What counts.
    axis : int
        0 or 1.

    Returns
    -------
    ndarray, shape (m,) or (n,)
        Medians.
    """
    if values.shape[axis] == 0:
        return np.full(values.shape[1 - axis], np.nan)
    ordered = np.sort(np.where(use, values, np.inf), axis=axis)
    count = use.sum(axis=axis, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=axis)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[axis] - 1), axis=axis)
    return np.where(count > 0, 0.5 * (low + high), np.nan).squeeze(axis)


def finite_mean(frames: np.ndarray) -> np.ndarray:
    """Mean of the finite values along the first axis.

    Parameters
    ----------
    frames : ndarray, shape (n, ...)

    Returns
    -------
    ndarray of float64, shape (...)
        Summed in double precision; NaN where nothing is finite.
    """
    finite = np.isfinite(frames)
    count = finite.sum(axis=0)
    total = np.where(finite, frames, np.zeros((), frames.dtype)).sum(axis=0, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def robust_scatter(values: np.ndarray) -> float:
    """1.4826 times the median absolute deviation from the median.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Not NaN.

    Returns
    -------
    float
        NaN where there is no number.
    """
    if not values.size:
        return float("nan")
    return MAD_TO_SIGMA * float(np.median(np.abs(values - np.median(values))))


class ClippedMean(NamedTuple):
    """Mean and scatter (standard deviation) of the `n` numbers that are no outliers."""

    mean: float
    scatter: float
    n: int


def clipped_mean(values: np.ndarray, *, clip_sigma: float = 3.0) -> ClippedMean:
    """Mean and scatter of a set of numbers without its outliers; NaNs are ignored.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Numbers.
    clip_sigma : float
        Limit in units of the scatter from the median absolute deviation.

    Returns
    -------
    ClippedMean
        NaN where there is no number; the scatter of a single number is NaN.
    """
    kept = values[np.isfinite(values)]
    if kept.size == 0:
        return ClippedMean(float("nan"), float("nan"), 0)
    centre = np.median(kept)
    spread = MAD_TO_SIGMA * np.median(np.abs(kept - centre))
    if spread > 0:
        kept = kept[np.abs(kept - centre) <= clip_sigma * spread]
    scatter = float(np.std(kept, ddof=1)) if kept.size > 1 else float("nan")
    return ClippedMean(float(np.mean(kept)), scatter, kept.size)


def clipped_scatter(deviation: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Standard deviation of each row about zero without its outliers.

    Nearly as precise as the plain standard deviation, which the median absolute deviation is not.

    Parameters
    ----------
    deviation : ndarray, shape (n, m)
        Deviations from the row's centre; finite where used.
    use : ndarray of bool, shape (n, m)
        What counts.

    Returns
    -------
    ndarray, shape (n,)
        Of what lies within 3.5 times the scatter that the median absolute deviation gives; NaN for a row without any.
    """
    size = np.abs(np.where(use, deviation, 0.0))
    limit = _CLIP * MAD_TO_SIGMA * masked_median(size, use, 1)
    kept = use & (size <= limit[:, None])
    count = kept.sum(axis=1)
    total = np.where(kept, size**2, 0.0).sum(axis=1)
    return np.where(count > 0, np.sqrt(total / np.maximum(count, 1)) / _CLIPPED, np.nan)


def chi2_about_mean(x: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chi-squared of each row about its weighted mean.

    Parameters
    ----------
    x, sigma : ndarray, shape (n, m)
        Finite values and their one-sigma errors; an infinite error leaves a value out.

    Returns
    -------
    chi2 : ndarray, shape (n,)
        Sum of the squared pulls; 0 for a row without a value.
    pull : ndarray, shape (n, m)
        (value - mean) / error; 0 for what is left out.
    """
    weight = sigma**-2.0
    total = weight.sum(axis=1)
    mean = (x * weight).sum(axis=1) / np.where(total > 0, total, 1.0)
    pull = (x - mean[:, None]) / sigma
    return (pull**2).sum(axis=1), pull


def weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    """Smallest value below and at which half of the weight lies.

    Parameters
    ----------
    values, weight : ndarray, shape (n,)
        Finite; weights not negative.

    Returns
    -------
    float
        0 without any weight.
    """
    return float(weighted_medians(values[:, None], weight[:, None])[0])


def weighted_medians(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`weighted_median` of each column of a table.

    Parameters
    ----------
    values, weight : ndarray, shape (n, m)
        Finite; weights not negative.

    Returns
    -------
    ndarray of float64, shape (m,)
        0 for a column without any weight.
    """
    if not len(values):
        return np.zeros(values.shape[1])
    order = np.argsort(values, axis=0, kind="stable")
    upto = np.cumsum(np.take_along_axis(weight, order, axis=0), axis=0)
    half = np.argmax(upto >= 0.5 * upto[-1:], axis=0)
    columns = np.arange(values.shape[1])
    return np.where(upto[-1] > 0, values[order[half, columns], columns], 0.0)


def relative_steps(values: np.ndarray) -> float:
    """Usual step from one value to the next, over their usual size.

    Parameters
    ----------
    values : ndarray, shape (n,)
        In the order of time; NaN is passed over.

    Returns
    -------
    float
        Median of the absolute steps over the median; infinite for fewer than two values, or if that is not positive.
    """
    known = values[np.isfinite(values)]
    level = float(np.median(known)) if known.size > 1 else 0.0
    return float(np.median(np.abs(np.diff(known)))) / level if level > 0 else float("inf")
