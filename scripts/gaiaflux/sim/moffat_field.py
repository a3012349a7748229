"""A Moffat point-spread function whose width and shape vary over the image.

The function is the effective PSF: the response of the pixel is part of it, so the light that a pixel receives is the
function's value at the pixel's centre. Widths of at least 2.5 pixels are sampled well enough that these values sum to
the star's flux to better than 2e-5.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaiaflux.core.kernels.compile import kernel

__all__ = ["PsfField", "PsfShape", "add_stars", "optimal_sigma"]

TABLE_STEP = 1.0 / 512.0
"""Step of the profile table in units of the core radius; linear interpolation is then good to 3e-6."""

OUTSIDE_FRACTION = 6e-5
"""Largest part of a star's light that may lie outside of the radius to which it is rendered."""

MIN_FWHM_PIX = 2.5


class PsfShape(NamedTuple):
    """Width and ellipticity at n positions.

    Attributes
    ----------
    fwhm : ndarray, shape (n,)
        [pixel].
    ellipticity : ndarray, shape (n,)
        1 - b/a.
    angle : ndarray, shape (n,)
        Long axis, from x towards y [rad].
    """

    fwhm: np.ndarray
    ellipticity: np.ndarray
    angle: np.ndarray


@dataclass(frozen=True)
class PsfField:
    """Elliptical Moffat profile (Moffat 1969, A&A 3, 455) with second-order polynomials over the image.

    Polynomials have the terms 1, u, v, u^2, u v, v^2 of u = 2 x / (nx - 1) - 1 and v = 2 y / (ny - 1) - 1.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx) of the image.
    beta : float
        Exponent of the profile, > 1.
    fwhm : ndarray, shape (6,)
        Geometric mean of the widths along the axes [pixel].
    e1, e2 : ndarray, shape (6,)
        Ellipticity 1 - b/a times the cosine and sine of twice the angle of the long axis (from x towards y).
    """

    shape: tuple[int, int]
    beta: float
    fwhm: np.ndarray
    e1: np.ndarray
    e2: np.ndarray

    def at(self, x: np.ndarray, y: np.ndarray) -> PsfShape:
        """Width and ellipticity at positions.

        Parameters
        ----------
        x, y : ndarray, shape (n,)
            Positions [pixel]; outside of the image the value at the nearest edge holds.

        Returns
        -------
        PsfShape
        """
        ny, nx = self.shape
        u = np.clip(2.0 * np.asarray(x, float) / (nx - 1) - 1.0, -1.0, 1.0)
        v = np.clip(2.0 * np.asarray(y, float) / (ny - 1) - 1.0, -1.0, 1.0)
        terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v])
        fwhm, e1, e2 = (np.tensordot(c, terms, axes=1) for c in (self.fwhm, self.e1, self.e2))
        return PsfShape(fwhm, np.hypot(e1, e2), 0.5 * np.arctan2(e2, e1))

    def area(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Product of the two core radii at positions [pixel^2]; shape (n,)."""
        return (0.5 * self.at(x, y).fwhm) ** 2 / (2.0 ** (1.0 / self.beta) - 1.0)

    def values(self, x: float, y: float, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
        """Part of the light that falls into a pixel whose centre is (dx, dy) from the star at (x, y).

        Parameters
        ----------
        x, y : float
            Position of the star [pixel].
        dx, dy : ndarray
            Offsets [pixel], of one shape.

        Returns
        -------
        ndarray
            [1/pixel], of the shape of `dx`.
        """
        at = np.array([x]), np.array([y])
        cxx, cxy, cyy = self._quadratic_form(*at)[0]
        area = self.area(*at)[0]
        s = 1.0 + cxx * dx**2 + 2.0 * cxy * dx * dy + cyy * dy**2
        return (self.beta - 1.0) / (np.pi * area) * s**-self.beta

    def _quadratic_form(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Coefficients (xx, xy, yy) of the elliptical radius squared in units of the core radius; shape (n, 3)."""
        _, ellipticity, angle = self.at(x, y)
        area = self.area(x, y)
        inv_long = (1.0 - ellipticity) / area
        inv_short = 1.0 / ((1.0 - ellipticity) * area)
        cos2, sin2 = np.cos(angle) ** 2, np.sin(angle) ** 2
        cross = np.cos(angle) * np.sin(angle) * (inv_long - inv_short)
        return np.ascontiguousarray(
            np.stack([cos2 * inv_long + sin2 * inv_short, cross, sin2 * inv_long + cos2 * inv_short], axis=1)
        )


def add_stars(
    image: np.ndarray, psf: PsfField, x: np.ndarray, y: np.ndarray, flux: np.ndarray, *, faintest: float
) -> None:
    """Add the light of stars to an image, in place.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        C-contiguous; the light is added to it.
    psf : PsfField
        Point-spread function.
    x, y : ndarray, shape (n,)
        Positions [pixel]; may lie outside of the image.
    flux : ndarray, shape (n,)
        Total fluxes, in the image's unit; not negative.
    faintest : float
        Each star is rendered at least as far as its light per pixel exceeds this value, and always so far that less
        than 6e-5 of its light lies outside.

    Raises
    ------
    ValueError
        The PSF is narrower than 2.5 pixels, or a flux is negative or not finite.
    """
    x, y, flux = (np.ascontiguousarray(a, dtype=np.float64) for a in (x, y, flux))
    if not np.all(flux >= 0) or not np.all(np.isfinite(flux)):
        raise ValueError("fluxes of simulated stars must be finite and not negative")
    if len(x) == 0:
        return
    fwhm, ellipticity, _ = psf.at(x, y)
    if fwhm.min() < MIN_FWHM_PIX:
        raise ValueError(f"a PSF of {fwhm.min():.2f} pixels is too narrow to be sampled at pixel centres")
    area = psf.area(x, y)
    amplitude = flux * (psf.beta - 1.0) / (np.pi * area)
    reach = np.maximum(OUTSIDE_FRACTION ** (-1.0 / (psf.beta - 1.0)), (amplitude / faintest) ** (1.0 / psf.beta))
    radius = np.sqrt(np.maximum(reach - 1.0, 0.0))
    table_u = np.arange(int(radius.max() / (1.0 - ellipticity.max()) / TABLE_STEP) + 8) * TABLE_STEP
    table = (1.0 + table_u**2) ** -psf.beta
    radius_pix = radius * np.sqrt(area / (1.0 - ellipticity))
    _add_stars(image, x, y, amplitude, psf._quadratic_form(x, y), radius_pix, table, 1.0 / TABLE_STEP)


@kernel(
    "void(float32[:, ::1], float64[::1], float64[::1], float64[::1], float64[:, ::1], float64[::1], float64[::1],"
    " float64)"
)
def _add_stars(
    image: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    amplitude: np.ndarray,
    form: np.ndarray,
    radius: np.ndarray,
    table: np.ndarray,
    inverse_step: float,
) -> None:
    """Render stars out to a circle with the profile interpolated in a table."""
    ny, nx = image.shape
    last = table.shape[0] - 2
    for k in range(x.shape[0]):
        cxx, cxy, cyy = form[k, 0], form[k, 1], form[k, 2]
        first_row = max(0, int(np.ceil(y[k] - radius[k])))
        last_row = min(ny - 1, int(np.floor(y[k] + radius[k])))
        for j in range(first_row, last_row + 1):
            dy = j - y[k]
            half = np.sqrt(max(radius[k] * radius[k] - dy * dy, 0.0))
            first = max(0, int(np.ceil(x[k] - half)))
            stop = min(nx - 1, int(np.floor(x[k] + half))) + 1
            row_term = cyy * dy * dy
            for i in range(first, stop):
                dx = i - x[k]
                u = np.sqrt(dx * (cxx * dx + 2.0 * cxy * dy) + row_term) * inverse_step
                cell = min(int(u), last)
                low = table[cell]
                image[j, i] += np.float32(amplitude[k] * (low + (u - cell) * (table[cell + 1] - low)))


def optimal_sigma(flux: np.ndarray, area: np.ndarray, beta: float, variance: np.ndarray | float) -> np.ndarray:
    """Error of the flux of an isolated star at a known position, fitted with the true PSF and true weights.

    It is (sum P^2 / V)^-1/2 with V = flux P + variance; for a Moffat profile the sum is a function of
    flux / (area variance) alone, which is integrated on a grid and interpolated.

    Parameters
    ----------
    flux : ndarray, shape (n,)
        Total flux [electron].
    area : ndarray, shape (n,)
        Product of the core radii [pixel^2].
    beta : float
        Exponent of the profile.
    variance : ndarray or float
        Variance per pixel without the star: sky and read noise [electron^2].

    Returns
    -------
    ndarray, shape (n,)
        [electron].
    """
    log_s = np.linspace(0.0, np.log(1e6), 4001)
    s = np.exp(log_s)
    log_g = np.linspace(-3.0, 7.0, 301)
    integrand = s ** (1.0 - 2.0 * beta) / (1.0 + 10.0 ** log_g[:, None] * s**-beta)
    integral = np.trapezoid(integrand, log_s, axis=1)
    c = (beta - 1.0) / np.pi
    g = np.asarray(flux) * c / (area * variance)
    value = np.exp(np.interp(np.log10(np.maximum(g, 1e-3)), log_g, np.log(integral)))
    return np.sqrt(area * variance / (np.pi * c * c * value))
