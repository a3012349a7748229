"""Least-squares fit of a plate solution to points, and polynomial corrections of it.

Pixels are 0-based, an integer is the centre of a pixel, x = column, y = row.
"""

from dataclasses import replace

import numpy as np

from gaiaflux.core.maths.polynomials import exponents, polynomial_terms, square
from gaiaflux.core.sky.projection import (
    image_extent,
    linear_tan,
    pixel_to_plane,
    plane_to_sky,
    sip_order,
    sky_to_plane,
)
from gaiaflux.model.wcs import TanSip

__all__ = ["correct_plane", "fit_tan_sip", "scaled_pixels"]


def scaled_pixels(wcs: TanSip, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels as the corrections of `correct_plane` count them: from the reference pixel, 1 = the image's far side."""
    extent = image_extent(wcs)
    return (x - wcs.crpix[0]) / extent, (y - wcs.crpix[1]) / extent


def correct_plane(wcs: TanSip, correction: np.ndarray) -> TanSip:
    """Add a polynomial to the positions on the tangent plane; its constant moves the tangent point instead.

    Parameters
    ----------
    wcs : TanSip
        Plate solution; its distortion of a higher order than the correction's stays.
    correction : ndarray, shape (2, n_terms)
        Coefficients of xi and eta [deg] for the terms of `polynomial_terms` of `scaled_pixels`.

    Returns
    -------
    TanSip
        Without inverse polynomials. The sky is kept up to the difference of two tangent planes, so that a fit that
        moves the tangent point is done twice.
    """
    extent = image_extent(wcs)
    n_terms = correction.shape[1]
    fitted_order = round((np.sqrt(8 * n_terms + 1) - 3) / 2)
    order = max(fitted_order, sip_order(wcs))
    plane = _plane_polynomial(wcs, order, extent)
    # A turn or stretch acts on the distorted pixels: the distortion belongs to the optics and stays.
    plane[:, 3:] = (np.eye(2) + correction[:, 1:3] @ np.linalg.inv(plane[:, 1:3])) @ plane[:, 3:]
    plane[:, :n_terms] += correction
    ra, dec = plane_to_sky(wcs.crval, plane[0, 0], plane[1, 0])
    plane = _turn_of_north(wcs.crval, plane[:, 0], float(ra), float(dec)) @ plane
    cd = np.ascontiguousarray(plane[:, 1:3] / extent)
    linear = linear_tan((float(ra), float(dec)), wcs.crpix, cd, wcs.shape)
    if order < 2:
        return linear
    distortion = np.linalg.inv(cd) @ plane
    distortion[:, :3] = 0.0
    return replace(linear, a=square(distortion[0], order, extent), b=square(distortion[1], order, extent))


def fit_tan_sip(
    start: TanSip,
    x: np.ndarray,
    y: np.ndarray,
    sky: tuple[np.ndarray, np.ndarray],
    weight: np.ndarray | None = None,
    *,
    order: int = 1,
    steps: int = 2,
) -> TanSip:
    """Least-squares plate solution through pairs of pixels and sky positions.

    The polynomial is fitted to what `start` leaves over; the reference pixel stays and the tangent point moves.

    Parameters
    ----------
    start : TanSip
        Solution that is improved; within a degree or so. Its distortion of a higher order than `order` stays.
    x, y : ndarray, shape (n,)
        [pixel].
    sky : tuple of ndarray, shape (n,)
        Right ascension and declination, ICRS [deg].
    weight : ndarray, shape (n,), optional
        Inverse variance of one axis in any unit; None means equal.
    order : int
        1 = linear, 2 and more = SIP.
    steps : int
        Repetitions, since the tangent point moves; 2 suffice within an arcminute.

    Returns
    -------
    TanSip
        Without the inverse polynomials, see `invert_distortion`.

    Raises
    ------
    ValueError
        Fewer points than terms, or points that do not fix them.
    """
    if len(x) < (order + 1) * (order + 2) // 2:
        raise ValueError(f"{len(x)} points cannot fix a solution of order {order}")
    terms = polynomial_terms(*scaled_pixels(start, x, y), order).T
    weighted = terms if weight is None else terms * weight
    try:
        inverse = np.linalg.inv(weighted @ terms.T)
    except np.linalg.LinAlgError:
        raise ValueError("the points do not fix the solution") from None
    wcs = start
    for _ in range(steps):
        left = np.stack(sky_to_plane(wcs.crval, *sky)) - np.stack(pixel_to_plane(wcs, x, y))
        wcs = correct_plane(wcs, left @ weighted.T @ inverse)
    return wcs


def _turn_of_north(crval: tuple[float, float], point: np.ndarray, ra: float, dec: float) -> np.ndarray:
    """Rotation from the axes of the plane to north and east at a point of it; near a pole they differ."""
    step = 1e-4 if dec < 0.0 else -1e-4
    xi, eta = sky_to_plane(crval, ra, dec + step)
    north = np.array([float(xi), float(eta)]) - point
    north *= np.sign(step) / np.hypot(*north)
    return np.array([[north[1], -north[0]], [north[0], north[1]]])


def _plane_polynomial(wcs: TanSip, order: int, extent: float) -> np.ndarray:
    plane = np.zeros((2, len(exponents(order))))
    distortion = np.zeros_like(plane)
    for k, (p, q) in enumerate(exponents(order)):
        for row, c in enumerate((wcs.a, wcs.b)):
            if p + q < c.shape[0]:
                distortion[row, k] = c[p, q] * extent ** (p + q)
    plane[:, 1:3] = extent * wcs.cd
    return plane + wcs.cd @ distortion
