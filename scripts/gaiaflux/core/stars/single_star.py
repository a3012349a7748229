"""Centroid, flux and shape of single stars.

The profile is a circular Moffat function with exponent 3, I(r) = F 2 / (pi a^2) (1 + r^2/a^2)^-3, sampled at pixel
centres. A windowed centroid (Gaussian window as wide as the stars) starts two scoring steps of the maximum-likelihood
fit of flux and position, with the variance of the model; that reaches the accuracy of a full profile fit. Widths are
adaptive moments (Bernstein & Jarvis 2002, AJ 123, 583), converted to the FWHM of that profile.
"""

import numpy as np

from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.kernels.devices import inverse_symmetric3
from gaiaflux.model.flags import NO_COUNTS, PixelFlag, StarFlag, star_bits
from gaiaflux.model.stars import STAR_DTYPE

__all__ = ["adaptive_fwhm", "fill_unusable", "measure_stars"]

# Half width at half maximum over a: sqrt(2^(1/3) - 1).
HWHM_OVER_A = 0.5098245285339494
# FWHM over the adaptive-moment sigma of the profile, for a window that fits it (by numerical integration).
FWHM_OVER_ADAPTIVE_SIGMA = 2.0832
UNUSABLE = np.uint8(NO_COUNTS)
HIT = np.uint8(PixelFlag.COSMIC_RAY)
STAR_BITS = tuple(np.uint32(star_bits(pixel)) for pixel in range(256))
FLAG_BAD, FLAG_SATURATED = np.uint32(StarFlag.BAD_PIXEL), np.uint32(StarFlag.SATURATED)
FLAG_EDGE, FLAG_COSMIC = np.uint32(StarFlag.EDGE), np.uint32(StarFlag.COSMIC_RAY)
MAX_COSMIC_PIXELS = 6
MAX_SIGMA = 12.0  # [pixel]
MAX_WINDOW = 40  # [pixel]: more than three times that
MODEL_TOLERANCE = 0.2  # of the peak: by so much a star may differ from the mean profile
COSMIC_SIGMA = 6.0


def fill_unusable(image: np.ndarray, pixel_flags: np.ndarray) -> np.ndarray:
    """Bad pixels replaced by the mean of their nearest good neighbours along row and column.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Pixels that are bad, not finite or hit by a cosmic ray are replaced; saturated ones are kept, they are bright.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        A new image; zero where no good pixel is within 5 pixels.
    """
    result = image.copy()
    _fill(image, pixel_flags, result)
    return result


