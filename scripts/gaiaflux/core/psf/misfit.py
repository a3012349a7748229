"""How wrong the fluxes of a PSF are by its shape: what it leaves of the light of the stars that it was measured on."""

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA, MEDIAN_NOISE
from gaiaflux.core.psf.fluxes import Solution
from gaiaflux.core.psf.local_sky import StarSkies

__all__ = ["flux_misfit"]

LEAST_STARS = 8


def flux_misfit(solution: Solution, skies: StarSkies, rows: np.ndarray) -> float:
    """Scatter of the light that a PSF leaves of its stars, beyond the pixels' noise.

    Parameters
    ----------
    solution : Solution
        Fitted stars of a frame.
    skies : StarSkies
        What is known of the sky under each.
    rows : ndarray of int
        Stars that the PSF was measured on.

    Returns
    -------
    float
        Relative to the stars' flux: the plain sum of the residual within the circle of each star, whose scatter is that
        of the ratio of an aperture's flux to the PSF's. 0 where it is no more than noise, or for fewer than 8 stars.
    """
    stamps, residual, weight = solution.stamps, solution.residual, solution.weight
    ny, nx = residual.shape
    half = (stamps.values.shape[1] - 1) // 2
    left, noise2 = [], []
    for k in rows:
        j, i = int(stamps.row[k]), int(stamps.column[k])
        if j < half or i < half or j + half >= ny or i + half >= nx or not solution.flux[k] > 0:
            continue
        cut = np.s_[j - half : j + half + 1, i - half : i + half + 1]
        inside = (stamps.values[k] > 0) & (weight[cut] > 0)
        n = np.count_nonzero(inside)
        light = float(residual[cut][inside].sum(dtype=np.float64)) - n * skies.level[k]
        variance = float((1.0 / weight[cut][inside]).sum(dtype=np.float64)) + (n * skies.level_error[k]) ** 2
        left.append(light / solution.flux[k])
        noise2.append(variance / solution.flux[k] ** 2)
    if len(left) < LEAST_STARS:
        return 0.0
    parts = np.array(left)
    scatter = MAD_TO_SIGMA * float(np.median(np.abs(parts - np.median(parts))))
    certain = scatter * (1.0 - MEDIAN_NOISE / np.sqrt(len(parts)))
    return float(np.sqrt(max(certain**2 - float(np.median(noise2)), 0.0)))
