"""Whether a plate solution can be believed: more pairs than by chance, everywhere in the image, and well determined."""

from itertools import product

import numpy as np

from gaiaflux.core.maths.polynomials import polynomial_terms
from gaiaflux.core.maths.robust import robust_scatter
from gaiaflux.core.plate.fit import PlateFit
from gaiaflux.core.plate.matching import match_mutual, poisson_log_tail
from gaiaflux.core.plate.search import MAX_LOG_CHANCE, MatchLists, SolveSettings, max_rotation_rad
from gaiaflux.core.plate.sip import scaled_pixels
from gaiaflux.core.sky.projection import pixel_to_plane, pixel_to_sky, sip_order, sky_to_pixel, sky_to_plane
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.wcs import TanSip

__all__ = ["check_solution", "worst_error_pix"]

MAX_SCALE_CHANGE = 0.03
BLEND_FWHM = 2.0  # stars nearer than that disturb each other's centroid
REST_RADII = 8.0
FEW_STARS = 40
CHANCE_REST = 0.02  # coincidences that are expected
FAR_REST = 0.02  # of the image's side
NEAREST = 6  # points that tell whether a part of the image is off
ALIKE = 0.5  # of an offset, by which another may differ from it
UNMISTAKEN_FWHM = 0.3  # pairs that far apart are no coincidences in an image with room
MAX_LOG_CHANCE_REST = float(np.log(1e-3))
MAX_MAGNITUDE_SCATTER = 1.2
MAX_WORST_ERROR_PIX, MAX_WORST_ERROR_FWHM = 0.45, 0.05
MAX_WORST_ERROR_RMS = 2.5  # in scatters of the stars: noise, such as of a poor catalogue, is no missing distortion
NOISY_WORST_ERROR_PIX = 0.6
CENTROID_FLOOR_PIX = 0.03
# Distortion at a corner, in half sides of the image: the largest, and what a header that has one rarely leaves over.
LARGEST_DISTORTION = 0.04
LEFT_DISTORTION = 0.0002
SMALLEST_DISTORTION_PIX = 0.02
N_SIZES = 9


def check_solution(
    lists: MatchLists, start: TanSip, solution: PlateFit, stated: np.ndarray, radius: float, settings: SolveSettings
) -> None:
    """Refuse a solution that may be a coincidence or is not what the header's could have become.

    Parameters
    ----------
    lists : MatchLists
        Both lists.
    start : TanSip
        Where the search began.
    solution : PlateFit
        Final fit.
    stated : ndarray, shape (n_pairs,)
        Variance of each pair on one axis as the lists state it [pixel^2].
    radius : float
        Largest distance of a pair [pixel].
    settings : SolveSettings
        Limits.

    Raises
    ------
    BadFrameError
        It may be wrong; the text says why.
    """
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
    worst = worst_error_pix(lists, start, solution, stated)
    limit = max(MAX_WORST_ERROR_PIX, MAX_WORST_ERROR_FWHM * lists.fwhm)
    if worst > max(limit, min(MAX_WORST_ERROR_RMS * rms, NOISY_WORST_ERROR_PIX)):
        raise BadFrameError(
            f"the {n} matched stars leave the plate solution uncertain by {worst:.1f} pixels in parts of the image"
        )
    stars, catalog = (rows[used] for rows in solution.pairs)
    difference = lists.mag[catalog] - lists.instrumental[stars]
    difference = difference[np.isfinite(difference)]
    if len(difference) >= settings.min_stars:
        scatter = robust_scatter(difference)
        if scatter > MAX_MAGNITUDE_SCATTER:
            raise BadFrameError(
                f"the matched stars' brightness has nothing to do with the catalogue's (scatter {scatter:.1f} mag)"
            )


