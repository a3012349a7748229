"""Deep star list of one image: detect, subtract the stars' models, detect on what is left.

Used where completeness counts more than time (the reference image). The model is a Moffat function whose exponent is
measured on the frame and whose width follows a quadratic surface over the field. All stars are refitted in sweeps from
bright to faint, each on the image without the others (as in DAOPHOT's NSTAR, Stetson 1987, PASP 99, 191).
"""

import numpy as np

from gaiaflux.core.background import Background
from gaiaflux.core.compiled import device, kernel
from gaiaflux.core.cosmics import flag_cosmic_rays
from gaiaflux.core.detection import detect_stars, estimate_fwhm, find_peaks, matched_filter
from gaiaflux.core.starfit import fill_unusable
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.stars import STAR_DTYPE

__all__ = ["detect_deep"]

PEAK_FRACTION = 0.9  # of the limit, for peaks of the filtered image; the fit decides
ROUNDS = 4
SWEEPS = 3
MODEL_ERROR = 0.03  # of a model's light in a pixel: what is left of a star and must not be taken for another
MIN_SEPARATION = 0.35  # [FWHM] of two stars that can be told apart
MAX_SHIFT = 0.6  # [FWHM] that a fit may walk away from its peak
EXPONENTS = (2.0, 2.5, 3.0, 3.5, 4.5, 6.0)


def detect_deep(
    image: np.ndarray,
    pixel_flags: np.ndarray,
    background: Background,
    *,
    min_snr: float,
    flux_variance: float,
    max_stars: int = 200_000,
) -> np.ndarray:
    """All stars of an image down to a signal-to-noise ratio, blends included.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Without sky.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Nonzero = unusable.
    background : Background
        Its noise sets the threshold.
    min_snr : float
        Signal-to-noise ratio of the faintest star, of its fit beside its neighbours.
    flux_variance : float
        Variance of photon noise per unit of flux.
    max_stars : int
        Upper limit.

    Returns
    -------
    ndarray of STAR_DTYPE, shape (n_stars,)
        Brightest first.

    Raises
    ------
    BadFrameError
        There is no star.
    """
    fwhm = estimate_fwhm(image, pixel_flags, background)
    pixel_flags, _ = flag_cosmic_rays(image, pixel_flags, background, fwhm_pix=fwhm, flux_variance=flux_variance)
    first = detect_stars(
        image,
        pixel_flags,
        background,
        min_snr=PEAK_FRACTION * min_snr,
        max_stars=max_stars,
        flux_variance=flux_variance,
        fwhm_pix=fwhm,
    )
    fwhm = first.fwhm_pix
    stars = first.stars
    surface = _width_surface(stars, image.shape, fwhm)
    exponent = _best_exponent(image, pixel_flags, background, stars, surface, flux_variance)
    filled = fill_unusable(image, pixel_flags)
    unusable = (pixel_flags != 0).astype(np.uint8)
    noise_mesh = background.rms
    for round_number in range(ROUNDS):
        residual, model, stars = _solve(
            filled, unusable, background, stars, surface, exponent, flux_variance, min_snr, fwhm
        )
        if round_number == ROUNDS - 1:
            break
        found = _new_peaks(residual, model, noise_mesh, background, fwhm, PEAK_FRACTION * min_snr, flux_variance)
        found = _join(stars, found, MIN_SEPARATION * fwhm)
        if not len(found):
            break
        stars = np.concatenate([stars, found])
    return stars[np.argsort(-stars["flux"], kind="stable")]


def _width_surface(stars: np.ndarray, shape: tuple[int, int], fwhm: float) -> np.ndarray:
    """Coefficients of a quadratic in normalised x, y for the FWHM [pixel], from the clean bright stars."""
    good = (stars["flags"] == 0) & (stars["snr"] > 50) & (np.abs(stars["fwhm"] / fwhm - 1) < 0.15)
    coefficients = np.zeros(6)
    coefficients[0] = fwhm
    if good.sum() < 30:
        return coefficients
    sample = stars[good]
    basis = _basis(sample["x"], sample["y"], shape)
    values = sample["fwhm"].astype(np.float64)
    keep = np.ones(len(values), bool)
    for _ in range(5):
        coefficients = np.linalg.lstsq(basis[keep], values[keep], rcond=None)[0]
        residual = values - basis @ coefficients
        spread = 1.4826 * np.median(np.abs(residual[keep]))
        keep = np.abs(residual) < 2.5 * spread + 1e-6
    return coefficients


