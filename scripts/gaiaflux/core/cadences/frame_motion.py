"""How each frame has moved, from the places of its stars: one translation, turn or affine map for each frame.

A response function that is not quite right has every star a little beside its true place, by as much as its place
within the pixel makes of it, and catalogues err too. What a star's place is is therefore solved together with the
motion: star k in frame t is at x_k + o_k + (motion of frame t at x_k) + g_k (motion of frame t in the middle). The mean
motion of the good frames is zero, and so is the mean of g over the stars. How well a star keeps to this, beyond the
noise of its pixels, is learnt from all frames and weighs it.
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.cadences.motion import KERNEL_PARAMETERS, kernel_offsets
from gaiaflux.core.cadences.motion_fit import FrameFits, fit_motion
from gaiaflux.core.cadences.motion_terms import MotionOptions, StarPlaces, motion_terms
from gaiaflux.core.maths.polynomials import order_for
from gaiaflux.core.maths.surface import Surface, fit_surface

__all__ = ["FrameMotion", "PlateCorrection", "places_in_frames", "plate_correction", "solve_motion"]


@dataclass(frozen=True)
class FrameMotion:
    """Motion of all frames, made by `solve_motion`.

    Attributes
    ----------
    mode : str
        One of `gaiaflux.core.cadences.motion.KERNEL_PARAMETERS`.
    parameters : ndarray of float64, shape (n_frames, n_parameters)
        For `kernel_offsets`, in pixels of the frame; NaN for a frame that is lost.
    covariance : ndarray of float64, shape (n_frames, n_terms, n_terms)
        Of the motion's terms about the middle (see `errors_at`); NaN for a frame that is lost. Terms that a frame has
        too few stars for have the scatter that they have among the frames with enough; nothing where there are none.
    middle : ndarray of float64, shape (2,)
        Middle of the stars [pixel].
    half : float
        Half of the extent of the stars [pixel].
    n_terms : ndarray of int64, shape (n_frames,)
        Terms that were fitted: `n_parameters`; where stars are too few, 3 (the translation and a turn) or 2 (the
        translation); 0 for a frame that is lost.
    rms : ndarray of float64, shape (n_frames,)
        Of the stars that count, along an axis [pixel]; NaN without any.
    n_used : ndarray of int64, shape (n_frames,)
        Stars that count.
    star_offset : ndarray of float64, shape (n_stars, 2)
        Mean place of each star in the good frames less its place in the catalogue [pixel]; NaN without any.
    star_slope : ndarray of float64, shape (n_stars, 2)
        How much farther than the frame the star seems to move along an axis [pixel/pixel]; 0 where it cannot be told.
    star_scatter : ndarray of float64, shape (n_stars, 2)
        What its places scatter by beyond their errors [pixel].
    """

    mode: str
    parameters: np.ndarray
    covariance: np.ndarray
    middle: np.ndarray
    half: float
    n_terms: np.ndarray
    rms: np.ndarray
    n_used: np.ndarray
    star_offset: np.ndarray
    star_slope: np.ndarray
    star_scatter: np.ndarray

    @property
    def lost(self) -> np.ndarray:
        """Frames whose stars were not found or do not agree, shape (n_frames,)."""
        return ~np.isfinite(self.rms)

    @property
    def centre(self) -> np.ndarray:
        """Shift of each frame in the middle of the stars [pixel], shape (n_frames, 2); NaN where it is lost."""
        shift = kernel_offsets(self.mode, self.parameters, self.middle[None])[:, 0]
        return np.where(self.lost[:, None], np.nan, shift)

    @property
    def centre_error(self) -> np.ndarray:
        """One-sigma errors of `centre` [pixel], shape (n_frames, 2); zero for ``unchanged``."""
        return self.errors_at(self.middle[None])[:, 0]

    def errors_at(self, xy: np.ndarray) -> np.ndarray:
        """One-sigma errors of the motion at places.

        Parameters
        ----------
        xy : ndarray, shape (n, 2)
            Columns and rows in the reference [pixel].

        Returns
        -------
        ndarray of float64, shape (n_frames, n, 2)
            [pixel]; NaN for a frame that is lost.
        """
        xy = np.asarray(xy, np.float64)
        terms = motion_terms(self.mode, (xy - self.middle) / self.half)
        variance = np.einsum("anp,tpq,anq->tna", terms, self.covariance, terms, optimize=True)
        variance[self.lost] = np.nan
        return np.sqrt(np.maximum(variance, 0.0))


def solve_motion(
    places: StarPlaces, mode: str, good: np.ndarray | None = None, options: MotionOptions | None = None
) -> FrameMotion:
    """Solve for the motion of all frames and the mean places of all stars.

    Parameters
    ----------
    places : StarPlaces
        Stars in the catalogue and in the frames.
    mode : str
        One of `KERNEL_PARAMETERS`.
    good : ndarray of bool, shape (n_frames,), optional
        Frames whose mean motion is zero; others are solved too. By default all that are not lost.
    options : MotionOptions, optional

    Returns
    -------
    FrameMotion

    Raises
    ------
    ValueError
        Another mode, shapes that do not fit, or a star without a place in the catalogue.
    """
    if mode not in KERNEL_PARAMETERS:
        raise ValueError(f"movement {mode!r} is none of {', '.join(KERNEL_PARAMETERS)}")
    n_frames = len(places.x)
    good = np.ones(n_frames, bool) if good is None else np.asarray(good, bool)
    if good.shape != (n_frames,):
        raise ValueError(f"{good.shape} good frames for {n_frames} frames")
    x_ref = np.stack([places.x_ref, places.y_ref], axis=1)
    if not np.isfinite(x_ref).all():
        raise ValueError("a star without a place in the catalogue")
    extent = np.ptp(x_ref, axis=0) if len(x_ref) else np.zeros(2)
    middle = x_ref.min(axis=0) + 0.5 * extent if len(x_ref) else np.zeros(2)
    half = max(0.5 * float(extent.max()), 1.0)
    made = fit_motion(places, mode, (x_ref - middle) / half, good, options or MotionOptions())
    return FrameMotion(
        mode,
        _parameters(mode, made, middle, half),
        made.covariance,
        middle,
        half,
        made.n_terms,
        made.rms,
        made.n_used,
        made.star_offset,
        made.star_slope,
        made.star_scatter,
    )


def _parameters(mode: str, made: FrameFits, middle: np.ndarray, half: float) -> np.ndarray:
    """Numbers of `kernel_offsets`, whose origin is pixel (0, 0), from terms about the middle."""
    value = made.value
    if mode in ("unchanged", "translation"):
        return value
    if mode == "euclidian":
        angle = value[:, 2] / half
        cos, sin = np.cos(angle), np.sin(angle)
        dx = value[:, 0] + middle[0] - cos * middle[0] + sin * middle[1]
        dy = value[:, 1] + middle[1] - sin * middle[0] - cos * middle[1]
        return np.stack([dx, dy, angle], axis=1)
    slopes = value.reshape(-1, 2, 3)[:, :, 1:] / half
    constant = value.reshape(-1, 2, 3)[:, :, 0] - slopes @ middle
    return np.concatenate([slopes + np.eye(2), constant[:, :, None]], axis=2).reshape(-1, 6)


def places_in_frames(motion: FrameMotion, x_ref: float, y_ref: float) -> np.ndarray:
    """Where a place of the reference is in each frame.

    Parameters
    ----------
    motion : FrameMotion
    x_ref, y_ref : float
        Column and row at the mean motion of the good frames [pixel].

    Returns
    -------
    ndarray of float64, shape (n_frames, 2)
        Column and row [pixel]; NaN for a frame that is lost.
    """
    xy = np.array([[x_ref, y_ref]], np.float64)
    places = xy[0] + kernel_offsets(motion.mode, motion.parameters, xy)[:, 0]
    return np.where(motion.lost[:, None], np.nan, places)


@dataclass(frozen=True)
class PlateCorrection:
    """What the places of a catalogue are off by in the mean of the good frames.

    Attributes
    ----------
    x, y : Surface
        Polynomials over the frame [pixel].
    """

    x: Surface
    y: Surface

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Correction to be added at places [pixel], shape (n, 2)."""
        return np.stack([self.x.value(x, y), self.y.value(x, y)], axis=1)


def plate_correction(
    motion: FrameMotion, x_ref: np.ndarray, y_ref: np.ndarray, shape: tuple[int, int], max_order: int = 3
) -> PlateCorrection:
    """Smooth part of what the stars' mean places differ by from the catalogue.

    Parameters
    ----------
    motion : FrameMotion
    x_ref, y_ref : ndarray, shape (n_stars,)
        As given to `solve_motion` [pixel].
    shape : tuple of int
        (ny, nx) of the frame.
    max_order : int
        Total degree, lowered where there are few stars.

    Returns
    -------
    PlateCorrection

    Raises
    ------
    ValueError
        No star has a mean place.
    """
    known = np.isfinite(motion.star_offset).all(axis=1)
    order = order_for(int(known.sum()), max_order)
    x, y = (np.asarray(values, np.float64)[known] for values in (x_ref, y_ref))
    surfaces = [
        fit_surface(x, y, motion.star_offset[known, a], motion.star_scatter[known, a], shape, order) for a in (0, 1)
    ]
    return PlateCorrection(*surfaces)
