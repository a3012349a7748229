"""Deep star list of one image: detect, subtract the stars' models, detect on what is left.

Used where completeness counts more than time (the reference image). The model is a Moffat function whose exponent and
elongation are measured on the frame and whose width follows a quadratic surface over the field. All stars are refitted
in sweeps from bright to faint, each on the image without the others (as in DAOPHOT's NSTAR, Stetson 1987, PASP 99,
191).
"""

from typing import NamedTuple

import numpy as np

from gaiaflux.core.image.background import Background
from gaiaflux.core.maths.polynomials import polynomial_terms
from gaiaflux.core.maths.robust import MAD_TO_SIGMA
from gaiaflux.core.psf.moffat import core_radius2
from gaiaflux.core.stars.cosmic_rays import flag_cosmic_rays
from gaiaflux.core.stars.deep_kernels import fit_sweeps, near_known, profile_chi2
from gaiaflux.core.stars.detection import detect_stars, estimate_fwhm, find_peaks, matched_filter
from gaiaflux.core.stars.single_star import fill_unusable
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.stars import STAR_DTYPE

__all__ = ["detect_deep"]

PEAK_FRACTION = 0.9  # of the limit, for peaks of the filtered image; the fit decides
ROUNDS = 4
SWEEPS = 3
MODEL_ERROR = 0.03  # of a model's light in a pixel: what is left of a star and must not be taken for another
MIN_SEPARATION = 0.35  # [FWHM] of two stars that can be told apart
MAX_SHIFT = 0.6  # [FWHM] that a fit may walk away from its peak
EXPONENTS = (2.0, 2.5, 3.0, 3.5, 4.5, 6.0)  # whole or half, so that no general power is needed
ROUND = np.array([1.0, 0.0, 1.0])


class _Scene(NamedTuple):
    """What stays the same while stars are fitted and found."""

    filled: np.ndarray
    unusable: np.ndarray
    background: Background
    flux_variance: float
    fwhm: float
    surface: np.ndarray
    profile: np.ndarray


class _Fitted(NamedTuple):
    """What the fitted stars leave of the image, their light, and those that stand."""

    residual: np.ndarray
    model: np.ndarray
    stars: np.ndarray


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
    profile = _best_profile(image, pixel_flags, background, stars, surface, flux_variance, fwhm)
    filled, unusable = fill_unusable(image, pixel_flags), (pixel_flags != 0).astype(np.uint8)
    scene = _Scene(filled, unusable, background, flux_variance, fwhm, surface, profile)
    for round_number in range(ROUNDS):
        fitted = _solve(scene, stars, min_snr)
        stars = fitted.stars
        if round_number == ROUNDS - 1:
            break
        found = _new_peaks(scene, fitted, PEAK_FRACTION * min_snr)
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
    terms = _terms(sample["x"], sample["y"], shape)
    values = sample["fwhm"].astype(np.float64)
    keep = np.ones(len(values), bool)
    for _ in range(5):
        coefficients = np.linalg.lstsq(terms[keep], values[keep], rcond=None)[0]
        residual = values - terms @ coefficients
        spread = MAD_TO_SIGMA * np.median(np.abs(residual[keep]))
        keep = np.abs(residual) < 2.5 * spread + 1e-6
    return coefficients


