"""A plate solution as one polynomial from the sky to the pixels, checked against the solution itself.

`gaiaflux.core.sky.projection.sky_to_pixel` inverts the distortion for every place anew; a polynomial of the tangent
plane is evaluated at once, by numpy alone.
"""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.maths.polynomials import polynomial_terms
from gaiaflux.core.sky.projection import pixel_to_plane, pixel_to_sky
from gaiaflux.model.wcs import TanSip

__all__ = ["PlatePolynomial", "plate_polynomial"]

NODES = 25
HIGHEST_ORDER = 9


@dataclass(frozen=True)
class PlatePolynomial:
    """Pixels of sky positions; made by `plate_polynomial`.

    Attributes
    ----------
    crval : tuple of float
        (ra, dec) of the tangent point [deg].
    centre : ndarray of float64, shape (2,)
        Middle of the image on the tangent plane [deg].
    extent : float
        Half of its size there [deg].
    order : int
        Highest total degree.
    coefficients : ndarray of float64, shape (2, n_terms)
        Of `gaiaflux.core.maths.polynomials.polynomial_terms`, for x and for y [pixel].
    residual : float
        Largest difference from the plate solution in the image, at places that were not fitted [pixel].
    """

    crval: tuple[float, float]
    centre: np.ndarray
    extent: float
    order: int
    coefficients: np.ndarray
    residual: float

    def pixels(self, ra_deg: np.ndarray, dec_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of places on the sky.

        Parameters
        ----------
        ra_deg, dec_deg : ndarray, shape (n,)
            ICRS [deg].

        Returns
        -------
        x, y : ndarray of float64, shape (n,)
            [pixel, 0-based]; NaN on the far side of the sky and where the input is. Far outside of the image they mean
            little.
        """
        ra, dec = (np.radians(np.atleast_1d(np.asarray(values, np.float64))) for values in (ra_deg, dec_deg))
        ra0, dec0 = np.radians(self.crval)
        cos_dec, sin_dec, cos_turn = np.cos(dec), np.sin(dec), np.cos(ra - ra0)
        depth = sin_dec * np.sin(dec0) + cos_dec * np.cos(dec0) * cos_turn
        depth = np.where(depth > 0.0, depth, np.nan)
        xi = np.degrees(cos_dec * np.sin(ra - ra0) / depth)
        eta = np.degrees((sin_dec * np.cos(dec0) - cos_dec * np.sin(dec0) * cos_turn) / depth)
        u, v = (xi - self.centre[0]) / self.extent, (eta - self.centre[1]) / self.extent
        x, y = self.coefficients @ polynomial_terms(u, v, self.order).T
        return x, y


def plate_polynomial(wcs: TanSip, margin: float = 20.0, tolerance: float = 2e-4) -> PlatePolynomial:
    """Fit a polynomial to a plate solution.

    Parameters
    ----------
    wcs : TanSip
    margin : float
        How far beyond the image it is to hold [pixel].
    tolerance : float
        The order is raised until places between the fitted ones differ by less, or to 9 [pixel].

    Returns
    -------
    PlatePolynomial
    """
    ny, nx = wcs.shape
    x, y = _grid(nx, ny, margin, np.cos(np.pi * np.arange(NODES) / (NODES - 1)))
    xi, eta = pixel_to_plane(wcs, x, y)
    centre = np.array([0.5 * (xi.min() + xi.max()), 0.5 * (eta.min() + eta.max())])
    extent = 0.5 * float(max(np.ptp(xi), np.ptp(eta)))
    u, v = (xi - centre[0]) / extent, (eta - centre[1]) / extent
    test_x, test_y = _grid(nx, ny, margin, np.linspace(-1.0, 1.0, 2 * NODES))
    sky = pixel_to_sky(wcs, test_x, test_y)
    made = []
    for order in range(1, HIGHEST_ORDER + 1):
        found = np.linalg.lstsq(polynomial_terms(u, v, order), np.stack([x, y], axis=1), rcond=None)[0].T
        fitted = PlatePolynomial(wcs.crval, centre, extent, order, np.ascontiguousarray(found), np.inf)
        at_x, at_y = fitted.pixels(*sky)
        made.append(replace(fitted, residual=float(np.hypot(at_x - test_x, at_y - test_y).max())))
        if made[-1].residual < tolerance:
            break
    return min(made, key=lambda one: one.residual)


def _grid(nx: int, ny: int, margin: float, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places over an image, from nodes between -1 and 1."""
    x = 0.5 * (nx - 1) + (0.5 * nx + margin) * nodes
    y = 0.5 * (ny - 1) + (0.5 * ny + margin) * nodes
    columns, rows = np.meshgrid(x, y)
    return columns.ravel(), rows.ravel()