def adaptive_fwhm(
    image: np.ndarray, pixel_flags: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Width of stars whose size is not known yet.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Without sky.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Nonzero = unusable.
    x, y : ndarray of int64, shape (n,)
        Brightest pixel of each star.

    Returns
    -------
    fwhm : ndarray of float64, shape (n,)
        [pixel]; NaN where the moments do not converge.
    extended : ndarray of bool, shape (n,)
        False for a hit of a few pixels, which no optics can make.
    """
    fwhm = np.empty(len(x))
    extended = np.empty(len(x), np.bool_)
    _adaptive_fwhm(image, pixel_flags, x, y, np.empty(2 * MAX_WINDOW + 1), fwhm, extended)
    return fwhm, extended


def measure_stars(
    image: np.ndarray,
    pixel_flags: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    noise: np.ndarray,
    *,
    fwhm_pix: float,
    flux_variance: float,
) -> np.ndarray:
    """Fit flux and position of each star by itself.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Without sky.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Nonzero = unusable.
    x, y : ndarray of int64, shape (n,)
        Brightest pixel of each star.
    noise : ndarray of float, shape (n,)
        One-pixel noise of the sky at the star.
    fwhm_pix : float
        Seeing [pixel].
    flux_variance : float
        Variance of photon noise per unit of flux.

    Returns
    -------
    ndarray of STAR_DTYPE, shape (n_kept,)
        In the order of the input without doubles (fits that ended on one star) and without cosmic rays; x is NaN
        where nothing could be fitted.
    """
    table = np.zeros((len(x), 10))
    flags = np.zeros(len(x), np.uint32)
    size = 2 * int(np.ceil(2 * fwhm_pix)) + 3
    _measure(
        image,
        pixel_flags,
        x.astype(np.int64),
        y.astype(np.int64),
        noise.astype(np.float64),
        float(fwhm_pix),
        float(flux_variance),
        np.empty(2 * int(np.ceil(3 * fwhm_pix)) + 3),
        np.empty((size, size), np.uint8),
        table,
        flags,
    )
    stars = np.zeros(len(x), STAR_DTYPE)
    for column, name in enumerate(STAR_DTYPE.names[:-1]):
        stars[name] = table[:, column]
    stars["flags"] = flags
    return stars[_distinct(stars, 0.5 * fwhm_pix)]


def _distinct(stars: np.ndarray, radius: float) -> np.ndarray:
    """Mask without the weaker star of each pair that is closer than the radius."""
    order = np.argsort(stars["y"], kind="stable")
    keep = np.ones(len(stars), np.bool_)
    _drop_doubles(
        np.ascontiguousarray(stars["x"][order]),
        np.ascontiguousarray(stars["y"][order]),
        np.ascontiguousarray(stars["snr"][order], np.float64),
        radius,
        keep,
    )
    mask = np.empty(len(stars), np.bool_)
    mask[order] = keep
    return mask


@kernel("void(float64[::1], float64[::1], float64[::1], float64, boolean[::1])")
def _drop_doubles(x: np.ndarray, y: np.ndarray, snr: np.ndarray, radius: float, keep: np.ndarray) -> None:
    n = len(x)
    for i in range(n):
        j = i + 1
        while j < n and y[j] - y[i] < radius:
            if keep[i] and keep[j] and (x[j] - x[i]) ** 2 + (y[j] - y[i]) ** 2 < radius * radius:
                if snr[j] > snr[i]:
                    keep[i] = False
                else:
                    keep[j] = False
            j += 1


@device
def _neighbour_mean(image: np.ndarray, flags: np.ndarray, x: int, y: int) -> float:
    ny, nx = image.shape
    total = 0.0
    weight = 0.0
    for direction in range(4):
        dx = 1 if direction == 0 else (-1 if direction == 1 else 0)
        dy = 1 if direction == 2 else (-1 if direction == 3 else 0)
        for step in range(1, 6):
            i = x + step * dx
            j = y + step * dy
            if i < 0 or j < 0 or i >= nx or j >= ny:
                break
            if flags[j, i] & UNUSABLE == 0:
                w = 1.0 / (step * step)
                total += w * image[j, i]
                weight += w
                break
    return total / weight if weight > 0 else 0.0


@kernel("void(float32[:, ::1], uint8[:, ::1], float32[:, ::1])")
def _fill(image: np.ndarray, flags: np.ndarray, result: np.ndarray) -> None:
    ny, nx = image.shape
    for y in range(ny):
        row = flags[y]
        any_flag = np.uint8(0)
        for x in range(nx):
            any_flag |= row[x]
        if any_flag & UNUSABLE == 0:
            continue
        for x in range(nx):
            if row[x] & UNUSABLE:
                result[y, x] = _neighbour_mean(image, flags, x, y)


@device
def _window(
    image: np.ndarray, flags: np.ndarray, x: float, y: float, sigma: float, weights: np.ndarray
) -> tuple[float, float, float, float, float, float, bool]:
    """Gaussian-weighted flux, mean offset and second moments about (x, y); `weights` is scratch space."""
    ny, nx = image.shape
    half = int(np.ceil(3.0 * sigma))
    ix = int(np.round(x))
    iy = int(np.round(y))
    total = 0.0
    sx = 0.0
    sy = 0.0
    sxx = 0.0
    syy = 0.0
    sxy = 0.0
    if ix - half < 0 or iy - half < 0 or ix + half >= nx or iy + half >= ny:
        return total, sx, sy, sxx, syy, sxy, False
    factor = -0.5 / (sigma * sigma)
    for i in range(ix - half, ix + half + 1):
        weights[i - ix + half] = np.exp(factor * (i - x) * (i - x))
    for j in range(iy - half, iy + half + 1):
        dy = j - y
        wy = np.exp(factor * dy * dy)
        for i in range(ix - half, ix + half + 1):
            if flags[j, i] != 0:
                # The pixel opposite stands in, so that a hole does not pull the centroid.
                oi = int(np.round(2 * x - i))
                oj = int(np.round(2 * y - j))
                if oi < 0 or oj < 0 or oi >= nx or oj >= ny or flags[oj, oi] != 0:
                    continue
                value = image[oj, oi]
            else:
                value = image[j, i]
            dx = i - x
            w = wy * weights[i - ix + half] * value
            total += w
            sx += w * dx
            sy += w * dy
            sxx += w * dx * dx
            syy += w * dy * dy
            sxy += w * dx * dy
    return total, sx, sy, sxx, syy, sxy, total > 0


@kernel("void(float32[:, ::1], uint8[:, ::1], int64[::1], int64[::1], float64[::1], float64[::1], boolean[::1])")
def _adaptive_fwhm(
    image: np.ndarray,
    flags: np.ndarray,
    xs: np.ndarray,
    ys: np.ndarray,
    weights: np.ndarray,
    fwhm: np.ndarray,
    extended: np.ndarray,
) -> None:
    ny, nx = image.shape
    for k in range(len(xs)):
        fwhm[k] = np.nan
        extended[k] = False
        x = float(xs[k])
        y = float(ys[k])
        if xs[k] < 1 or ys[k] < 1 or xs[k] >= nx - 1 or ys[k] >= ny - 1:
            continue
        high = 0
        limit = 0.15 * image[ys[k], xs[k]]
        for j in range(-1, 2):
            for i in range(-1, 2):
                high += 1 if image[ys[k] + j, xs[k] + i] > limit else 0
        extended[k] = high >= 5
        sigma = 2.0
        for _ in range(25):
            total, sx, sy, sxx, syy, _sxy, valid = _window(image, flags, x, y, sigma, weights)
            if not valid:
                break
            x += 2 * sx / total
            y += 2 * sy / total
            if abs(x - xs[k]) > 3 * sigma or abs(y - ys[k]) > 3 * sigma:
                break
            moment = 0.5 * (sxx + syy) / total
            inverse = 1.0 / moment - 1.0 / (sigma * sigma) if moment > 0 else 0.0
            new = np.sqrt(1.0 / inverse) if inverse > 0 else 1.5 * sigma
            new = min(max(new, 0.5), MAX_SIGMA)
            if abs(new - sigma) < 0.005 * sigma:
                fwhm[k] = FWHM_OVER_ADAPTIVE_SIGMA * new
                break
            sigma = new


@kernel(
    "void(float32[:, ::1], uint8[:, ::1], int64[::1], int64[::1], float64[::1], float64, float64,"
    " float64[::1], uint8[:, ::1], float64[:, ::1], uint32[::1])"
)
def _measure(
    image: np.ndarray,
    flags: np.ndarray,
    xs: np.ndarray,
    ys: np.ndarray,
    noise: np.ndarray,
    fwhm: float,
    flux_variance: float,
    weights: np.ndarray,
    masked: np.ndarray,
    table: np.ndarray,
    star_flags: np.ndarray,
) -> None:
    ny, nx = image.shape
    sigma_w = fwhm / FWHM_OVER_ADAPTIVE_SIGMA
    a2 = (0.5 * fwhm / HWHM_OVER_A) ** 2
    norm = 2.0 / (np.pi * a2)
    half = int(np.ceil(1.5 * fwhm))
    for k in range(len(xs)):
        px = xs[k]
        py = ys[k]
        table[k, 0] = np.nan
        table[k, 1] = np.nan
        # 1. flags and peak
        x0 = max(0, px - half)
        x1 = min(nx, px + half + 1)
        y0 = max(0, py - half)
        y1 = min(ny, py + half + 1)
        flag = np.uint32(0)
        if px - half < 0 or py - half < 0 or px + half >= nx or py + half >= ny:
            flag |= FLAG_EDGE
        for j in range(y0, y1):
            for i in range(x0, x1):
                masked[j - y0, i - x0] = flags[j, i]
                if flags[j, i] == 0:
                    continue
                bits = STAR_BITS[flags[j, i]]
                flag |= bits & FLAG_SATURATED
                # A hit that is known already is a hole like any other; `FLAG_COSMIC` is for those that are found here.
                if bits & (FLAG_BAD | FLAG_COSMIC) and (i - px) ** 2 + (j - py) ** 2 <= fwhm * fwhm:
                    flag |= FLAG_BAD
        peak = 0.0
        for j in range(max(0, py - 1), min(ny, py + 2)):
            for i in range(max(0, px - 1), min(nx, px + 2)):
                peak = max(peak, image[j, i])
        # 2. windowed centroid
        x = float(px)
        y = float(py)
        for _ in range(12):
            total, sx, sy, sxx, syy, sxy, valid = _window(image, flags, x, y, sigma_w, weights)
            if not valid:
                break
            dx = 2 * sx / total
            dy = 2 * sy / total
            x += dx
            y += dy
            if abs(x - px) > fwhm or abs(y - py) > fwhm:
                x = float(px)
                y = float(py)
                break
            if dx * dx + dy * dy < 1e-5:
                break
        # 3. scoring steps; pixels that stand out of the profile are taken for a cosmic ray and left out
        flux = 0.0
        n_cosmic = 0
        sigma2 = noise[k] * noise[k]
        solved = False
        for _attempt in range(MAX_COSMIC_PIXELS + 1):
            for step in range(3):
                h00 = 0.0
                h01 = 0.0
                h02 = 0.0
                h11 = 0.0
                h12 = 0.0
                h22 = 0.0
                g0 = 0.0
                g1 = 0.0
                g2 = 0.0
                used = 0
                for j in range(y0, y1):
                    for i in range(x0, x1):
                        if masked[j - y0, i - x0] != 0:
                            continue
                        ddx = i - x
                        ddy = j - y
                        u = 1.0 / (1.0 + (ddx * ddx + ddy * ddy) / a2)
                        p = norm * u * u * u
                        model = flux * p
                        variance = sigma2 + flux_variance * max(model, 0.0)
                        slope = 6.0 * model * u / a2
                        px_ = slope * ddx
                        py_ = slope * ddy
                        residual = image[j, i] - model
                        w = 1.0 / variance
                        h00 += w * p * p
                        h01 += w * p * px_
                        h02 += w * p * py_
                        h11 += w * px_ * px_
                        h12 += w * px_ * py_
                        h22 += w * py_ * py_
                        g0 += w * p * residual
                        g1 += w * px_ * residual
                        g2 += w * py_ * residual
                        used += 1
                if used < 6 or h00 <= 0:
                    solved = False
                    break
                if step == 0:
                    # No slope without flux: the first pass takes the flux alone.
                    flux = flux + g0 / h00
                    solved = True
                    continue
                c00, c01, c02, c11, c12, c22, regular = inverse_symmetric3(h00, h01, h02, h11, h12, h22, 1e-12)
                if not regular or flux <= 0:
                    break
                shift_x = c01 * g0 + c11 * g1 + c12 * g2
                shift_y = c02 * g0 + c12 * g1 + c22 * g2
                length = np.sqrt(shift_x * shift_x + shift_y * shift_y)
                if length > 0.5 * fwhm:
                    shift_x *= 0.5 * fwhm / length
                    shift_y *= 0.5 * fwhm / length
                flux += c00 * g0 + c01 * g1 + c02 * g2
                x += shift_x
                y += shift_y
                table[k, 2] = np.sqrt(c11)
                table[k, 3] = np.sqrt(c22)
                table[k, 5] = flux / np.sqrt(c00)
            if not solved or n_cosmic == MAX_COSMIC_PIXELS:
                break
            worst = 0.0
            wi = -1
            wj = -1
            for j in range(y0, y1):
                for i in range(x0, x1):
                    if masked[j - y0, i - x0] != 0:
                        continue
                    ddx = i - x
                    ddy = j - y
                    r2 = ddx * ddx + ddy * ddy
                    if r2 > fwhm * fwhm:
                        continue
                    u = 1.0 / (1.0 + r2 / a2)
                    model = max(flux, 0.0) * norm * u * u * u
                    tolerance = MODEL_TOLERANCE * max(flux, 0.0) * norm
                    deviation = (image[j, i] - model) / np.sqrt(sigma2 + flux_variance * model + tolerance * tolerance)
                    if deviation > worst:
                        # A star's neighbour pixels share its light; a hit's do not.
                        shared = 0
                        for jj in range(max(0, j - 1), min(ny, j + 2)):
                            for ii in range(max(0, i - 1), min(nx, i + 2)):
                                shared += 1 if image[jj, ii] > 0.3 * image[j, i] else 0
                        if shared < 5:
                            worst = deviation
                            wi = i
                            wj = j
            if worst < COSMIC_SIGMA:
                break
            masked[wj - y0, wi - x0] = HIT
            n_cosmic += 1
            if n_cosmic == 1:
                flux = 0.0
        if n_cosmic > 0:
            flag |= FLAG_COSMIC
        inside = abs(x - px) <= fwhm and abs(y - py) <= fwhm
        if not solved or not inside or flux <= 0:
            if flag & (FLAG_SATURATED | FLAG_BAD) and n_cosmic == 0:
                x = float(px)
                y = float(py)
                flux = peak / norm
                table[k, 2] = 0.5 * fwhm
                table[k, 3] = 0.5 * fwhm
                table[k, 5] = flux * np.sqrt(norm / 2) / np.sqrt(sigma2 + flux_variance * peak)
            else:
                continue
        table[k, 0] = x
        table[k, 1] = y
        table[k, 4] = flux
        table[k, 6] = peak
        # 4. shape
        table[k, 7] = fwhm
        total, sx, sy, sxx, syy, sxy, valid = _window(image, flags, x, y, sigma_w, weights)
        if valid:
            mxx = sxx / total
            myy = syy / total
            mxy = sxy / total
            det = mxx * myy - mxy * mxy
            if det > 0:
                ixx = myy / det - 1.0 / (sigma_w * sigma_w)
                iyy = mxx / det - 1.0 / (sigma_w * sigma_w)
                ixy = -mxy / det
                mean = 0.5 * (ixx + iyy)
                split = np.sqrt((0.5 * (ixx - iyy)) ** 2 + ixy * ixy)
                if mean > split:
                    table[k, 7] = FWHM_OVER_ADAPTIVE_SIGMA * (mean * mean - split * split) ** -0.25
                    table[k, 8] = 1.0 - np.sqrt((mean - split) / (mean + split))
                else:
                    table[k, 7] = 2.0 * fwhm
        star_flags[k] = flag
