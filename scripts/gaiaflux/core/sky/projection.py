"""Gnomonic projection with SIP distortion: pixels to the sky and back.

Pixels are 0-based, an integer is the centre of a pixel, x = column, y = row. The plane's (xi, eta) are the projection's
intermediate world coordinates, xi to the east and eta to the north [deg]. Formulae: Calabretta & Greisen 2002
(A&A 395, 1077), section 5.1.3; Shupe et al. 2005 (ADASS XIV, 491).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.maths.polynomials import polynomial_terms, square
from gaiaflux.model.wcs import TanSip

__all__ = [
    "image_extent",
    "invert_distortion",
    "linear_tan",
    "pixel_scale_arcsec",
    "pixel_to_plane",
    "pixel_to_sky",
    "plane_to_pixel",
    "plane_to_sky",
    "sip_order",
    "sky_of_pixel",
    "sky_to_pixel",
    "sky_to_plane",
]

NEWTON_STEPS = 30
NEWTON_TOLERANCE_PIX = 1e-9
INVERSE_TOLERANCE_PIX = 0.005
MAX_INVERSE_ORDER = 9
_VECTORS = "float64[::1], float64[::1]"


@device
def _polynomial(c: np.ndarray, u: float, v: float) -> tuple[float, float, float]:
    """Value and both derivatives of sum over p + q <= order of c[p, q] u^p v^q, by Horner's rule."""
    order = c.shape[0] - 1
    value = 0.0
    value_u = 0.0
    value_v = 0.0
    for p in range(order, -1, -1):
        row = 0.0
        row_v = 0.0
        for q in range(order - p, -1, -1):
            row_v = row_v * v + row
            row = row * v + c[p, q]
        value_u = value_u * u + value
        value = value * u + row
        value_v = value_v * u + row_v
    return value, value_u, value_v


@kernel(f"void({_VECTORS}, float64, float64, {_VECTORS})")
def _sky_to_plane(ra, dec, ra0, dec0, xi, eta):  # noqa: ANN001, ANN202
    deg = np.pi / 180.0
    sin0 = np.sin(dec0 * deg)
    cos0 = np.cos(dec0 * deg)
    for i in range(ra.size):
        dra = (ra[i] - ra0) * deg
        sin_dec = np.sin(dec[i] * deg)
        cos_dec = np.cos(dec[i] * deg)
        cos_dra = np.cos(dra)
        depth = sin_dec * sin0 + cos_dec * cos0 * cos_dra
        if depth > 0.0:
            xi[i] = cos_dec * np.sin(dra) / depth / deg
            eta[i] = (sin_dec * cos0 - cos_dec * sin0 * cos_dra) / depth / deg
        else:
            xi[i] = np.nan
            eta[i] = np.nan


@kernel(f"void({_VECTORS}, float64, float64, {_VECTORS})")
def _plane_to_sky(xi, eta, ra0, dec0, ra, dec):  # noqa: ANN001, ANN202
    deg = np.pi / 180.0
    sin0 = np.sin(dec0 * deg)
    cos0 = np.cos(dec0 * deg)
    for i in range(xi.size):
        east = xi[i] * deg
        north = eta[i] * deg
        along = cos0 - north * sin0
        turn = ra0 + np.arctan2(east, along) / deg
        if turn < 0.0:
            turn += 360.0
        elif turn >= 360.0:
            turn -= 360.0
        ra[i] = turn
        dec[i] = np.arctan2(sin0 + north * cos0, np.hypot(east, along)) / deg


@kernel(f"void({_VECTORS}, float64, float64, float64[:, ::1], float64[:, ::1], float64[:, ::1], {_VECTORS})")
def _pixel_to_plane(x, y, x0, y0, cd, a, b, xi, eta):  # noqa: ANN001, ANN202
    for i in range(x.size):
        u = x[i] - x0
        v = y[i] - y0
        du = _polynomial(a, u, v)[0]
        dv = _polynomial(b, u, v)[0]
        xi[i] = cd[0, 0] * (u + du) + cd[0, 1] * (v + dv)
        eta[i] = cd[1, 0] * (u + du) + cd[1, 1] * (v + dv)


