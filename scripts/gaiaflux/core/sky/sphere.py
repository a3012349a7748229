"""Directions on the sky as unit vectors."""

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["directions", "separation_deg", "sky_of_direction"]


def directions(ra_deg: ArrayLike, dec_deg: ArrayLike) -> np.ndarray:
    """Unit vectors of sky positions.

    Parameters
    ----------
    ra_deg, dec_deg : array_like, shape (...)
        ICRS [deg].

    Returns
    -------
    ndarray of float64, shape (..., 3)
        NaN where a coordinate is NaN.
    """
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec) + 0.0 * ra], axis=-1)


def sky_of_direction(vector: np.ndarray) -> tuple[float, float]:
    """Sky position of a vector of any length > 0.

    Parameters
    ----------
    vector : ndarray, shape (3,)
        Direction.

    Returns
    -------
    ra_deg, dec_deg : float
        [deg], 0 <= ra < 360.
    """
    x, y, z = (float(v) for v in vector)
    return float(np.degrees(np.arctan2(y, x)) % 360.0), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def separation_deg(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angle between unit vectors, exact at all angles (chord formula).

    Parameters
    ----------
    first, second : ndarray, shape (..., 3)
        Unit vectors; broadcast against each other.

    Returns
    -------
    ndarray, shape (...)
        [deg].
    """
    chord = np.linalg.norm(first - second, axis=-1)
    opposite = np.linalg.norm(first + second, axis=-1)
    return np.degrees(2.0 * np.arctan2(chord, opposite))
