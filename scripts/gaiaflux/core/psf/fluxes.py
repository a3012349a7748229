"""Fit of the fluxes of all stars of a frame with a given point-spread function, in turns with the sky."""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.image.background import Background, estimate_background, subtract_background
from gaiaflux.core.kernels.compile import kernel
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
from gaiaflux.model.flags import PixelFlag

__all__ = [
    "Pixels",
    "PsfOptions",
    "Solution",
    "near_saturation",
    "solve_fluxes",
    "stars_within_reach",
    "take_off",
]

# The function is added as far as it is brighter than this part of the sky's noise, but not farther than so many FWHM.
FAINTEST = 0.02
FARTHEST_FWHM = 25.0
MOST_ABSORBED = 0.85
ABSORBED_TOLERANCE = 0.03  # it only tells how far to go
SETTLED = 0.003  # median change of the sky, over a pixel's noise


@dataclass(frozen=True)
class Pixels:
    """Image and noise.

    Attributes
    ----------
    image : ndarray of float32, shape (ny, nx)
        With sky; finite.
    flags : ndarray of uint8, shape (ny, nx)
        Bits of `PixelFlag`; nonzero pixels have no weight.
    floor : float, or ndarray of float32, shape (ny, nx)
        Variance of a pixel without light.
    slope : float
        Variance per unit of light.
    """

    image: np.ndarray
    flags: np.ndarray
    floor: float | np.ndarray
    slope: float

    def with_flags(self, flags: np.ndarray) -> "Pixels":
        """The same with other flags."""
        return replace(self, flags=flags)

    def weight(self, residual: np.ndarray) -> np.ndarray:
        """Inverse variance of the pixels [float32], from the light of the model; 0 = not used.

        Parameters
        ----------
        residual : ndarray of float32, shape (ny, nx)
            Image without the model: stars and sky.

        Returns
        -------
        ndarray of float32, shape (ny, nx)
        """
        weight = np.empty_like(self.image)
        level = np.full((1, 1), self.floor, np.float32) if np.isscalar(self.floor) else self.floor
        _weights(self.image, residual, self.flags, level, self.slope, weight)
        return weight


@dataclass(frozen=True)
class PsfOptions:
    """How a frame is fitted.

    Attributes
    ----------
    radius_fwhm : float
        Radius of the pixels of each star [FWHM].
    max_order : int
        Highest degree of the PSF's polynomials over the field.
    min_stars : int
        Stars that a PSF needs.
    max_stars : int
        Brightest stars that it is measured on.
    residual : bool
        Whether an empirical residual is added to the Moffat core.
    box_pix : int
        Boxes of the sky [pixel].
    rounds : int
        Turns of sky and fluxes with the final PSF.
    """

    radius_fwhm: float = 2.2
    max_order: int = 2
    min_stars: int = 5
    max_stars: int = 400
    residual: bool = True
    box_pix: int = 64
    rounds: int = 2


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


def take_off(
    pixels: Pixels,
    stamps: Stamps,
    flux: np.ndarray,
    noise: float,
    fwhm: float,
    box_pix: int,
    former: tuple[Background, np.ndarray] | None = None,
    sky: Background | None = None,
) -> tuple[np.ndarray, np.ndarray, Background]:
    """Take stars and then sky off an image.

    Parameters
    ----------
    pixels : Pixels
    stamps : Stamps
    flux : ndarray, shape (n,)
        Of the stars; 0 leaves a star.
    noise : float
        Of a pixel of the sky.
    fwhm : float
        Seeing [pixel].
    box_pix : int
        Boxes of the sky [pixel].
    former : tuple of Background and ndarray, optional
        Sky that the fluxes were fitted on, and `absorbed_sky`: the change of the sky is enlarged by what the stars have
        taken of it.
    sky : Background, optional
        Sky to take off; else it is measured.

    Returns
    -------
    residual, light : ndarray of float32, shape (ny, nx)
        What is left, and the light of the stars.
    background : Background
        Of the image without stars.

    Raises
    ------
    BadFrameError
        No clean pixels.
    """
    light = np.zeros_like(pixels.image)
    reach = stamps.psf.reach(flux, FAINTEST * noise)
    add_light(light, stamps, flux, np.minimum(reach, FARTHEST_FWHM * fwhm))
    without = pixels.image - light
    background = sky if sky is not None else estimate_background(without, pixels.flags, box_pix)
    if former is not None:
        # Only what is smooth in the change: the boxes' own filter has removed the rest, which would swing up.
        change = _smooth(_smooth(background.level - former[0].level))
        level = background.level + change * former[1] / (1.0 - former[1])
        background = replace(background, level=level.astype(np.float32))
    return subtract_background(without, background), light, background


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
    return sum(around[j : j + rows, i : i + columns] for j in range(3) for i in range(3)) / 9.0


