"""The motion of frames as sums of a few terms, each frame solved by itself with as many terms as its stars can tell."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaiaflux.core.cadences.motion import KERNEL_PARAMETERS

__all__ = ["SHIFT_TERMS", "FrameTerms", "MotionOptions", "StarPlaces", "fit_frame_terms", "motion_terms"]

SHIFT_TERMS = {"translation": [0, 1], "euclidian": [0, 1], "affine": [0, 3]}
"""Which terms of a mode are the shift in the middle."""

LEAST_EIGENVALUE = 0.02


@dataclass(frozen=True)
class StarPlaces:
    """Stars in a catalogue and in frames.

    Attributes
    ----------
    x_ref, y_ref : ndarray, shape (n_stars,)
        In the catalogue [pixel].
    x, y : ndarray, shape (n_frames, n_stars)
        Measured [pixel]; NaN where a star was not found.
    x_err, y_err : ndarray, shape (n_frames, n_stars)
        One-sigma errors [pixel]; where not finite and positive, the place does not count.
    """

    x_ref: np.ndarray
    y_ref: np.ndarray
    x: np.ndarray
    y: np.ndarray
    x_err: np.ndarray
    y_err: np.ndarray


@dataclass(frozen=True)
class MotionOptions:
    """How motion is solved.

    Attributes
    ----------
    clip : float
        A place this many errors off is left out; in a frame all of whose stars are off, as many usual deviations.
    stars_for_terms, stars_for_turn : int
        Stars from which on all terms of a mode are fitted, and a turn beside the translation; with fewer the
        translation alone.
    least_agree : float
        Part of the stars found in a frame that must agree, else the frame is lost.
    worst_rms : float
        Frames whose stars scatter by more are lost [pixel].
    least_error : float
        What a star's place is uncertain by at least, from frame to frame [pixel].
    iterations : int
    """

    clip: float = 5.0
    stars_for_terms: int = 6
    stars_for_turn: int = 3
    least_agree: float = 0.5
    worst_rms: float = 0.1
    least_error: float = 1e-5
    iterations: int = 8


class FrameTerms(NamedTuple):
    """Terms, shape (n_frames, n_terms), zero where not fitted; their covariance; how many were fitted, (n_frames,)."""

    value: np.ndarray
    covariance: np.ndarray
    fitted: np.ndarray


def motion_terms(mode: str, uv: np.ndarray) -> np.ndarray:
    """What the motion of places is multiplied with: of a shift in x and y, a turn, or (1, u, v) for x and for y.

    Parameters
    ----------
    mode : str
        One of `KERNEL_PARAMETERS`.
    uv : ndarray, shape (n, 2)
        Places from the middle, in units of half the extent.

    Returns
    -------
    ndarray of float64, shape (2, n, n_terms)
        For x and for y. A turn counts in pixels at one unit from the middle.
    """
    one, none = np.ones(len(uv)), np.zeros(len(uv))
    u, v = uv.T
    columns = {
        "unchanged": ([], []),
        "translation": ([one, none], [none, one]),
        "euclidian": ([one, none, -v], [none, one, u]),
        "affine": ([one, u, v, none, none, none], [none, none, none, one, u, v]),
    }[mode]
    return np.array(columns).reshape(2, KERNEL_PARAMETERS[mode], len(uv)).transpose(0, 2, 1)


def fit_frame_terms(
    terms: np.ndarray, moving: np.ndarray, weight: np.ndarray, mode: str, options: MotionOptions
) -> FrameTerms:
    """Weighted least squares of each frame with as many terms as its stars can tell.

    Parameters
    ----------
    terms : ndarray, shape (2, n_stars, n_terms)
        Of `motion_terms`.
    moving : ndarray, shape (2, n_frames, n_stars)
        Motion of the stars along x and y [pixel]; NaN where there is none.
    weight : ndarray, shape (2, n_frames, n_stars)
        Inverse variances, zero where a star does not count.
    mode : str
    options : MotionOptions

    Returns
    -------
    FrameTerms
    """
    size, count = terms.shape[2], (weight[0] > 0.0).sum(axis=1)
    value, covariance = np.zeros((len(count), size)), np.zeros((len(count), size, size))
    fitted = np.zeros(len(count), np.int64)
    if size == 0:
        return FrameTerms(value, covariance, fitted)
    # All that a frame needs is in the sums of the full set of terms; fewer terms are combinations of them.
    pairs = (terms[:, :, :, None] * terms[:, :, None, :]).reshape(2, terms.shape[1], size * size)
    normal = sum(weight[a] @ pairs[a] for a in range(2)).reshape(-1, size, size)
    right = sum((weight[a] * np.nan_to_num(moving[a])) @ terms[a] for a in range(2))
    for fewer, least in _combinations(mode, options):
        part, goal = np.einsum("pa,tpq,qb->tab", fewer, normal, fewer, optimize=True), right @ fewer
        rows = np.flatnonzero((fitted == 0) & (count >= least))
        # Stars along a line, or all in one place, tell no slopes.
        scale = 1.0 / np.sqrt(np.maximum(np.einsum("tpp->tp", part[rows]), 1e-300))
        smallest = np.linalg.eigvalsh(part[rows] * scale[:, :, None] * scale[:, None, :])[:, 0]
        rows = rows[smallest > LEAST_EIGENVALUE]
        inverse = np.linalg.inv(part[rows])
        value[rows] = np.einsum("tab,tb->ta", inverse, goal[rows]) @ fewer.T
        covariance[rows] = np.einsum("pa,tab,qb->tpq", fewer, inverse, fewer, optimize=True)
        fitted[rows] = fewer.shape[1]
    return FrameTerms(value, covariance, fitted)


def _combinations(mode: str, options: MotionOptions) -> list[tuple[np.ndarray, int]]:
    """Sets of terms from the richest to the translation, shape (n_terms, n_fewer), and the stars that each asks for."""
    size = KERNEL_PARAMETERS[mode]
    full, translation = np.eye(size), np.eye(size)[:, SHIFT_TERMS[mode]]
    if mode == "translation":
        return [(full, 1)]
    if mode == "euclidian":
        return [(full, options.stars_for_turn), (translation, 1)]
    turn = np.column_stack([translation, np.array([0.0, 0.0, -1.0, 0.0, 1.0, 0.0])])
    return [(full, options.stars_for_terms), (turn, options.stars_for_turn), (translation, 1)]
