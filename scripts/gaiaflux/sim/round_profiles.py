"""Round profiles of starlight as tables over the radius, made by numerical integration.

None of them is of the family that the photometry fits, except the Moffat profile, which is there for comparison.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

__all__ = ["ROUND_PROFILES", "RoundProfile", "double_gaussian", "kolmogorov", "moffat"]

OUTERMOST = 400.0
INNER_STEP = 0.01
KOLMOGOROV_END = 12.0
"""The seeing's profile is integrated out to this radius [FWHM] and goes on as the power law of its wings, r^-11/3."""


@dataclass(frozen=True)
class RoundProfile:
    """Surface brightness over the radius; the full width at half maximum is 1.

    Attributes
    ----------
    radius : ndarray, shape (n,)
        From 0 [FWHM].
    value : ndarray, shape (n,)
        1 in the middle.
    light : ndarray, shape (n,)
        Integral of the value over the disc within each radius [FWHM^2].
    """

    radius: np.ndarray
    value: np.ndarray
    light: np.ndarray

    def at(self, radius: np.ndarray) -> np.ndarray:
        """Value at radii [FWHM]; of the shape of `radius`."""
        return np.interp(radius, self.radius, self.value)

    def light_within(self, radius: float) -> float:
        """Integral over a disc [FWHM^2]."""
        return float(np.interp(radius, self.radius, self.light))


def _of_unit_width(radius: np.ndarray, value: np.ndarray) -> RoundProfile:
    """Scale a falling profile to a peak and a width of 1, on the common radii."""
    value = value / float(value[0])
    width = 2.0 * float(np.interp(-0.5, -value, radius))
    common = np.r_[np.arange(0.0, 4.0, INNER_STEP), np.geomspace(4.0, OUTERMOST, 1200)]
    # Logarithms between the points: the wings are power laws.
    scaled = np.exp(np.interp(common, radius / width, np.log(np.maximum(value, 1e-300))))
    ring = np.pi * np.diff(common**2) * 0.5 * (scaled[1:] + scaled[:-1])
    return RoundProfile(common, scaled, np.r_[0.0, np.cumsum(ring)])


@cache
def kolmogorov() -> RoundProfile:
    """Long exposures in turbulence, with the transfer function exp(-3.44 (r/r0)^(5/3)) (Fried 1966, JOSA 56, 1372).

    Returns
    -------
    RoundProfile
    """
    frequency = np.linspace(0.0, 2.6, 4001)
    transfer = np.exp(-3.44 * frequency ** (5.0 / 3.0)) * frequency
    radius = np.arange(0.0, KOLMOGOROV_END, INNER_STEP)
    argument = 2.0 * np.pi * np.outer(radius, frequency)
    value = np.asarray(np.trapezoid(_bessel_j0(argument) * transfer, frequency, axis=1))
    outer = np.geomspace(KOLMOGOROV_END, OUTERMOST * 1.2, 300)
    wing = value[-1] * (outer / radius[-1]) ** (-11.0 / 3.0)
    return _of_unit_width(np.r_[radius, outer], np.r_[value, wing])


def _bessel_j0(x: np.ndarray) -> np.ndarray:
    """Bessel function J0, the mean of cos(x sin t), from a table whose linear interpolation is good to 1e-6."""
    grid = np.arange(0.0, float(x.max()) + 0.02, 0.003)
    # The trapezoidal rule is exact for a periodic function once it has more points than x.
    angle = np.pi * (np.arange(256) + 0.5) / 256
    table = np.zeros_like(grid)
    for sine in np.sin(angle[:128]):
        table += np.cos(grid * sine)
    return np.interp(x, grid, table / 128)


@cache
def moffat(beta: float = 3.2) -> RoundProfile:
    """Moffat (1969, A&A 3, 455).

    Parameters
    ----------
    beta : float
        Exponent, > 1.

    Returns
    -------
    RoundProfile
    """
    radius = np.r_[np.arange(0.0, 8.0, 0.5 * INNER_STEP), np.geomspace(8.0, 1.2 * OUTERMOST, 2000)]
    return _of_unit_width(radius, (1.0 + radius**2) ** -beta)


@cache
def double_gaussian(ratio: float = 2.5, share: float = 0.15) -> RoundProfile:
    """A Gaussian on a wider one, as of optics with scattered light close to the core.

    Parameters
    ----------
    ratio : float
        Width of the wide one over that of the narrow one.
    share : float
        Part of the light in the wide one.

    Returns
    -------
    RoundProfile
    """
    radius = np.arange(0.0, 30.0, 0.5 * INNER_STEP)
    narrow, wide = np.exp(-0.5 * radius**2), np.exp(-0.5 * (radius / ratio) ** 2) / ratio**2
    return _of_unit_width(radius, (1.0 - share) * narrow + share * wide)


ROUND_PROFILES: dict[str, Callable[[], RoundProfile]] = {
    "kolmogorov": kolmogorov,
    "moffat": moffat,
    "double_gaussian": double_gaussian,
}
"""Names that an `Optics` may give."""
