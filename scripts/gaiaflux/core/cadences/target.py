"""A target in its stamp, how it is measured, and the light curve that a method gives."""

from dataclasses import dataclass, field

import numpy as np

from gaiaflux.core.cadences.frames import StampFrames
from gaiaflux.core.cadences.neighbours import NeighbourLight
from gaiaflux.core.cadences.newton import PlaceOptions
from gaiaflux.core.cadences.scene import SceneStars
from gaiaflux.core.cadences.scene_fit import FitOptions

__all__ = ["SATURATED", "CadenceTable", "MeasureOptions", "StampTarget"]

SATURATED = ("aperture", "halo")
"""A target with full pixels: all pixels with its charge are summed, or the others by weights of the least variation."""


@dataclass(frozen=True)
class StampTarget:
    """A target with its stamp.

    Attributes
    ----------
    frames : StampFrames
    shift_known : ndarray of bool, shape (n_times,)
        Frames whose shift the mission states.
    stars : SceneStars
        The target first.
    corner : tuple of int
        Column and row of the stamp's first pixel, in the coordinates of the PSF.
    aperture : ndarray of bool, shape (ny, nx), or None
        Pixels of the mission's aperture; None or an empty one for one from the mean of the frames.
    solved : bool
        Whether light and places of the stars are those of a solution for all stars around, and not a catalogue's.
    """

    frames: StampFrames
    shift_known: np.ndarray
    stars: SceneStars
    corner: tuple[int, int]
    aperture: np.ndarray | None = None
    solved: bool = False


@dataclass(frozen=True)
class MeasureOptions:
    """How a target is measured.

    Attributes
    ----------
    methods : tuple of str
        Of `MEASURES`.
    fit : FitOptions
    places : PlaceOptions
    residual_correction : bool
        Add the residual of the pixels next to the target to its fitted light.
    aperture_sigma : float
        Threshold of an aperture from the mean of the frames.
    aperture_background : bool
        Subtract the background that the linear fit finds from the sums: for frames from which none was subtracted.
    saturated : str
        Of `SATURATED`: how the sums of a target with full pixels are made.
    """

    methods: tuple[str, ...] = ("psf", "linpsf", "aperture")
    fit: FitOptions = field(default_factory=FitOptions)
    places: PlaceOptions = field(default_factory=PlaceOptions)
    residual_correction: bool = False
    aperture_sigma: float = 3.0
    aperture_background: bool = False
    saturated: str = "aperture"


@dataclass(frozen=True)
class CadenceTable:
    """Light curve of the target by one method.

    Attributes
    ----------
    flux, flux_err : ndarray of float64, shape (n_times,)
        [electron/s]; NaN where nothing can be measured.
    background : ndarray of float64, shape (n_times,)
        What the fit finds besides the background that was subtracted [electron/s/pixel]; 0 where nothing is fitted.
    centroid : ndarray of float64, shape (n_times, 2)
        x and y in the stamp, 0-based [pixel].
    chi2, dof : ndarray of float64, shape (n_times,)
        Of the fit, and its degrees of freedom; NaN and 0 where there is none.
    n_clipped : ndarray of int32, shape (n_times,)
        Pixels that stood out in time and were left out.
    contamination : ndarray of float64, shape (n_times,)
        Part of the light in the aperture that is not the target's.
    flags : ndarray of uint32, shape (n_times,)
        Bits of `StarFlag`.
    neighbours : NeighbourLight, optional
        Stars that were fitted with the target.
    """

    flux: np.ndarray
    flux_err: np.ndarray
    background: np.ndarray
    centroid: np.ndarray
    chi2: np.ndarray
    dof: np.ndarray
    n_clipped: np.ndarray
    contamination: np.ndarray
    flags: np.ndarray
    neighbours: NeighbourLight | None = None
