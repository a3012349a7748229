"""Plate solution of one frame: its stars matched to a catalogue, then a weighted, robust fit of a TAN-SIP.

The lists are matched in steps: with the header's solution as it is, else after a search for an offset and a rotation;
then within a shrinking radius, each time only as deep as chance pairs stay rare. Nothing is returned that could be a
coincidence, see `_check`.
"""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.bivariate import polynomial_terms
from gaiaflux.core.matching import match_mutual, neighbour_pull, poisson_log_tail
from gaiaflux.core.platefit import PlateFit, fit_plate, noise_model
from gaiaflux.core.platesearch import (
    CELLS,
    MAX_LOG_CHANCE,
    MatchLists,
    SolveSettings,
    first_match,
    image_cell,
    matched_pairs,
    max_rotation_rad,
    prepare_lists,
)
from gaiaflux.core.projection import (
    invert_distortion,
    linear_tan,
    pixel_scale_arcsec,
    pixel_to_plane,
    pixel_to_sky,
    sip_order,
    sky_to_pixel,
    sky_to_plane,
)
from gaiaflux.core.sipfit import fit_tan_sip, scaled_pixels
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.wcs import TanSip

__all__ = ["AstrometricFit", "refine_wcs"]

FINAL_RADIUS_PIX = 1.5
PAIRS_BY_CHANCE = 0.15  # per star: how deep the lists are taken for a given radius
NEIGHBOUR_FACTOR = 2.0  # chosen on simulated images: crowded frames come out best between 1.5 and 4
MAX_SCALE_CHANGE = 0.03
BLEND_FWHM = 2.0  # stars nearer than that disturb each other's centroid
REST_RADII = 8.0
MAX_LOG_CHANCE_REST = float(np.log(1e-3))
MAX_MAGNITUDE_SCATTER = 1.2


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
    n_stars : int
        Stars in the fit.
    method : str
        ``header`` or ``offset``: how the first match was found.
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
    n_stars: int
    method: str
    corner_coverage: float
    sip_order: int
    star_rows: np.ndarray
    catalog_rows: np.ndarray
    dx_mas: np.ndarray
    dy_mas: np.ndarray


def refine_wcs(
    stars: np.ndarray,
    ra_deg: np.ndarray,
    dec_deg: np.ndarray,
    mag: np.ndarray,
    pos_err_mas: np.ndarray,
    initial: TanSip,
    *,
    search_radius_arcsec: float,
    search_rotation_deg: float,
    max_sip_order: int,
    min_stars: int,
    max_rms_pix: float,
) -> AstrometricFit:
    """Fit a plate solution to the stars of an image.

    Parameters
    ----------
    stars : ndarray of STAR_DTYPE, shape (n_stars,)
        Stars found in the image, in any order; spurious ones are expected among them.
    ra_deg, dec_deg : ndarray, shape (n_catalog,)
        Catalogue at the epoch of the image, ICRS [deg]; may reach beyond the image, and be deeper or shallower.
    mag : ndarray, shape (n_catalog,)
        Any magnitude that orders the stars roughly as the image does; NaN where unknown.
    pos_err_mas : ndarray, shape (n_catalog,)
        One-axis error at the epoch of the image [mas]; NaN counts as 1 arcsec.
    initial : TanSip
        The header's solution.
    search_radius_arcsec, search_rotation_deg : float
        How wrong `initial` may be.
    max_sip_order : int
        Highest order of the distortion; a lower one is taken where the stars do not support it.
    min_stars : int
        Fewest stars in the fit.
    max_rms_pix : float
        Largest scatter around the solution on one axis [pixel].

    Returns
    -------
    AstrometricFit

    Raises
    ------
    BadFrameError
        No solution, or one that may be wrong; the text says why.
    """
    settings = SolveSettings(search_radius_arcsec, search_rotation_deg, max_sip_order, min_stars, max_rms_pix)
    starts = [_centred(initial)]
    if sip_order(initial) > 1:
        # A header's distortion may be nonsense where its linear part is not.
        starts.append(_centred(linear_tan(initial.crval, initial.crpix, initial.cd, initial.shape)))
    reasons = []
    for start in starts:
        try:
            lists = prepare_lists(stars, ra_deg, dec_deg, mag, pos_err_mas, start, settings)
            return _solve(lists, start, settings)
        except BadFrameError as error:
            reasons.append(error)
    raise reasons[0]


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
    return fit_tan_sip(start, x, y, ra[:-1], dec[:-1], order=max(2, sip_order(wcs)), steps=3)


def _solve(lists: MatchLists, start: TanSip, settings: SolveSettings) -> AstrometricFit:
    base, radius, method = first_match(lists, start, settings)
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
    solution = _final_fit(lists, base, wcs, last_radius, settings)
    _check(lists, start, solution, last_radius, settings)
    return _result(lists, solution, method)


