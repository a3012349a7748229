"""Plate solution of one frame: its stars matched to a catalogue, then a weighted, robust fit of a TAN-SIP.

The lists are matched in steps: with the header's solution as it is, else after a search for an offset and a rotation,
else by the pattern of the bright stars around the pointing; then within a shrinking radius, each time only as deep as
chance pairs stay rare. Nothing is returned that could be a coincidence, see `gaiaflux.core.plate.check`.
"""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.maths.polynomials import polynomial_terms
from gaiaflux.core.plate.check import check_solution, worst_error_pix
from gaiaflux.core.plate.fit import PlateFit, centroid_noise, fit_plate, overstated
from gaiaflux.core.plate.matching import neighbour_pull
from gaiaflux.core.plate.search import (
    CELLS,
    FirstMatch,
    MatchLists,
    SolveSettings,
    StarTables,
    asterism_matches,
    first_match,
    image_cell,
    matched_pairs,
    prepare_lists,
)
from gaiaflux.core.plate.sip import fit_tan_sip, scaled_pixels
from gaiaflux.core.sky.projection import (
    invert_distortion,
    linear_tan,
    pixel_scale_arcsec,
    pixel_to_sky,
    sip_order,
    sky_of_pixel,
    sky_to_pixel,
    sky_to_plane,
)
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.wcs import TanSip

__all__ = ["AstrometricFit", "refine_wcs"]

FINAL_RADIUS_PIX = 1.5
PAIRS_BY_CHANCE = 0.15  # per star: how deep the lists are taken for a given radius
NEIGHBOUR_FACTOR = 2.0  # chosen on simulated images: crowded frames come out best between 1.5 and 4
ASTERISM_ROTATION_DEG = 2.0  # what is left to correct of a placement by asterisms


@dataclass(frozen=True)
class AstrometricFit:
    """A plate solution that passed the checks, and the stars that made it.

    Attributes
    ----------
    wcs : TanSip
        Solution with inverse polynomials.
    rms_mas : float
        Scatter of the stars around the solution on one axis, weighted as in the fit [mas].
    solution_err_mas : float
        Expected error of the solution itself: formal, both axes together, rms over the image [mas].
    worst_err_mas : float
        The same where the image is worst determined, with the distortion that the solution may lack [mas].
    n_stars : int
        Stars in the fit.
    method : str
        ``header``, ``offset`` or ``asterism``: how the first match was found.
    corner_coverage : float
        Fraction of the 4 x 4 cells of the image that hold a star of the fit.
    sip_order : int
        1 = no distortion.
    star_rows, catalog_rows : ndarray of int64, shape (n_stars,)
        Rows of the stars of the fit in the lists that were given.
    dx_mas, dy_mas : ndarray of float64, shape (n_stars,)
        Measured minus predicted position along the image's x and y [pixel x scale = mas].
    """

    wcs: TanSip
    rms_mas: float
    solution_err_mas: float
    worst_err_mas: float
    n_stars: int
    method: str
    corner_coverage: float
    sip_order: int
    star_rows: np.ndarray
    catalog_rows: np.ndarray
    dx_mas: np.ndarray
    dy_mas: np.ndarray


def refine_wcs(
    given: StarTables, initial: TanSip | None, settings: SolveSettings, nominal: TanSip | None = None
) -> AstrometricFit:
    """Fit a plate solution to the stars of an image.

    Parameters
    ----------
    given : StarTables
        Stars of the image and of the catalogue.
    initial : TanSip or None
        The header's solution; None where it has none.
    settings : SolveSettings
        How wrong `initial` may be, and what is asked of the solution.
    nominal : TanSip, optional
        Tangent plane at the pointing with the nominal scale, for images whose header has no solution or a wrong one:
        the image's centre may lie half a field away, its scale differ by 5 %, its rotation and parity do not count.
        By default the header's solution serves for that, too.

    Returns
    -------
    AstrometricFit

    Raises
    ------
    BadFrameError
        No solution, or one that may be wrong; the text says why.
    """
    reasons = []
    starts = [] if initial is None else [_centred(initial)]
    if initial is not None and sip_order(initial) > 1:
        # A header's distortion may be nonsense where its linear part is not.
        starts.append(_centred(linear_tan(initial.crval, initial.crpix, initial.cd, initial.shape)))
    for start in starts:
        try:
            lists = prepare_lists(given, start, settings)
            return _solve(lists, start, first_match(lists, start, settings), settings)
        except BadFrameError as error:
            reasons.append(error)
    places = _places(starts[0] if starts else None, nominal)
    if not places:
        raise ValueError("neither a header's solution nor a nominal one is given")
    for place in places:
        try:
            return _solve_by_asterisms(given, place, starts[0] if len(starts) > 1 else None, settings)
        except BadFrameError as error:
            reasons.append(error)
    first, last = str(reasons[0]), str(reasons[len(starts)])
    raise BadFrameError(first if first == last else f"{first}; {last}")


