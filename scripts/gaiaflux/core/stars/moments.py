"""Moments of stars in a Gaussian window, and the filling of holes that would spoil them."""

import numpy as np

from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.model.flags import NO_COUNTS

__all__ = ["FWHM_OVER_ADAPTIVE_SIGMA", "MAX_WINDOW", "adaptive_widths", "fill_holes", "window"]

# FWHM over the adaptive-moment sigma of the profile, for a window that fits it (by numerical integration).
FWHM_OVER_ADAPTIVE_SIGMA = 2.0832
UNUSABLE = np.uint8(NO_COUNTS)
MAX_SIGMA = 12.0  # [pixel]
MAX_WINDOW = 40  # [pixel]: more than three times that


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
def fill_holes(image: np.ndarray, flags: np.ndarray, result: np.ndarray) -> None:
    """Give unusable pixels of `result` the mean of their nearest good neighbours."""
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
def window(
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
def adaptive_widths(
    image: np.ndarray,
    flags: np.ndarray,
    xs: np.ndarray,
    ys: np.ndarray,
    weights: np.ndarray,
    fwhm: np.ndarray,
    extended: np.ndarray,
) -> None:
    """Width of each star from moments in a window that grows to fit it, and whether it is more than a hit."""
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
            total, sx, sy, sxx, syy, _sxy, valid = window(image, flags, x, y, sigma, weights)
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
