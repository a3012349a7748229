"""Stars of one image: matched filter, local maxima, cosmic-ray rejection, centroid and shape of each.

The filter is a Gaussian as wide as the frame's own stars, so its signal-to-noise ratio is close to that of an optimal
fit. Every image is assumed to be free of its sky level.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaiaflux.core.image.background import Background
from gaiaflux.core.kernels.compile import kernel
from gaiaflux.core.stars import single_star as starfit
from gaiaflux.model.errors import BadFrameError

__all__ = [
    "FWHM_TO_SIGMA",
    "Detections",
    "convolve",
    "detect_stars",
    "estimate_fwhm",
    "find_peaks",
    "matched_filter",
    "summarise_stars",
]

FWHM_TO_SIGMA = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))
SEEING_PEAK_SNR = 15.0  # one-pixel significance of the stars that the seeing is measured on
SEEING_STARS = 400
FWHM_RANGE = (1.2, 25.0)  # [pixel]: no star image is narrower, and beyond it is not in focus


@dataclass(frozen=True)
class Detections:
    """Stars of an image and what they say of the frame.

    Attributes
    ----------
    stars : ndarray of STAR_DTYPE, shape (n_stars,)
        Sorted by falling signal-to-noise ratio.
    fwhm_pix : float
        Median full width at half maximum of the good stars [pixel].
    ellipticity : float
        Median 1 - b/a of the good stars.
    """

    stars: np.ndarray
    fwhm_pix: float
    ellipticity: float


def estimate_fwhm(image: np.ndarray, pixel_flags: np.ndarray, background: Background) -> float:
    """Seeing from the bright, unsaturated stars.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Without sky.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Nonzero = unusable.
    background : Background
        Its noise sets the threshold.

    Returns
    -------
    float
        FWHM [pixel]; NaN where no star is bright enough.
    """
    rms = float(np.median(background.rms))
    for snr in (SEEING_PEAK_SNR, SEEING_PEAK_SNR / 2.5):
        x, y, value = find_peaks(image, np.full_like(background.rms, snr * rms), background.box_pix)
        usable = pixel_flags[y, x] == 0
        x, y, value = x[usable], y[usable], value[usable]
        order = np.argsort(-value, kind="stable")[:SEEING_STARS]
        fwhm, extended = starfit.adaptive_fwhm(image, pixel_flags, x[order], y[order])
        fwhm = fwhm[extended & (fwhm > FWHM_RANGE[0]) & (fwhm < FWHM_RANGE[1])]
        if len(fwhm) >= 5:
            return _mode(fwhm)
    return _mode(fwhm) if len(fwhm) else float("nan")


def _mode(values: np.ndarray) -> float:
    """Half-sample mode (Bickel & Frühwirth 2006, CSDA 50, 3500): immune to blends above and cosmic rays below."""
    values = np.sort(values)
    while len(values) > 8:
        half = (len(values) + 1) // 2
        widths = values[half - 1 :] - values[: len(values) - half + 1]
        start = int(np.argmin(widths))
        values = values[start : start + half]
    return float(np.median(values))


def matched_filter(image: np.ndarray, fwhm_pix: float) -> tuple[np.ndarray, float]:
    """Convolve with a Gaussian of the stars' width.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
    fwhm_pix : float
        Width of the Gaussian [pixel].

    Returns
    -------
    filtered : ndarray of float32, shape (ny, nx)
    noise_factor : float
        Noise of `filtered` over one-pixel noise of `image`.
    """
    taps = _gaussian_taps(fwhm_pix * FWHM_TO_SIGMA)
    return convolve(image, fwhm_pix * FWHM_TO_SIGMA), float(np.sum(taps.astype(np.float64) ** 2))


def convolve(image: np.ndarray, sigma: float) -> np.ndarray:
    """Convolve with a Gaussian whose sum is 1; beyond the edges the image is zero.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
    sigma : float
        Of the Gaussian [pixel].

    Returns
    -------
    ndarray of float32, shape (ny, nx)
    """
    taps = _gaussian_taps(sigma)
    filtered = np.empty_like(image)
    _convolve(image, taps, np.empty(image.shape[1] + len(taps) - 1, np.float32), filtered)
    return filtered


def _gaussian_taps(sigma: float) -> np.ndarray:
    half = max(1, int(np.ceil(2.5 * sigma)))
    taps = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return (taps / taps.sum()).astype(np.float32)


class Peaks(NamedTuple):
    """Local maxima of an image.

    Attributes
    ----------
    x, y : ndarray of int64, shape (n,)
        Columns and rows, in the order of the rows.
    value : ndarray of float32, shape (n,)
        Of the image.
    """

    x: np.ndarray
    y: np.ndarray
    value: np.ndarray


def find_peaks(image: np.ndarray, threshold: np.ndarray, box_pix: int) -> Peaks:
    """Local maxima of 3x3 pixels above a threshold.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
    threshold : ndarray of float32, shape (n_box_rows, n_box_columns)
        Per box of `box_pix` pixels.
    box_pix : int
        Side of a box [pixel].

    Returns
    -------
    Peaks
    """
    capacity = max(1024, image.size // 64)
    threshold = np.ascontiguousarray(threshold, np.float32)
    while True:
        x, y = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
        n = _local_maxima(image, threshold, box_pix, x, y)
        if n <= capacity:
            break
        capacity = n
    x, y = x[:n], y[:n]
    return Peaks(x, y, image[y, x])


def detect_stars(
    image: np.ndarray,
    pixel_flags: np.ndarray,
    background: Background,
    *,
    min_snr: float,
    max_stars: int,
    flux_variance: float,
    fwhm_pix: float | None = None,
) -> Detections:
    """Find and measure the stars of an image.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Without sky.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Bits of `PixelFlag`; nonzero pixels are not used.
    background : Background
        Its noise sets the threshold.
    min_snr : float
        Signal-to-noise ratio (sky noise alone) above which a peak is a star.
    max_stars : int
        The brightest are kept.
    flux_variance : float
        Variance of one pixel's photon noise per unit of flux: 1 for electrons, 1/gain for adu.
    fwhm_pix : float, optional
        Seeing [pixel] where it is known; else measured.

    Returns
    -------
    Detections

    Raises
    ------
    BadFrameError
        There is no star.
    """
    fwhm = estimate_fwhm(image, pixel_flags, background) if fwhm_pix is None else fwhm_pix
    if not np.isfinite(fwhm):
        raise BadFrameError("no stars found")
    filled = starfit.fill_unusable(image, pixel_flags)
    filtered, noise_factor = matched_filter(filled, fwhm)
    x, y, _ = find_peaks(filtered, min_snr * noise_factor * background.rms, background.box_pix)
    noise = background.rms_at(x, y)
    snr = filtered[y, x] / (noise_factor * noise)
    order = np.argsort(-snr, kind="stable")[: 2 * max_stars]
    stars = starfit.measure_stars(
        image, pixel_flags, x[order], y[order], noise[order], fwhm_pix=fwhm, flux_variance=flux_variance
    )
    stars = stars[np.isfinite(stars["x"]) & (stars["snr"] > 0.7 * min_snr)]
    return summarise_stars(stars, max_stars)


def summarise_stars(stars: np.ndarray, max_stars: int) -> Detections:
    """Brightest stars first, with the frame's seeing and ellipticity.

    Parameters
    ----------
    stars : ndarray of STAR_DTYPE, shape (n,)
    max_stars : int
        The brightest are kept.

    Returns
    -------
    Detections

    Raises
    ------
    BadFrameError
        There is no star.
    """
    if not len(stars):
        raise BadFrameError("no stars found")
    stars = stars[np.argsort(-stars["snr"], kind="stable")][:max_stars]
    good = (stars["flags"] == 0) & (stars["snr"] > min(25.0, np.median(stars["snr"])))
    sample = stars[good] if good.any() else stars
    return Detections(stars, _mode(sample["fwhm"]), float(np.median(sample["ellipticity"])))


@kernel("void(float32[:, ::1], float32[::1], float32[::1], float32[:, ::1])", fastmath=True)
def _convolve(image: np.ndarray, taps: np.ndarray, line: np.ndarray, result: np.ndarray) -> None:
    """Separable convolution; beyond the edges the image is zero."""
    ny, nx = image.shape
    half = (len(taps) - 1) // 2
    line[:] = 0.0
    # Slices, not shifted indices: the compiler turns loops over them into vector instructions.
    column_sum = line[half : half + nx]
    for y in range(ny):
        column_sum[:] = 0.0
        for j in range(max(-half, -y), min(half, ny - 1 - y) + 1):
            weight = taps[j + half]
            row = image[y + j]
            for x in range(nx):
                column_sum[x] += weight * row[x]
        out = result[y]
        for j in range(half + 1):
            weight = taps[half + j]
            left = line[half - j : half - j + nx]
            right = line[half + j : half + j + nx]
            if j == 0:
                for x in range(nx):
                    out[x] = weight * left[x]
            else:
                for x in range(nx):
                    out[x] += weight * (left[x] + right[x])


@kernel("int64(float32[:, ::1], float32[:, ::1], int64, int64[::1], int64[::1])")
def _local_maxima(image: np.ndarray, threshold: np.ndarray, box: int, xs: np.ndarray, ys: np.ndarray) -> int:
    ny, nx = image.shape
    rows, columns = threshold.shape
    n = 0
    for y in range(1, ny - 1):
        row = min(y // box, rows - 1)
        for column in range(columns):
            limit = threshold[row, column]
            stop = nx - 1 if column == columns - 1 else min(nx - 1, (column + 1) * box)
            for x in range(max(1, column * box), stop):
                v = image[y, x]
                if v <= limit:
                    continue
                if (
                    v > image[y, x - 1]
                    and v >= image[y, x + 1]
                    and v > image[y - 1, x]
                    and v >= image[y + 1, x]
                    and v > image[y - 1, x - 1]
                    and v > image[y - 1, x + 1]
                    and v >= image[y + 1, x - 1]
                    and v >= image[y + 1, x + 1]
                ):
                    if n < len(xs):
                        xs[n] = x
                        ys[n] = y
                    n += 1
    return n