def _places(header: TanSip | None, nominal: TanSip | None) -> list[TanSip]:
    """Where patterns are searched: around the pointing, and around the header's position unless it says the same."""
    if nominal is None or header is None:
        return [place for place in (nominal, header) if place is not None]
    ny, nx = nominal.shape
    scale = pixel_scale_arcsec(nominal)
    sky = pixel_to_sky(header, (nx - 1) / 2, (ny - 1) / 2)
    x, y = sky_to_pixel(nominal, *sky)
    same = np.hypot(x - (nx - 1) / 2, y - (ny - 1) / 2) < 0.1 * min(nx, ny)
    return [nominal] if same and abs(pixel_scale_arcsec(header) / scale - 1.0) < 0.01 else [nominal, header]


def _solve_by_asterisms(
    given: StarTables, place: TanSip, distorted: TanSip | None, settings: SolveSettings
) -> AstrometricFit:
    """Solve around a position; with the distortion of the header, if it has one, before without."""
    reasons = []
    for found, radius in asterism_matches(given, place, settings):
        near = replace(
            settings,
            search_radius_arcsec=2.0 * radius * pixel_scale_arcsec(found),
            search_rotation_deg=ASTERISM_ROTATION_DEG,
        )
        for start in [found] if distorted is None else [_with_distortion(found, distorted), found]:
            try:
                lists = prepare_lists(given, start, near)
                return _solve(lists, start, FirstMatch(start, radius, "asterism"), near)
            except BadFrameError as error:
                reasons.append(error)
    raise reasons[0]


def _with_distortion(linear: TanSip, distorted: TanSip) -> TanSip:
    """A linear solution with the distortion of another, which belongs to the pixels."""
    ny, nx = linear.shape
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, nx - 1, 7), np.linspace(0, ny - 1, 7)))
    crval = sky_of_pixel(linear, *distorted.crpix)
    start = replace(linear, crval=crval, crpix=distorted.crpix, a=distorted.a, b=distorted.b)
    return fit_tan_sip(start, x, y, pixel_to_sky(linear, x, y), order=1, steps=3)


def _centred(wcs: TanSip) -> TanSip:
    """The same solution with its reference pixel near the centre of the image, where polynomials behave."""
    ny, nx = wcs.shape
    centre = (nx - 1) / 2, (ny - 1) / 2
    if abs(wcs.crpix[0] - centre[0]) < nx / 4 and abs(wcs.crpix[1] - centre[1]) < ny / 4:
        return wcs
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, nx - 1, 12), np.linspace(0, ny - 1, 12)))
    ra, dec = pixel_to_sky(wcs, np.append(x, centre[0]), np.append(y, centre[1]))
    xi, eta = sky_to_plane((ra[-1], dec[-1]), ra[:-1], dec[:-1])
    linear = np.linalg.lstsq(np.stack([x - centre[0], y - centre[1]], axis=1), np.stack([xi, eta], axis=1), rcond=None)
    start = linear_tan((ra[-1], dec[-1]), centre, linear[0].T, wcs.shape)
    return fit_tan_sip(start, x, y, (ra[:-1], dec[:-1]), order=max(2, sip_order(wcs)), steps=3)


def _solve(lists: MatchLists, start: TanSip, match: FirstMatch, settings: SolveSettings) -> AstrometricFit:
    base, radius, method = match
    wcs = base
    last_radius = max(FINAL_RADIUS_PIX, 0.35 * lists.fwhm)
    area = float(np.prod(start.shape))
    while True:
        depth = int(PAIRS_BY_CHANCE * area / (np.pi * radius**2))
        rows = matched_pairs(lists, wcs, radius, max(depth, 40))
        if len(rows[0]) < 4:
            raise BadFrameError(f"only {len(rows[0])} stars match the catalogue within {radius:.1f} pixels")
        variance = np.full(len(rows[0]), (radius / 4.0) ** 2)
        highest = min(settings.max_sip_order, 3)
        solution = fit_plate(lists, base, wcs, rows, variance, highest, repeat=3)
        wcs = solution.wcs
        if radius <= last_radius:
            break
        scatter = np.sqrt(np.median(np.sum(solution.residuals**2, axis=0)) / 1.386)
        radius = max(last_radius, min(0.5 * radius, 5.0 * scatter))
    solution, stated = _final_fit(lists, base, wcs, last_radius, settings)
    check_solution(lists, start, solution, stated, last_radius, settings)
    return _result(lists, solution, worst_error_pix(lists, start, solution, stated), method)


