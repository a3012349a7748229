"""Fit of the fluxes of all stars of a frame with a given point-spread function, in turns with the sky."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gaiaflux.core.image.background import Background, BackgroundEstimator, subtract_background
from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.psf.equations import (
    ROUGH,
    NormalEquations,
    StarSums,
    close_pairs,
    flux_errors,
    neighbour_share,
    normal_equations,
    solve,
    sum_stamps,
)
from gaiaflux.core.psf.protocol import Psf, Stamps
from gaiaflux.core.psf.stamps import add_light, make_stamps

__all__ = [
    "FluxOptions",
    "PsfOptions",
    "Solution",
    "TakenOff",
    "solve_fluxes",
    "stars_and_pixels",
    "stars_per_beam",
    "stars_within_reach",
    "take_off",
]

# The function is added as far as it is brighter than this part of the sky's noise, but not farther than so many FWHM.
FAINTEST = 0.02
FARTHEST_FWHM = 25.0
LEAST_WIDTH_PIX = 2.75  # to which the radius of the pixels of each star refers
MOST_ABSORBED = 0.85
ABSORBED_TOLERANCE = 0.03  # it only tells how far to go
SETTLED = 0.003  # median change of the sky, over a pixel's noise


@dataclass(frozen=True)
class FluxOptions:
    """How fluxes are fitted with a given PSF.

    Attributes
    ----------
    radius_pix : float
        Radius of the pixels of each star [pixel].
    farthest_pix : float
        No star is taken off beyond this radius, but for its wing [pixel].
    background : BackgroundEstimator
        How the sky is measured.
    rounds : int
        Turns of sky and fluxes at most; they end when the sky does not change any more.
    """

    radius_pix: float
    farthest_pix: float
    background: BackgroundEstimator
    rounds: int


@dataclass(frozen=True, kw_only=True)
class PsfOptions:
    """How a frame is fitted; the defaults are those of the configuration.

    Attributes
    ----------
    radius_fwhm : float
        Radius of the pixels of each star [FWHM, or 2.75 pixels where that is less].
    max_order : int
        Highest degree of the PSF's polynomials over the field.
    min_stars : int
        Stars that a PSF needs.
    max_stars : int
        Brightest stars that it is measured on.
    residual : bool
        Whether an empirical residual is added to the Moffat core.
    background : BackgroundEstimator
        How the sky is measured.
    rounds : int
        Turns of sky and fluxes with the final PSF.
    """

    radius_fwhm: float
    max_order: int
    min_stars: int
    max_stars: int
    residual: bool
    background: BackgroundEstimator
    rounds: int

    def for_width(self, fwhm: float, rounds: int | None = None) -> FluxOptions:
        """Options of the fluxes of a frame with stars of a width [pixel]; `rounds` instead of the own ones."""
        turns = self.rounds if rounds is None else rounds
        return FluxOptions(self.radius_pix(fwhm), FARTHEST_FWHM * fwhm, self.background, turns)

    def radius_pix(self, fwhm: float) -> float:
        """Radius of the pixels of each star [pixel]; where it is narrow, room for the table of the PSF."""
        return self.radius_fwhm * max(fwhm, LEAST_WIDTH_PIX)


@dataclass(frozen=True)
class Solution:
    """Fluxes of all stars and what is left of the image.

    Attributes
    ----------
    stamps : Stamps
    flux : ndarray of float64, shape (n,)
    equations : NormalEquations
    sums : StarSums
        With the residual that follows.
    background : Background
        Sky of the image without stars.
    residual, light, weight : ndarray of float32, shape (ny, nx)
        Image without sky and stars; light of the stars; inverse variance.
    """

    stamps: Stamps
    flux: np.ndarray
    equations: NormalEquations
    sums: StarSums
    background: Background
    residual: np.ndarray
    light: np.ndarray
    weight: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """One-sigma errors of the fluxes from the noise of the pixels, shape (n,)."""
        return flux_errors(self.equations)

    @property
    def neighbours(self) -> np.ndarray:
        """What the neighbours would add to each star's flux if they were not fitted, shape (n,)."""
        return neighbour_share(self.equations, self.flux)


class TakenOff(NamedTuple):
    """An image in parts.

    Attributes
    ----------
    residual : ndarray of float32, shape (ny, nx)
        What is left without stars and sky.
    light : ndarray of float32, shape (ny, nx)
        Of the stars.
    background : Background
        Sky of the image without stars.
    """

    residual: np.ndarray
    light: np.ndarray
    background: Background


def take_off(
    pixels: Pixels,
    stamps: Stamps,
    flux: np.ndarray,
    options: FluxOptions,
    former: tuple[Background, np.ndarray] | None = None,
    sky: Background | None = None,
) -> TakenOff:
    """Take stars and then sky off an image.

    Parameters
    ----------
    pixels : Pixels
    stamps : Stamps
    flux : ndarray, shape (n,)
        Of the stars; 0 leaves a star.
    options : FluxOptions
    former : tuple of Background and ndarray, optional
        Sky that the fluxes were fitted on, and `absorbed_sky`: the change of the sky is enlarged by what the stars have
        taken of it.
    sky : Background, optional
        Sky to take off; else it is measured.

    Returns
    -------
    TakenOff

    Raises
    ------
    BadFrameError
        No clean pixels.
    """
    light = np.zeros_like(pixels.image)
    add_light(light, stamps, flux, stamps.psf.reach(flux, FAINTEST * pixels.noise, options.farthest_pix))
    without = pixels.image - light
    background = sky if sky is not None else options.background(without, pixels.flags)
    if former is not None:
        # Only what is smooth in the change: the boxes' own filter has removed the rest, which would swing up.
        change = _smooth(_smooth(background.level - former[0].level))
        level = background.level + change * former[1] / (1.0 - former[1])
        background = replace(background, level=level.astype(np.float32))
    return TakenOff(subtract_background(without, background), light, background)


