"""The plain script of the field: one circle for all stars and frames, sky from an annulus, the median of an ensemble.

sep alone, and somebody's plate solutions. Radius and ensemble are chosen on the even frames.
"""

import numpy as np
import sep

__all__ = ["light_curves", "sums"]

RADII_PIX = (2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
N_ENSEMBLE = 60


def sums(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Flux of stars within each radius.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Finite pixels.
    x, y : ndarray, shape (n,)
        Places [pixel].

    Returns
    -------
    ndarray, shape (n, n_radii)
        NaN where the annulus reaches over the edge.
    """
    image = np.ascontiguousarray(image, np.float32)
    flat = image - sep.Background(image)
    flux = np.full((len(x), len(RADII_PIX)), np.nan)
    ny, nx = image.shape
    for k, radius in enumerate(RADII_PIX):
        inner, outer = max(2.0 * radius, radius + 4), max(3.0 * radius, radius + 8)
        on = (x > outer) & (y > outer) & (x < nx - 1 - outer) & (y < ny - 1 - outer)
        flux[on, k] = sep.sum_circle(flat, x[on], y[on], radius, bkgann=(inner, outer))[0]
    return flux


def light_curves(flux: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """Magnitudes of all stars, relative to the median of an ensemble.

    Parameters
    ----------
    flux : ndarray, shape (n_stars, n_frames, n_radii)
        Of `sums`.
    bright : ndarray of int
        Rows of bright stars, of which the ensemble is made.

    Returns
    -------
    ndarray, shape (n_stars, n_frames)
        By the radius for which the ensemble scatters least in the even frames; NaN where not measured.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        mag = np.where(flux > 0, -2.5 * np.log10(flux), np.nan)
    best, least = np.full(mag.shape[:2], np.nan), np.inf
    for k in range(mag.shape[2]):
        one = mag[:, :, k] - np.nanmedian(mag[:, :, k], axis=1, keepdims=True)
        chosen = bright[np.isfinite(one[bright]).mean(axis=1) > 0.8]
        for _ in range(3):
            zero = np.nanmedian(one[chosen], axis=0)
            scatter = np.nanstd((one - zero)[:, ::2], axis=1)
            chosen = chosen[np.argsort(scatter[chosen])][:N_ENSEMBLE]
        typical = np.nanmedian(scatter[chosen])
        if typical < least:
            best, least = mag[:, :, k] - zero, typical
    return best