def _check_rest(lists: MatchLists, solution: PlateFit, radius: float) -> None:
    """Refuse a solution that fits a part of the image only: elsewhere stars lie near the catalogue's, not at them.

    Compared are the brighter half of the stars, all of them where they are few; without blends, where a star of the
    catalogue lies beside a found one whatever the solution. A star at its place counts as such even if the fit left it
    out; and a pair that is off among many that are not, in a direction of its own, is a wrong row or a spoiled star.
    """
    stars, catalog = solution.pairs
    ny, nx = solution.wcs.shape
    wide = _range_without_chance(lists, solution)
    few = len(stars) <= FEW_STARS and wide > REST_RADII * radius
    share = 1.0 if len(stars) <= FEW_STARS else 0.5
    n_stars = len(lists.x) if few else int(np.sum(lists.instrumental <= np.quantile(lists.instrumental[stars], share)))
    n_catalog = int((1.5 if few else 1.0) * (np.quantile(catalog, share) + 1))
    free_stars = np.setdiff1d(np.arange(n_stars), stars)
    free_catalog = np.setdiff1d(np.arange(min(n_catalog, len(lists.ra))), catalog)
    all_x, all_y = sky_to_pixel(solution.wcs, lists.ra, lists.dec)
    x, y = all_x[free_catalog], all_y[free_catalog]
    apart = BLEND_FWHM * lists.fwhm
    inside = (x > 0) & (x < nx) & (y > 0) & (y < ny) & ~_has_neighbour(x, y, all_x, all_y, apart)
    matched_x, matched_y = lists.x[stars], lists.y[stars]
    free_stars = free_stars[~_has_neighbour(lists.x[free_stars], lists.y[free_stars], matched_x, matched_y, apart)]
    wide = wide if few else REST_RADII * radius
    x, y, star_x, star_y = x[inside], y[inside], lists.x[free_stars], lists.y[free_stars]
    rows, near = match_mutual(x, y, star_x, star_y, wide)
    dx, dy = star_x[near] - x[rows], star_y[near] - y[rows]
    off = np.flatnonzero(np.hypot(dx, dy) > radius)
    found = rows[off]
    if not few:
        compared_too = stars < n_stars
        right = np.stack([matched_x[compared_too], matched_y[compared_too]])
        found = found[_in_company(np.stack([x[found], y[found]]), np.stack([dx, dy])[:, off], right)]
    compared = share * len(stars)
    expected = int(inside.sum()) * (1.0 - np.exp(-len(free_stars) * np.pi * wide**2 / (nx * ny)))
    rare = few or poisson_log_tail(len(found), expected) < MAX_LOG_CHANCE_REST
    if len(found) > (0.05 if few else 0.15) * compared and rare:
        raise BadFrameError(
            f"the best plate solution fits a part of the image only: {len(found)} bright stars lie "
            f"{radius:.1f} to {wide:.0f} pixels off, beside {compared:.0f} that match"
        )


