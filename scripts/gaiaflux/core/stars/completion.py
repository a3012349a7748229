"""Find the stars of an image that a catalogue lacks, on what the fitted catalogue leaves of it.

Stars are found on the residual, fitted together with all others, and found again on what is then left (Stetson 1987,
PASP 99, 191; Schlafly et al. 2018, ApJS 234, 39). The catalogue's stars stay where they are, but for the few bright
ones whose light is clearly beside.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.maths.robust import ClippedMean, clipped_mean
from gaiaflux.core.psf.fit import PsfFit, fit_psf
from gaiaflux.core.psf.fluxes import PsfOptions, Solution, solve_fluxes, stars_and_pixels, stars_per_beam
from gaiaflux.core.stars.close_pairs import MIN_SEPARATION, apart, halves
from gaiaflux.core.stars.detection import FWHM_TO_SIGMA, find_peaks
from gaiaflux.core.stars.doubt import CONFUSED, Beyond, FluxMap, flux_map
from gaiaflux.core.stars.positions import astray, moved, position_steps

__all__ = [
    "LEAST_LIGHT",
    "Completed",
    "Magnitudes",
    "Proof",
    "complete_stars",
    "detection_limit",
    "prove_stars",
    "zero_point",
]

ROUNDS = 5
POSITION_STEPS = 4
PEAK_FRACTION = 0.9  # of the limit, for peaks; the fit decides
LEAST_LIGHT = 0.7  # of a found star's PSF that must fall on good pixels
CONVERGED = 0.003  # change of the number of stars
NOISE_SHARE = 0.004  # of the stars that may be peaks of the noise
LEAST_LIMIT = 3.0
LEAST_MOVED = 0.1  # [FWHM]
# What is sharper than a star: the part of its central light that it has more, chi2 per pixel, and the PSF's own error.
SHARP, POOR_CHI2, PSF_ERROR = 0.25, 2.5, 0.03
ZERO_POINT_SNR = 20.0


class Magnitudes(NamedTuple):
    """What a catalogue says of the known stars, and of those beside the image.

    Attributes
    ----------
    known : ndarray, shape (n_known,)
        Magnitudes; NaN where unknown.
    beyond_x, beyond_y, beyond : ndarray, shape (n_beyond,)
        Places [pixel] and magnitudes of stars that are too far from the image to be fitted.
    place_error : ndarray, shape (n_known,), optional
        One sigma of the known stars' places along an axis [pixel].
    """

    known: np.ndarray
    beyond_x: np.ndarray
    beyond_y: np.ndarray
    beyond: np.ndarray
    place_error: np.ndarray | None = None


class Proof(NamedTuple):
    """Light of stars beyond what else an image shows at their places; arrays of shape (n,).

    Attributes
    ----------
    flux : ndarray of float64
        Without the smooth structure of the sky.
    noise : ndarray of float64
        Error of the fit, by how much the noise is larger than stated, and what the brighter stars leave.
    """

    flux: np.ndarray
    noise: np.ndarray


@dataclass(frozen=True)
class Completed:
    """Catalogue and found stars, fitted together.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        The given stars, then the found ones [pixel].
    n_known : int
        How many were given.
    free : ndarray of bool, shape (n_known,)
        Given stars whose light is beside their places: these, too, are found.
    error : ndarray of float64, shape (n,)
        One sigma of the found stars' positions along an axis [pixel].
    snr : ndarray of float64, shape (n,)
        Flux over its error.
    proof : Proof
        Rows as above.
    fit : PsfFit
    solution : Solution
        Rows as above.
    """

    x: np.ndarray
    y: np.ndarray
    n_known: int
    free: np.ndarray
    error: np.ndarray
    snr: np.ndarray
    proof: Proof
    fit: PsfFit
    solution: Solution


def complete_stars(
    pixels: Pixels,
    x: np.ndarray,
    y: np.ndarray,
    fwhm: float,
    options: PsfOptions,
    min_snr: float,
    magnitudes: Magnitudes | None = None,
) -> Completed:
    """Fit the known stars, and find and fit what is left.

    Parameters
    ----------
    pixels : Pixels
    x, y : ndarray, shape (n_known,)
        Places of the known stars [pixel]; they may lie outside of the image.
    fwhm : float
        Seeing [pixel].
    options : PsfOptions
    min_snr : float
        Signal-to-noise ratio of the faintest found star, of its fit beside all others; raised to `detection_limit`.
    magnitudes : Magnitudes, optional
        They tell how bright the stars beside the image are, whose halos are no stars.

    Returns
    -------
    Completed

    Raises
    ------
    BadFrameError
        No clean pixels.
    """
    return _search(pixels, _Start(x, y, len(x), np.zeros(len(x), dtype=bool), magnitudes), fwhm, options, min_snr)


def prove_stars(
    pixels: Pixels, x: np.ndarray, y: np.ndarray, n_known: int, fwhm: float, options: PsfOptions, min_snr: float
) -> Completed:
    """Fit stars that are no peaks of others, drop those that are noise, and find and fit what is left.

    Parameters
    ----------
    pixels : Pixels
    x, y : ndarray, shape (n,)
        Places of the stars [pixel].
    n_known : int
        The first ones stay, and stay where they are.
    fwhm : float
        Seeing [pixel].
    options : PsfOptions
    min_snr : float
        As for `complete_stars`.

    Returns
    -------
    Completed

    Raises
    ------
    BadFrameError
        No clean pixels.
    """
    return _search(pixels, _Start(x, y, n_known, np.ones(len(x), dtype=bool), None), fwhm, options, min_snr)


class _Start(NamedTuple):
    """Stars with which a search begins; the first `n_known` stay, and those that are `sure` are no peaks of others."""

    x: np.ndarray
    y: np.ndarray
    n_known: int
    sure: np.ndarray
    magnitudes: Magnitudes | None


def _search(pixels: Pixels, given: _Start, fwhm: float, options: PsfOptions, min_snr: float) -> Completed:
    """Rounds of finding stars on the residual and of fitting them all."""
    n_known, sure = given.n_known, given.sure
    known = None if given.magnitudes is None else given.magnitudes.place_error
    place_error = np.full(n_known, np.inf) if known is None else known
    fit, solution = fit_psf(pixels, given.x, given.y, fwhm, options)
    x, y = solution.stamps.x, solution.stamps.y
    start = np.stack([x, y])
    free = np.zeros(n_known, dtype=bool)
    for round_number in range(ROUNDS):
        width = fit.psf.fwhm
        once = options.for_width(width, 1)
        before = len(x)
        limit = _limit(solution, width, min_snr)
        shown = flux_map(solution, width, _beyond(solution, given.magnitudes))
        found = _new_peaks(shown, width, PEAK_FRACTION * limit, x, y)
        x, y, start = np.append(x, found[0]), np.append(y, found[1]), np.append(start, found, axis=1)
        flux = np.append(solution.flux, np.zeros(found.shape[1]))
        sure = np.append(sure, np.zeros(found.shape[1], dtype=bool))
        for _ in range(POSITION_STEPS):
            solution = solve_fluxes(pixels, fit.psf, x, y, flux, once)
            flux = solution.flux
            x, y = moved(solution, np.append(free, np.ones(len(x) - n_known, dtype=bool)), start, width)
        # The second look: without the false ones some of the others are fainter.
        for _ in range(2):
            solution = solve_fluxes(pixels, fit.psf, x, y, flux, once)
            limit = _limit(solution, width, min_snr)
            stays = _stays(solution, shown, n_known, limit, sure)
            stays &= ~halves(pixels, fit.psf, solution, place_error, width, _needed(solution, shown, limit), once)
            x, y, start, flux, sure = x[stays], y[stays], start[:, stays], solution.flux[stays], sure[stays]
        off = astray(solution, n_known, width) & ~free
        settled = abs(len(x) - before) <= CONVERGED * len(x) and not off.any()
        last = settled or round_number == ROUNDS - 1
        free |= off
        if round_number == 0 or last:
            fit, solution = fit_psf(pixels, x, y, width, options, fit.psf)
            x, y = x + fit.shift[0], y + fit.shift[1]
            start = start + np.array(fit.shift)[:, None]
        else:
            solution = solve_fluxes(pixels, fit.psf, x, y, flux, once)
        if last:
            break
    # One that has walked off and is back is where it was.
    free &= np.hypot(*(np.stack([x, y]) - start)[:, :n_known]) > LEAST_MOVED * width
    error, snr = position_steps(solution, 0).error, solution.flux / solution.error
    return Completed(x, y, n_known, free, error, snr, _proof(solution, shown), fit, solution)


def detection_limit(n_stars: int, n_pixels: int, fwhm: float) -> float:
    """Signal-to-noise ratio below which too many of the stars of an image would be none.

    Parameters
    ----------
    n_stars : int
        Stars of the image.
    n_pixels : int
        Its usable pixels.
    fwhm : float
        Seeing [pixel].

    Returns
    -------
    float
        At least 3. White noise that is filtered with a Gaussian of the seeing's sigma has u exp(-u^2 / 2) /
        ((2 pi)^1.5 2 sigma^2) high peaks above u per pixel, its Euler characteristic (arXiv:1102.5707): 0.4 %
        of the number of stars are allowed. Above one star in ten beams, pi FWHM^2 / (4 ln 2) each, the limit rises in
        proportion to their number: many of the faintest stars are then blends of fainter ones.
    """
    sigma = fwhm * FWHM_TO_SIGMA
    ratio = n_pixels / ((2.0 * np.pi) ** 1.5 * 2.0 * sigma**2) / (NOISE_SHARE * max(n_stars, 1))
    limit = LEAST_LIMIT
    for _ in range(30):
        limit = float(np.sqrt(2.0 * np.log(max(ratio * limit, 1.0))))
        limit = max(limit, LEAST_LIMIT)
    return limit * max(1.0, stars_per_beam(n_stars, n_pixels, fwhm) / CONFUSED)


def zero_point(flux: np.ndarray, error: np.ndarray, magnitudes: np.ndarray) -> ClippedMean:
    """Magnitude of a star of flux 1, from the bright stars; it has no colour term.

    Parameters
    ----------
    flux, error : ndarray, shape (n,)
        NaN where unknown.
    magnitudes : ndarray, shape (n,)
        NaN where unknown.

    Returns
    -------
    ClippedMean
        NaN where no bright star has a magnitude.
    """
    with np.errstate(invalid="ignore"):
        sure = flux > ZERO_POINT_SNR * error
    return clipped_mean(magnitudes[sure] + 2.5 * np.log10(flux[sure]))


def _beyond(solution: Solution, magnitudes: Magnitudes | None) -> Beyond | None:
    """Stars beside the image with their fluxes."""
    if magnitudes is None:
        return None
    n = len(magnitudes.known)
    zero = zero_point(solution.flux[:n], solution.error[:n], magnitudes.known).mean
    flux = 10.0 ** (0.4 * (zero - magnitudes.beyond))
    known = np.isfinite(flux)
    return Beyond(magnitudes.beyond_x[known], magnitudes.beyond_y[known], flux[known])


def _limit(solution: Solution, fwhm: float, min_snr: float) -> float:
    """Limit for the stars that are fitted now."""
    return max(min_snr, detection_limit(*stars_and_pixels(solution), fwhm))


def _proof(solution: Solution, shown: FluxMap) -> Proof:
    """Light of the fitted stars and what it must exceed."""
    stamps, sums = solution.stamps, solution.sums
    ny, nx = solution.weight.shape
    at = np.clip(stamps.row, 0, ny - 1), np.clip(stamps.column, 0, nx - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        # What a level of 1 under the star adds to its flux.
        area = np.where(sums.curvature > 0, sums.light * solution.weight[at] / sums.curvature, 0.0)
    flux = solution.flux - area * shown.structure[at]
    return Proof(flux, np.hypot(solution.error * shown.excess[at], shown.leavings[at]))


def _needed(solution: Solution, shown: FluxMap, min_snr: float) -> np.ndarray:
    """Improvement of chi2 that proves each star alone, beside what the brighter stars leave."""
    ny, nx = solution.weight.shape
    at = np.clip(solution.stamps.row, 0, ny - 1), np.clip(solution.stamps.column, 0, nx - 1)
    return min_snr**2 * (1.0 + solution.sums.curvature * shown.leavings[at].astype(np.float64) ** 2)


def _stays(
    solution: Solution, shown: FluxMap, n_known: int, min_snr: float, sure: np.ndarray | bool = False
) -> np.ndarray:
    """Known stars, and the found ones that are significant beside all else and mostly on good pixels.

    Those that are `sure` to be no peaks of others need not exceed what these leave.
    """
    proof, bare = _proof(solution, shown), _proof(solution, replace(shown, leavings=np.zeros_like(shown.leavings)))
    full = solution.stamps.values.sum(axis=(1, 2), dtype=np.float64)
    stays = (
        (proof.flux > min_snr * np.where(sure, bare.noise, proof.noise))
        & (solution.sums.light > LEAST_LIGHT * full)
        & ~_sharp(solution)
    )
    stays[:n_known] = True
    return stays


def _sharp(solution: Solution) -> np.ndarray:
    """Stars whose pixels the PSF does not describe and that have more light in the middle: pieces of cosmic rays."""
    stamps, sums, flux = solution.stamps, solution.sums, solution.flux
    (ny, nx), size = solution.residual.shape, stamps.values.shape[1]
    values = stamps.values.reshape(len(stamps), size * size)
    middle = values.argmax(axis=1)
    row = np.clip(stamps.row - size // 2 + middle // size, 0, ny - 1)
    column = np.clip(stamps.column - size // 2 + middle % size, 0, nx - 1)
    excess = np.where(solution.weight[row, column] > 0, solution.residual[row, column], 0.0)
    # What the PSF's own error leaves of a bright star is no sign.
    tolerated = sums.n_pixels + (PSF_ERROR * flux) ** 2 * sums.curvature
    poor = sums.chi2 > POOR_CHI2 * tolerated
    return poor & (excess > SHARP * flux * values[np.arange(len(values)), middle])


def _new_peaks(shown: FluxMap, fwhm: float, min_snr: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Places of the significant maxima of the residual that are no known star, shape (2, n)."""
    significance = shown.flux / shown.noise
    column, row, _ = find_peaks(significance, np.full((1, 1), min_snr, np.float32), max(significance.shape))
    found = np.stack(
        [
            column + _vertex(significance[row, column - 1], significance[row, column], significance[row, column + 1]),
            row + _vertex(significance[row - 1, column], significance[row, column], significance[row + 1, column]),
        ]
    )
    return found[:, apart(found[0], found[1], x, y, MIN_SEPARATION * fwhm)]


def _vertex(before: np.ndarray, peak: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Offset of the top of the parabola through three values, within half a pixel."""
    curvature = 2.0 * peak.astype(np.float64) - before - after
    return np.clip(0.5 * (after - before) / np.where(curvature > 0, curvature, np.inf), -0.5, 0.5)