def _final_fit(
    lists: MatchLists, base: TanSip, wcs: TanSip, radius: float, settings: SolveSettings
) -> tuple[PlateFit, np.ndarray]:
    """Fit all stars with a noise model: centroid, catalogue, neighbours, and a floor that the residuals tell.

    Returns the fit and the variance of each pair without the floor.
    """
    stars, catalog = matched_pairs(lists, wcs, radius, None)
    good = lists.good[stars]
    if good.sum() >= max(settings.min_stars, 0.3 * len(stars)):
        stars, catalog = stars[good], catalog[good]
    if len(stars) < max(settings.min_stars, 3):
        raise BadFrameError(f"only {len(stars)} stars match the catalogue, {settings.min_stars} are needed")
    stated = lists.variance[stars] + lists.catalog_variance[catalog] + _neighbours(lists, wcs, stars, catalog)
    floor, factor, part = 0.0, 1.0, np.ones(len(stated))
    for _ in range(3):
        variance = factor * (part * stated + floor)
        solution = fit_plate(lists, base, wcs, (stars, catalog), variance, settings.max_sip_order, repeat=2)
        squares = np.sum(solution.residuals**2, axis=0)
        part = overstated(squares, stated, len(solution.covariance))
        floor, factor = centroid_noise(squares, part * stated)
        wcs = solution.wcs
    return solution, part * stated


def _neighbours(lists: MatchLists, wcs: TanSip, stars: np.ndarray, catalog: np.ndarray) -> np.ndarray:
    """Variance by neighbours that pull a centroid, known from the catalogue or found in the image [pixel^2]."""
    difference = lists.mag[catalog] - lists.instrumental[stars]
    if not np.isfinite(difference).any():
        return np.zeros(len(stars))
    zero_point = np.nanmedian(difference)
    ny, nx = wcs.shape
    x, y = sky_to_pixel(wcs, lists.ra, lists.dec)
    edge = 3.0 * lists.fwhm
    inside = np.flatnonzero((x > -edge) & (x < nx + edge) & (y > -edge) & (y < ny + edge) & np.isfinite(lists.mag))
    alone = np.ones(len(lists.x), bool)
    alone[stars] = False
    all_x = np.concatenate([x[inside], lists.x[alone]])
    all_y = np.concatenate([y[inside], lists.y[alone]])
    magnitudes = np.concatenate([lists.mag[inside], lists.instrumental[alone] + zero_point])
    own = np.full(len(lists.ra), -1)
    own[inside] = np.arange(len(inside))
    own_mag = np.where(np.isfinite(lists.mag[catalog]), lists.mag[catalog], lists.instrumental[stars] + zero_point)
    flux, all_flux = 10 ** (-0.4 * own_mag), 10 ** (-0.4 * magnitudes)
    matched, everyone = np.stack([x[catalog], y[catalog], flux]), np.stack([all_x, all_y, all_flux])
    pull = neighbour_pull(matched, own[catalog], everyone, lists.fwhm)
    return 0.5 * (NEIGHBOUR_FACTOR * pull) ** 2


def _result(lists: MatchLists, solution: PlateFit, worst_pix: float, method: str) -> AstrometricFit:
    wcs = solution.wcs
    used = np.flatnonzero(solution.weight > 0)
    stars, catalog = (rows[used] for rows in solution.pairs)
    weight, residuals = solution.weight[used], solution.residuals[:, used]
    scale_mas = 1000.0 * pixel_scale_arcsec(wcs)
    rms = np.sqrt(np.sum(weight * np.sum(residuals**2, axis=0)) / (2.0 * np.sum(weight)))
    ny, nx = wcs.shape
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, nx - 1, 9), np.linspace(0, ny - 1, 9)))
    n_terms = len(solution.covariance)
    order = round((np.sqrt(8 * n_terms + 1) - 3) / 2)
    terms = polynomial_terms(*scaled_pixels(wcs, x, y), order).T
    formal = np.sqrt(2.0 * np.mean(np.einsum("in,ij,jn->n", terms, solution.covariance, terms)))
    return AstrometricFit(
        wcs=invert_distortion(replace(wcs, crval=(wcs.crval[0] % 360.0, wcs.crval[1]))),
        rms_mas=float(rms * scale_mas),
        solution_err_mas=float(formal * scale_mas),
        worst_err_mas=worst_pix * scale_mas,
        n_stars=len(used),
        method=method,
        corner_coverage=len(np.unique(image_cell(lists.x[stars], lists.y[stars], wcs.shape))) / CELLS**2,
        sip_order=sip_order(wcs),
        star_rows=lists.star_rows[stars],
        catalog_rows=lists.catalog_rows[catalog],
        dx_mas=residuals[0] * scale_mas,
        dy_mas=residuals[1] * scale_mas,
    )
