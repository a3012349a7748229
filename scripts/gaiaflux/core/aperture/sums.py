"""Sums in circular apertures with exact overlap of circle and pixel, at given positions.

All radii of a star are done in one pass over its pixels. A pixel that cannot be used (bad, non-finite, cosmic ray, or
beyond the edge of the image) is filled in; the sums therefore always belong to the whole circle of area pi r^2.
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.aperture.overlap import circle_pixel
from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.psf.moffat import MoffatProfile, light_within
from gaiaflux.model.flags import NO_COUNTS, StarFlag, star_bits

__all__ = ["ApertureSums", "Filling", "sum_circles"]

_STAR_BITS = tuple(star_bits(pixel) for pixel in range(256))
_STAR_EDGE = StarFlag.EDGE
_OFF_IMAGE = StarFlag.OFF_IMAGE
_NOT_MEASURED = StarFlag.NOT_MEASURED

# How wrong the light put into one pixel may be, as a fraction of it: point symmetry, round model.
_MIRROR_ERROR = 0.05
_MODEL_ERROR = 0.10
# Model and mirrored pixel may differ so much in the profile's ratio before the mirror is refused.
_MAX_RATIO = 4.0
# A star of whose light more than this would have to be filled in is not measured.
_MAX_FILLED = 0.75


@dataclass(frozen=True)
class ApertureSums:
    """Sums of one frame; row = star, column = radius.

    Attributes
    ----------
    total : ndarray of float64, shape (n_stars, n_radii)
        Sum over the circle, sky included [image unit]; NaN where not measured.
    variance : ndarray of float64, shape (n_stars, n_radii)
        Of `total` from the pixels' noise and from filling [image unit squared]; NaN where not measured.
    filled : ndarray of float64, shape (n_stars, n_radii)
        Fraction of the star's light in the aperture that was filled in, 0 to 1.
    flags : ndarray of uint32, shape (n_stars, n_radii)
        Bits of `StarFlag`.
    """

    total: np.ndarray
    variance: np.ndarray
    filled: np.ndarray
    flags: np.ndarray


@dataclass(frozen=True)
class Filling:
    """What the pixels that cannot be used are filled with.

    Attributes
    ----------
    profile : MoffatProfile
        Light of a star.
    sky : float or ndarray, shape (n_stars,)
        Level in the image around each star.
    """

    profile: MoffatProfile
    sky: np.ndarray | float = 0.0


def sum_circles(
    image: np.ndarray,
    pixel_flags: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    radii: np.ndarray,
    *,
    noise: np.ndarray | tuple[float, float] = (0.0, 0.0),
    filling: Filling | None = None,
) -> ApertureSums:
    """Sum the pixels in circles around given positions.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Counts; the sky is still in them or not, as the `sky` of `filling` says.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Bits of `PixelFlag`. Saturated pixels keep their counts (a lower limit), all others that are flagged are filled.
    x, y : ndarray of float64, shape (n_stars,)
        Centres [pixel; 0-based, integer = pixel centre]; NaN = off the image.
    radii : ndarray of float64, shape (n_radii,)
        Strictly increasing [pixel].
    noise : ndarray of float32, shape (ny, nx), or tuple of float
        One sigma per pixel; or (floor, slope): a pixel's variance is floor + slope * counts.
    filling : Filling, optional
        What unusable pixels are filled with; None = they are only flagged (a first look).

    Returns
    -------
    ApertureSums
        A star whose centre is off the image has NaN and `OFF_IMAGE`; one without enough usable pixels has NaN and
        `NOT_MEASURED`.

    Raises
    ------
    ValueError
        Shapes differ, or the radii are not positive and increasing.

    Notes
    -----
    An unusable pixel gets the light of the pixel opposite to it through the star's centre, interpolated, times the
    ratio of the profile at both places; where that is unusable too, the profile scaled to the star's usable pixels.
    The variance is that of the resulting linear combination of pixels (sum of w^2 sigma^2 for weights w) plus a part
    for a star that is not like the profile.
    """
    image = np.require(image, np.float32, ["C", "W"])
    pixel_flags = np.require(pixel_flags, np.uint8, ["C", "W"])
    known = isinstance(noise, np.ndarray)
    errors = np.require(noise, np.float32, ["C", "W"]) if known else np.zeros((1, 1), np.float32)
    if pixel_flags.shape != image.shape or (known and errors.shape != image.shape):
        raise ValueError(f"shapes of image {image.shape}, pixel flags {pixel_flags.shape}, error {errors.shape} differ")
    x, y, radii = (np.require(values, np.float64, ["C", "W"]) for values in (x, y, radii))
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"x and y must be of one length, not {x.shape} and {y.shape}")
    if radii.ndim != 1 or len(radii) == 0 or not np.all(np.diff(radii, prepend=0.0) > 0):
        raise ValueError(f"aperture radii must be positive and increasing, not {radii.tolist()}")
    shape = (len(x), len(radii))
    total, variance, filled = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    flags = np.zeros(shape, np.uint32)
    _sum_circles(
        image,
        errors,
        pixel_flags,
        known,
        0.0 if known else float(noise[0]),
        0.0 if known else float(noise[1]),
        x,
        y,
        np.array(np.broadcast_to(np.asarray(filling.sky if filling else 0.0, np.float64), x.shape)),
        radii,
        filling is not None,
        float(filling.profile.alpha) if filling else 1.0,
        float(filling.profile.beta) if filling else 2.0,
        np.zeros((5, max(2 * int(np.ceil(radii[-1])) + 4, len(radii)))),
        total,
        variance,
        filled,
        flags,
    )
    return ApertureSums(total, variance, filled, flags)


@device
def _scale_profile(
    image: np.ndarray,
    error: np.ndarray,
    pixel_flags: np.ndarray,
    has_error: bool,
    floor: float,
    slope: float,
    xs: float,
    ys: float,
    sky: float,
    radii: np.ndarray,
    alpha: float,
    beta: float,
    covariance: np.ndarray,
) -> tuple[float, float, float]:
    """Least-squares scale of the profile on a star's usable pixels.

    Returns the sum of the squared profile, the scale and its variance; `covariance` gets the sum of profile times
    variance within each radius.
    """
    ny, nx = image.shape
    r_max = radii[-1]
    norm = (beta - 1.0) / (np.pi * alpha * alpha)
    sum_pp, sum_p, sum_ppv = 0.0, 0.0, 0.0
    for j in range(max(int(np.ceil(ys - r_max)), 0), min(int(np.floor(ys + r_max)), ny - 1) + 1):
        for i in range(max(int(np.ceil(xs - r_max)), 0), min(int(np.floor(xs + r_max)), nx - 1) + 1):
            d2 = (i - xs) ** 2 + (j - ys) ** 2
            if d2 > r_max * r_max or pixel_flags[j, i] != 0:
                continue
            p = norm * (1.0 + d2 / (alpha * alpha)) ** (-beta)
            v = error[j, i] * error[j, i] if has_error else floor + slope * image[j, i]
            sum_pp += p * p
            sum_p += p * (image[j, i] - sky)
            sum_ppv += p * p * v
            for k in range(len(radii)):
                if d2 <= radii[k] * radii[k]:
                    covariance[k] += p * v
    if sum_pp <= 0.0:
        return 0.0, 0.0, 0.0
    return sum_pp, sum_p / sum_pp, sum_ppv / (sum_pp * sum_pp)


@device
def _fill(
    image: np.ndarray,
    error: np.ndarray,
    pixel_flags: np.ndarray,
    has_error: bool,
    floor: float,
    slope: float,
    xs: float,
    ys: float,
    sky: float,
    radii: np.ndarray,
    alpha: float,
    beta: float,
    work: np.ndarray,
    s: int,
    total: np.ndarray,
    variance: np.ndarray,
    filled: np.ndarray,
    flags: np.ndarray,
) -> None:
    """Add the light of the unusable pixels of star `s` to its row of the results; see `sum_circles`."""
    ny, nx = image.shape
    n_radii = len(radii)
    r_max = radii[n_radii - 1]
    # Rows of `work`: light filled in (all), from the profile, systematic error, covariance with the sum.
    for k in range(n_radii):
        for row in range(4):
            work[row, k] = 0.0
    norm = (beta - 1.0) / (np.pi * alpha * alpha)
    sum_pp, scale, scale_var = 0.0, 0.0, 0.0
    scaled = False
    for j in range(int(np.floor(ys - r_max + 0.5)), int(np.ceil(ys + r_max - 0.5)) + 1):
        for i in range(int(np.floor(xs - r_max + 0.5)), int(np.ceil(xs + r_max - 0.5)) + 1):
            if 0 <= j < ny and 0 <= i < nx and (pixel_flags[j, i] & NO_COUNTS) == 0:
                continue
            dx, dy = i - xs, j - ys
            if circle_pixel(dx, dy, r_max) <= 0.0:
                continue
            p = norm * (1.0 + (dx * dx + dy * dy) / (alpha * alpha)) ** (-beta)
            # The opposite place, interpolated between four pixels.
            xm, ym = 2.0 * xs - i, 2.0 * ys - j
            i0, j0 = int(np.floor(xm)), int(np.floor(ym))
            mirror = True
            m, mp, mv = 0.0, 0.0, 0.0
            for dj in range(2):
                for di in range(2):
                    b = (xm - i0 if di else 1.0 - xm + i0) * (ym - j0 if dj else 1.0 - ym + j0)
                    if b <= 0.0:
                        continue
                    jj, ii = j0 + dj, i0 + di
                    if not (0 <= jj < ny and 0 <= ii < nx) or pixel_flags[jj, ii] != 0:
                        mirror = False
                        continue
                    m += b * (image[jj, ii] - sky)
                    mp += b * norm * (1.0 + ((ii - xs) ** 2 + (jj - ys) ** 2) / (alpha * alpha)) ** (-beta)
                    mv += b * (error[jj, ii] * error[jj, ii] if has_error else floor + slope * image[jj, ii])
            ratio = p / mp if mp > 0.0 else 0.0
            if ratio > _MAX_RATIO or ratio * _MAX_RATIO < 1.0:
                mirror = False
            if not mirror and not scaled:
                scaled = True
                sum_pp, scale, scale_var = _scale_profile(
                    image, error, pixel_flags, has_error, floor, slope, xs, ys, sky, radii, alpha, beta, work[3]
                )
            light = m * ratio if mirror else scale * p
            for k in range(n_radii):
                w = circle_pixel(dx, dy, radii[k])
                if w <= 0.0:
                    continue
                total[s, k] += w * (sky + light)
                work[0, k] += w * p
                if mirror:
                    # The opposite pixel is in the sum already: twice its value has four times its variance.
                    variance[s, k] += w * w * mv * (ratio * ratio + 2.0 * ratio)
                    work[2, k] += w * _MIRROR_ERROR * abs(light)
                else:
                    work[1, k] += w * p
                    work[2, k] += w * _MODEL_ERROR * abs(light)
    for k in range(n_radii):
        light = light_within(radii[k] * radii[k] / (alpha * alpha), beta)
        filled[s, k] = min(work[0, k] / light, 1.0)
        if filled[s, k] > _MAX_FILLED or (work[1, k] > 0.0 and sum_pp <= 0.0):
            total[s, k] = np.nan
            variance[s, k] = np.nan
            flags[s, k] |= _NOT_MEASURED
            continue
        if work[1, k] > 0.0:
            variance[s, k] += 2.0 * work[1, k] * work[3, k] / sum_pp + work[1, k] ** 2 * scale_var
        variance[s, k] += work[2, k] ** 2


@kernel(
    "void(float32[:, ::1], float32[:, ::1], uint8[:, ::1], boolean, float64, float64, float64[::1], float64[::1], "
    "float64[::1], float64[::1], boolean, float64, float64, float64[:, ::1], float64[:, ::1], float64[:, ::1], "
    "float64[:, ::1], uint32[:, ::1])"
)
def _sum_circles(
    image: np.ndarray,
    error: np.ndarray,
    pixel_flags: np.ndarray,
    has_error: bool,
    floor: float,
    slope: float,
    x: np.ndarray,
    y: np.ndarray,
    sky: np.ndarray,
    radii: np.ndarray,
    fill: bool,
    alpha: float,
    beta: float,
    work: np.ndarray,
    total: np.ndarray,
    variance: np.ndarray,
    filled: np.ndarray,
    flags: np.ndarray,
) -> None:
    ny, nx = image.shape
    n_radii = len(radii)
    r_max = radii[n_radii - 1]
    for s in range(len(x)):
        xs, ys = x[s], y[s]
        if not (-0.5 <= xs < nx - 0.5 and -0.5 <= ys < ny - 0.5):
            for k in range(n_radii):
                total[s, k] = np.nan
                variance[s, k] = np.nan
                flags[s, k] = _OFF_IMAGE
            continue
        missing = False
        for k in range(n_radii):
            if xs - radii[k] < -0.5 or ys - radii[k] < -0.5 or xs + radii[k] > nx - 0.5 or ys + radii[k] > ny - 0.5:
                flags[s, k] |= _STAR_EDGE
                missing = True
        for j in range(max(int(np.floor(ys - r_max + 0.5)), 0), min(int(np.ceil(ys + r_max - 0.5)), ny - 1) + 1):
            ay = abs(j - ys)
            near_y = max(ay - 0.5, 0.0)
            near_y2 = near_y * near_y
            far_y2 = (ay + 0.5) * (ay + 0.5)
            if near_y2 >= r_max * r_max:
                continue
            half = np.sqrt(r_max * r_max - near_y2) + 0.5
            low, high = max(int(np.ceil(xs - half)), 0), min(int(np.floor(xs + half)), nx - 1)
            # Rows 0 and 1 of `work`: counts and variances of this row of pixels; 2 and 3: their running sums.
            sum_p, sum_v = 0.0, 0.0
            work[2, 0], work[3, 0] = 0.0, 0.0
            for i in range(low, high + 1):
                p = float(image[j, i])
                v = float(error[j, i]) * float(error[j, i]) if has_error else floor + slope * p
                bits = pixel_flags[j, i]
                if bits != 0:
                    near_x = max(abs(i - xs) - 0.5, 0.0)
                    for k in range(n_radii):
                        if near_x * near_x + near_y2 < radii[k] * radii[k]:
                            flags[s, k] |= _STAR_BITS[bits]
                    if bits & NO_COUNTS:
                        missing = True
                        p, v = 0.0, 0.0
                sum_p += p
                sum_v += v
                work[0, i - low], work[1, i - low] = p, v
                work[2, i - low + 1], work[3, i - low + 1] = sum_p, sum_v
            for k in range(n_radii):
                r2 = radii[k] * radii[k]
                if near_y2 >= r2:
                    continue
                half = np.sqrt(r2 - near_y2) + 0.5
                first, last = max(int(np.ceil(xs - half)), low), min(int(np.floor(xs + half)), high)
                # Pixels wholly inside come from the running sums, the few on either side one by one.
                whole_first, whole_last = last + 1, last
                if far_y2 < r2:
                    half = np.sqrt(r2 - far_y2) - 0.5
                    inner_first, inner_last = int(np.ceil(xs - half)), int(np.floor(xs + half))
                    inner_first, inner_last = max(inner_first, first), min(inner_last, last)
                    if inner_first <= inner_last:
                        whole_first, whole_last = inner_first, inner_last
                        total[s, k] += work[2, whole_last + 1 - low] - work[2, whole_first - low]
                        variance[s, k] += work[3, whole_last + 1 - low] - work[3, whole_first - low]
                for i in range(first, whole_first):
                    w = circle_pixel(i - xs, ay, radii[k])
                    total[s, k] += w * work[0, i - low]
                    variance[s, k] += w * w * work[1, i - low]
                for i in range(whole_last + 1, last + 1):
                    w = circle_pixel(i - xs, ay, radii[k])
                    total[s, k] += w * work[0, i - low]
                    variance[s, k] += w * w * work[1, i - low]
        if missing and fill:
            _fill(image, error, pixel_flags, has_error, floor, slope, xs, ys, sky[s], radii, alpha, beta, work, s,
                  total, variance, filled, flags)  # fmt: skip
        # Faint counts below the sky can make a modelled variance negative.
        for k in range(n_radii):
            if not has_error and variance[s, k] < floor:
                variance[s, k] = floor
