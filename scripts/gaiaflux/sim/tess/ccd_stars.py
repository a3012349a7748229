"""The stars of a simulated CCD: those that the user placed, and the many others."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.sky.projection import pixel_to_sky
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.tess.ccd_setup import CcdSetup
from gaiaflux.sim.tess.field import CatalogRow, moved_back
from gaiaflux.sim.tess.stars import StampStar, relative_light, tess_flux

__all__ = ["CcdStars", "catalog_of", "draw_stars", "pair", "relative_lights"]

MARGIN = 10.0  # around the part of the CCD, from which light still falls on it [pixel]
FIRST_ID = 100_000_000
MOTION_MAS = 8.0
# Magnitudes in which the number of stars grows tenfold.
TENFOLD = 3.0
# Times in an exposure over which changing light is averaged.
TIMES = 15


@dataclass(frozen=True)
class CcdStars:
    """All stars, the placed ones first.

    Attributes
    ----------
    starid : ndarray of int64, shape (n,)
        TIC.
    x, y : ndarray of float64, shape (n,)
        Place at shift 0 in the part that is imaged [pixel].
    tmag : ndarray of float64, shape (n,)
    flux : ndarray of float64, shape (n,)
        Where nothing happens [electron/s].
    motion_mas : ndarray of float64, shape (n, 2)
        Proper motions in ra cos(dec) and dec [mas/yr].
    listed : ndarray of bool, shape (n,)
        Whether the catalogue has it.
    """

    starid: np.ndarray
    x: np.ndarray
    y: np.ndarray
    tmag: np.ndarray
    flux: np.ndarray
    motion_mas: np.ndarray
    listed: np.ndarray


def draw_stars(setup: CcdSetup, rng: np.random.Generator) -> CcdStars:
    """Draw the stars that the user did not place, and put them behind those that he did.

    Parameters
    ----------
    setup : CcdSetup
    rng : Generator

    Returns
    -------
    CcdStars
        Those that are drawn by magnitude.
    """
    ny, nx = setup.shape
    area = (ny + 2.0 * MARGIN) * (nx + 2.0 * MARGIN)
    n = round(setup.density * area * 10.0 ** ((setup.faintest - setup.listed_tmag) / TENFOLD))
    x, y = rng.uniform(-0.5 - MARGIN, nx - 0.5 + MARGIN, n), rng.uniform(-0.5 - MARGIN, ny - 0.5 + MARGIN, n)
    brightest = 10.0 ** ((setup.brightest - setup.faintest) / TENFOLD)
    tmag = np.sort(setup.faintest + TENFOLD * np.log10(rng.uniform(brightest, 1.0, n)))
    motion = rng.normal(0.0, MOTION_MAS, (n, 2))
    own_x, own_y = (np.array([getattr(star, axis) for star in setup.stars], np.float64) for axis in "xy")
    free = np.ones(n, bool)
    for one_x, one_y in zip(own_x, own_y, strict=True):
        free &= np.hypot(x - one_x, y - one_y) >= setup.clear_pix
    own_mag = np.array([star.tmag for star in setup.stars], np.float64)
    tmags = np.concatenate([own_mag, tmag[free]])
    own_motion = np.array([star.pm_mas for star in setup.stars], np.float64).reshape(-1, 2)
    return CcdStars(
        np.concatenate([[star.starid for star in setup.stars], FIRST_ID + np.nonzero(free)[0]]).astype(np.int64),
        np.concatenate([own_x, x[free]]),
        np.concatenate([own_y, y[free]]),
        tmags,
        tess_flux(0.0) * 10.0 ** (-0.4 * tmags),
        np.concatenate([own_motion, motion[free]]),
        np.concatenate([np.ones(len(own_mag), bool), tmag[free] <= setup.listed_tmag]),
    )


def relative_lights(setup: CcdSetup, elapsed_d: np.ndarray) -> np.ndarray:
    """Light of the placed stars, the mean of each exposure, 1 where nothing happens.

    Parameters
    ----------
    setup : CcdSetup
    elapsed_d : ndarray, shape (n,)
        Mid-exposures, from the first frame [d].

    Returns
    -------
    ndarray of float64, shape (n, n_placed)
    """
    within = ((np.arange(TIMES) + 0.5) / TIMES - 0.5) * setup.exposure_d
    times = (elapsed_d[:, None] + within).ravel()
    light = np.ones((len(elapsed_d), len(setup.stars)))
    for k, star in enumerate(setup.stars):
        light[:, k] = relative_light(star, times).reshape(-1, TIMES).mean(axis=1)
    return light


def catalog_of(setup: CcdSetup, stars: CcdStars, plate: TanSip) -> list[CatalogRow]:
    """Catalogue of the stars that are listed, at its epoch.

    Parameters
    ----------
    setup : CcdSetup
    stars : CcdStars
    plate : TanSip
        True plate solution of the CCD.

    Returns
    -------
    list of CatalogRow
    """
    x, y, motion = stars.x[stars.listed], stars.y[stars.listed], stars.motion_mas[stars.listed]
    places = pixel_to_sky(plate, x + setup.first_column, y + setup.first_row)
    ra, dec = moved_back(*places, motion, setup.start_btjd)
    dispositions = [star.disposition for star in setup.stars] + [""] * (len(x) - len(setup.stars))
    columns = (stars.starid[stars.listed], ra % 360.0, dec, *motion.round(3).T, stars.tmag[stars.listed].round(4))
    rows = zip(*(column.tolist() for column in columns), dispositions, strict=True)
    return [CatalogRow(*row) for row in rows]


def pair(first: StampStar, starid: int, separation: float, fainter: float, angle: float = 0.0) -> tuple[StampStar, ...]:
    """Two stars side by side.

    Parameters
    ----------
    first : StampStar
    starid : int
        Of the second.
    separation : float
        [pixel].
    fainter : float
        By how much the second is [mag].
    angle : float
        Direction of the second, from x to y [rad].

    Returns
    -------
    tuple of StampStar
        Both; the second is constant.
    """
    x, y = first.x + separation * np.cos(angle), first.y + separation * np.sin(angle)
    return first, StampStar(starid, float(x), float(y), first.tmag + fainter)
