"""Kernels of the fit of single stars: windowed centroid, scoring steps, cosmic rays, shape."""

import numpy as np

from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.stars.moments import FWHM_OVER_ADAPTIVE_SIGMA, window
from gaiaflux.core.stars.scoring import NO_SUMS, add_pixel, solve_step
from gaiaflux.model.flags import PixelFlag, StarFlag, star_bits

__all__ = ["drop_doubles", "fit_stars"]

# Half width at half maximum over a: sqrt(2^(1/3) - 1).
HWHM_OVER_A = 0.5098245285339494
HIT = np.uint8(PixelFlag.COSMIC_RAY)
STAR_BITS = tuple(np.uint32(star_bits(pixel)) for pixel in range(256))
FLAG_BAD, FLAG_SATURATED = np.uint32(StarFlag.BAD_PIXEL), np.uint32(StarFlag.SATURATED)
FLAG_EDGE, FLAG_COSMIC = np.uint32(StarFlag.EDGE), np.uint32(StarFlag.COSMIC_RAY)
MAX_COSMIC_PIXELS = 6
MODEL_TOLERANCE = 0.2  # of the peak: by so much a star may differ from the mean profile
COSMIC_SIGMA = 6.0


@kernel("void(float64[::1], float64[::1], float64[::1], float64, boolean[::1])")
def drop_doubles(x: np.ndarray, y: np.ndarray, snr: np.ndarray, radius: float, keep: np.ndarray) -> None:
    """Clear `keep` for the weaker star of each pair closer than the radius; stars are sorted by y."""
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
def _box(image: np.ndarray, px: int, py: int, half: int) -> tuple[int, int, int, int]:
    """First and last column and row (exclusive) of the pixels of a star."""
    ny, nx = image.shape
    return max(0, px - half), min(nx, px + half + 1), max(0, py - half), min(ny, py + half + 1)


@device
def _look(
    image: np.ndarray,
    flags: np.ndarray,
    px: int,
    py: int,
    fwhm: float,
    box: tuple[int, int, int, int],
    masked: np.ndarray,
) -> tuple[np.uint32, float]:
    """Flags of a star from its pixels, whose flags are copied to `masked`; and the peak about (px, py)."""
    ny, nx = image.shape
    half = int(np.ceil(1.5 * fwhm))
    flag = np.uint32(0)
    if px - half < 0 or py - half < 0 or px + half >= nx or py + half >= ny:
        flag |= FLAG_EDGE
    for j in range(box[2], box[3]):
        for i in range(box[0], box[1]):
            masked[j - box[2], i - box[0]] = flags[j, i]
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
    return flag, peak


@device
def _centroid(
    image: np.ndarray, flags: np.ndarray, px: int, py: int, fwhm: float, sigma_w: float, weights: np.ndarray
) -> tuple[float, float]:
    """Windowed centroid; the pixel itself where it walks off."""
    x = float(px)
    y = float(py)
    for _ in range(12):
        total, sx, sy, _sxx, _syy, _sxy, valid = window(image, flags, x, y, sigma_w, weights)
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
    return x, y


@device
def _fit(
    image: np.ndarray,
    masked: np.ndarray,
    box: tuple[int, int, int, int],
    flux: float,
    x: float,
    y: float,
    fwhm: float,
    sigma2: float,
    flux_variance: float,
    solved: bool,
    row: np.ndarray,
) -> tuple[float, float, float, bool]:
    """Flux and position after three scoring steps, and whether there is a flux; errors and S/N go to `row`."""
    a2 = (0.5 * fwhm / HWHM_OVER_A) ** 2
    norm = 2.0 / (np.pi * a2)
    for step in range(3):
        sums = NO_SUMS
        used = 0
        for j in range(box[2], box[3]):
            for i in range(box[0], box[1]):
                if masked[j - box[2], i - box[0]] != 0:
                    continue
                ddx = i - x
                ddy = j - y
                u = 1.0 / (1.0 + (ddx * ddx + ddy * ddy) / a2)
                p = norm * u * u * u
                model = flux * p
                variance = sigma2 + flux_variance * max(model, 0.0)
                slope = 6.0 * model * u / a2
                sums = add_pixel(sums, 1.0 / variance, p, slope * ddx, slope * ddy, image[j, i] - model)
                used += 1
        h00, g0, g1, g2 = sums[0], sums[6], sums[7], sums[8]
        if used < 6 or h00 <= 0:
            return flux, x, y, False
        if step == 0:
            # No slope without flux: the first pass takes the flux alone.
            flux = flux + g0 / h00
            solved = True
            continue
        c00, c01, c02, c11, c22, shift_x, shift_y, regular = solve_step(sums, 1e-12)
        if not regular or flux <= 0:
            break
        length = np.sqrt(shift_x * shift_x + shift_y * shift_y)
        if length > 0.5 * fwhm:
            shift_x *= 0.5 * fwhm / length
            shift_y *= 0.5 * fwhm / length
        flux += c00 * g0 + c01 * g1 + c02 * g2
        x += shift_x
        y += shift_y
        row[2] = np.sqrt(c11)
        row[3] = np.sqrt(c22)
        row[5] = flux / np.sqrt(c00)
    return flux, x, y, solved


