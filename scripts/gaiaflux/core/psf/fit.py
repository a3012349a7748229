"""All stars of a frame fitted together: sky, point-spread function and fluxes in turns until they agree."""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.image.pixel_flags import near_saturation
from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.maths.polynomials import order_for
from gaiaflux.core.maths.robust import MAD_TO_SIGMA
from gaiaflux.core.maths.surface import frame_terms
from gaiaflux.core.psf.equations import coincident, neighbour_share
from gaiaflux.core.psf.fluxes import PsfOptions, Solution, solve_fluxes
from gaiaflux.core.psf.good_stars import choose_good_stars
from gaiaflux.core.psf.model import PsfModel, moffat_psf
from gaiaflux.core.psf.residual import fit_residual
from gaiaflux.core.psf.shape import Scene, ShapeFit, StarFit, fit_shape
from gaiaflux.core.psf.wing import NO_WING

__all__ = ["PsfFit", "choose_psf_stars", "fit_psf"]

# Pairs of least signal-to-noise ratio and largest part of neighbours' light of the stars for the PSF, tried in turn.
LADDER = ((100.0, 0.05), (60.0, 0.1), (40.0, 0.2), (30.0, 0.4), (20.0, 0.8))
FEW = 12.0  # S/N of the stars that are good enough where there are hardly any
LEAST_LIGHT = 0.97  # of a PSF star, on good pixels
POSITION_CLIP = 5.0
START_ROUNDS = 2
MOST_STAGES = 6
SETTLED_BETA = 0.02  # change of the exponent with which the PSF is settled


@dataclass(frozen=True)
class PsfFit:
    """Point-spread function of a frame.

    Attributes
    ----------
    psf : PsfModel
    order : int
        Degree of its polynomials that its own stars determine.
    stars : StarFit or None
        Stars that it was measured on; None where there were too few.
    shift : tuple of float
        Common offset of the stars from their places [pixel]; it is part of the solution's positions.
    centroid_rms : float
        Scatter of the stars' centroids about their places, an axis [pixel]; NaN without stars.
    residual_rms : float
        Rms of what the PSF leaves of its stars beyond noise, over their central brightness; NaN without stars.
    flux_covariance : ndarray of float64, shape (n_terms, n_terms)
        Covariance of the relative error of the fluxes over the field that the PSF's own error makes.
    """

    psf: PsfModel
    order: int
    stars: StarFit | None
    shift: tuple[float, float]
    centroid_rms: float
    residual_rms: float
    flux_covariance: np.ndarray

    def flux_error_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Relative error of a flux that the PSF's error makes, relative to the rest of the frame; shape (n,)."""
        order = self.order
        terms = frame_terms(x, y, self.psf.shape, order)
        u = np.linspace(0.0, 1.0, 9)
        ny, nx = self.psf.shape
        grid = np.meshgrid(u * (nx - 1), u * (ny - 1))
        # What is common to all stars is a matter of the zero point.
        terms = terms - frame_terms(grid[0].ravel(), grid[1].ravel(), self.psf.shape, order).mean(axis=0)
        return np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", terms, self.flux_covariance, terms), 0.0))


def choose_psf_stars(solution: Solution, saturated: np.ndarray, options: PsfOptions) -> np.ndarray:
    """Rows of bright, undisturbed stars with little light of neighbours, the brightest first.

    Parameters
    ----------
    solution : Solution
    saturated : ndarray of bool, shape (n,)
        Stars with a saturated pixel.
    options : PsfOptions

    Returns
    -------
    ndarray of int64
        May be empty.
    """
    alone = np.divide(1.0, np.sqrt(solution.sums.curvature), out=np.full(len(solution.flux), np.inf),
                      where=solution.sums.curvature > 0)  # fmt: skip
    snr = solution.flux / alone
    full = solution.stamps.values.sum(axis=(1, 2), dtype=np.float64)
    whole = solution.sums.light > LEAST_LIGHT * full
    # A star that the catalogue has twice is none the worse for it.
    equations = solution.equations
    twins = coincident(equations)
    share = np.abs(neighbour_share(equations, solution.flux, twins)) / np.maximum(solution.flux, 1e-9)
    wanted = max(4 * options.min_stars, 60)
    return choose_good_stars(whole & ~saturated, snr, share, (*LADDER, (FEW, 1.0)), wanted, options.max_stars)


