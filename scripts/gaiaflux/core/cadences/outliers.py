"""Outliers of a pixel in time: each is judged against the residual that the pixel always has, never against one frame.

A model that is not quite right leaves a residual in every frame. That is described by a constant and slopes with the
shift for each pixel, and what stands out of it is no part of the scene: a cosmic ray, a passing object.
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.cadences.linear import N_TERMS, StaticResidual
from gaiaflux.core.cadences.linear_kernels import factorise, invert_factor
from gaiaflux.core.kernels.compile import kernel
from gaiaflux.core.kernels.devices import kth_smallest
from gaiaflux.core.maths.robust import MAD_TO_SIGMA

__all__ = ["UsualResidual", "usual_residual", "worst_pixels"]

ROUNDS = 3
FEWEST_FOR_SLOPES = 50
FEWEST = 4  # frames, below which nothing is said to stand out
INLIERS = 4.0
NEAR_WORST = 0.6


@dataclass(frozen=True)
class UsualResidual:
    """What each pixel shows in all frames; made by `usual_residual`.

    Attributes
    ----------
    static : StaticResidual
        Constant and slopes with the shift.
    scatter : ndarray of float64, shape (n_pixels,)
        Scatter about it in a frame of the usual noise [electron/s]; NaN where there are too few frames.
    away : ndarray of bool, shape (n_times,)
        Frames with a pixel that stands out.
    """

    static: StaticResidual
    scatter: np.ndarray
    away: np.ndarray

    def distance(self, residual: np.ndarray, error: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """How far pixels are from the usual.

        Parameters
        ----------
        residual : ndarray, shape (n_times, n_pixels)
            Frames minus model, without the static part [electron/s].
        error : ndarray, shape (n_times,)
            Noise of each frame relative to the usual one.
        shift : ndarray, shape (n_times, 2)
            [pixel].

        Returns
        -------
        ndarray of float32, shape (n_times, n_pixels)
            In sigma; 0 where nothing is known.
        """
        expected = error[:, None].astype(np.float32) * self.scatter.astype(np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            size = np.abs(residual) / expected
        return np.where(np.isfinite(size), size, np.float32(0.0))


def usual_residual(
    residual: np.ndarray, error: np.ndarray, noise: np.ndarray, shift: np.ndarray, good: np.ndarray, sigma: float
) -> UsualResidual:
    """Learn what each pixel always leaves.

    Parameters
    ----------
    residual : ndarray of float32, shape (n_times, n_pixels)
        Frames minus model [electron/s]; NaN where there is none.
    error : ndarray of float64, shape (n_times,)
        Noise of each frame relative to the usual one.
    noise : ndarray of float64, shape (n_pixels,)
        Usual error of a pixel [electron/s]: few frames do not say how much a pixel scatters.
    shift : ndarray, shape (n_times, 2)
        [pixel].
    good : ndarray of bool, shape (n_times,)
        Frames that say what is usual.
    sigma : float
        What is farther from the usual than this many times the scatter of the pixel stands out.

    Returns
    -------
    UsualResidual
    """
    n, n_pixels = residual.shape
    origin = shift[good].mean(axis=0) if good.any() else np.zeros(2)
    terms, scatter = np.zeros((n_pixels, N_TERMS)), np.full(n_pixels, np.nan)
    away = np.zeros(n, np.uint8)
    _learn(
        away,
        terms,
        scatter,
        np.ascontiguousarray(residual.T),
        np.ascontiguousarray(error, np.float64),
        np.ascontiguousarray(noise, np.float64),
        StaticResidual.features(shift - origin),
        np.ascontiguousarray(good).view(np.uint8),
        sigma,
        MAD_TO_SIGMA,
        np.zeros((2, n)),
        np.zeros((3, N_TERMS, N_TERMS)),
    )
    return UsualResidual(StaticResidual(np.ascontiguousarray(terms.T), origin), scatter, away.view(bool))


def worst_pixels(distance: np.ndarray, sigma: float) -> np.ndarray:
    """Pixels that stand out most in their frame.

    One pixel that stands out pulls the model, and others with it: those that do so only for that reason are less far
    away, and are judged again without it.

    Parameters
    ----------
    distance : ndarray, shape (n_times, n_pixels)
        From the usual [sigma].
    sigma : float
        What stands out.

    Returns
    -------
    ndarray of bool, shape (n_times, n_pixels)
    """
    return (distance > sigma) & (distance >= NEAR_WORST * distance.max(axis=1, keepdims=True))


@kernel(
    "void(uint8[::1], float64[:, ::1], float64[::1], float32[:, ::1], float64[::1], float64[::1], float64[:, ::1],"
    " uint8[::1], float64, float64, float64[:, ::1], float64[:, :, ::1])",
    fastmath={"contract"},
)
def _learn(
    beyond: np.ndarray,
    terms: np.ndarray,
    scatter: np.ndarray,
    residual: np.ndarray,
    error: np.ndarray,
    noise: np.ndarray,
    features: np.ndarray,
    good: np.ndarray,
    sigma: float,
    mad_to_sigma: float,
    work: np.ndarray,
    matrices: np.ndarray,
) -> None:
    n_pixels, n = residual.shape
    n_terms = features.shape[0]
    left, ordered = work[0], work[1]
    system, inverse, right = matrices[0], matrices[1], matrices[2, 0]
    for p in range(n_pixels):
        count = 0
        for t in range(n):
            if good[t] and np.isfinite(residual[p, t]):
                ordered[count] = residual[p, t]
                count += 1
        if count < FEWEST:
            continue
        few = count < FEWEST_FOR_SLOPES
        fitted = 1 if few else n_terms
        terms[p, 0] = kth_smallest(ordered, count, count // 2)
        spread = 0.0
        for turn in range(ROUNDS):
            count = 0
            for t in range(n):
                left[t] = residual[p, t]
                for a in range(fitted):
                    left[t] -= terms[p, a] * features[a, t]
                if good[t] and np.isfinite(left[t]):
                    ordered[count] = abs(left[t]) / error[t]
                    count += 1
            spread = mad_to_sigma * kth_smallest(ordered, count, count // 2)
            if few:
                spread = max(spread, noise[p])
            if turn == ROUNDS - 1:
                break
            # Least squares of what does not stand out.
            for a in range(fitted):
                right[a] = 0.0
                for b in range(fitted):
                    system[a, b] = 0.0
            for t in range(n):
                if good[t] and abs(left[t]) <= INLIERS * spread * error[t]:
                    for a in range(fitted):
                        right[a] += features[a, t] * left[t]
                        for b in range(a + 1):
                            system[a, b] += features[a, t] * features[b, t]
            factorise(system, fitted, 1e-6)
            invert_factor(system, inverse, fitted)
            for a in range(fitted):
                for b in range(fitted):
                    terms[p, a] += inverse[a, b] * right[b]
        scatter[p] = spread
        for t in range(n):
            if abs(left[t]) > sigma * spread * error[t]:
                beyond[t] = 1
