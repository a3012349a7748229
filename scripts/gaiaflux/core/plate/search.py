"""Stars of an image and of a catalogue side by side, and the first match between them.

Positions on the image are 0-based pixels.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA
from gaiaflux.core.plate.asterisms import AsterismSearch, find_placements
from gaiaflux.core.plate.matching import Offset, OffsetSearch, match_mutual, poisson_log_tail, vote_offset
from gaiaflux.core.plate.sip import fit_tan_sip
from gaiaflux.core.sky.projection import (
    linear_tan,
    pixel_scale_arcsec,
    pixel_to_sky,
    plane_to_sky,
    sky_of_pixel,
    sky_to_pixel,
    sky_to_plane,
)
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.wcs import TanSip

__all__ = [
    "CELLS",
    "MAX_LOG_CHANCE",
    "FirstMatch",
    "MatchLists",
    "SolveSettings",
    "StarTables",
    "asterism_matches",
    "first_match",
    "image_cell",
    "matched_pairs",
    "max_rotation_rad",
    "prepare_lists",
]

BAD_CENTROID = StarFlag.SATURATED | StarFlag.BAD_PIXEL | StarFlag.EDGE | StarFlag.COSMIC_RAY | StarFlag.TRAIL
# Brightest stars of either list that are compared first; (number, one share per cell of the image?).
SEARCH_DEPTHS = ((200, False), (200, True), (60, False), (800, False))
HEADER_RADIUS_PIX = 3.0
SEARCH_TOLERANCE_PIX = 12.0
MAX_LOG_CHANCE = float(np.log(1e-6))
MAX_LOG_CHANCE_SEARCH = float(np.log(1e-3))  # the solution that comes of it is judged again
MIN_VARIANCE_PIX2 = 1e-6
MAX_CATALOG_PER_STAR = 100.0
CATALOG_PER_STAR = 4
MAX_SCALE_ERROR = 0.055  # of the nominal scale: 5 %, and what the distortion adds in the middle
MAX_SHIFT = 0.55  # of the pointing, in sides of the image
CELLS = 4  # of the image along each axis, for coverage


@dataclass(frozen=True)
class MatchLists:
    """Both lists, brightest first, as plain columns.

    Attributes
    ----------
    star_rows : ndarray of int64, shape (n_stars,)
        Rows of the stars in the table that was given.
    x, y, variance : ndarray of float64, shape (n_stars,)
        Centroid [pixel] and its variance on one axis [pixel^2].
    instrumental : ndarray of float64, shape (n_stars,)
        -2.5 log10 flux [mag].
    good : ndarray of bool, shape (n_stars,)
        No flag that spoils a centroid.
    real : ndarray of bool, shape (n_stars,)
        Not known to be a cosmic ray.
    fwhm : float
        Median width of the stars [pixel].
    catalog_rows : ndarray of int64, shape (n_catalog,)
        Rows of the catalogue that was given.
    ra, dec, mag, catalog_variance : ndarray of float64, shape (n_catalog,)
        ICRS [deg], magnitude (NaN where unknown), variance on one axis [pixel^2].
    """

    star_rows: np.ndarray
    x: np.ndarray
    y: np.ndarray
    variance: np.ndarray
    instrumental: np.ndarray
    good: np.ndarray
    real: np.ndarray
    fwhm: float
    catalog_rows: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    mag: np.ndarray
    catalog_variance: np.ndarray


@dataclass(frozen=True)
class StarTables:
    """What is matched: stars of an image, and a catalogue at its epoch.

    Attributes
    ----------
    stars : ndarray of STAR_DTYPE, shape (n_stars,)
        Stars found in the image, in any order; spurious ones are expected among them.
    ra_deg, dec_deg : ndarray, shape (n_catalog,)
        Catalogue, ICRS [deg]; may reach beyond the image, and be deeper or shallower.
    mag : ndarray, shape (n_catalog,)
        Any magnitude that orders the stars roughly as the image does; NaN where unknown.
    pos_err_mas : ndarray, shape (n_catalog,)
        One-axis error [mas]; NaN counts as 1 arcsec.
    """

    stars: np.ndarray
    ra_deg: np.ndarray
    dec_deg: np.ndarray
    mag: np.ndarray
    pos_err_mas: np.ndarray


@dataclass(frozen=True)
class SolveSettings:
    """How far a plate solution is sought, and what is asked of it.

    Attributes
    ----------
    search_radius_arcsec, search_rotation_deg : float
        How wrong the header's solution may be.
    max_sip_order : int
        Highest order of the distortion; a lower one is taken where the stars do not support it.
    min_stars : int
        Fewest stars in the fit.
    max_rms_pix : float
        Largest scatter around the solution on one axis [pixel].
    """

    search_radius_arcsec: float
    search_rotation_deg: float
    max_sip_order: int
    min_stars: int
    max_rms_pix: float


def prepare_lists(
    given: StarTables, wcs: TanSip, settings: SolveSettings, margin_pix: float | None = None
) -> MatchLists:
    """Sort both lists by brightness and keep of the catalogue what the image may show.

    Errors are those of `gaiaflux.core.plate.solve.refine_wcs`; `margin_pix` is how far around the image the catalogue
    is kept, by default what the largest errors of `wcs` by the settings ask for.
    """
    stars, ra, dec, mag = given.stars, given.ra_deg, given.dec_deg, given.mag
    ny, nx = wcs.shape
    star_rows = np.flatnonzero(np.isfinite(stars["x"] + stars["y"]) & (stars["flux"] > 0))
    if len(star_rows) < settings.min_stars:
        raise BadFrameError(f"only {len(star_rows)} stars in the image, {settings.min_stars} are needed for its WCS")
    star_rows = star_rows[np.argsort(-stars["flux"][star_rows], kind="stable")]
    found = stars[star_rows]
    fwhm = float(np.nanmedian(found["fwhm"])) if np.isfinite(found["fwhm"]).any() else 4.0
    # 0.42 fwhm / snr is the error of the centroid of a Gaussian star on sky noise.
    variance = 0.5 * (found["x_err"].astype(np.float64) ** 2 + found["y_err"].astype(np.float64) ** 2)
    guess = (0.42 * fwhm / np.maximum(np.nan_to_num(found["snr"], nan=1.0), 1.0)) ** 2
    variance = np.where(np.isfinite(variance) & (variance > 0), variance, guess)

    scale = pixel_scale_arcsec(wcs)
    margin = margin_pix
    if margin is None:
        margin = settings.search_radius_arcsec / scale + max_rotation_rad(wcs, settings) * 0.5 * float(np.hypot(nx, ny))
    x, y = sky_to_pixel(wcs, ra, dec)
    near = (x > -margin) & (x < nx + margin) & (y > -margin) & (y < ny + margin)
    catalog_rows = np.flatnonzero(near)
    if len(catalog_rows) < settings.min_stars:
        where = "where the header says the image is" if margin_pix is None else "where the image may be"
        sky = f"around ra {wcs.crval[0]:.4f}, dec {wcs.crval[1]:+.4f}"
        raise BadFrameError(f"only {len(catalog_rows)} catalogue stars {where} ({sky})")
    brightness = np.where(np.isfinite(mag), mag, 99.0)[catalog_rows]
    # A catalogue much deeper than the image only costs time.
    useful = max(CATALOG_PER_STAR * len(star_rows), 2000)
    catalog_rows = catalog_rows[np.argsort(brightness, kind="stable")[:useful]]
    catalog_error = np.nan_to_num(np.asarray(given.pos_err_mas, np.float64)[catalog_rows], nan=1000.0)
    return MatchLists(
        star_rows=star_rows,
        x=np.ascontiguousarray(found["x"]),
        y=np.ascontiguousarray(found["y"]),
        variance=np.maximum(variance, MIN_VARIANCE_PIX2),
        instrumental=-2.5 * np.log10(found["flux"].astype(np.float64)),
        good=(found["flags"] & BAD_CENTROID) == 0,
        real=(found["flags"] & StarFlag.COSMIC_RAY) == 0,
        fwhm=fwhm,
        catalog_rows=catalog_rows,
        ra=np.asarray(ra, np.float64)[catalog_rows],
        dec=np.asarray(dec, np.float64)[catalog_rows],
        mag=np.asarray(mag, np.float64)[catalog_rows],
        catalog_variance=(catalog_error / (1000.0 * scale)) ** 2,
    )


def max_rotation_rad(wcs: TanSip, settings: SolveSettings) -> float:
    """Largest rotation to be tried [rad]: near a pole an offset turns the image, too."""
    offset = np.deg2rad(settings.search_radius_arcsec / 3600.0)
    polar = offset / max(np.cos(np.deg2rad(wcs.crval[1])), offset)
    return min(np.deg2rad(settings.search_rotation_deg) + float(polar), np.pi)


def _brightest(x: np.ndarray, y: np.ndarray, shape: tuple[int, int], number: int, even: bool) -> np.ndarray:
    """Rows of the brightest stars of a sorted list, or of the brightest of each cell of the image."""
    if not even:
        return np.arange(min(number, len(x)))
    cell = image_cell(x, y, shape)
    order = np.argsort(cell, kind="stable")
    rank = np.arange(len(x)) - np.searchsorted(cell[order], cell[order], side="left")
    return np.sort(order[rank < max(number // CELLS**2, 1)])


def image_cell(x: np.ndarray, y: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Number of the cell of the image, of `CELLS` x `CELLS`, that holds each position."""
    ny, nx = shape
    column = np.clip((x + 0.5) * CELLS / nx, 0, CELLS - 1).astype(np.int64)
    row = np.clip((y + 0.5) * CELLS / ny, 0, CELLS - 1).astype(np.int64)
    return row * CELLS + column


