"""The Moffat function (Moffat 1969, A&A 3, 455): its width, its brightness, and the light within a radius.

A star of light 1 has the brightness (beta - 1) / (pi alpha^2) (1 + r^2 / alpha^2)^-beta at radius r, the light
1 - (1 + r^2 / alpha^2)^(1 - beta) within it, and the full width at half maximum 2 alpha sqrt(2^(1 / beta) - 1).
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.kernels.compile import device

__all__ = ["MoffatProfile", "core_radius2", "half_maximum", "light_within"]


def half_maximum(beta: float) -> float:
    """Square of the radius at half maximum, in units of the core radius alpha."""
    return 2.0 ** (1.0 / beta) - 1.0


def core_radius2(fwhm: float | np.ndarray, beta: float) -> float | np.ndarray:
    """Square of the core radius alpha of a full width at half maximum, in the unit of its square."""
    return (0.5 * fwhm) ** 2 / half_maximum(beta)


@device
def light_within(r2: float, beta: float) -> float:
    """Part of the light within a radius whose square, in units of the core radius, is `r2`; arrays in Python."""
    return 1.0 - (1.0 + r2) ** (1.0 - beta)


@dataclass(frozen=True)
class MoffatProfile:
    """Round Moffat profile of total light 1.

    Attributes
    ----------
    alpha : float
        Radius scale [pixel].
    beta : float
        Exponent.
    """

    alpha: float
    beta: float

    @classmethod
    def from_fwhm(cls, fwhm: float, beta: float = 3.0) -> "MoffatProfile":
        """Profile of a given full width at half maximum [pixel]."""
        return cls(fwhm / (2.0 * np.sqrt(half_maximum(beta))), beta)

    @property
    def fwhm(self) -> float:
        """Full width at half maximum [pixel]."""
        return 2.0 * self.alpha * float(np.sqrt(half_maximum(self.beta)))

    @property
    def peak(self) -> float:
        """Light per pixel in the centre."""
        return (self.beta - 1.0) / (np.pi * self.alpha**2)

    def growth(self, r: np.ndarray | float) -> np.ndarray:
        """Fraction of the light within radius r [pixel]."""
        return light_within((np.asarray(r) / self.alpha) ** 2, self.beta)

    def growth_slope(self, r: np.ndarray | float) -> np.ndarray:
        """Derivative of `growth` with respect to ln(alpha); not positive."""
        u2 = (np.asarray(r) / self.alpha) ** 2
        return -2.0 * (self.beta - 1.0) * u2 * (1.0 + u2) ** (-self.beta)

    def surface_brightness(self, r: np.ndarray) -> np.ndarray:
        """Light per pixel at radius r [pixel]."""
        return self.peak * (1.0 + (np.asarray(r) / self.alpha) ** 2) ** (-self.beta)

    def radius_of(self, brightness: np.ndarray) -> np.ndarray:
        """Radius [pixel] where `surface_brightness` falls to a value; 0 where it is never so high."""
        ratio = np.maximum(self.peak / np.asarray(brightness, np.float64), 1.0)
        return self.alpha * np.sqrt(ratio ** (1.0 / self.beta) - 1.0)

    def annulus_brightness(self, inner: float, outer: float) -> float:
        """Mean light per pixel between two radii [pixel]."""
        return float((self.growth(outer) - self.growth(inner)) / (np.pi * (outer**2 - inner**2)))

    def annulus_scatter(self, inner: float, outer: float) -> float:
        """Standard deviation of the light per pixel between two radii [pixel]."""
        a, b = (1.0 + (r / self.alpha) ** 2 for r in (inner, outer))
        power = 1.0 - 2.0 * self.beta
        square = self.peak**2 * (b**power - a**power) / (power * (b - a))
        return float(np.sqrt(max(square - self.annulus_brightness(inner, outer) ** 2, 0.0)))
