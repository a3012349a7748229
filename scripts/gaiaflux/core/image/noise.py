"""Noise of a frame that comes without an error image."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA
from gaiaflux.core.maths.surface import Surface

__all__ = ["NoiseModel", "error_slope", "noise_model", "pixel_noise"]

_PAIRS = 32768
_LAG = 2
_ERROR_SAMPLE = 100_000


@dataclass(frozen=True)
class NoiseModel:
    """Variance of a pixel as a straight line in its counts: floor + slope * counts.

    Attributes
    ----------
    floor : float
        [image unit squared], not negative.
    slope : float
        [image unit]: 1 in electrons, 1 / gain in adu, 0 where nothing is known of the photon noise.
    source : str
        What it was made of, for a person to read.
    """

    floor: float
    slope: float
    source: str


def pixel_noise(image: np.ndarray, pixel_flags: np.ndarray, trend: Surface) -> float:
    """One-sigma noise of the sky's pixels, from differences of pixels of one row.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Counts.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Zero = usable.
    trend : Surface
        Smooth sky.

    Returns
    -------
    float
        [image unit]; NaN where there are fewer than 10 usable pairs.

    Notes
    -----
    1.4826 times the median absolute difference of pixels 2 apart, over sqrt(2), of the third of the pairs with the
    lowest sum above the trend. Sum and difference of two pixels are independent, so that picking by the sum keeps
    stars out without changing the noise.
    """
    ny, nx = image.shape
    if nx <= _LAG:
        return float("nan")
    step = max(int(np.sqrt(image.size / _PAIRS)), 1)
    y, x = np.meshgrid(np.arange(step // 2, ny, step), np.arange(0, nx - _LAG, step), indexing="ij")
    good = (pixel_flags[y, x] | pixel_flags[y, x + _LAG]) == 0
    if np.count_nonzero(good) < 10:
        return float("nan")
    x, y = x[good], y[good]
    left, right = image[y, x].astype(np.float64), image[y, x + _LAG].astype(np.float64)
    above = left + right - 2.0 * trend.value(x + 0.5 * _LAG, y)
    low = above <= np.partition(above, len(above) // 3)[len(above) // 3]
    return MAD_TO_SIGMA * float(np.median(np.abs(right[low] - left[low]))) / float(np.sqrt(2.0))


def noise_model(sky: float, sigma: float, *, unit: str, read_noise: float, gain: float = float("nan")) -> NoiseModel:
    """Noise of the pixels from what is known of the detector and what the sky shows.

    Parameters
    ----------
    sky : float
        Typical level of the sky in the image [image unit]; about zero if it was subtracted before.
    sigma : float
        Measured noise of the sky's pixels (`pixel_noise`) [image unit]; NaN where it could not be measured.
    unit : str
        ``electron`` or ``adu``.
    read_noise : float
        [electron]; NaN where unknown.
    gain : float
        Electron per adu, for images in adu; NaN where unknown.

    Returns
    -------
    NoiseModel
        Electron: slope 1 and the read noise squared as floor, raised where the sky is noisier than that (a sky that
        was subtracted before, a stack, a wrong read noise). Adu without a gain: the gain g that makes the sky's noise
        sigma^2 = sky / g + (read_noise / g)^2, if there is a sky; else the sky's noise alone, without photon noise of
        the stars. The floor is never zero unless the image has no noise at all.

    Raises
    ------
    ValueError
        Unknown unit.
    """
    if unit not in {"electron", "adu"}:
        raise ValueError(f"unit must be electron or adu, not {unit}")
    read_noise = read_noise if np.isfinite(read_noise) else 0.0
    measured = sigma**2 if np.isfinite(sigma) else 0.0
    if unit == "electron":
        slope, source = 1.0, "gain and read noise"
    elif np.isfinite(gain) and gain > 0:
        slope, source = 1.0 / gain, "gain and read noise"
    elif sky > 3.0 * np.sqrt(measured) > 0.0:
        # read_noise^2 u^2 + sky u - sigma^2 = 0 for u = 1 / gain, in the form that survives read_noise = 0.
        slope = 2.0 * measured / (sky + np.sqrt(sky**2 + 4.0 * read_noise**2 * measured))
        source = "gain estimated from the sky's noise"
    else:
        slope, source = 0.0, "sky's noise alone"
    detector = (read_noise * slope) ** 2
    floor = max(detector, measured - slope * max(sky, 0.0), 0.0)
    if source == "gain and read noise" and floor > 1.2 * detector + 0.1 * measured:
        source = "gain and the sky's noise"
    return NoiseModel(float(floor), float(slope), source)


def error_slope(image: np.ndarray, error: np.ndarray, pixel_flags: np.ndarray) -> float:
    """How the variance in an error image grows with the counts: photon noise that was taken from the pixels themselves.

    Parameters
    ----------
    image, error : ndarray of float32, shape (ny, nx)
        Counts and their one-sigma errors.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Zero = usable.

    Returns
    -------
    float
        Variance per count: 1 in electrons, 1 / gain in adu; 0 for errors without the stars' photon noise.

    Notes
    -----
    Median slope of the brightest thousandth of a sample of pixels against the sample's median, or of the sky's noise
    where there are no stars.
    """
    step = max(int(np.sqrt(image.size / _ERROR_SAMPLE)), 1)
    good = pixel_flags[::step, ::step] == 0
    counts = image[::step, ::step][good].astype(np.float64)
    variance = error[::step, ::step][good].astype(np.float64) ** 2
    if counts.size < 100:
        return 0.0
    sky, dark = float(np.median(counts)), float(np.median(variance))
    sigma = float(np.sqrt(dark))
    n_bright = max(counts.size // 1000, 10)
    bright = np.argpartition(counts, -n_bright)[-n_bright:]
    bright = bright[counts[bright] - sky > 5.0 * sigma]
    if len(bright) < 5:
        # Without stars the sky's own noise tells whether the errors know each pixel's counts.
        bright = np.flatnonzero(np.abs(counts - sky) > 1.5 * sigma)
    if len(bright) < 5:
        return 0.0
    return max(float(np.median((variance[bright] - dark) / (counts[bright] - sky))), 0.0)