class FirstMatch(NamedTuple):
    """A solution, how good it is [pixel], and how it was found: ``header``, ``offset`` or ``asterism``."""

    wcs: TanSip
    radius: float
    method: str


def first_match(lists: MatchLists, start: TanSip, settings: SolveSettings) -> FirstMatch:
    """Find a solution good to a few pixels: the header's as it is, else after a search.

    Parameters
    ----------
    lists : MatchLists
        Stars of the image and of the catalogue.
    start : TanSip
        Solution of the header.
    settings : SolveSettings
        How far it may be off.

    Returns
    -------
    FirstMatch

    Raises
    ------
    BadFrameError
        Nothing found that is better than chance.
    """
    ny, nx = start.shape
    centre = (nx - 1) / 2, (ny - 1) / 2
    catalog_x, catalog_y = sky_to_pixel(start, lists.ra, lists.dec)
    inside = (catalog_x > 0) & (catalog_x < nx) & (catalog_y > 0) & (catalog_y < ny)
    # The catalogue is taken over all places where the image may lie.
    wider = len(lists.ra) / max(int(inside.sum()), 1)
    wider = float(np.clip(wider, 1.5, MAX_CATALOG_PER_STAR))
    search = OffsetSearch(
        radius_pix=settings.search_radius_arcsec / pixel_scale_arcsec(start),
        max_angle_rad=max_rotation_rad(start, settings),
        extent_pix=0.5 * float(np.hypot(nx, ny)),
        tolerance_pix=SEARCH_TOLERANCE_PIX,
    )
    best = (1.0, 0, 0)
    for number, even in SEARCH_DEPTHS:
        stars = _brightest(lists.x, lists.y, start.shape, int(1.3 * number), even)
        catalog = _brightest(catalog_x, catalog_y, start.shape, int(wider * number), even)
        if not even and number == SEARCH_DEPTHS[0][0]:
            shared = catalog[inside[catalog]]
            pairs = match_mutual(
                catalog_x[shared], catalog_y[shared], lists.x[stars], lists.y[stars], HEADER_RADIUS_PIX
            )
            expected = len(shared) * len(stars) * np.pi * HEADER_RADIUS_PIX**2 / (nx * ny)
            enough = max(settings.min_stars, 0.4 * min(len(shared), len(stars)))
            if len(pairs[0]) >= enough and poisson_log_tail(len(pairs[0]), expected) < MAX_LOG_CHANCE:
                return FirstMatch(start, 2.0 * HEADER_RADIUS_PIX, "header")
        offset = vote_offset(
            catalog_x[catalog] - centre[0],
            catalog_y[catalog] - centre[1],
            lists.x[stars] - centre[0],
            lists.y[stars] - centre[1],
            search,
        )
        best = min(best, (offset.log_chance, offset.n_pairs, min(len(stars), len(catalog))))
        if offset.log_chance < MAX_LOG_CHANCE_SEARCH and offset.n_pairs >= min(settings.min_stars, 5):
            return FirstMatch(_moved(start, offset), offset.tolerance_pix, "offset")
    raise BadFrameError(
        f"no offset within {settings.search_radius_arcsec:g} arcsec and rotation within "
        f"{settings.search_rotation_deg:g} deg brings the stars to the catalogue: at best {best[1]} of the {best[2]} "
        "brightest agree, as by chance"
    )


