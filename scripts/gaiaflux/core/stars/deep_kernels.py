"""Kernels of the deep star list: fits of many overlapping Moffat profiles, each on the image without the others."""

import numpy as np

from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.stars.scoring import NO_SUMS, add_pixel, solve_step

__all__ = ["fit_sweeps", "near_known", "profile_chi2"]


@kernel("void(float64[::1], float64[::1], float64[::1], float64[::1], float64, boolean[::1])")
def near_known(
    x: np.ndarray, y: np.ndarray, found_x: np.ndarray, found_y: np.ndarray, radius: float, keep: np.ndarray
) -> None:
    """Clear `keep` for each found point (found_x, found_y) that has a known one (x, y; sorted by y) within the radius.

    Parameters
    ----------
    x, y : ndarray, shape (n_known,)
        Known points [pixel].
    found_x, found_y : ndarray, shape (n_found,)
        Points to test [pixel].
    radius : float
        [pixel].
    keep : ndarray of bool, shape (n_found,)
        Result.
    """
    for k in range(len(found_x)):
        low = np.searchsorted(y, found_y[k] - radius)
        i = low
        while i < len(y) and y[i] <= found_y[k] + radius:
            if (x[i] - found_x[k]) ** 2 + (y[i] - found_y[k]) ** 2 < radius * radius:
                keep[k] = False
                break
            i += 1


@device
def _decline(u: float, exponent: float) -> float:
    """Power of u with minus a whole or half exponent; a tenth of the time of `pow`."""
    t = 1.0 / u
    whole = int(exponent)
    result = np.sqrt(t) if exponent > whole else 1.0
    for _ in range(whole):
        result *= t
    return result


@device
def _newton_step(
    image: np.ndarray,
    unusable: np.ndarray,
    a2: float,
    profile: np.ndarray,
    sigma2: float,
    flux_variance: float,
    total: np.ndarray,
    parameters: np.ndarray,
    errors: np.ndarray,
    half: int,
    with_position: bool,
) -> None:
    """One scoring step for (flux, x, y) on an image that still holds this star."""
    ny, nx = image.shape
    flux, x, y = parameters[0], parameters[1], parameters[2]
    exponent = profile[0]
    norm = (exponent - 1) / (np.pi * a2)
    ix = int(np.round(x))
    iy = int(np.round(y))
    sums = NO_SUMS
    for j in range(max(0, iy - half), min(ny, iy + half + 1)):
        for i in range(max(0, ix - half), min(nx, ix + half + 1)):
            if unusable[j, i] != 0:
                continue
            dx = i - x
            dy = j - y
            along_x = profile[1] * dx + profile[2] * dy
            along_y = profile[2] * dx + profile[3] * dy
            u = 1.0 + (dx * along_x + dy * along_y) / a2
            p = norm * _decline(u, exponent)
            light = flux * p
            slope = 2.0 * exponent * light / (u * a2)
            sx = slope * along_x
            sy = slope * along_y
            w = 1.0 / (sigma2 + flux_variance * max(total[j, i], 0.0))
            r = image[j, i] - light
            sums = add_pixel(sums, w, p, sx, sy, r)
    h00, g0, g1, g2 = sums[0], sums[6], sums[7], sums[8]
    if h00 <= 0:
        return
    errors[0] = 1.0 / np.sqrt(h00)
    c00, c01, c02, c11, c22, shift_x, shift_y, regular = solve_step(sums, 1e-10)
    if not with_position or flux <= 0 or not regular:
        parameters[0] = flux + g0 / h00
        return
    parameters[0] = flux + c00 * g0 + c01 * g1 + c02 * g2
    limit = 0.2 * np.sqrt(a2)
    parameters[1] = x + min(max(shift_x, -limit), limit)
    parameters[2] = y + min(max(shift_y, -limit), limit)
    errors[0] = np.sqrt(c00)
    errors[1] = np.sqrt(c11)
    errors[2] = np.sqrt(c22)


@device
def _distance2(dx: float, dy: float, profile: np.ndarray) -> float:
    return profile[1] * dx * dx + 2.0 * profile[2] * dx * dy + profile[3] * dy * dy


@device
def _add_star(
    image: np.ndarray, sign: float, flux: float, x: float, y: float, a2: float, profile: np.ndarray, half: int
) -> None:
    ny, nx = image.shape
    exponent = profile[0]
    norm = sign * flux * (exponent - 1) / (np.pi * a2)
    ix = int(np.round(x))
    iy = int(np.round(y))
    for j in range(max(0, iy - half), min(ny, iy + half + 1)):
        for i in range(max(0, ix - half), min(nx, ix + half + 1)):
            u = 1.0 + _distance2(i - x, j - y, profile) / a2
            image[j, i] += norm * _decline(u, exponent)


@device
def _reach(flux: float, a2: float, profile: np.ndarray, noise: float, fwhm: float) -> int:
    """Half side of the stamp at whose rim the star is a fifth of the noise."""
    exponent = profile[0]
    u = (max(flux, 1.0) * (exponent - 1) / (np.pi * a2) / (0.2 * noise)) ** (1.0 / exponent)
    # The longer axis: with determinant 1, the larger entry is the inverse of what lies across.
    stretch = max(profile[1], profile[3])
    return int(min(max(np.sqrt(max(u - 1.0, 0.0) * a2 * stretch), 1.5 * fwhm), 100.0)) + 1


