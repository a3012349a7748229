"""Twinkling of the stars: noise of the atmosphere that no photon count knows of."""

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["scintillation"]

_SCALE_HEIGHT_M = 8000.0


def scintillation(aperture_m: ArrayLike, airmass: ArrayLike, exptime_s: ArrayLike, height_m: ArrayLike) -> np.ndarray:
    """Relative standard deviation of a star's flux by scintillation.

    Parameters
    ----------
    aperture_m : array_like
        Diameter of the telescope [m].
    airmass : array_like
        Air mass.
    exptime_s : array_like
        Exposure time [s].
    height_m : array_like
        Height of the observatory above the sea [m].

    Returns
    -------
    ndarray of float64
        The same for faint and bright stars; NaN where one of the four is unknown or cannot be.

    Notes
    -----
    Young (1967, AJ 72, 747): 0.09 D^(-2/3) X^1.75 exp(-h / 8000 m) / sqrt(2 t), with D in cm and t in s.
    """
    aperture, airmass, exptime, height = np.broadcast_arrays(
        *(np.asarray(value, dtype=float) for value in (aperture_m, airmass, exptime_s, height_m))
    )
    known = (aperture > 0) & (airmass >= 0.99) & (airmass < 40.0) & (exptime > 0) & np.isfinite(height)
    diameter_cm = 100.0 * np.where(known, aperture, 1.0)
    value = 0.09 * diameter_cm ** (-2.0 / 3.0) * np.where(known, airmass, 1.0) ** 1.75
    value *= np.exp(-np.where(known, height, 0.0) / _SCALE_HEIGHT_M) / np.sqrt(2.0 * np.where(known, exptime, 1.0))
    return np.where(known, value, np.nan)