def asterism_matches(given: StarTables, nominal: TanSip, settings: SolveSettings) -> list[tuple[TanSip, float]]:
    """Find where the image lies around a pointing, whatever its rotation and parity.

    Parameters
    ----------
    given : StarTables
        Stars of the image and of the catalogue.
    nominal : TanSip
        Its position of the image's centre and its scale count.
    settings : SolveSettings
        Settings; the search radius and rotation do not count.

    Returns
    -------
    list of (TanSip, float)
        Solutions without distortion, the likeliest first, and how good they are [pixel].

    Raises
    ------
    BadFrameError
        Too few stars, or nothing found that is better than chance.
    """
    ny, nx = nominal.shape
    centre = (nx - 1) / 2, (ny - 1) / 2
    pointing = sky_of_pixel(nominal, *centre)
    scale = pixel_scale_arcsec(nominal) / 3600.0
    upright = linear_tan(pointing, centre, np.diag([scale, scale]), nominal.shape)
    search = AsterismSearch((ny, nx), MAX_SHIFT * max(nx, ny), MAX_SCALE_ERROR, min(settings.min_stars, 5))
    reach = search.max_shift + 1.05 * search.half_diagonal
    lists = prepare_lists(given, upright, settings, margin_pix=reach - 0.5 * min(nx, ny))
    xi, eta = sky_to_plane(pointing, lists.ra, lists.dec)
    near = np.hypot(xi, eta) < reach * scale
    real = lists.real
    placements = find_placements(
        lists.x[real] - centre[0], lists.y[real] - centre[1], xi[near] / scale, eta[near] / scale, search
    )
    x, y = (g.ravel() for g in np.meshgrid([0.0, nx / 2, nx], [0.0, ny / 2, ny]))
    matches = []
    for placement in placements:
        plane = scale * (placement.matrix @ np.stack([x - centre[0], y - centre[1]]) + placement.shift[:, None])
        ra, dec = plane_to_sky(pointing, *(scale * placement.shift))
        start = linear_tan((float(ra), float(dec)), centre, scale * placement.matrix, nominal.shape)
        found = fit_tan_sip(start, x, y, plane_to_sky(pointing, *plane), order=1, steps=3)
        matches.append((found, placement.tolerance_pix))
    if not matches:
        raise BadFrameError(
            f"no pattern of the {min(int(real.sum()), 60)} brightest stars lies in the catalogue within half a field "
            f"of ra {pointing[0]:.4f}, dec {pointing[1]:+.4f} at {3600.0 * scale:.4g} arcsec/pixel"
        )
    return matches


