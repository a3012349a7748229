"""Flags of pixels: the first look at those of a file, and stars near saturated ones."""

from typing import NamedTuple

import numpy as np

from gaiaflux.core.kernels.compile import kernel
from gaiaflux.model.flags import PixelFlag

__all__ = ["FlaggedPixels", "flag_pixels", "flat_top_level", "near_saturation"]

NONFINITE, SATURATED = PixelFlag.NONFINITE, PixelFlag.SATURATED
LARGEST = np.float32(3.0e38)
FLAT_TOP = 1e-3  # part of the highest value by which others count as equal to it
LEAST_EQUAL = 5  # pixels
LEAST_PLACES, PLACE_PIX = 2, 16  # that these are in, and their side
MOST_EQUAL = 0.005  # part of the image; more are no stars
ABOVE_NOISE = 50.0  # scatters of the pixels above their median


class FlaggedPixels(NamedTuple):
    """Pixels of a file in the frame's unit.

    Attributes
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Finite everywhere; zero where the file is not.
    flags : ndarray of uint8, shape (ny, nx)
        `PixelFlag.NONFINITE` and `PixelFlag.SATURATED`.
    n_finite : int
        Number of finite pixels.
    """

    pixels: np.ndarray
    flags: np.ndarray
    n_finite: int


def flag_pixels(image: np.ndarray, scale: float, saturation: float) -> FlaggedPixels:
    """Scaled pixels with their flags.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Numbers of the file.
    scale : float
        Factor to the frame's unit (the gain).
    saturation : float
        Level in the frame's unit at which a pixel is saturated; infinite where unknown.

    Returns
    -------
    FlaggedPixels
    """
    pixels = np.empty(image.shape, np.float32)
    flags = np.empty(image.shape, np.uint8)
    n_finite = _flag_pixels(image, np.float32(scale), np.float32(saturation), pixels, flags)
    return FlaggedPixels(pixels, flags, int(n_finite))


def flat_top_level(pixels: np.ndarray, flags: np.ndarray) -> float:
    """Level at which an image is saturated, where its highest pixels are equal.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Finite counts.
    flags : ndarray of uint8, shape (ny, nx)
        Nonzero = unusable.

    Returns
    -------
    float
        A thousandth below the highest usable pixel, if five or more reach it, in two or more places, far above the
        sky; else NaN: of stars that are not saturated no two peaks are alike.
    """
    usable = flags == 0
    if not usable.any():
        return float("nan")
    highest = float(np.max(pixels, where=usable, initial=-np.inf))
    some = pixels[::8, ::8]
    middle = float(np.median(some))
    scatter = float(np.median(np.abs(some - middle)))
    if not highest - middle > ABOVE_NOISE * max(scatter, 1e-3 * abs(middle)):
        return float("nan")
    level = highest * (1.0 - FLAT_TOP)
    row, column = np.nonzero(usable & (pixels >= level))
    places = np.unique(np.stack([row, column]) // PLACE_PIX, axis=1).shape[1]
    if not LEAST_EQUAL <= len(row) <= MOST_EQUAL * pixels.size or places < LEAST_PLACES:
        return float("nan")
    return level


def near_saturation(flags: np.ndarray, x: np.ndarray, y: np.ndarray, fwhm: float) -> np.ndarray:
    """Whether a pixel near a star's centre is saturated.

    Parameters
    ----------
    flags : ndarray of uint8, shape (ny, nx)
    x, y : ndarray, shape (n,)
        Positions [pixel].
    fwhm : float
        Half of it is near [pixel].

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    ny, nx = flags.shape
    half = max(1, round(0.5 * fwhm))
    result = np.zeros(len(x), bool)
    for dy in range(-half, half + 1):
        for dx in range(-half, half + 1):
            if dx * dx + dy * dy > half * half:
                continue
            i, j = np.rint(x).astype(np.int64) + dx, np.rint(y).astype(np.int64) + dy
            inside = (i >= 0) & (j >= 0) & (i < nx) & (j < ny)
            result[inside] |= (flags[j[inside], i[inside]] & PixelFlag.SATURATED) != 0
    return result


@kernel("int64(float32[:, ::1], float32, float32, float32[:, ::1], uint8[:, ::1])")
def _flag_pixels(image: np.ndarray, scale: float, saturation: float, pixels: np.ndarray, flags: np.ndarray) -> int:
    n_bad = 0
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            value = image[y, x] * scale
            finite = abs(value) <= LARGEST
            pixels[y, x] = value if finite else np.float32(0.0)
            flags[y, x] = np.uint8((SATURATED if value >= saturation else 0) if finite else NONFINITE)
            n_bad += 0 if finite else 1
    return image.size - n_bad