def _basis(x: np.ndarray, y: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    u = 2 * x / (shape[1] - 1) - 1
    v = 2 * y / (shape[0] - 1) - 1
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=-1)


def _radius2(fwhm: np.ndarray, exponent: float) -> np.ndarray:
    """Square of the Moffat radius that gives this FWHM."""
    return (0.5 * fwhm) ** 2 / (2 ** (1 / exponent) - 1)


def _best_exponent(
    image: np.ndarray,
    pixel_flags: np.ndarray,
    background: Background,
    stars: np.ndarray,
    surface: np.ndarray,
    flux_variance: float,
) -> float:
    """Moffat exponent with the smallest residuals on the bright clean stars."""
    good = np.flatnonzero((stars["flags"] == 0) & (stars["snr"] > 40))[:100]
    if len(good) < 5:
        return 3.0
    sample = stars[good]
    unusable = (pixel_flags != 0).astype(np.uint8)
    noise = background.rms_at(sample["x"], sample["y"])
    fwhm = _basis(sample["x"], sample["y"], image.shape) @ surface
    costs = []
    for exponent in EXPONENTS:
        chi2, errors = np.empty(len(sample)), np.empty(3)
        fitted = np.stack([sample["flux"], sample["x"], sample["y"]], axis=1).astype(np.float64)
        a2 = _radius2(fwhm, exponent)
        _profile_chi2(image, unusable, a2, exponent, noise, flux_variance, fitted, errors, chi2)
        costs.append(np.median(chi2))
    return EXPONENTS[int(np.argmin(costs))]


