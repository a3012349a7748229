"""What a fit of stars must know of a point-spread function, whatever it is made of.

The function is the effective PSF: the response of the pixel is part of it, so the light that a pixel receives is the
function's value at the pixel's centre. Its total light is 1.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = ["PlacedPsf", "Psf", "Stamps"]


class PlacedPsf(Protocol):
    """A PSF at the places of n stars."""

    def values(self, column: np.ndarray, row: np.ndarray, radius: float) -> np.ndarray:
        """Part of each star's light in the pixels around it.

        Parameters
        ----------
        column, row : ndarray of int64, shape (n,)
            Pixel in the middle of each stamp.
        radius : float
            Pixels whose centres are farther from the star are zero [pixel].

        Returns
        -------
        ndarray of float32, shape (n, size, size)
            [1/pixel]; size = 2 ceil(radius) + 1, rows are y.
        """
        ...

    def gradients(self, column: np.ndarray, row: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of `values` with respect to the star's x and y [1/pixel^2], each as `values`.

        The function itself counts as the same all around the star.
        """
        ...

    def reach(self, flux: np.ndarray, faintest: float, farthest: float) -> np.ndarray:
        """Radius beyond which a star adds less than a brightness to any pixel.

        Parameters
        ----------
        flux : ndarray, shape (n,)
            Total light, of either sign.
        faintest : float
            [light per pixel], as a part of the sky's noise.
        farthest : float
            Radius to which a function that is measured near the star may be carried on [pixel].

        Returns
        -------
        ndarray of float64, shape (n,)
            [pixel].
        """
        ...

    def add_light(self, image: np.ndarray, stamps: "Stamps", flux: np.ndarray, reach: np.ndarray) -> None:
        """Add stars to an image, star by star: the stamp, and what lies between it and `reach`; see `add_light`."""
        ...


class Psf(Protocol):
    """Point-spread function of a frame, of total light 1, that may change over the field."""

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the frame."""
        ...

    def at(self, x: np.ndarray, y: np.ndarray) -> PlacedPsf:
        """The function at the places of stars.

        Parameters
        ----------
        x, y : ndarray of float64, shape (n,)
            Finite positions [pixel, 0-based]; outside of the frame the function of the nearest edge holds.
        """
        ...

    def fwhm_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Full width at half maximum at positions [pixel], shape (n,); where it is elongated, the geometric mean."""
        ...

    def describe(self) -> dict[str, str | int | float]:
        """Its kind and its parameters in the middle of the frame, for tables and people."""
        ...


@dataclass(frozen=True)
class Stamps:
    """The PSF of many stars on their pixels, within a circle around each star.

    Attributes
    ----------
    values : ndarray of float32, shape (n, size, size)
        Part of the star's light per pixel; zero outside of the circle.
    column, row : ndarray of int64, shape (n,)
        Pixel of the stamp's middle.
    x, y : ndarray of float64, shape (n,)
        Positions of the stars [pixel].
    radius : float
        Of the circle [pixel].
    psf : PlacedPsf
        What the stamps were made of.
    """

    values: np.ndarray
    column: np.ndarray
    row: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: float
    psf: PlacedPsf

    def __len__(self) -> int:
        """Number of stars."""
        return len(self.x)