@kernel(
    "void(float32[:, ::1], uint8[:, ::1], float32[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1],"
    " float64[::1], float64[::1], float64[::1], float64, float64, int64)"
)
def fit_sweeps(
    residual: np.ndarray,
    unusable: np.ndarray,
    model: np.ndarray,
    parameters: np.ndarray,
    start: np.ndarray,
    errors: np.ndarray,
    a2: np.ndarray,
    profile: np.ndarray,
    noise: np.ndarray,
    flux_variance: float,
    fwhm: float,
    sweeps: int,
) -> None:
    """Fit every star in turn, several times, each on the image without the others.

    Parameters
    ----------
    residual : ndarray, shape (ny, nx)
        The image on entry, what the stars leave of it on return.
    unusable : ndarray of uint8, shape (ny, nx)
        Nonzero pixels are not used.
    model : ndarray, shape (ny, nx)
        Zero on entry, the sum of all stars on return.
    parameters : ndarray, shape (n_stars, 3)
        Flux, x and y [pixel], improved in place.
    start : ndarray, shape (n_stars, 2)
        Positions that a fit returns to when it has walked off.
    errors : ndarray, shape (n_stars, 3)
        One sigma of the parameters, on return.
    a2 : ndarray, shape (n_stars,)
        Square of the Moffat radius of each star [pixel^2].
    profile : ndarray, shape (4,)
        Moffat exponent, whole or half; then q_xx, q_xy, q_yy of the squared distance q_xx dx^2 + 2 q_xy dx dy +
        q_yy dy^2, with determinant 1.
    noise : ndarray, shape (n_stars,)
        One-pixel noise of the sky at each star.
    flux_variance : float
        Variance of photon noise per unit of flux.
    fwhm : float
        Seeing [pixel].
    sweeps : int
        Number of rounds over all stars.
    """
    n = len(parameters)
    half = int(np.ceil(1.2 * fwhm))
    for k in range(n):
        reach = _reach(parameters[k, 0], a2[k], profile, noise[k], fwhm)
        _add_star(residual, -1.0, parameters[k, 0], parameters[k, 1], parameters[k, 2], a2[k], profile, reach)
        _add_star(model, 1.0, parameters[k, 0], parameters[k, 1], parameters[k, 2], a2[k], profile, reach)
    for _sweep in range(sweeps):
        for k in range(n):
            reach = _reach(parameters[k, 0], a2[k], profile, noise[k], fwhm)
            _add_star(residual, 1.0, parameters[k, 0], parameters[k, 1], parameters[k, 2], a2[k], profile, reach)
            flux, x, y = parameters[k]
            _newton_step(
                residual,
                unusable,
                a2[k],
                profile,
                noise[k] * noise[k],
                flux_variance,
                model,
                parameters[k],
                errors[k],
                half,
                True,
            )
            drift = max(abs(parameters[k, 1] - start[k, 0]), abs(parameters[k, 2] - start[k, 1]))
            if drift > 0.6 * fwhm:
                parameters[k, 1] = start[k, 0]
                parameters[k, 2] = start[k, 1]
            parameters[k, 0] = max(parameters[k, 0], 0.0)
            after = _reach(parameters[k, 0], a2[k], profile, noise[k], fwhm)
            _add_star(residual, -1.0, parameters[k, 0], parameters[k, 1], parameters[k, 2], a2[k], profile, after)
            _add_star(model, -1.0, flux, x, y, a2[k], profile, reach)
            _add_star(model, 1.0, parameters[k, 0], parameters[k, 1], parameters[k, 2], a2[k], profile, after)


@kernel(
    "void(float32[:, ::1], uint8[:, ::1], float64[::1], float64[::1], float64[::1], float64, float64[:, ::1],"
    " float64[::1], float64[::1])"
)
def profile_chi2(
    image: np.ndarray,
    unusable: np.ndarray,
    a2: np.ndarray,
    profile: np.ndarray,
    noise: np.ndarray,
    flux_variance: float,
    parameters: np.ndarray,
    errors: np.ndarray,
    chi2: np.ndarray,
) -> None:
    """Fit stars one by one and tell how well the profile describes them.

    Parameters
    ----------
    image, unusable, a2, profile, noise, flux_variance
        As for `fit_sweeps`.
    parameters : ndarray, shape (n_stars, 3)
        Flux, x and y, improved in place.
    errors : ndarray, shape (3,)
        Scratch space.
    chi2 : ndarray, shape (n_stars,)
        Mean of the squared residuals in units of the noise, each at most 25, on return.
    """
    ny, nx = image.shape
    exponent = profile[0]
    for k in range(len(parameters)):
        half = int(np.ceil(4.0 * np.sqrt(a2[k])))
        sigma2 = noise[k] * noise[k]
        for _ in range(3):
            _newton_step(
                image, unusable, a2[k], profile, sigma2, flux_variance, image, parameters[k], errors, half, True
            )
        flux, x, y = parameters[k]
        norm = flux * (exponent - 1) / (np.pi * a2[k])
        ix = int(np.round(x))
        iy = int(np.round(y))
        total = 0.0
        count = 0
        for j in range(max(0, iy - half), min(ny, iy + half + 1)):
            for i in range(max(0, ix - half), min(nx, ix + half + 1)):
                if unusable[j, i] != 0:
                    continue
                u = 1.0 + _distance2(i - x, j - y, profile) / a2[k]
                light = norm * _decline(u, exponent)
                # Neighbours must not decide: a residual counts for no more than five sigma.
                variance = sigma2 + flux_variance * max(light, 0.0)
                total += min((image[j, i] - light) ** 2 / variance, 25.0)
                count += 1
        chi2[k] = total / max(count, 1)
