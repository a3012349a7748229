"""Frames of a field on the pixels of one of them, and their weighted mean.

A frame is carried over by local polynomials through six pixels in each direction (Lagrange's formula); below a quarter
of a cycle per pixel, where the light of stars is, this changes amplitudes by less than 5 %. All of a frame's good
pixels have one weight, so that the point-spread function of the mean is as smooth over the field as those of the
frames. It follows from noise, transparency and seeing, as in the co-added images of Jiang et al. (arXiv:1405.7382).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.maths.robust import clipped_mean
from gaiaflux.core.sky.projection import pixel_scale_arcsec, pixel_to_sky, sky_to_pixel
from gaiaflux.core.stars.single_star import fill_unusable
from gaiaflux.model.flags import PixelFlag
from gaiaflux.model.wcs import TanSip

__all__ = ["Layer", "flux_scale", "resample", "stack_layers"]

GRID_STEP_PIX = 16  # between points that are projected; between them the mapping is bilinear
BAND_ROWS = 256  # combined at once, to spare memory
OUTLIER_SIGMA = 5.0
# A star may differ from the median of the frames by so much of the brightest pixel around: seeing, variability.
OUTLIER_SHARE = 1.0
FEWEST_FOR_OUTLIERS = 3
# Typical difference of the frames' PSFs, of the light in a pixel: error of a pixel that lacks all other frames.
PSF_DIFFERENCE = 0.2
MISSING, SATURATED, COSMIC = PixelFlag.NONFINITE, PixelFlag.SATURATED, PixelFlag.COSMIC_RAY
NO_MATTER = np.float32(0.02)  # weight below which a bad pixel, filled in, does not spoil a value
HALO = 2  # rows that a band needs of its neighbours
SCALE_STARS = 200
SCALE_SNR = 50.0


@dataclass(frozen=True)
class Layer:
    """A frame on the pixels of the reference image.

    Attributes
    ----------
    image : ndarray of float32, shape (ny, nx)
        Without sky; finite.
    flags : ndarray of uint8, shape (ny, nx)
        Bits of `PixelFlag`; nonzero = not used.
    floor : float
        Variance of a pixel of the sky, as it is without the smoothing of the interpolation.
    slope : float
        Variance per unit of light.
    fwhm : float
        Seeing [pixel].
    scale : float
        Factor from the image's light to that of the reference image.
    """

    image: np.ndarray
    flags: np.ndarray
    floor: float
    slope: float
    fwhm: float
    scale: float = 1.0

    def scaled(self, scale: float) -> "Layer":
        """The same with another factor."""
        return replace(self, scale=scale)


def resample(layer: Layer, wcs: TanSip, onto: TanSip) -> Layer:
    """Carry an image over to the pixels of another.

    Parameters
    ----------
    layer : Layer
        Image on its own pixels.
    wcs, onto : TanSip
        Plate solutions of the image and of the other one.

    Returns
    -------
    Layer
        On the pixels of `onto`. The light of a star is conserved: values are multiplied by the ratio of the pixels'
        areas on the sky. Where the image does not reach, it is zero and flagged `PixelFlag.NONFINITE`.

    Notes
    -----
    Noise of neighbouring pixels is correlated afterwards. Fits and filters as wide as a star see of it what they would
    see of independent pixels with the variance that the image had, times the ratio of areas: this is `floor`.
    """
    ny, nx = onto.shape
    step = GRID_STEP_PIX
    columns, rows = np.arange(0, nx + step, step), np.arange(0, ny + step, step)
    grid = np.meshgrid(columns.astype(np.float64), rows.astype(np.float64))
    x, y = (np.ascontiguousarray(axis) for axis in sky_to_pixel(wcs, *pixel_to_sky(onto, *grid)))
    image, flags = np.zeros((ny, nx), np.float32), np.zeros((ny, nx), np.uint8)
    filled = fill_unusable(np.ascontiguousarray(layer.image, np.float32), layer.flags)
    _resample(filled, layer.flags, x, y, step, np.zeros((2, 6), np.float32), image, flags)
    area = pixel_scale_arcsec(onto) / pixel_scale_arcsec(wcs)
    return replace(layer, image=image, flags=flags, floor=layer.floor * area**2, fwhm=layer.fwhm / area)


def flux_scale(layer: Layer, reference: Layer, x: np.ndarray, y: np.ndarray) -> float:
    """How much more light the reference image has than a frame.

    Parameters
    ----------
    layer, reference : Layer
        Their own `scale` is not used.
    x, y : ndarray, shape (n,)
        Places of stars [pixel]; the brightest that are whole in both are used.

    Returns
    -------
    float
        Clipped mean of the stars' ratios of light within 2.5 times the larger seeing; NaN without such stars. The sum
        of all light there, so that neighbours do not matter.
    """
    radius = 2.5 * max(layer.fwhm, reference.fwhm)
    ours, whole = _sums(reference.image, reference.flags, x, y, radius)
    theirs, also = _sums(layer.image, layer.flags, x, y, radius)
    area = np.pi * radius**2
    noise = np.sqrt(reference.floor * area + reference.slope * np.maximum(ours, 0.0))
    good = np.flatnonzero(whole & also & (ours > SCALE_SNR * noise) & (theirs > 0))
    good = good[np.argsort(-ours[good], kind="stable")][:SCALE_STARS]
    mean, _, _ = clipped_mean(np.log(ours[good] / theirs[good]))
    return float(np.exp(mean))


def stack_layers(layers: Sequence[Layer]) -> Pixels:
    """Weighted mean of frames, without cosmic rays and satellites.

    Parameters
    ----------
    layers : sequence of Layer
        The reference image first.

    Returns
    -------
    Pixels
        On the flux scale of the reference image, without sky. `floor` holds the variance of each pixel: where a frame
        lacks it, the mean has another PSF, which counts as an error of the light there. A pixel that is saturated in
        any of the frames is flagged. `noise` is that of a pixel of the sky that no frame lacks.

    Notes
    -----
    A value is left out, with those around it, that is farther than five sigma and the brightest pixel around from the
    median of at least three frames.
    """
    scale, floor, slope = (np.array([getattr(layer, key) for layer in layers]) for key in ("scale", "floor", "slope"))
    variance = scale**2 * floor
    weight = 1.0 / (variance * np.array([layer.fwhm for layer in layers]) ** 2)
    weight /= weight.sum()
    ny, nx = layers[0].image.shape
    image, noise2, flags = np.zeros((ny, nx), np.float32), np.zeros((ny, nx), np.float32), np.zeros((ny, nx), np.uint8)
    for first in range(0, ny, BAND_ROWS):
        stop = min(first + BAND_ROWS, ny)
        low, high = max(first - HALO, 0), min(stop + HALO, ny)
        cube = np.stack([layer.image[low:high] for layer in layers])
        cube *= scale.astype(np.float32)[:, None, None]
        bits = np.stack([layer.flags[low:high] for layer in layers])
        hits = np.zeros_like(bits)
        if len(layers) >= FEWEST_FOR_OUTLIERS:
            median = np.zeros(cube.shape[1:], np.float32)
            _medians(cube, bits, np.zeros(len(layers), np.float32), median)
            _mark_outliers(cube, bits, median, variance, scale * slope, hits)
        # Rows of the band without those of its neighbours.
        _weighted_mean(
            cube, bits, hits, weight, variance, first - low, image[first:stop], noise2[first:stop], flags[first:stop]
        )
    noise = float(np.sqrt(np.sum(weight**2 * variance)))
    return Pixels(image, flags, noise2, float(np.sum(weight**2 * scale * slope)), noise)


def _sums(
    image: np.ndarray, flags: np.ndarray, x: np.ndarray, y: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Light within a circle around each place, and whether all pixels there are good."""
    total, whole = np.zeros(len(x)), np.zeros(len(x), np.bool_)
    _disc_sums(image, flags, np.require(x, np.float64, "C"), np.require(y, np.float64, "C"), radius, total, whole)
    return total, whole


