"""Sky beneath each star: what the residual image shows around it, and how well that tells what lies under it.

The level in an annulus around a star, on the image without stars, corrects its flux (Stetson 1987, PASP 99, 191),
drawn to zero as far as the annuli of the whole frame scatter by no more than their noise. What that leaves of the sky's
structure is measured where there is no star: fluxes of the PSF at empty places scatter by more than their noise, and
that goes into the errors. Where stars are too dense for annuli and empty places between them nothing is done.
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.image.empty_places import DENSE, HiddenSky, grid_places, hidden_variance, nothing_hidden
from gaiaflux.core.image.local_sky import AnnulusSky, measure_annuli
from gaiaflux.core.maths.robust import MAD_TO_SIGMA
from gaiaflux.core.psf.equations import solve, sum_stamps
from gaiaflux.core.psf.fluxes import Solution, stars_and_pixels, stars_per_beam
from gaiaflux.core.psf.protocol import Psf
from gaiaflux.core.psf.stamps import make_stamps

__all__ = ["StarSkies", "star_skies"]

INNER_FWHM, OUTER_FWHM = 1.8, 4.5
LEAST_WIDTH = 6.0  # of the annulus [pixel]
SURE = 9.0  # squared significance above which a level is the star's own matter
MOST_LIGHT = 0.3  # of the noise, of stars at an empty place, mean under the PSF
WHOLE = 0.9  # of its light that an empty place must have on good pixels


@dataclass(frozen=True)
class StarSkies:
    """Corrections of the fluxes by the sky under each star; every array has shape (n,).

    Attributes
    ----------
    level, level_error : ndarray of float64
        Beyond the sky that was subtracted, and all that is not known of it [light per pixel].
    flux : ndarray of float64
        To be added to the fitted fluxes.
    error : ndarray of float64
        Of the flux, one sigma, by what is not known of the level; the pixels' own noise is no part of it.
    hidden : ndarray of float64
        The same by structure that the level does not follow.
    structure : ndarray of float64
        Scatter of fluxes at empty places around over their stated one, at least 1; NaN where none tells.
    """

    level: np.ndarray
    level_error: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    hidden: np.ndarray
    structure: np.ndarray


def star_skies(solution: Solution, psf: Psf, fwhm: float) -> StarSkies:
    """Measure the sky under each star.

    Parameters
    ----------
    solution : Solution
        All stars of a frame, fitted.
    psf : Psf
        Its point-spread function.
    fwhm : float
        Its width [pixel].

    Returns
    -------
    StarSkies
    """
    stamps, weight = solution.stamps, solution.weight
    if stars_per_beam(*stars_and_pixels(solution), fwhm) > DENSE:
        nothing = np.zeros(len(stamps))
        return StarSkies(nothing, nothing, nothing, nothing, nothing, nothing_hidden(len(stamps)).ratio)
    around = _annuli(solution, stamps.x, stamps.y, fwhm)
    excess = _excess(around)
    kept, left = _drawn_to_zero(around.level, around.error**2, excess)
    under = sum_stamps(np.ones_like(weight), weight, stamps).gradient
    correction = -solve(solution.equations, kept * under)
    area = np.divide(under, solution.sums.curvature, out=np.zeros(len(stamps)), where=solution.sums.curvature > 0)
    hidden = _hidden(solution, psf, fwhm, excess)
    level_error = np.sqrt(left + hidden.variance)
    return StarSkies(kept, level_error, correction, area * np.sqrt(left), area * np.sqrt(hidden.variance), hidden.ratio)


def _annuli(solution: Solution, x: np.ndarray, y: np.ndarray, fwhm: float) -> AnnulusSky:
    """What the image without stars shows around places."""
    inner = INNER_FWHM * fwhm
    annulus = inner, max(OUTER_FWHM * fwhm, inner + LEAST_WIDTH)
    return measure_annuli(solution.residual, (solution.weight <= 0).astype(np.uint8), x, y, annulus)


def _hidden(solution: Solution, psf: Psf, fwhm: float, excess: float) -> HiddenSky:
    """Sky under the stars that is not known of it, from fluxes at empty places, over the PSF's area."""
    weight = solution.weight
    x, y = grid_places(weight.shape)
    stamps = make_stamps(psf, x, y, solution.stamps.radius)
    sums = sum_stamps(solution.residual, weight, stamps)
    under = sum_stamps(np.ones_like(weight), weight, stamps).gradient
    light = sum_stamps(solution.light, weight, stamps).gradient
    full = stamps.values.sum(axis=(1, 2), dtype=np.float64)
    around = _annuli(solution, x, y, fwhm)
    kept, left = _drawn_to_zero(around.level, around.error**2, excess)
    with np.errstate(divide="ignore", invalid="ignore"):
        dark = light / under < MOST_LIGHT * np.sqrt(full / under)
        level, variance = sums.gradient / under - kept, sums.curvature / under**2 + left
    good = (sums.light > WHOLE * full) & np.isfinite(around.level) & dark
    return hidden_variance(solution.stamps.x, solution.stamps.y, (x[good], y[good]), level[good], variance[good])


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