def fit_psf(
    pixels: Pixels,
    x: np.ndarray,
    y: np.ndarray,
    fwhm: float,
    options: PsfOptions,
    borrowed: PsfModel | None = None,
) -> tuple[PsfFit, Solution]:
    """Measure PSF, sky and fluxes of a frame.

    Parameters
    ----------
    pixels : Pixels
    x, y : ndarray, shape (n,)
        Places of the stars, from the plate solution [pixel].
    fwhm : float
        Seeing [pixel].
    options : PsfOptions
    borrowed : PsfModel, optional
        PSF to use where the frame has too few stars for its own; else a round Moffat function. Its wing is taken in
        any case.

    Returns
    -------
    PsfFit
    Solution

    Raises
    ------
    BadFrameError
        No clean pixels.
    """
    start = borrowed if borrowed is not None else moffat_psf(pixels.image.shape, fwhm)
    # In a dense field wings are much like sky: while both are looked for they would swing.
    wing = start.wing
    if wing.exists:
        start = replace(start, wing=NO_WING)
    saturated = near_saturation(pixels.flags, x, y, fwhm)
    solution = solve_fluxes(pixels, start, x, y, np.zeros(len(x)), options.for_width(fwhm, START_ROUNDS))
    psf, fit, shift = start, None, np.zeros(2)
    for stage in range(MOST_STAGES):
        rows = choose_psf_stars(solution, saturated, options)
        if len(rows) < options.min_stars:
            break
        order = order_for(len(rows), options.max_order)
        seen = Scene(solution.residual, solution.weight, solution.light, solution.stamps, solution.flux)
        found = fit_shape(seen, rows, psf, order)
        if np.count_nonzero(found.stars.used) < options.min_stars:
            break
        # Sky and wings settle together: in a dense field that takes several turns.
        settled = stage > 0 and abs(found.psf.beta - psf.beta) < SETTLED_BETA
        last = settled or stage == MOST_STAGES - 1
        fit, psf = found, found.psf
        if last and options.residual:
            psf = replace(psf, residual=fit_residual(seen, fit, order), residual_order=order)
        shift += _common_shift(fit)
        fwhm = float(np.median(psf.fwhm_at(solution.stamps.x[rows], solution.stamps.y[rows])))
        places = x + shift[0], y + shift[1]
        solution = solve_fluxes(pixels, psf, *places, solution.flux, options.for_width(fwhm), solution.background)
        if last:
            break
    if wing.exists:
        psf = replace(psf, wing=wing)
        stamps, flux = solution.stamps, (1.0 + wing.light) * solution.flux
        solution = solve_fluxes(pixels, psf, stamps.x, stamps.y, flux, options.for_width(fwhm, 1))
    if fit is None:
        return PsfFit(psf, 0, None, (0.0, 0.0), float("nan"), float("nan"), np.zeros((1, 1))), solution
    return PsfFit(
        psf, order, fit.stars, (float(shift[0]), float(shift[1])), *_quality(fit, solution), fit.flux_covariance
    ), solution


def _common_shift(fit: ShapeFit) -> np.ndarray:
    """Robust mean of the stars' offsets from their places [pixel]."""
    stars = fit.stars
    use = stars.used
    offsets = np.stack([stars.dx, stars.dy])[:, use]
    middle = np.median(offsets, axis=1)
    distance = np.hypot(*(offsets - middle[:, None]))
    near = distance <= POSITION_CLIP * max(float(np.median(distance)), 1e-6)
    weight = 1.0 / (stars.error[use][near] ** 2 + 0.01**2)
    return (offsets[:, near] * weight).sum(axis=1) / weight.sum()


def _quality(fit: ShapeFit, solution: Solution) -> tuple[float, float]:
    """Scatter of the centroids [pixel], and rms of the residual of the PSF's stars over their central brightness."""
    stars = fit.stars
    use = stars.used
    offsets = np.stack([stars.dx, stars.dy])[:, use]
    offsets = offsets - np.median(offsets, axis=1)[:, None]
    centroid = MAD_TO_SIGMA * float(np.median(np.abs(offsets)))
    rows = stars.row[use]
    n = np.maximum(solution.sums.n_pixels[rows], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.maximum(solution.sums.chi2[rows] / n - 1.0, 0.0)
        # Mean inverse weight under the star, as if all its pixels were alike.
        peak = solution.flux[rows] * solution.stamps.values[rows].max(axis=(1, 2))
        sigma2 = (solution.stamps.values[rows].astype(np.float64) ** 2).sum(axis=(1, 2)) / solution.sums.curvature[rows]
    return centroid, float(np.sqrt(np.median(excess * sigma2 / peak**2)))