@kernel(
    f"void({_VECTORS}, float64, float64, float64[:, ::1], float64[:, ::1], float64[:, ::1], int64, float64, {_VECTORS})"
)
def _plane_to_pixel(xi, eta, x0, y0, inverse_cd, a, b, max_steps, tolerance, x, y):  # noqa: ANN001, ANN202
    for i in range(xi.size):
        u_goal = inverse_cd[0, 0] * xi[i] + inverse_cd[0, 1] * eta[i]
        v_goal = inverse_cd[1, 0] * xi[i] + inverse_cd[1, 1] * eta[i]
        u = u_goal
        v = v_goal
        x[i] = np.nan
        y[i] = np.nan
        for _ in range(max_steps):
            a_value, a_u, a_v = _polynomial(a, u, v)
            b_value, b_u, b_v = _polynomial(b, u, v)
            miss_u = u_goal - u - a_value
            miss_v = v_goal - v - b_value
            determinant = (1.0 + a_u) * (1.0 + b_v) - a_v * b_u
            step_u = ((1.0 + b_v) * miss_u - a_v * miss_v) / determinant
            step_v = ((1.0 + a_u) * miss_v - b_u * miss_u) / determinant
            u += step_u
            v += step_v
            if abs(step_u) + abs(step_v) < tolerance + 1e-15 * (abs(u) + abs(v)):
                x[i] = u + x0
                y[i] = v + y0
                break


def _flat(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    first, second = np.broadcast_arrays(np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64))
    return np.ascontiguousarray(first).ravel(), np.ascontiguousarray(second).ravel(), first.shape