def _terms(x: np.ndarray, y: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Quadratic terms of positions scaled to -1..1 over the image, shape (n, 6)."""
    u = 2 * x / (shape[1] - 1) - 1
    v = 2 * y / (shape[0] - 1) - 1
    return np.ascontiguousarray(polynomial_terms(u, v, 2))


def _best_profile(
    image: np.ndarray,
    pixel_flags: np.ndarray,
    background: Background,
    stars: np.ndarray,
    surface: np.ndarray,
    flux_variance: float,
    fwhm: float,
) -> np.ndarray:
    """Moffat exponent and shape with the smallest residuals on the bright clean stars: (exponent, q_xx, q_xy, q_yy).

    The squared distance from the centre is q_xx dx^2 + 2 q_xy dx dy + q_yy dy^2, with determinant 1.
    """
    good = np.flatnonzero((stars["flags"] == 0) & (stars["snr"] > 40))[:100]
    if len(good) < 5:
        return np.array([3.0, *ROUND])
    sample = stars[good]
    unusable = (pixel_flags != 0).astype(np.uint8)
    noise = background.rms_at(sample["x"], sample["y"])
    widths = _terms(sample["x"], sample["y"], image.shape) @ surface
    measured = _mean_shape(image, unusable, sample["x"], sample["y"], fwhm)
    best, lowest = np.array([3.0, *ROUND]), np.inf
    # Moments in a round window tell the direction of the elongation better than its size.
    for share in (0.0, 0.7, 1.0, 1.3) if not np.array_equal(measured, ROUND) else (0.0,):
        shape = _normalised(ROUND + share * (measured - ROUND))
        for exponent in EXPONENTS:
            chi2 = np.empty(len(sample))
            fitted = np.stack([sample["flux"], sample["x"], sample["y"]], axis=1).astype(np.float64)
            profile = np.array([exponent, *shape])
            a2 = core_radius2(widths, exponent)
            profile_chi2(image, unusable, a2, profile, noise, flux_variance, fitted, np.zeros(3), chi2)
            if np.median(chi2) < lowest:
                best, lowest = profile, float(np.median(chi2))
    return best


def _mean_shape(image: np.ndarray, unusable: np.ndarray, x: np.ndarray, y: np.ndarray, fwhm: float) -> np.ndarray:
    """Median inverse of the second moments of stars, in a round Gaussian window and freed from it."""
    sigma2 = (fwhm / 2.355) ** 2
    half = int(np.ceil(1.3 * fwhm))
    ny, nx = image.shape
    shapes = []
    for column, row in zip(x, y, strict=True):
        i, j = round(column), round(row)
        if i < half or j < half or i >= nx - half or j >= ny - half:
            continue
        cut = slice(j - half, j + half + 1), slice(i - half, i + half + 1)
        if unusable[cut].any():
            continue
        dy, dx = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
        dx += i - column
        dy += j - row
        weighted = image[cut] * np.exp(-0.5 * (dx * dx + dy * dy) / sigma2)
        total = weighted.sum()
        xx, xy, yy = ((weighted * term).sum() / total for term in (dx * dx, dx * dy, dy * dy))
        inverse = np.array([yy, -xy, xx]) / (xx * yy - xy * xy) - ROUND / sigma2
        if _determinant(inverse) > 0 and inverse[0] > 0:
            shapes.append(_normalised(inverse))
    return _normalised(np.median(shapes, axis=0)) if len(shapes) >= 5 else ROUND


def _determinant(shape: np.ndarray) -> float:
    return float(shape[0] * shape[2] - shape[1] ** 2)


def _normalised(shape: np.ndarray) -> np.ndarray:
    """The same shape with determinant 1, so that a star's flux does not depend on it; round where there is none."""
    determinant = _determinant(shape)
    return shape / np.sqrt(determinant) if determinant > 0 and shape[0] > 0 else ROUND


def _solve(scene: _Scene, stars: np.ndarray, min_snr: float) -> _Fitted:
    """Fit all stars in sweeps."""
    filled, fwhm = scene.filled, scene.fwhm
    for final in (False, True):
        order = np.argsort(-stars["flux"], kind="stable")
        stars = stars[order]
        parameters = np.stack([stars["flux"], stars["x"], stars["y"]], axis=1).astype(np.float64)
        start = parameters[:, 1:].copy()
        errors = np.zeros((len(stars), 3))
        noise = scene.background.rms_at(stars["x"], stars["y"])
        widths = np.clip(_terms(stars["x"], stars["y"], filled.shape) @ scene.surface, 0.5 * fwhm, 2 * fwhm)
        a2 = core_radius2(widths, scene.profile[0])
        residual = filled.copy()
        model = np.zeros_like(filled)
        fit_sweeps(residual, scene.unusable, model, parameters, start, errors, a2, scene.profile, noise,
                   scene.flux_variance, fwhm, SWEEPS)  # fmt: skip
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
    return _Fitted(residual, model, stars[stands])


def _new_peaks(scene: _Scene, fitted: _Fitted, min_snr: float) -> np.ndarray:
    """Significant maxima of the residual, allowing for photon noise and for the model's own error."""
    residual, model, background, fwhm = fitted.residual, fitted.model, scene.background, scene.fwhm
    filtered, noise_factor = matched_filter(residual, fwhm)
    x, y, value = find_peaks(filtered, min_snr * noise_factor * background.rms, background.box_pix)
    rms = background.rms_at(x, y)
    light = np.maximum(model[y, x], 0)
    noise = np.sqrt(noise_factor**2 * (rms**2 + scene.flux_variance * light) + (MODEL_ERROR * light) ** 2)
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
    near_known(
        np.ascontiguousarray(stars["x"][order]),
        np.ascontiguousarray(stars["y"][order]),
        found["x"].copy(),
        found["y"].copy(),
        radius,
        keep,
    )
    return found[keep]