@device
def _worst_pixel(
    image: np.ndarray,
    masked: np.ndarray,
    box: tuple[int, int, int, int],
    flux: float,
    x: float,
    y: float,
    fwhm: float,
    sigma2: float,
    flux_variance: float,
) -> tuple[float, int, int]:
    """Deviation, column and row of the pixel that stands out most and that no star can explain."""
    ny, nx = image.shape
    a2 = (0.5 * fwhm / HWHM_OVER_A) ** 2
    norm = 2.0 / (np.pi * a2)
    worst = 0.0
    wi = -1
    wj = -1
    for j in range(box[2], box[3]):
        for i in range(box[0], box[1]):
            if masked[j - box[2], i - box[0]] != 0:
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
    return worst, wi, wj


@device
def _shape(
    image: np.ndarray,
    flags: np.ndarray,
    x: float,
    y: float,
    fwhm: float,
    sigma_w: float,
    weights: np.ndarray,
    row: np.ndarray,
) -> None:
    """FWHM and ellipticity from the second moments, freed from the window."""
    row[7] = fwhm
    total, _sx, _sy, sxx, syy, sxy, valid = window(image, flags, x, y, sigma_w, weights)
    if not valid:
        return
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
            row[7] = FWHM_OVER_ADAPTIVE_SIGMA * (mean * mean - split * split) ** -0.25
            row[8] = 1.0 - np.sqrt((mean - split) / (mean + split))
        else:
            row[7] = 2.0 * fwhm


@kernel(
    "void(float32[:, ::1], uint8[:, ::1], int64[::1], int64[::1], float64[::1], float64, float64,"
    " float64[::1], uint8[:, ::1], float64[:, ::1], uint32[::1])"
)
def fit_stars(
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
    """Fit each star by itself; see `gaiaflux.core.stars.single_star.measure_stars`.

    Parameters
    ----------
    image, flags, xs, ys, noise, fwhm, flux_variance
        As there.
    weights : ndarray
        Scratch space as wide as the window.
    masked : ndarray of uint8, shape (m, m)
        Scratch space for the pixels of a star.
    table : ndarray, shape (n, 10)
        Columns of `STAR_DTYPE` but for the flags, on return; zero on entry.
    star_flags : ndarray of uint32, shape (n,)
        Bits of `StarFlag`, on return; zero on entry.
    """
    sigma_w = fwhm / FWHM_OVER_ADAPTIVE_SIGMA
    a2 = (0.5 * fwhm / HWHM_OVER_A) ** 2
    norm = 2.0 / (np.pi * a2)
    for k in range(len(xs)):
        px = xs[k]
        py = ys[k]
        row = table[k]
        row[0] = np.nan
        row[1] = np.nan
        box = _box(image, px, py, int(np.ceil(1.5 * fwhm)))
        flag, peak = _look(image, flags, px, py, fwhm, box, masked)
        x, y = _centroid(image, flags, px, py, fwhm, sigma_w, weights)
        # Scoring steps; pixels that stand out of the profile are taken for a cosmic ray and left out.
        flux = 0.0
        n_cosmic = 0
        sigma2 = noise[k] * noise[k]
        solved = False
        for _attempt in range(MAX_COSMIC_PIXELS + 1):
            flux, x, y, solved = _fit(image, masked, box, flux, x, y, fwhm, sigma2, flux_variance, solved, row)
            if not solved or n_cosmic == MAX_COSMIC_PIXELS:
                break
            worst, wi, wj = _worst_pixel(image, masked, box, flux, x, y, fwhm, sigma2, flux_variance)
            if worst < COSMIC_SIGMA:
                break
            masked[wj - box[2], wi - box[0]] = HIT
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
                row[2] = 0.5 * fwhm
                row[3] = 0.5 * fwhm
                row[5] = flux * np.sqrt(norm / 2) / np.sqrt(sigma2 + flux_variance * peak)
            else:
                continue
        row[0] = x
        row[1] = y
        row[4] = flux
        row[6] = peak
        _shape(image, flags, x, y, fwhm, sigma_w, weights, row)
        star_flags[k] = flag