def _final_fit(lists: MatchLists, base: TanSip, wcs: TanSip, radius: float, settings: SolveSettings) -> PlateFit:
    """Fit all stars with a noise model: centroid, catalogue, neighbours, and a floor that the residuals tell."""
    stars, catalog = matched_pairs(lists, wcs, radius, None)
    good = lists.good[stars]
    if good.sum() >= max(settings.min_stars, 0.3 * len(stars)):
        stars, catalog = stars[good], catalog[good]
    if len(stars) < max(settings.min_stars, 3):
        raise BadFrameError(f"only {len(stars)} stars match the catalogue, {settings.min_stars} are needed")
    stated = lists.variance[stars] + lists.catalog_variance[catalog] + _neighbours(lists, wcs, stars, catalog)
    floor, factor = 0.0, 1.0
    for _ in range(3):
        variance = factor * (stated + floor)
        solution = fit_plate(lists, base, wcs, (stars, catalog), variance, settings.max_sip_order, repeat=2)
        floor, factor = noise_model(np.sum(solution.residuals**2, axis=0), stated)
        wcs = solution.wcs
    return solution


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
    pull = neighbour_pull(x[catalog], y[catalog], flux, own[catalog], all_x, all_y, all_flux, lists.fwhm)
    return 0.5 * (NEIGHBOUR_FACTOR * pull) ** 2


def _check(lists: MatchLists, start: TanSip, solution: PlateFit, radius: float, settings: SolveSettings) -> None:
    """Refuse a solution that may be a coincidence or is not what the header's could have become."""
    used = solution.weight > 0
    n = int(used.sum())
    if n < settings.min_stars:
        raise BadFrameError(f"only {n} stars match the catalogue, {settings.min_stars} are needed")
    wcs = solution.wcs
    ny, nx = wcs.shape
    x, y = sky_to_pixel(wcs, lists.ra, lists.dec)
    n_inside = int(np.sum((x > 0) & (x < nx) & (y > 0) & (y < ny)))
    expected = n_inside * (1.0 - np.exp(-len(lists.x) * np.pi * radius**2 / (nx * ny)))
    # Three pairs are what it costs to place any list on any other.
    if n < 2.0 * expected or poisson_log_tail(n - 3, expected) > MAX_LOG_CHANCE:
        raise BadFrameError(
            f"only {n} of {len(lists.x)} stars match the {n_inside} of the catalogue: {expected:.0f} would by chance"
        )
    rms = np.sqrt(np.sum(solution.weight * np.sum(solution.residuals**2, axis=0)) / (2.0 * np.sum(solution.weight)))
    if rms > settings.max_rms_pix:
        raise BadFrameError(f"the stars scatter by {rms:.2f} pixels around the best plate solution")
    _check_geometry(start, wcs, settings)
    _check_rest(lists, solution, radius)
    stars, catalog = (rows[used] for rows in solution.pairs)
    difference = lists.mag[catalog] - lists.instrumental[stars]
    difference = difference[np.isfinite(difference)]
    if len(difference) >= settings.min_stars:
        scatter = 1.4826 * np.median(np.abs(difference - np.median(difference)))
        if scatter > MAX_MAGNITUDE_SCATTER:
            raise BadFrameError(
                f"the matched stars' brightness has nothing to do with the catalogue's (scatter {scatter:.1f} mag)"
            )


def _check_rest(lists: MatchLists, solution: PlateFit, radius: float) -> None:
    """Refuse a solution that fits a part of the image only: elsewhere stars lie near the catalogue's, not at them.

    Compared are the brighter half of the stars, all of them where they are few; without blends, where a star of the
    catalogue lies beside a found one whatever the solution.
    """
    stars, catalog = solution.pairs
    share = 0.5 if len(stars) > 40 else 1.0
    n_stars = int(np.sum(lists.instrumental <= np.quantile(lists.instrumental[stars], share)))
    n_catalog = int(np.quantile(catalog, share)) + 1
    free_stars = np.setdiff1d(np.arange(n_stars), stars)
    free_catalog = np.setdiff1d(np.arange(n_catalog), catalog)
    ny, nx = solution.wcs.shape
    all_x, all_y = sky_to_pixel(solution.wcs, lists.ra, lists.dec)
    x, y = all_x[free_catalog], all_y[free_catalog]
    apart = BLEND_FWHM * lists.fwhm
    inside = (x > 0) & (x < nx) & (y > 0) & (y < ny) & ~_has_neighbour(x, y, all_x, all_y, apart)
    matched_x, matched_y = lists.x[stars], lists.y[stars]
    free_stars = free_stars[~_has_neighbour(lists.x[free_stars], lists.y[free_stars], matched_x, matched_y, apart)]
    wide = REST_RADII * radius
    found = match_mutual(x[inside], y[inside], lists.x[free_stars], lists.y[free_stars], wide)[0]
    expected = int(inside.sum()) * (1.0 - np.exp(-len(free_stars) * np.pi * wide**2 / (nx * ny)))
    compared = share * len(stars)
    if len(found) > 0.15 * compared and poisson_log_tail(len(found), expected) < MAX_LOG_CHANCE_REST:
        raise BadFrameError(
            f"the best plate solution fits a part of the image only: {len(found)} bright stars lie "
            f"{radius:.1f} to {wide:.0f} pixels off, beside {compared:.0f} that match"
        )


