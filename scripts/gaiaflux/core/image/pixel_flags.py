"""First look at the pixels of a file: unit, non-finite and saturated ones."""

import numpy as np

from gaiaflux.core.kernels.compile import kernel
from gaiaflux.model.flags import PixelFlag

__all__ = ["flag_pixels"]

NONFINITE, SATURATED = PixelFlag.NONFINITE, PixelFlag.SATURATED
LARGEST = np.float32(3.0e38)


def flag_pixels(image: np.ndarray, scale: float, saturation: float) -> tuple[np.ndarray, np.ndarray, int]:
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
    pixels : ndarray of float32, shape (ny, nx)
        Finite everywhere; zero where the file is not.
    flags : ndarray of uint8, shape (ny, nx)
        `PixelFlag.NONFINITE` and `PixelFlag.SATURATED`.
    n_finite : int
        Number of finite pixels.
    """
    pixels = np.empty(image.shape, np.float32)
    flags = np.empty(image.shape, np.uint8)
    n_finite = _flag_pixels(image, np.float32(scale), np.float32(saturation), pixels, flags)
    return pixels, flags, int(n_finite)


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