def solve_fluxes(
    pixels: Pixels,
    psf: Psf,
    x: np.ndarray,
    y: np.ndarray,
    flux: np.ndarray,
    noise: float,
    options: PsfOptions,
    rounds: int,
    fwhm: float,
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
    noise : float
        Of a pixel of the sky.
    options : PsfOptions
    rounds : int
        Turns of sky and fluxes at most; they end when the sky does not change any more.
    fwhm : float
        Seeing [pixel].
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
    stamps = make_stamps(psf, x, y, options.radius_fwhm * fwhm)
    flux = np.array(flux, np.float64)
    box, pairs = options.box_pix, close_pairs(stamps)
    residual, light, background = take_off(pixels, stamps, flux, noise, fwhm, box, sky=sky)
    for _ in range(rounds):
        weight = pixels.weight(residual)
        sums = sum_stamps(residual, weight, stamps)
        equations = normal_equations(weight, stamps, sums.curvature, pairs)
        flux = flux + solve(equations, sums.gradient, ROUGH)
        former = background
        absorbed = absorbed_sky(background, weight, stamps, equations)
        residual, light, background = take_off(pixels, stamps, flux, noise, fwhm, box, (former, absorbed))
        if float(np.median(np.abs(background.level - former.level))) < SETTLED * noise:
            break
    sums = sum_stamps(residual, weight, stamps)
    flux = flux + solve(equations, sums.gradient)
    return Solution(stamps, flux, equations, sums, background, residual, light, weight)


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


def near_saturation(flags: np.ndarray, x: np.ndarray, y: np.ndarray, fwhm: float) -> np.ndarray:
    """Whether a pixel near a star's centre is saturated.

    Parameters
    ----------
    flags : ndarray of uint8, shape (ny, nx)
    x, y : ndarray, shape (n,)
        Positions [pixel].
    fwhm : float
        Half of it is near [pixel].

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    ny, nx = flags.shape
    half = max(1, round(0.5 * fwhm))
    result = np.zeros(len(x), bool)
    for dy in range(-half, half + 1):
        for dx in range(-half, half + 1):
            if dx * dx + dy * dy > half * half:
                continue
            i, j = np.rint(x).astype(np.int64) + dx, np.rint(y).astype(np.int64) + dy
            inside = (i >= 0) & (j >= 0) & (i < nx) & (j < ny)
            result[inside] |= (flags[j[inside], i[inside]] & PixelFlag.SATURATED) != 0
    return result


@kernel("void(float32[:, ::1], float32[:, ::1], uint8[:, ::1], float32[:, ::1], float64, float32[:, ::1])")
def _weights(
    image: np.ndarray, residual: np.ndarray, flags: np.ndarray, floor: np.ndarray, slope: float, weight: np.ndarray
) -> None:
    ny, nx = image.shape
    whole = floor.shape[0] == ny and floor.shape[1] == nx
    s = np.float32(slope)
    for j in range(ny):
        f = floor[0, 0]
        for i in range(nx):
            if whole:
                f = floor[j, i]
            v = f + s * max(image[j, i] - residual[j, i], np.float32(0.0))
            weight[j, i] = np.float32(1.0) / v if (flags[j, i] == 0 and v > 0) else np.float32(0.0)