def _has_neighbour(x: np.ndarray, y: np.ndarray, all_x: np.ndarray, all_y: np.ndarray, radius: float) -> np.ndarray:
    """Whether another point, not at the very same place, lies within the radius."""
    order = np.argsort(all_y, kind="stable")
    sorted_x, sorted_y = all_x[order], all_y[order]
    low, high = np.searchsorted(sorted_y, y - radius), np.searchsorted(sorted_y, y + radius)
    near = np.zeros(len(x), bool)
    for k, (first, last) in enumerate(zip(low, high, strict=True)):
        distance = np.hypot(sorted_x[first:last] - x[k], sorted_y[first:last] - y[k])
        near[k] = bool(((distance > 0) & (distance < radius)).any())
    return near


def _check_geometry(start: TanSip, wcs: TanSip, settings: SolveSettings) -> None:
    ny, nx = wcs.shape
    centre = (nx - 1) / 2, (ny - 1) / 2
    xi, eta = sky_to_plane(start.crval, *pixel_to_sky(wcs, *centre))
    old_xi, old_eta = pixel_to_plane(start, *centre)
    moved = 3600.0 * float(np.hypot(xi - old_xi, eta - old_eta))
    if moved > 1.2 * settings.search_radius_arcsec:
        raise BadFrameError(f"the best plate solution lies {moved:.0f} arcsec from the header's")
    old = _jacobian(start, start, *centre)
    change = np.linalg.inv(old) @ _jacobian(wcs, start, *centre)
    stretches = np.linalg.svd(change, compute_uv=False)
    if np.linalg.det(change) <= 0 or np.abs(stretches - 1.0).max() > MAX_SCALE_CHANGE:
        raise BadFrameError(
            "the best plate solution has another scale or parity than the header's: "
            f"{stretches[0]:.3f} x {stretches[1]:.3f}"
        )
    angle = abs(np.arctan2(change[1, 0] - change[0, 1], change[0, 0] + change[1, 1]))
    if angle > 1.2 * max_rotation_rad(start, settings) + np.deg2rad(0.1):
        raise BadFrameError(f"the best plate solution is turned by {np.rad2deg(angle):.2f} deg from the header's")
    middle = np.linalg.det(_jacobian(wcs, wcs, *centre))
    for x in (0.0, nx - 1.0):
        for y in (0.0, ny - 1.0):
            ratio = np.linalg.det(_jacobian(wcs, wcs, x, y)) / middle
            if not 0.75 < ratio < 1.33:
                raise BadFrameError("the best plate solution is wildly distorted in a corner of the image")


def _jacobian(wcs: TanSip, frame: TanSip, x: float, y: float) -> np.ndarray:
    """Derivative of the position on the tangent plane of `frame` by the pixel [deg/pixel]."""
    ra, dec = pixel_to_sky(wcs, np.array([x - 5, x + 5, x, x]), np.array([y, y, y - 5, y + 5]))
    plane = np.stack(sky_to_plane(frame.crval, ra, dec))
    return np.stack([plane[:, 1] - plane[:, 0], plane[:, 3] - plane[:, 2]], axis=1) / 10.0


def _result(lists: MatchLists, solution: PlateFit, method: str) -> AstrometricFit:
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
    terms = polynomial_terms(*scaled_pixels(wcs, x, y), order)
    formal = np.sqrt(2.0 * np.mean(np.einsum("in,ij,jn->n", terms, solution.covariance, terms)))
    return AstrometricFit(
        wcs=invert_distortion(replace(wcs, crval=(wcs.crval[0] % 360.0, wcs.crval[1]))),
        rms_mas=float(rms * scale_mas),
        solution_err_mas=float(formal * scale_mas),
        n_stars=len(used),
        method=method,
        corner_coverage=len(np.unique(image_cell(lists.x[stars], lists.y[stars], wcs.shape))) / CELLS**2,
        sip_order=sip_order(wcs),
        star_rows=lists.star_rows[stars],
        catalog_rows=lists.catalog_rows[catalog],
        dx_mas=residuals[0] * scale_mas,
        dy_mas=residuals[1] * scale_mas,
    )