def _solve(
    filled: np.ndarray,
    unusable: np.ndarray,
    background: Background,
    stars: np.ndarray,
    surface: np.ndarray,
    exponent: float,
    flux_variance: float,
    min_snr: float,
    fwhm: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit all stars in sweeps; return what is left, the model image and the stars that stand."""
    for final in (False, True):
        order = np.argsort(-stars["flux"], kind="stable")
        stars = stars[order]
        parameters = np.stack([stars["flux"], stars["x"], stars["y"]], axis=1).astype(np.float64)
        start = parameters[:, 1:].copy()
        errors = np.zeros((len(stars), 3))
        noise = background.rms_at(stars["x"], stars["y"])
        a2 = _radius2(np.clip(_basis(stars["x"], stars["y"], filled.shape) @ surface, 0.5 * fwhm, 2 * fwhm), exponent)
        residual = filled.copy()
        model = np.zeros_like(filled)
        _fit_sweeps(
            residual, unusable, model, parameters, start, errors, a2, exponent, noise, flux_variance, fwhm, SWEEPS
        )
        snr = parameters[:, 0] / np.where(errors[:, 0] > 0, errors[:, 0], np.inf)
        saturated = (stars["flags"] & StarFlag.SATURATED) > 0
        x, y = parameters[:, 1], parameters[:, 2]
        inside = (x > -0.5) & (y > -0.5) & (x < filled.shape[1] - 0.5) & (y < filled.shape[0] - 0.5)
        stands = inside & ((snr > min_snr) | saturated)
        stars = stars.copy()
        stars["flux"], stars["x"], stars["y"] = parameters.T
        stars["snr"] = np.where(errors[:, 0] > 0, snr, stars["snr"])
        stars["x_err"], stars["y_err"] = errors[:, 1], errors[:, 2]
        if stands.all() or final:
            break
        stars = stars[stands]
    stars = stars[stands]
    return residual, model, stars


def _new_peaks(
    residual: np.ndarray,
    model: np.ndarray,
    noise_mesh: np.ndarray,
    background: Background,
    fwhm: float,
    min_snr: float,
    flux_variance: float,
) -> np.ndarray:
    """Significant maxima of the residual, allowing for photon noise and for the model's own error."""
    filtered, noise_factor = matched_filter(residual, fwhm)
    x, y, value = find_peaks(filtered, min_snr * noise_factor * noise_mesh, background.box_pix)
    rms = background.rms_at(x, y)
    light = np.maximum(model[y, x], 0)
    noise = np.sqrt(noise_factor**2 * (rms**2 + flux_variance * light) + (MODEL_ERROR * light) ** 2)
    keep = value > min_snr * noise
    x, y, value = x[keep], y[keep], value[keep]
    stars = np.zeros(len(x), dtype=STAR_DTYPE)
    stars["x"], stars["y"] = x, y
    # A Gaussian filter of the star's own width sees about half of its peak, and the peak is 0.8 flux / fwhm^2.
    stars["flux"] = value * 2.5 * fwhm**2
    stars["snr"] = value / noise[keep]
    stars["peak"] = residual[y, x]
    stars["fwhm"] = fwhm
    sharp = _is_sharp(residual, x, y)
    return stars[~sharp]


def _is_sharp(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether a peak's light sits in fewer than five of the nine central pixels, as a cosmic ray's does."""
    result = np.zeros(len(x), bool)
    for k, (column, row) in enumerate(zip(x, y, strict=True)):
        stamp = image[row - 1 : row + 2, column - 1 : column + 2]
        result[k] = (stamp > 0.15 * stamp.max()).sum() < 5
    return result


def _join(stars: np.ndarray, found: np.ndarray, radius: float) -> np.ndarray:
    """Found stars that are not closer than the radius to a known one."""
    keep = np.ones(len(found), np.bool_)
    order = np.argsort(stars["y"], kind="stable")
    _near_known(
        np.ascontiguousarray(stars["x"][order]),
        np.ascontiguousarray(stars["y"][order]),
        found["x"].copy(),
        found["y"].copy(),
        radius,
        keep,
    )
    return found[keep]


@kernel("void(float64[::1], float64[::1], float64[::1], float64[::1], float64, boolean[::1])")
def _near_known(
    x: np.ndarray, y: np.ndarray, found_x: np.ndarray, found_y: np.ndarray, radius: float, keep: np.ndarray
) -> None:
    for k in range(len(found_x)):
        low = np.searchsorted(y, found_y[k] - radius)
        i = low
        while i < len(y) and y[i] <= found_y[k] + radius:
            if (x[i] - found_x[k]) ** 2 + (y[i] - found_y[k]) ** 2 < radius * radius:
                keep[k] = False
                break
            i += 1


@device
def _newton_step(
    image: np.ndarray,
    unusable: np.ndarray,
    a2: float,
    exponent: float,
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
    norm = (exponent - 1) / (np.pi * a2)
    ix = int(np.round(x))
    iy = int(np.round(y))
    h00 = 0.0
    h01 = 0.0
    h02 = 0.0
    h11 = 0.0
    h12 = 0.0
    h22 = 0.0
    g0 = 0.0
    g1 = 0.0
    g2 = 0.0
    for j in range(max(0, iy - half), min(ny, iy + half + 1)):
        for i in range(max(0, ix - half), min(nx, ix + half + 1)):
            if unusable[j, i] != 0:
                continue
            dx = i - x
            dy = j - y
            u = 1.0 + (dx * dx + dy * dy) / a2
            p = norm * u ** (-exponent)
            light = flux * p
            slope = 2.0 * exponent * light / (u * a2)
            sx = slope * dx
            sy = slope * dy
            w = 1.0 / (sigma2 + flux_variance * max(total[j, i], 0.0))
            r = image[j, i] - light
            h00 += w * p * p
            h01 += w * p * sx
            h02 += w * p * sy
            h11 += w * sx * sx
            h12 += w * sx * sy
            h22 += w * sy * sy
            g0 += w * p * r
            g1 += w * sx * r
            g2 += w * sy * r
    if h00 <= 0:
        return
    errors[0] = 1.0 / np.sqrt(h00)
    det = h00 * (h11 * h22 - h12 * h12) - h01 * (h01 * h22 - h12 * h02) + h02 * (h01 * h12 - h11 * h02)
    if not with_position or flux <= 0 or not det > 1e-10 * h00 * h11 * h22:
        parameters[0] = flux + g0 / h00
        return
    c00 = (h11 * h22 - h12 * h12) / det
    c01 = (h02 * h12 - h01 * h22) / det
    c02 = (h01 * h12 - h02 * h11) / det
    c11 = (h00 * h22 - h02 * h02) / det
    c12 = (h02 * h01 - h00 * h12) / det
    c22 = (h00 * h11 - h01 * h01) / det
    parameters[0] = flux + c00 * g0 + c01 * g1 + c02 * g2
    shift_x = c01 * g0 + c11 * g1 + c12 * g2
    shift_y = c02 * g0 + c12 * g1 + c22 * g2
    limit = 0.2 * np.sqrt(a2)
    parameters[1] = x + min(max(shift_x, -limit), limit)
    parameters[2] = y + min(max(shift_y, -limit), limit)
    errors[0] = np.sqrt(c00)
    errors[1] = np.sqrt(c11)
    errors[2] = np.sqrt(c22)


@device
def _add_star(
    image: np.ndarray, sign: float, flux: float, x: float, y: float, a2: float, exponent: float, half: int
) -> None:
    ny, nx = image.shape
    norm = sign * flux * (exponent - 1) / (np.pi * a2)
    ix = int(np.round(x))
    iy = int(np.round(y))
    for j in range(max(0, iy - half), min(ny, iy + half + 1)):
        for i in range(max(0, ix - half), min(nx, ix + half + 1)):
            u = 1.0 + ((i - x) ** 2 + (j - y) ** 2) / a2
            image[j, i] += norm * u ** (-exponent)


@device
def _reach(flux: float, a2: float, exponent: float, noise: float, fwhm: float) -> int:
    """Half side of the stamp at whose rim the star is a fifth of the noise."""
    u = (max(flux, 1.0) * (exponent - 1) / (np.pi * a2) / (0.2 * noise)) ** (1.0 / exponent)
    return int(min(max(np.sqrt(max(u - 1.0, 0.0) * a2), 1.5 * fwhm), 100.0)) + 1


@kernel(
    "void(float32[:, ::1], uint8[:, ::1], float32[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1],"
    " float64[::1], float64, float64[::1], float64, float64, int64)"
)
def _fit_sweeps(
    residual: np.ndarray,
    unusable: np.ndarray,
    model: np.ndarray,
    parameters: np.ndarray,
    start: np.ndarray,
    errors: np.ndarray,
    a2: np.ndarray,
    exponent: float,
    noise: np.ndarray,
    flux_variance: float,
    fwhm: float,
    sweeps: int,
) -> None:
    n = len(parameters)
    half = int(np.ceil(1.2 * fwhm))
    for k in range(n):
        reach = _reach(parameters[k, 0], a2[k], exponent, noise[k], fwhm)
        _add_star(residual, -1.0, parameters[k, 0], parameters[k, 1], parameters[k, 2], a2[k], exponent, reach)
        _add_star(model, 1.0, parameters[k, 0], parameters[k, 1], parameters[k, 2], a2[k], exponent, reach)
    for _sweep in range(sweeps):
        for k in range(n):
            reach = _reach(parameters[k, 0], a2[k], exponent, noise[k], fwhm)
            _add_star(residual, 1.0, parameters[k, 0], parameters[k, 1], parameters[k, 2], a2[k], exponent, reach)
            flux, x, y = parameters[k]
            _newton_step(
                residual,
                unusable,
                a2[k],
                exponent,
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
            after = _reach(parameters[k, 0], a2[k], exponent, noise[k], fwhm)
            _add_star(residual, -1.0, parameters[k, 0], parameters[k, 1], parameters[k, 2], a2[k], exponent, after)
            _add_star(model, -1.0, flux, x, y, a2[k], exponent, reach)
            _add_star(model, 1.0, parameters[k, 0], parameters[k, 1], parameters[k, 2], a2[k], exponent, after)


@kernel(
    "void(float32[:, ::1], uint8[:, ::1], float64[::1], float64, float64[::1], float64, float64[:, ::1], float64[::1],"
    " float64[::1])"
)
def _profile_chi2(
    image: np.ndarray,
    unusable: np.ndarray,
    a2: np.ndarray,
    exponent: float,
    noise: np.ndarray,
    flux_variance: float,
    parameters: np.ndarray,
    errors: np.ndarray,
    chi2: np.ndarray,
) -> None:
    ny, nx = image.shape
    for k in range(len(parameters)):
        half = int(np.ceil(4.0 * np.sqrt(a2[k])))
        sigma2 = noise[k] * noise[k]
        for _ in range(3):
            _newton_step(
                image, unusable, a2[k], exponent, sigma2, flux_variance, image, parameters[k], errors, half, True
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
                u = 1.0 + ((i - x) ** 2 + (j - y) ** 2) / a2[k]
                light = norm * u ** (-exponent)
                # Neighbours must not decide: a residual counts for no more than five sigma.
                variance = sigma2 + flux_variance * max(light, 0.0)
                total += min((image[j, i] - light) ** 2 / variance, 25.0)
                count += 1
        chi2[k] = total / max(count, 1)
