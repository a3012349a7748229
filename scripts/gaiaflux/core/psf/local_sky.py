"""Sky beneath each star: what the residual image shows around it, and how well that tells what lies under it.

The level in a ring around a star, on the image without stars, corrects its flux (Stetson 1987, PASP 99, 191), drawn to
zero as far as the rings of the whole frame scatter by no more than their noise. Where stars are too dense
for rings between them nothing is corrected.
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA
from gaiaflux.core.psf.equations import solve, sum_stamps
from gaiaflux.core.psf.fluxes import Solution, stars_per_beam
from gaiaflux.core.psf.protocol import Stamps
from gaiaflux.core.psf.rings import ring_means

__all__ = ["StarSkies", "star_skies"]

INNER_FWHM, OUTER_FWHM = 1.8, 4.5
LEAST_WIDTH = 6.0  # of the ring [pixel]
RING_PIXELS = 1500
SURE = 9.0  # squared significance above which a level is the star's own matter
DENSE = 0.08  # stars a beam above which rings hold more stars than sky


@dataclass(frozen=True)
class StarSkies:
    """Corrections of the fluxes by the sky under each star; every array has shape (n,).

    Attributes
    ----------
    level, level_error : ndarray of float64
        Beyond the sky that was subtracted, and its error [light per pixel].
    flux : ndarray of float64
        To be added to the fitted fluxes.
    error : ndarray of float64
        Of the flux, one sigma, by what is not known of the level; the pixels' own noise is no part of it.
    """

    level: np.ndarray
    level_error: np.ndarray
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
    if stars_per_beam(solution, fwhm) > DENSE:
        nothing = np.zeros(len(stamps))
        return StarSkies(nothing, nothing, nothing, nothing)
    level, variance = _ring_levels(solution, stamps, fwhm)
    excess = _scatter2(level) - float(np.median(variance[np.isfinite(level)])) if np.isfinite(level).any() else 0.0
    kept, left = _drawn_to_zero(level, variance, max(excess, 0.0))
    under = sum_stamps(np.ones_like(weight), weight, stamps).gradient
    correction = -solve(solution.equations, kept * under)
    area = np.divide(under, solution.sums.curvature, out=np.zeros(len(stamps)), where=solution.sums.curvature > 0)
    level_error = np.sqrt(left)
    return StarSkies(kept, level_error, correction, area * level_error)


def _ring_levels(solution: Solution, stamps: Stamps, fwhm: float) -> tuple[np.ndarray, np.ndarray]:
    """Level around each place and its variance by the pixels' noise; NaN and infinite where there are few pixels."""
    inner = INNER_FWHM * fwhm
    outer = max(OUTER_FWHM * fwhm, inner + LEAST_WIDTH)
    found = ring_means(solution.residual, solution.weight, stamps.x, stamps.y, np.array([inner, outer]), RING_PIXELS)
    return found.level[:, 0], found.variance[:, 0]


def _scatter2(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return (MAD_TO_SIGMA * float(np.median(np.abs(known - np.median(known))))) ** 2


def _drawn_to_zero(level: np.ndarray, variance: np.ndarray, excess: float) -> tuple[np.ndarray, np.ndarray]:
    """Levels as likely as they are (Efron & Morris 1973, JASA 68, 117), and what variance is left of each.

    One that is significant by itself is believed more than the others' scatter says.
    """
    known = np.isfinite(level)
    square = np.where(known, level, 0.0) ** 2
    own = np.maximum(excess, square - SURE * np.where(known, variance, 0.0))
    with np.errstate(invalid="ignore"):
        share = np.where(known & (own > 0), own / (own + variance), 0.0)
    left = np.where(known, own * (1.0 - share), excess)
    return np.where(known, level, 0.0) * share, left