def _in_company(places: np.ndarray, offsets: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Which pairs that are off are so together: most points around are off, or the next one is off alike.

    `places` and `offsets` have the shape (2, n), the places of the pairs that are right (2, n_right).
    """
    n, k = places.shape[1], min(NEAREST, places.shape[1] + right.shape[1] - 1)
    result = np.zeros(n, bool)
    if n == 0 or k < 1:
        return result
    everyone = np.append(places, right, axis=1)
    for row in range(n):
        distance = np.hypot(*(everyone - places[:, row : row + 1]))
        distance[row] = np.inf
        crowd = 2 * np.count_nonzero(np.argpartition(distance, k - 1)[:k] < n) >= k
        next_one = int(np.argmin(distance[:n]))
        difference = float(np.hypot(*(offsets[:, next_one] - offsets[:, row])))
        alike = n > 1 and difference < ALIKE * float(np.hypot(*offsets[:, row]))
        result[row] = crowd or alike
    return result


def _range_without_chance(lists: MatchLists, solution: PlateFit) -> float:
    """How far apart pairs may be that are hardly coincidences [pixel]."""
    ny, nx = solution.wcs.shape
    density = len(lists.x) * 1.5 * (int(solution.pairs[1].max()) + 1) * np.pi / (nx * ny)
    return min(float(np.sqrt(CHANCE_REST / density)), FAR_REST * max(nx, ny))


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


def worst_error_pix(lists: MatchLists, start: TanSip, solution: PlateFit, stated: np.ndarray) -> float:
    """Expected error of a solution where it is worst in the image, with the distortion that it does not follow.

    The residuals are taken as noise of the stated size and a distortion of higher degrees, whose sizes are unknown:
    the error is that of the posterior distribution over all sizes (of any order of magnitude alike), so that stars
    that cover a part of the image, or few stars that fit badly, leave much room for it.

    Parameters
    ----------
    lists : MatchLists
        Both lists.
    start : TanSip
        Where the search began: if it has a distortion, a large one is hardly left to find.
    solution : PlateFit
        Fit.
    stated : ndarray, shape (n_pairs,)
        Variance of each pair on one axis as the lists state it [pixel^2].

    Returns
    -------
    float
        Both axes together, rms [pixel].
    """
    wcs, used = solution.wcs, solution.weight > 0
    if len(used) <= FEW_STARS and _range_without_chance(lists, solution) > UNMISTAKEN_FWHM * lists.fwhm:
        # What the fit took for outliers may be the distortion; among crowded stars it is mistaken pairs.
        robust, used = np.ones(len(used)), np.ones(len(used), bool)
    else:
        robust = np.minimum(solution.weight * solution.variance, 1.0)
    residuals = solution.residuals[:, used]
    variance = stated[used] + CENTROID_FLOOR_PIX**2
    # Not the noise that the fit found: it may be what is sought here.
    weight = robust[used] / variance
    n_fitted = len(solution.covariance)
    fitted_order = round((np.sqrt(8 * n_fitted + 1) - 3) / 2)
    order = max(fitted_order + 1, 3)
    ny, nx = wcs.shape
    grid = (g.ravel() for g in np.meshgrid(np.linspace(0, nx - 1, 9), np.linspace(0, ny - 1, 9)))
    everywhere = polynomial_terms(*scaled_pixels(wcs, *grid), order).T
    stars = solution.pairs[0][used]
    terms = polynomial_terms(*scaled_pixels(wcs, lists.x[stars], lists.y[stars]), order).T
    normal, right = (terms * weight) @ terms.T, (terms * weight) @ residuals.T
    half = 0.5 * max(nx, ny)
    largest = LARGEST_DISTORTION * half
    if fitted_order > 1:
        # Distortions fall with their degree.
        largest = min(largest, _corner_distortion(wcs, fitted_order, half))
    sizes = np.geomspace(SMALLEST_DISTORTION_PIX, max(largest, 2 * SMALLEST_DISTORTION_PIX), N_SIZES)
    preferred = 2.0 * np.minimum(np.log(LEFT_DISTORTION * half / sizes), 0.0) if sip_order(start) > 1 else 0.0 * sizes
    degrees = range(fitted_order + 1, order + 1)
    evidence, squares = [], []
    # The stars may exclude a distortion of one degree and say little of the next.
    for picked in product(range(N_SIZES), repeat=len(degrees)):
        prior = np.full(terms.shape[0], 1.0 / half**2)
        for degree, k in zip(degrees, picked, strict=True):
            first = degree * (degree + 1) // 2
            prior[first : first + degree + 1] = (degree + 1) / sizes[k] ** 2
        covariance = np.linalg.inv(normal + np.diag(prior))
        mean = covariance @ right
        log_volume = np.linalg.slogdet(covariance)[1] + np.sum(np.log(prior))
        # Both axes have the same terms and noise.
        evidence.append(0.5 * float(np.sum(right * mean)) + log_volume + float(preferred[list(picked)].sum()))
        squares.append(
            np.sum((mean.T @ everywhere) ** 2, axis=0) + 2.0 * np.sum(everywhere * (covariance @ everywhere), 0)
        )
    share = np.exp(np.array(evidence) - np.max(evidence))
    return float(np.sqrt(np.max(share @ np.array(squares) / share.sum())))


def _corner_distortion(wcs: TanSip, degree: int, half: float) -> float:
    """Distortion of one degree in a corner, both axes together [pixel]."""
    terms = [(p, degree - p) for p in range(degree + 1)]
    square = sum(float(table[term]) ** 2 for table in (wcs.a, wcs.b) for term in terms if max(term) < len(table))
    return float(np.sqrt(square)) * half**degree
