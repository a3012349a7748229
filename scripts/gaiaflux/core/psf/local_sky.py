"""Sky beneath each star: what the residual image shows around it, and how well that tells what lies under it.

The level in an annulus around a star, on the image without stars, corrects its flux (Stetson 1987, PASP 99, 191),
drawn to zero as far as the annuli of the whole frame scatter by no more than their noise. Where stars are too dense for
annuli between them nothing is corrected.
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.image.local_sky import AnnulusSky, measure_annuli
from gaiaflux.core.maths.robust import MAD_TO_SIGMA
from gaiaflux.core.psf.equations import solve, sum_stamps
from gaiaflux.core.psf.fluxes import Solution, stars_and_pixels, stars_per_beam

__all__ = ["StarSkies", "star_skies"]

INNER_FWHM, OUTER_FWHM = 1.8, 4.5
LEAST_WIDTH = 6.0  # of the annulus [pixel]
SURE = 9.0  # squared significance above which a level is the star's own matter
DENSE = 0.08  # stars a beam above which annuli hold more stars than sky


@dataclass(frozen=True)
class StarSkies:
    """Corrections of the fluxes by the sky under each star; every array has shape (n,).

    Attributes
    ----------
    level : ndarray of float64
        Beyond the sky that was subtracted [light per pixel].
    flux : ndarray of float64
        To be added to the fitted fluxes.
    error : ndarray of float64
        Of the flux, one sigma, by what is not known of the level; the pixels' own noise is no part of it.
    """

    level: np.ndarray
    flux: np.ndarray
    error: np.ndarray


def star_skies(solution: Solution, fwhm: float) -> StarSkies:
    """Measure the sky under each star.

    Parameters
    ----------
    solution : Solution
        All stars of a frame, fitted.
    fwhm : float
        Width of its PSF [pixel].

    Returns
    -------
    StarSkies
    """
    stamps, weight = solution.stamps, solution.weight
    if stars_per_beam(*stars_and_pixels(solution), fwhm) > DENSE:
        nothing = np.zeros(len(stamps))
        return StarSkies(nothing, nothing, nothing)
    inner = INNER_FWHM * fwhm
    annulus = inner, max(OUTER_FWHM * fwhm, inner + LEAST_WIDTH)
    around = measure_annuli(solution.residual, (weight <= 0).astype(np.uint8), stamps.x, stamps.y, annulus)
    kept, left = _drawn_to_zero(around.level, around.error**2, _excess(around))
    under = sum_stamps(np.ones_like(weight), weight, stamps).gradient
    correction = -solve(solution.equations, kept * under)
    area = np.divide(under, solution.sums.curvature, out=np.zeros(len(stamps)), where=solution.sums.curvature > 0)
    return StarSkies(kept, correction, area * np.sqrt(left))


def _excess(around: AnnulusSky) -> float:
    """Variance of the levels beyond their errors."""
    known = np.isfinite(around.level) & np.isfinite(around.error)
    if not known.any():
        return 0.0
    level = around.level[known]
    scatter = MAD_TO_SIGMA * float(np.median(np.abs(level - np.median(level))))
    return max(scatter**2 - float(np.median(around.error[known] ** 2)), 0.0)


def _drawn_to_zero(level: np.ndarray, variance: np.ndarray, excess: float) -> tuple[np.ndarray, np.ndarray]:
    """Levels as likely as they are (Efron & Morris 1973, JASA 68, 117), and what variance is left of each.

    One that is significant by itself is believed more than the others' scatter says.
    """
    known = np.isfinite(level) & np.isfinite(variance)
    square = np.where(known, level, 0.0) ** 2
    own = np.maximum(excess, square - SURE * np.where(known, variance, 0.0))
    with np.errstate(invalid="ignore"):
        share = np.where(known & (own > 0), own / (own + variance), 0.0)
    left = np.where(known, own * (1.0 - share), excess)
    return np.where(known, level, 0.0) * share, left