def _moved(wcs: TanSip, offset: Offset) -> TanSip:
    """Solution with the catalogue turned about the centre of the image and shifted."""
    ny, nx = wcs.shape
    centre = (nx - 1) / 2, (ny - 1) / 2
    cos, sin = np.cos(offset.angle_rad), np.sin(offset.angle_rad)
    x, y = (g.ravel() for g in np.meshgrid([0.0, nx / 2, nx], [0.0, ny / 2, ny]))
    back_x, back_y = x - centre[0] - offset.dx, y - centre[1] - offset.dy
    ra, dec = pixel_to_sky(wcs, cos * back_x + sin * back_y + centre[0], -sin * back_x + cos * back_y + centre[1])
    return fit_tan_sip(wcs, x, y, (ra, dec), order=1, steps=3)


def matched_pairs(lists: MatchLists, wcs: TanSip, radius: float, depth: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows of stars and catalogue that are each other's nearest and of a consistent brightness.

    Parameters
    ----------
    lists : MatchLists
        Both lists.
    wcs : TanSip
        Solution that places the catalogue on the image.
    radius : float
        Largest distance [pixel].
    depth : int or None
        How many of the brightest of the image are compared; None means all.

    Returns
    -------
    star_rows, catalog_rows : ndarray of int64, shape (n_pairs,)
        Rows in `lists`.
    """
    ny, nx = wcs.shape
    x, y = sky_to_pixel(wcs, lists.ra, lists.dec) if depth is None else _first_inside(lists, wcs, depth)
    n_stars = len(lists.x) if depth is None else int(1.3 * depth)
    inside = (x > -radius) & (x < nx + radius) & (y > -radius) & (y < ny + radius)
    x = np.where(inside, x, np.nan)
    catalog, stars = match_mutual(x, y, lists.x[:n_stars], lists.y[:n_stars], radius)
    difference = lists.mag[catalog] - lists.instrumental[stars]
    known = np.isfinite(difference)
    if known.sum() >= 10:
        middle = np.median(difference[known])
        width = MAD_TO_SIGMA * np.median(np.abs(difference[known] - middle))
        keep = ~known | (np.abs(difference - middle) < max(1.0, 5.0 * width))
        catalog, stars = catalog[keep], stars[keep]
    return stars, catalog


def _first_inside(lists: MatchLists, wcs: TanSip, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of about the `depth` brightest catalogue stars of the image."""
    ny, nx = wcs.shape
    take = min(len(lists.ra), 2 * depth)
    x, y = sky_to_pixel(wcs, lists.ra[:take], lists.dec[:take])
    count = np.cumsum((x > 0) & (x < nx) & (y > 0) & (y < ny))
    last = int(np.searchsorted(count, depth)) + 1
    return x[:last], y[:last]
