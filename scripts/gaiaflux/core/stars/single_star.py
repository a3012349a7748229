"""Centroid, flux and shape of single stars.

The profile is a circular Moffat function with exponent 3, I(r) = F 2 / (pi a^2) (1 + r^2/a^2)^-3, sampled at pixel
centres. A windowed centroid (Gaussian window as wide as the stars) starts two scoring steps of the maximum-likelihood
fit of flux and position, with the variance of the model; that reaches the accuracy of a full profile fit. Widths are
adaptive moments (Bernstein & Jarvis 2002, AJ 123, 583), converted to the FWHM of that profile.
"""

import numpy as np

from gaiaflux.core.stars.moments import MAX_WINDOW, adaptive_widths, fill_holes
from gaiaflux.core.stars.single_star_kernels import drop_doubles, fit_stars
from gaiaflux.model.stars import STAR_DTYPE

__all__ = ["adaptive_fwhm", "fill_unusable", "measure_stars"]


def fill_unusable(image: np.ndarray, pixel_flags: np.ndarray) -> np.ndarray:
    """Bad pixels replaced by the mean of their nearest good neighbours along row and column.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Pixels that are bad, not finite or hit by a cosmic ray are replaced; saturated ones are kept, they are bright.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        A new image; zero where no good pixel is within 5 pixels.
    """
    result = image.copy()
    fill_holes(image, pixel_flags, result)
    return result


def adaptive_fwhm(
    image: np.ndarray, pixel_flags: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Width of stars whose size is not known yet.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Without sky.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Nonzero = unusable.
    x, y : ndarray of int64, shape (n,)
        Brightest pixel of each star.

    Returns
    -------
    fwhm : ndarray of float64, shape (n,)
        [pixel]; NaN where the moments do not converge.
    extended : ndarray of bool, shape (n,)
        False for a hit of a few pixels, which no optics can make.
    """
    fwhm = np.empty(len(x))
    extended = np.empty(len(x), np.bool_)
    adaptive_widths(image, pixel_flags, x, y, np.empty(2 * MAX_WINDOW + 1), fwhm, extended)
    return fwhm, extended


def measure_stars(
    image: np.ndarray,
    pixel_flags: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    noise: np.ndarray,
    *,
    fwhm_pix: float,
    flux_variance: float,
) -> np.ndarray:
    """Fit flux and position of each star by itself.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Without sky.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Nonzero = unusable.
    x, y : ndarray of int64, shape (n,)
        Brightest pixel of each star.
    noise : ndarray of float, shape (n,)
        One-pixel noise of the sky at the star.
    fwhm_pix : float
        Seeing [pixel].
    flux_variance : float
        Variance of photon noise per unit of flux.

    Returns
    -------
    ndarray of STAR_DTYPE, shape (n_kept,)
        In the order of the input without doubles (fits that ended on one star) and without cosmic rays; x is NaN
        where nothing could be fitted.
    """
    table = np.zeros((len(x), 10))
    flags = np.zeros(len(x), np.uint32)
    size = 2 * int(np.ceil(2 * fwhm_pix)) + 3
    fit_stars(
        image,
        pixel_flags,
        x.astype(np.int64),
        y.astype(np.int64),
        noise.astype(np.float64),
        float(fwhm_pix),
        float(flux_variance),
        np.empty(2 * int(np.ceil(3 * fwhm_pix)) + 3),
        np.empty((size, size), np.uint8),
        table,
        flags,
    )
    stars = np.zeros(len(x), STAR_DTYPE)
    for column, name in enumerate((STAR_DTYPE.names or ())[:-1]):
        stars[name] = table[:, column]
    stars["flags"] = flags
    return stars[_distinct(stars, 0.5 * fwhm_pix)]


def _distinct(stars: np.ndarray, radius: float) -> np.ndarray:
    """Mask without the weaker star of each pair that is closer than the radius."""
    order = np.argsort(stars["y"], kind="stable")
    keep = np.ones(len(stars), np.bool_)
    drop_doubles(
        np.ascontiguousarray(stars["x"][order]),
        np.ascontiguousarray(stars["y"][order]),
        np.ascontiguousarray(stars["snr"][order], np.float64),
        radius,
        keep,
    )
    mask = np.empty(len(stars), np.bool_)
    mask[order] = keep
    return mask