def absorbed_sky(background: Background, weight: np.ndarray, stamps: Stamps, equations: NormalEquations) -> np.ndarray:
    """Part of an error of the sky that the fitted stars take away with them, in each box.

    Parameters
    ----------
    background : Background
        Its boxes are meant.
    weight : ndarray of float32, shape (ny, nx)
    stamps : Stamps
    equations : NormalEquations

    Returns
    -------
    ndarray of float64, shape (n_box_rows, n_box_columns)
        0 without stars, at most 0.85. Sky and fluxes that are fitted in turn approach their values by 1 minus this part
        in each turn; in a crowded field that is slow.
    """
    rows, columns = background.level.shape
    sums = sum_stamps(np.ones_like(weight), weight, stamps)
    power = np.divide(sums.gradient**2, sums.curvature, out=np.zeros(len(stamps)), where=sums.curvature > 0)
    taken = solve(equations, sums.gradient, ABSORBED_TOLERANCE * float(np.sqrt(power.sum())))
    ny, nx = background.shape
    row, column = stamps.row * rows // ny, stamps.column * columns // nx
    inside = (stamps.row >= 0) & (stamps.row < ny) & (stamps.column >= 0) & (stamps.column < nx)
    cell = (row * columns + column)[inside]
    total = np.bincount(cell, (taken * sums.light)[inside], minlength=rows * columns).reshape(rows, columns)
    share = total / (ny / rows * nx / columns)
    # Boxes of the sky are smoothed with their neighbours.
    return np.clip(_smooth(share), 0.0, MOST_ABSORBED)


def _smooth(mesh: np.ndarray) -> np.ndarray:
    """Mean of each box and those around it."""
    rows, columns = mesh.shape
    around = np.pad(mesh, 1, mode="edge")
    whole = sum(around[j : j + rows, i : i + columns] for j in range(3) for i in range(3))
    return np.asarray(whole) / 9.0


def solve_fluxes(
    pixels: Pixels,
    psf: Psf,
    x: np.ndarray,
    y: np.ndarray,
    flux: np.ndarray,
    options: FluxOptions,
    sky: Background | None = None,
) -> Solution:
    """Fit all fluxes with a given PSF.

    Parameters
    ----------
    pixels : Pixels
    psf : Psf
    x, y : ndarray, shape (n,)
        Positions [pixel].
    flux : ndarray, shape (n,)
        First guess; may be 0.
    options : FluxOptions
    sky : Background, optional
        First guess; else it is measured beside the stars of the first guess.

    Returns
    -------
    Solution

    Raises
    ------
    BadFrameError
        No clean pixels.
    """
    stamps = make_stamps(psf, x, y, options.radius_pix)
    flux = np.array(flux, np.float64)
    pairs = close_pairs(stamps)
    residual, light, background = take_off(pixels, stamps, flux, options, sky=sky)
    for _ in range(options.rounds):
        weight = pixels.weight(residual)
        sums = sum_stamps(residual, weight, stamps)
        equations = normal_equations(weight, stamps, sums.curvature, pairs)
        flux = flux + solve(equations, sums.gradient, ROUGH)
        former = background
        absorbed = absorbed_sky(background, weight, stamps, equations)
        residual, light, background = take_off(pixels, stamps, flux, options, (former, absorbed))
        if float(np.median(np.abs(background.level - former.level))) < SETTLED * pixels.noise:
            break
    sums = sum_stamps(residual, weight, stamps)
    flux = flux + solve(equations, sums.gradient)
    return Solution(stamps, flux, equations, sums, background, residual, light, weight)


def stars_and_pixels(solution: Solution) -> tuple[int, int]:
    """Stars on the image, and its usable pixels.

    Parameters
    ----------
    solution : Solution
    """
    ny, nx = solution.residual.shape
    stamps = solution.stamps
    inside = (stamps.column >= 0) & (stamps.row >= 0) & (stamps.column < nx) & (stamps.row < ny)
    return int(np.count_nonzero(inside)), int(np.count_nonzero(solution.weight))


def stars_per_beam(n_stars: int, n_pixels: int, fwhm: float) -> float:
    """Stars in an area of pi FWHM^2 / (4 ln 2).

    Parameters
    ----------
    n_stars, n_pixels : int
        Stars on an image, and its usable pixels.
    fwhm : float
        Seeing [pixel].
    """
    return float(n_stars * np.pi * fwhm**2 / (4.0 * np.log(2.0)) / max(n_pixels, 1))


def stars_within_reach(x: np.ndarray, y: np.ndarray, shape: tuple[int, int], reach: float) -> np.ndarray:
    """Rows of the stars whose light falls on an image, from bottom to top.

    In this order the pixels of a star are still in the processor's cache for the next one; and the order is always the
    same, whatever that of the catalogue.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Positions [pixel]; NaN = not there.
    shape : tuple of int
        (ny, nx) of the image.
    reach : float
        So far beyond the edge a star is within reach [pixel].

    Returns
    -------
    ndarray of int64
        May be empty.
    """
    ny, nx = shape
    rows = np.flatnonzero((x > -reach) & (x < nx - 1 + reach) & (y > -reach) & (y < ny - 1 + reach))
    return rows[np.lexsort((x[rows], y[rows]))]
