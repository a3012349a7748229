"""Light of a star whose pixels are full, from the others in its halo: weights by which it varies least.

White et al. 2017, MNRAS 471, 2882, equations 1 to 3: the light curve is a sum of the pixels with weights that are not
negative and that give it a mean of 1; those are taken that make its total variation, the sum of its steps, least. The
pointing moves light from pixel to pixel, and weights that balance it let the star's own variation alone, which is the
same in all pixels. Where a slow motion differs from the noise in hours only, steps hardly see it: what the response
function makes of the motion, where it is known, counts too.
"""

import numpy as np

__all__ = ["halo_weights", "total_variation"]

TURNS = 30
SETTLED = 1e-4
SMALLEST_STEP = 1e-3  # of the usual one: steps below it count as it
MOST_STEPS = 1000  # of the search for the pixels that get a weight
RIDGE = 1e-9


def total_variation(flux: np.ndarray) -> float:
    """Sum of the absolute steps from each value to the next, over the sum of the values; NaN is passed over.

    Parameters
    ----------
    flux : ndarray, shape (n_times,)

    Returns
    -------
    float
    """
    known = flux[np.isfinite(flux)]
    return float(np.abs(np.diff(known)).sum() / known.sum())


def halo_weights(flux: np.ndarray, motion: np.ndarray | None = None) -> np.ndarray:
    """Weights of pixels that give the light curve of the least total variation.

    Absolute steps are reached by squares, each divided by the step of the turn before.

    Parameters
    ----------
    flux : ndarray, shape (n_times, n_pixels)
        Finite, in the order of time; the mean of each pixel is positive.
    motion : ndarray, shape (n, n_pixels), optional
        Changes of a pixel's light, over its mean, that are no variation of the star, each times the number of frames
        that have it: their absolute sum is made small together with that of the steps.

    Returns
    -------
    ndarray of float64, shape (n_pixels,)
        None is negative, and the mean of ``flux @ weights`` is 1.

    Raises
    ------
    ValueError
        There is no pixel, or one without light.
    """
    flux = np.asarray(flux, np.float64)
    mean = flux.mean(axis=0) if flux.size else np.zeros(0)
    if not (mean > 0).all() or not mean.size:
        raise ValueError("a halo needs pixels, and light in each of them")
    # By its mean each pixel shows the same star: shares of sum 1.
    share = mean / mean.sum()
    steps = np.diff(flux / mean, axis=0)
    if motion is not None:
        steps = np.concatenate([steps, motion])
    if not len(steps):
        return share / mean
    best, least = share, np.abs(steps @ share).sum()
    for _ in range(TURNS):
        now = np.abs(steps @ share)
        smallest = max(SMALLEST_STEP * float(np.median(now)), 1e-300)
        weighted = steps / np.maximum(now, smallest)[:, None]
        share = _least_square(steps.T @ weighted, share)
        variation = np.abs(steps @ share).sum()
        gained = least - variation
        if gained > 0:
            best, least = share, variation
        if gained < SETTLED * least:
            break
    return best / mean


def _least_square(matrix: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Shares that make the square form least: of sum 1, none negative; by the set of those that are not 0.

    As in the algorithm of Lawson and Hanson (1974, Solving Least Squares Problems, chapter 23), with a sum.
    """
    matrix = matrix + RIDGE * np.trace(matrix) / len(matrix) * np.eye(len(matrix))
    used = share > 0
    for _ in range(MOST_STEPS):
        wanted = np.zeros_like(share)
        wanted[used] = np.linalg.solve(matrix[np.ix_(used, used)], np.ones(used.sum()))
        wanted /= wanted.sum()
        below = used & (wanted <= 0)
        if below.any():
            # As far as the first share that becomes 0.
            parts = np.where(below, share / np.where(below, share - wanted, 1.0), np.inf)
            share = np.where(used, share + parts.min() * (wanted - share), 0.0)
            used &= parts > parts.min()
            share = np.where(used, np.maximum(share, 0.0), 0.0)
            continue
        share = wanted
        slope = matrix @ share
        price = float(share @ slope)
        gain = np.where(used, -np.inf, price - slope)
        best = int(np.argmax(gain))
        if gain[best] <= 1e-10 * price:
            break
        used[best] = True
    return share