@device
def _lagrange(t: float, w: np.ndarray) -> None:
    """Weights of the pixels at -2 to 3 for a place t from 0 to 1."""
    a, b, c, d, e, f = t + 2.0, t + 1.0, t, t - 1.0, t - 2.0, t - 3.0
    w[0] = -b * c * d * e * f / 120.0
    w[1] = a * c * d * e * f / 24.0
    w[2] = -a * b * d * e * f / 12.0
    w[3] = a * b * c * e * f / 12.0
    w[4] = -a * b * c * d * f / 24.0
    w[5] = a * b * c * d * e / 120.0


@kernel(
    "void(float32[:, ::1], uint8[:, ::1], float64[:, ::1], float64[:, ::1], int64, float32[:, ::1], float32[:, ::1],"
    " uint8[:, ::1])"
)
def _resample(
    image: np.ndarray,
    flags: np.ndarray,
    grid_x: np.ndarray,
    grid_y: np.ndarray,
    step: int,
    taps: np.ndarray,
    result: np.ndarray,
    bits: np.ndarray,
) -> None:
    """`grid_x`, `grid_y`: place in the image of every `step`-th pixel of the result, and of one beyond its end."""
    ny, nx = result.shape
    height, width = image.shape
    wx = taps[0]
    wy = taps[1]
    for y in range(ny):
        j = y // step
        v = (y - j * step) / step
        for i in range((nx + step - 1) // step):
            x0 = (1.0 - v) * grid_x[j, i] + v * grid_x[j + 1, i]
            y0 = (1.0 - v) * grid_y[j, i] + v * grid_y[j + 1, i]
            dx = ((1.0 - v) * grid_x[j, i + 1] + v * grid_x[j + 1, i + 1] - x0) / step
            dy = ((1.0 - v) * grid_y[j, i + 1] + v * grid_y[j + 1, i + 1] - y0) / step
            across_x = 0.5 * (grid_x[j + 1, i] + grid_x[j + 1, i + 1] - grid_x[j, i] - grid_x[j, i + 1]) / step
            across_y = 0.5 * (grid_y[j + 1, i] + grid_y[j + 1, i + 1] - grid_y[j, i] - grid_y[j, i + 1]) / step
            area = np.float32(abs(dx * across_y - dy * across_x))
            for x in range(i * step, min((i + 1) * step, nx)):
                px = x0 + (x - i * step) * dx
                py = y0 + (x - i * step) * dy
                if not (px >= 2.0 and py >= 2.0 and px < width - 3.0 and py < height - 3.0):
                    bits[y, x] = MISSING
                    continue
                column = int(np.floor(px))
                row = int(np.floor(py))
                _lagrange(px - column, wx)
                _lagrange(py - row, wy)
                total = np.float32(0.0)
                flag = 0
                for b in range(6):
                    line = np.float32(0.0)
                    for a in range(6):
                        line += wx[a] * image[row + b - 2, column + a - 2]
                        hit = flags[row + b - 2, column + a - 2]
                        if hit != 0 and abs(wx[a] * wy[b]) > NO_MATTER:
                            flag |= hit
                    total += wy[b] * line
                result[y, x] = area * total
                bits[y, x] = flag


@kernel("void(float32[:, ::1], uint8[:, ::1], float64[::1], float64[::1], float64, float64[::1], boolean[::1])")
def _disc_sums(
    image: np.ndarray,
    flags: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    radius: float,
    total: np.ndarray,
    whole: np.ndarray,
) -> None:
    ny, nx = image.shape
    for k in range(len(x)):
        if not (x[k] > radius and y[k] > radius and x[k] < nx - 1 - radius and y[k] < ny - 1 - radius):
            continue
        good = True
        for j in range(int(np.ceil(y[k] - radius)), int(np.floor(y[k] + radius)) + 1):
            half = np.sqrt(max(radius * radius - (j - y[k]) ** 2, 0.0))
            for i in range(int(np.ceil(x[k] - half)), int(np.floor(x[k] + half)) + 1):
                total[k] += image[j, i]
                if flags[j, i] != 0:
                    good = False
        whole[k] = good


@kernel("void(float32[:, :, ::1], uint8[:, :, ::1], float32[::1], float32[:, ::1])")
def _medians(cube: np.ndarray, bits: np.ndarray, values: np.ndarray, median: np.ndarray) -> None:
    """Median of the good frames of each pixel; NaN where they are too few to tell which one is wrong."""
    n, ny, nx = cube.shape
    for y in range(ny):
        for x in range(nx):
            m = 0
            for k in range(n):
                if bits[k, y, x] == 0:
                    value = cube[k, y, x]
                    place = m
                    while place > 0 and values[place - 1] > value:
                        values[place] = values[place - 1]
                        place -= 1
                    values[place] = value
                    m += 1
            if m < FEWEST_FOR_OUTLIERS:
                median[y, x] = np.nan
            else:
                median[y, x] = np.float32(0.5) * (values[(m - 1) // 2] + values[m // 2])


@kernel("void(float32[:, :, ::1], uint8[:, :, ::1], float32[:, ::1], float64[::1], float64[::1], uint8[:, :, ::1])")
def _mark_outliers(
    cube: np.ndarray, bits: np.ndarray, median: np.ndarray, variance: np.ndarray, slope: np.ndarray, hits: np.ndarray
) -> None:
    n, ny, nx = cube.shape
    for y in range(ny):
        for x in range(nx):
            middle = median[y, x]
            if np.isnan(middle):
                continue
            brightest = max(middle, np.float32(0.0))
            for j in range(max(y - 1, 0), min(y + 2, ny)):
                for i in range(max(x - 1, 0), min(x + 2, nx)):
                    # False for NaN.
                    if median[j, i] > brightest:
                        brightest = median[j, i]
            for k in range(n):
                away = abs(cube[k, y, x] - middle) - OUTLIER_SHARE * brightest
                if bits[k, y, x] == 0 and away > 0:
                    limit = OUTLIER_SIGMA**2 * (variance[k] + slope[k] * max(middle, np.float32(0.0)))
                    if away * away > limit:
                        hits[k, y, x] = 1


@kernel(
    "void(float32[:, :, ::1], uint8[:, :, ::1], uint8[:, :, ::1], float64[::1], float64[::1], int64, float32[:, ::1],"
    " float32[:, ::1], uint8[:, ::1])"
)
def _weighted_mean(
    cube: np.ndarray,
    bits: np.ndarray,
    hits: np.ndarray,
    weight: np.ndarray,
    variance: np.ndarray,
    offset: int,
    image: np.ndarray,
    noise2: np.ndarray,
    flags: np.ndarray,
) -> None:
    """`offset`: rows of the cube before the first of the result. Neighbours of an outlier are left out with it."""
    n, height, nx = cube.shape
    for y in range(image.shape[0]):
        row = y + offset
        for x in range(nx):
            total = 0.0
            have = 0.0
            noise = 0.0
            flag = 0
            for k in range(n):
                good = bits[k, row, x] == 0
                for j in range(max(row - 1, 0), min(row + 2, height)):
                    for i in range(max(x - 1, 0), min(x + 2, nx)):
                        if hits[k, j, i] != 0:
                            good = False
                flag |= bits[k, row, x]
                if good:
                    total += weight[k] * cube[k, row, x]
                    noise += weight[k] * weight[k] * variance[k]
                    have += weight[k]
            if have <= 0.0:
                flags[y, x] = flag if flag != 0 else COSMIC
                continue
            mean = total / have
            change = PSF_DIFFERENCE * (1.0 - have) * max(mean, 0.0)
            image[y, x] = np.float32(mean)
            noise2[y, x] = np.float32(noise / (have * have) + change * change)
            flags[y, x] = flag & SATURATED