def sky_to_plane(crval: tuple[float, float], ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Project the sky on the plane that touches it at `crval`.

    Parameters
    ----------
    crval : tuple of float
        (ra, dec) of the tangent point [deg].
    ra_deg, dec_deg : array_like
        ICRS [deg], any broadcastable shapes.

    Returns
    -------
    xi, eta : ndarray of float64
        [deg]; NaN where the point is 90 degrees or more from the tangent point, or not finite.
    """
    ra, dec, shape = _flat(ra_deg, dec_deg)
    xi, eta = np.empty_like(ra), np.empty_like(ra)
    _sky_to_plane(ra, dec, float(crval[0]), float(crval[1]), xi, eta)
    return xi.reshape(shape), eta.reshape(shape)


def plane_to_sky(crval: tuple[float, float], xi: ArrayLike, eta: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Opposite of `sky_to_plane`.

    Parameters
    ----------
    crval : tuple of float
        (ra, dec) of the tangent point [deg].
    xi, eta : array_like
        [deg], any broadcastable shapes.

    Returns
    -------
    ra_deg, dec_deg : ndarray of float64
        ICRS [deg], 0 <= ra < 360; NaN where the input is.
    """
    east, north, shape = _flat(xi, eta)
    ra, dec = np.empty_like(east), np.empty_like(east)
    _plane_to_sky(east, north, float(crval[0]), float(crval[1]), ra, dec)
    return ra.reshape(shape), dec.reshape(shape)


def pixel_to_plane(wcs: TanSip, x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Positions on the tangent plane of pixels.

    Parameters
    ----------
    wcs : TanSip
        Plate solution.
    x, y : array_like
        [pixel], any broadcastable shapes.

    Returns
    -------
    xi, eta : ndarray of float64
        [deg]; NaN where the input is.
    """
    column, row, shape = _flat(x, y)
    xi, eta = np.empty_like(column), np.empty_like(column)
    _pixel_to_plane(column, row, *_reference(wcs), _matrix(wcs.cd), _matrix(wcs.a), _matrix(wcs.b), xi, eta)
    return xi.reshape(shape), eta.reshape(shape)


def plane_to_pixel(wcs: TanSip, xi: ArrayLike, eta: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Opposite of `pixel_to_plane`, by Newton's method on the forward distortion.

    Parameters
    ----------
    wcs : TanSip
        Plate solution.
    xi, eta : array_like
        [deg], any broadcastable shapes.

    Returns
    -------
    x, y : ndarray of float64
        [pixel]; NaN where the input is, and far outside of the image where the distortion has no inverse.
    """
    east, north, shape = _flat(xi, eta)
    x, y = np.empty_like(east), np.empty_like(east)
    inverse = _matrix(np.linalg.inv(wcs.cd))
    _plane_to_pixel(
        east, north, *_reference(wcs), inverse, _matrix(wcs.a), _matrix(wcs.b), NEWTON_STEPS, NEWTON_TOLERANCE_PIX, x, y
    )
    return x.reshape(shape), y.reshape(shape)


def pixel_to_sky(wcs: TanSip, x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Sky positions of pixels.

    Parameters
    ----------
    wcs : TanSip
        Plate solution.
    x, y : array_like
        [pixel], any broadcastable shapes.

    Returns
    -------
    ra_deg, dec_deg : ndarray of float64
        ICRS [deg], 0 <= ra < 360; NaN where the input is.
    """
    return plane_to_sky(wcs.crval, *pixel_to_plane(wcs, x, y))


def sky_to_pixel(wcs: TanSip, ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of sky positions; exact to 1e-9 pixel.

    Parameters
    ----------
    wcs : TanSip
        Plate solution.
    ra_deg, dec_deg : array_like
        ICRS [deg], any broadcastable shapes.

    Returns
    -------
    x, y : ndarray of float64
        [pixel]; NaN on the far side of the sky and where the distortion has no inverse.
    """
    return plane_to_pixel(wcs, *sky_to_plane(wcs.crval, ra_deg, dec_deg))


def pixel_scale_arcsec(wcs: TanSip) -> float:
    """Geometric mean of the pixel's sides at the reference pixel [arcsec]."""
    return 3600.0 * float(np.sqrt(abs(np.linalg.det(wcs.cd))))


def sky_of_pixel(wcs: TanSip, x: float, y: float) -> tuple[float, float]:
    """Right ascension and declination of one place on an image [deg], as numbers."""
    ra, dec = pixel_to_sky(wcs, x, y)
    return float(ra), float(dec)


def sip_order(wcs: TanSip) -> int:
    """Order of the distortion; 1 where there is none."""
    return max(1, wcs.a.shape[0] - 1, wcs.b.shape[0] - 1)


def linear_tan(crval: tuple[float, float], crpix: tuple[float, float], cd: ArrayLike, shape: tuple[int, int]) -> TanSip:
    """A plate solution without distortion.

    Parameters
    ----------
    crval : tuple of float
        (ra, dec) of the tangent point [deg].
    crpix : tuple of float
        (x, y) of the reference pixel, 0-based.
    cd : array_like, shape (2, 2)
        [deg/pixel].
    shape : tuple of int
        (ny, nx) of the image.

    Returns
    -------
    TanSip
        With `a`, `b`, `ap`, `bp` of shape (1, 1).
    """
    none = np.zeros((1, 1))
    crval = (float(crval[0]), float(crval[1]))
    crpix = (float(crpix[0]), float(crpix[1]))
    return TanSip(crval, crpix, np.array(cd, dtype=np.float64), none, none, none, none, (int(shape[0]), int(shape[1])))


def image_extent(wcs: TanSip) -> float:
    """Largest distance of the image from the reference pixel: scales the coordinates of the polynomials."""
    ny, nx = wcs.shape
    x0, y0 = wcs.crpix
    return float(max(abs(x0), abs(y0), abs(nx - 1 - x0), abs(ny - 1 - y0), 1.0))


def invert_distortion(wcs: TanSip) -> TanSip:
    """Add the inverse polynomials AP, BP, for programs that use them.

    Their order is raised until they are good to 0.005 pixel over the image, or reaches 9.

    Parameters
    ----------
    wcs : TanSip
        Plate solution.

    Returns
    -------
    TanSip
        The same solution with `ap` and `bp`.
    """
    if sip_order(wcs) < 2:
        return replace(wcs, ap=np.zeros((1, 1)), bp=np.zeros((1, 1)))
    ny, nx = wcs.shape
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(-0.5, nx - 0.5, 19), np.linspace(-0.5, ny - 0.5, 19)))
    u, v = x - wcs.crpix[0], y - wcs.crpix[1]
    u_distorted, v_distorted = np.linalg.inv(wcs.cd) @ np.stack(pixel_to_plane(wcs, x, y))
    goal = np.stack([u - u_distorted, v - v_distorted])
    extent = image_extent(wcs)
    for order in range(sip_order(wcs), MAX_INVERSE_ORDER + 1):
        terms = polynomial_terms(u_distorted / extent, v_distorted / extent, order)
        found = np.linalg.lstsq(terms, goal.T, rcond=None)[0].T
        if np.abs(goal - found @ terms.T).max() < INVERSE_TOLERANCE_PIX:
            break
    return replace(wcs, ap=square(found[0], order, extent), bp=square(found[1], order, extent))


def _reference(wcs: TanSip) -> tuple[float, float]:
    return float(wcs.crpix[0]), float(wcs.crpix[1])


def _matrix(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float64)
