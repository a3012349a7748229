"""Level of the sky around each star, from an annulus and from the smooth trend over the frame."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gaiaflux.core.kernels.compile import kernel
from gaiaflux.core.kernels.devices import kth_smallest
from gaiaflux.core.maths.polynomials import order_for
from gaiaflux.core.maths.robust import MAD_TO_SIGMA
from gaiaflux.core.maths.surface import Surface, fit_surface

__all__ = ["AnnulusSky", "LocalSky", "combine_sky", "measure_annuli", "paint_discs", "rough_sky"]

_CLIP = 3.5
# Variance of a normal distribution cut at +-3.5 sigma, relative to the whole one.
_CUT_VARIANCE = 0.993888
# An annulus with fewer clean pixels says too little.
MIN_PIXELS = 40
_SUBSAMPLE = 63
_ROUNDS = 3
_SAMPLES = 8192
_TREND_STARS = 3000
# An annulus so many sigmas off the trend is a place of its own.
_FAR_OFF = 4.5


@dataclass(frozen=True)
class AnnulusSky:
    """Sky in the annulus of each star; arrays of shape (n_stars,).

    Attributes
    ----------
    level : ndarray of float64
        Clipped mean [image unit]; NaN where there were too few clean pixels.
    error : ndarray of float64
        One sigma of `level`.
    n_pixels : ndarray of int64
        Pixels used.
    """

    level: np.ndarray
    error: np.ndarray
    n_pixels: np.ndarray

    @property
    def pixel_scatter(self) -> np.ndarray:
        """Scatter of the pixels of each, of shape (n_stars,); NaN where there were too few."""
        return self.error * np.sqrt(self.n_pixels)


@dataclass(frozen=True)
class LocalSky:
    """Best estimate of the sky under each star; arrays of shape (n_stars,).

    Attributes
    ----------
    level, error : ndarray of float64
        [image unit].
    unreliable : ndarray of bool
        The annulus had too few clean pixels: the trend over the frame was used.
    scatter : float
        Real structure of the sky between the annuli and the trend, one sigma [image unit].
    """

    level: np.ndarray
    error: np.ndarray
    unreliable: np.ndarray
    scatter: float


def rough_sky(image: np.ndarray, pixel_flags: np.ndarray) -> Surface | None:
    """Trend of the sky from a coarse sample of the frame's pixels; stars are clipped away.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Counts.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Zero = usable.

    Returns
    -------
    Surface or None
        Of order 2 at most; in a crowded field a little high. None where no sampled pixel is usable.
    """
    ny, nx = image.shape
    step = max(int(np.sqrt(image.size / _SAMPLES)), 1)
    # Shifted from row to row, so that a bad column does not take all samples of one place.
    rows = np.arange(step // 2, ny, step)
    columns = np.arange(step // 2, nx, step)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    x = (x + np.arange(len(rows))[:, None] % step - step // 2) % nx
    good = pixel_flags[y, x] == 0
    if not good.any():
        return None
    x, y = x[good], y[good]
    values = image[y, x].astype(np.float64)
    return fit_surface(x, y, values, np.zeros(len(x)), image.shape, order_for(len(x), 2), clip=2.5)


def paint_discs(mask: np.ndarray, x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> None:
    """Set the pixels of discs to 1, in place.

    Parameters
    ----------
    mask : ndarray of uint8, shape (ny, nx)
        Changed in place.
    x, y : ndarray, shape (n,)
        Centres [pixel]; a disc may lie partly or wholly off the image.
    radius : ndarray, shape (n,)
        [pixel]; zero or NaN paints nothing.
    """
    _paint_discs(mask, *(np.require(values, np.float64, ["C", "W"]) for values in (x, y, radius)))


def measure_annuli(
    image: np.ndarray,
    avoid: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    annulus: tuple[float, float],
    *,
    slope_x: np.ndarray | float = 0.0,
    slope_y: np.ndarray | float = 0.0,
) -> AnnulusSky:
    """Clipped mean of the clean pixels of an annulus around each position.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Counts, finite.
    avoid : ndarray of uint8, shape (ny, nx)
        Nonzero = not sky (unusable, or light of a known star).
    x, y : ndarray, shape (n_stars,)
        Centres [pixel]; NaN gives NaN.
    annulus : tuple of float
        Inner and outer radius [pixel]; a pixel belongs to the annulus if its centre does.
    slope_x, slope_y : float or ndarray, shape (n_stars,)
        Gradient of the sky [per pixel]: where the clean pixels lie to one side, the level is carried to the star.

    Returns
    -------
    AnnulusSky
        NaN where there are fewer than `MIN_PIXELS` pixels.

    Raises
    ------
    ValueError
        Radii out of order, or shapes that differ.

    Notes
    -----
    Start: median and median absolute deviation of up to 63 of the pixels, then three rounds of mean within 3.5 sigma.
    The cut is symmetric and wide: of a normal distribution it takes 0.6 % of the variance, which is put back, and
    nothing of the mean; the skewness g of photon noise moves the mean by 0.0125 g sigma. The mean, not a mode, because
    stars too faint to be known are in the aperture as often as in the annulus.
    """
    inner, outer = annulus
    if not 0 <= inner < outer:
        raise ValueError(f"an annulus needs 0 <= inner < outer, not {inner} and {outer}")
    if image.shape != avoid.shape:
        raise ValueError(f"image {image.shape} and mask {avoid.shape} differ in shape")
    x, y = np.require(x, np.float64, ["C", "W"]), np.require(y, np.float64, ["C", "W"])
    n = len(x)
    level, error, n_pixels = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.int64)
    offset_x, offset_y = np.zeros(n), np.zeros(n)
    size = (2 * int(np.ceil(outer)) + 3) ** 2
    _measure_annuli(
        np.require(image, np.float32, ["C", "W"]),
        np.require(avoid, np.uint8, ["C", "W"]),
        x,
        y,
        float(inner),
        float(outer),
        np.zeros(size, np.float32),
        np.zeros(size, np.float32),
        np.zeros(_SUBSAMPLE, np.float32),
        level,
        error,
        n_pixels,
        offset_x,
        offset_y,
    )
    return AnnulusSky(level - slope_x * offset_x - slope_y * offset_y, error, n_pixels)


def combine_sky(
    x: np.ndarray, y: np.ndarray, annulus: AnnulusSky, own_light: np.ndarray, trend: Surface, pixel_sigma: float
) -> LocalSky:
    """Best level under each star from its annulus and the smooth trend of all annuli.

    Parameters
    ----------
    x, y : ndarray, shape (n_stars,)
        Positions [pixel]; NaN gives NaN.
    annulus : AnnulusSky
        Measured levels.
    own_light : ndarray, shape (n_stars,)
        The star's own light in its annulus [image unit per pixel], taken off the level.
    trend : Surface
        Used instead of the annuli's own trend where fewer than 10 are good (`rough_sky`).
    pixel_sigma : float
        Noise of a sky pixel, for the error of `trend`.

    Returns
    -------
    LocalSky
        The mean of annulus and trend, weighted with the inverse of the annulus' variance and of the sky's real
        variance about the trend, which is measured. On a smooth sky the annulus' noise so almost vanishes; on a
        structured one the annulus decides, and always for a star whose annulus is 4.5 sigma off the trend.
    """
    level = annulus.level - own_light
    good = np.isfinite(level) & np.isfinite(annulus.error)
    n_good = int(np.count_nonzero(good))
    enough = n_good >= 10
    if enough:
        # A few thousand say as much about four numbers in each direction as all.
        some = np.flatnonzero(good)[:: max(n_good // _TREND_STARS, 1)]
        trend = fit_surface(x[some], y[some], level[some], annulus.error[some], trend.shape, order_for(len(some), 3))
    scatter = trend.scatter if enough else 0.1 * pixel_sigma
    smooth, smooth_err = trend.value(x, y), trend.error(x, y)
    prior = scatter**2 + smooth_err**2
    with np.errstate(invalid="ignore"):
        noise = annulus.error**2
        weight = prior / (prior + noise)
        weight = np.where((level - smooth) ** 2 > _FAR_OFF**2 * (prior + noise), 1.0, weight)
    if not enough:
        weight = np.ones_like(level)
    best = np.where(good, smooth + weight * np.where(good, level - smooth, 0.0), smooth)
    variance = np.where(good, np.where(good, weight**2 * noise, 0.0) + (1.0 - weight) ** 2 * prior, prior)
    return LocalSky(best, np.sqrt(variance), ~good, float(scatter))


@kernel("void(uint8[:, ::1], float64[::1], float64[::1], float64[::1])")
def _paint_discs(mask: np.ndarray, x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> None:
    ny, nx = mask.shape
    for s in range(len(x)):
        r = radius[s]
        if not (r > 0.0 and -r < x[s] < nx + r and -r < y[s] < ny + r):
            continue
        for j in range(max(int(np.ceil(y[s] - r)), 0), min(int(np.floor(y[s] + r)), ny - 1) + 1):
            half = np.sqrt(max(r * r - (j - y[s]) ** 2, 0.0))
            for i in range(max(int(np.ceil(x[s] - half)), 0), min(int(np.floor(x[s] + half)), nx - 1) + 1):
                mask[j, i] = 1


@kernel(
    "void(float32[:, ::1], uint8[:, ::1], float64[::1], float64[::1], float64, float64, float32[::1], float32[::1], "
    "float32[::1], float64[::1], float64[::1], int64[::1], float64[::1], float64[::1])",
    fastmath={"reassoc", "contract", "nsz"},
)
def _measure_annuli(
    image: np.ndarray,
    avoid: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    inner: float,
    outer: float,
    values: np.ndarray,
    weights: np.ndarray,
    sample: np.ndarray,
    level: np.ndarray,
    error: np.ndarray,
    n_pixels: np.ndarray,
    offset_x: np.ndarray,
    offset_y: np.ndarray,
) -> None:
    ny, nx = image.shape
    for s in range(len(x)):
        xs, ys = x[s], y[s]
        if not (-outer < xs < nx + outer and -outer < ys < ny + outer):
            continue
        # All pixels are copied, clean ones with weight 1: no branch, so that the compiler can use vectors.
        n = 0
        n_clean: Any = 0.0
        sum_i: Any = 0.0
        sum_j: Any = 0.0
        for j in range(max(int(np.ceil(ys - outer)), 0), min(int(np.floor(ys + outer)), ny - 1) + 1):
            dy2 = (j - ys) * (j - ys)
            if dy2 > outer * outer:
                continue
            half_out = np.sqrt(outer * outer - dy2)
            first, last = max(int(np.ceil(xs - half_out)), 0), min(int(np.floor(xs + half_out)), nx - 1)
            # Two runs of columns, left and right of the hole; one where the row misses it.
            hole_first, hole_last = last + 1, last
            if dy2 < inner * inner:
                half_in = np.sqrt(inner * inner - dy2)
                hole_first, hole_last = int(np.floor(xs - half_in)) + 1, int(np.ceil(xs + half_in)) - 1
            in_row, in_row_i = np.float32(0.0), np.float32(0.0)
            for run in range(2):
                start = first if run == 0 else max(hole_last + 1, first)
                length = (min(hole_first, last + 1) if run == 0 else last + 1) - start
                if length <= 0:
                    continue
                pixels, bad = image[j, start : start + length], avoid[j, start : start + length]
                into, clean = values[n : n + length], weights[n : n + length]
                offset = np.float32(start - xs)
                for k in range(length):
                    one = np.float32(1.0) if bad[k] == 0 else np.float32(0.0)
                    into[k] = pixels[k]
                    clean[k] = one
                    in_row += one
                    in_row_i += one * (offset + np.float32(k))
                n += length
            n_clean += in_row
            sum_i += in_row_i
            sum_j += in_row * (j - ys)
        if n_clean < MIN_PIXELS:
            continue
        offset_x[s] = sum_i / n_clean
        offset_y[s] = sum_j / n_clean
        step = max(int(n_clean) // _SUBSAMPLE, 1)
        m = 0
        k = 0
        while k < n and m < _SUBSAMPLE:
            # Every so many pixels; past the pixels to avoid.
            while k < n and weights[k] == 0.0:
                k += 1
            if k < n:
                sample[m] = values[k]
                m += 1
            k += step
        centre = float(kth_smallest(sample, m, m // 2))
        for k in range(m):
            sample[k] = abs(sample[k] - centre)
        sigma = MAD_TO_SIGMA * float(kth_smallest(sample, m, m // 2))
        if sigma <= 0.0:
            # Whole numbers with little noise: most are equal. The first round then cuts nothing.
            sigma = 1e30
        count = n
        for _ in range(_ROUNDS):
            cut = np.float32(_CLIP * sigma)
            middle = np.float32(centre)
            total, total2, inside = np.float32(0.0), np.float32(0.0), np.float32(0.0)
            for k in range(n):
                d = values[k] - middle
                one = weights[k] if abs(d) <= cut else np.float32(0.0)
                d *= one
                total += d
                total2 += d * d
                inside += one
            count = int(inside)
            if count == 0:
                break
            mean = float(total) / count
            centre = float(middle) + mean
            sigma = np.sqrt(max(float(total2) / count - mean * mean, 0.0) / _CUT_VARIANCE)
        if count < MIN_PIXELS:
            continue
        level[s] = centre
        error[s] = sigma / np.sqrt(count)
        n_pixels[s] = count
