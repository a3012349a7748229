"""What an image with its stars taken off says of its noise: of the response function, of unseen stars, of light."""

import numpy as np

from gaiaflux.core.maths.robust import robust_scatter
from gaiaflux.core.psf.protocol import Psf
from gaiaflux.core.psf.stamps import make_stamps

__all__ = ["ResidualNoise", "function_error", "matched_snr", "spread", "structure"]

FILTER_PIX = 3.0  # radius of the filter [pixel]
LIT = 300.0  # light over noise from which a pixel tells of the function
DARK = 10.0  # light over noise up to which a pixel tells of the sky
LEAST_ERROR, USUAL_ERROR = 0.002, 0.01
LEAST_PIXELS = 50
MEDIAN_CHI2 = 0.455  # of a squared Gaussian
BETWEEN_PLACES = 0.002  # of the light: how well a function is known between the places of the field


class ResidualNoise:
    """Noise of an image whose stars and sky are taken off.

    Parameters
    ----------
    residual, light, weight : ndarray of float32, shape (ny, nx)
        Image without the model; light of the model's stars; inverse variance of the pixels, 0 = not used.
    """

    def __init__(self, residual: np.ndarray, light: np.ndarray, weight: np.ndarray) -> None:
        self.residual, self.light, self.weight = residual, light, weight
        self.unseen = structure(residual, light, weight)

    def fit_weight(self) -> np.ndarray:
        """Inverse variance of the pixels with the light of stars that are too faint to be found [float32]."""
        return (self.weight / (1.0 + self.weight * self.unseen**2)).astype(np.float32)

    def doubt(self) -> np.ndarray:
        """As `fit_weight`, with what the function leaves of the stars."""
        error = function_error(self.residual, self.light, self.fit_weight()) * spread(self.light)
        return (self.weight / (1.0 + self.weight * (error**2 + self.unseen**2))).astype(np.float32)

    def light_errors(self, errors: np.ndarray, flux: np.ndarray, misfit: np.ndarray, psf: Psf) -> np.ndarray:
        """Errors of the light of stars.

        Parameters
        ----------
        errors, flux : ndarray, shape (n,)
            One sigma from `fit_weight`, and the light.
        misfit : ndarray, shape (n,)
            Chi-squared per pixel of each star with that weight.
        psf : Psf
            In the coordinates of the image.

        Returns
        -------
        ndarray of float64, shape (n,)
            Enlarged where the pixels do not fit, and as far as light at dark places scatters by more than pixels do:
            stars that are too faint to be found lie in several pixels each.
        """
        snr, _ = matched_snr(self.residual, self.fit_weight(), psf)
        dark = (self.weight > 0) & (self.light * np.sqrt(self.weight) < DARK)
        around = max(1.0, robust_scatter(snr[dark])) if np.count_nonzero(dark) > LEAST_PIXELS else 1.0
        return np.hypot(errors * np.sqrt(np.maximum(misfit, 1.0)) * around, BETWEEN_PLACES * flux)


def spread(light: np.ndarray) -> np.ndarray:
    """Largest value of each pixel and its eight neighbours, shape (ny, nx)."""
    ny, nx = light.shape
    around = np.pad(light, 1, mode="edge")
    return np.maximum.reduce([around[j : j + ny, i : i + nx] for j in range(3) for i in range(3)])


def function_error(residual: np.ndarray, light: np.ndarray, weight: np.ndarray) -> float:
    """How far the function is from the truth, as the bright stars' residuals show.

    Parameters
    ----------
    residual, light, weight : ndarray of float32, shape (ny, nx)
        Image without the model; light of the model's stars; inverse variance, 0 = not used.

    Returns
    -------
    float
        Usual error of a pixel as a part of the brightest light in it and its neighbours, beyond the noise.
    """
    around = spread(light)
    lit = (weight > 0) & (light * np.sqrt(weight) > LIT)
    if np.count_nonzero(lit) < LEAST_PIXELS:
        return USUAL_ERROR
    square = residual[lit].astype(np.float64) ** 2 - 1.0 / weight[lit]
    return max(LEAST_ERROR, float(np.sqrt(max(np.median(square / around[lit] ** 2) / MEDIAN_CHI2, 0.0))))


def structure(residual: np.ndarray, light: np.ndarray, weight: np.ndarray) -> float:
    """Scatter of the dark pixels beyond their noise: stars that are too faint to be found, and unevenness of the sky.

    Parameters
    ----------
    residual, light, weight : ndarray of float32, shape (ny, nx)
        As of `function_error`.

    Returns
    -------
    float
        [light per pixel]; 0 where there are no dark pixels.
    """
    dark = (weight > 0) & (light * np.sqrt(weight) < DARK)
    if np.count_nonzero(dark) < LEAST_PIXELS:
        return 0.0
    return float(np.sqrt(max(robust_scatter(residual[dark]) ** 2 - float(np.median(1.0 / weight[dark])), 0.0)))


def matched_snr(residual: np.ndarray, weight: np.ndarray, psf: Psf) -> tuple[np.ndarray, np.ndarray]:
    """Light of a star in the middle of each pixel, over its error, and that light.

    Parameters
    ----------
    residual, weight : ndarray of float32, shape (ny, nx)
        Image without the model; inverse variance, 0 = not used.
    psf : Psf
        The function in the middle of the image is taken for all of it.

    Returns
    -------
    snr, flux : ndarray of float32, shape (ny, nx)
        0 where there is no pixel.
    """
    ny, nx = residual.shape
    middle = np.array([float(nx // 2)]), np.array([float(ny // 2)])
    shape = make_stamps(psf, *middle, FILTER_PIX).values[0]
    half = len(shape) // 2
    light, power = np.pad(weight * residual, half), np.pad(weight, half)
    match, total = np.zeros_like(residual), np.zeros_like(residual)
    for j, line in enumerate(shape):
        for i, part in enumerate(line):
            match += part * light[j : j + ny, i : i + nx]
            total += part * part * power[j : j + ny, i : i + nx]
    known = total > 0
    root = np.sqrt(np.where(known, total, 1.0))
    return np.where(known, match / root, 0.0), np.where(known, match / root**2, 0.0)
