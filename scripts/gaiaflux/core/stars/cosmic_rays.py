"""Cosmic rays: pixels that stand out of their neighbours more than any star can.

A star's brightest pixel exceeds the mean of its four neighbours by a fraction that follows from the seeing; a hit of
the detector by nearly all of its charge (the Laplacian criterion of van Dokkum 2001, PASP 113, 1420, with the contrast
limit taken from the measured width of the stars).
"""

import numpy as np

from gaiaflux.core.image.background import Background
from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.psf.moffat import core_radius2
from gaiaflux.model.flags import PixelFlag

__all__ = ["flag_cosmic_rays"]

SIGNIFICANCE = 6.0  # of a pixel's excess over its neighbours
GROWN_SIGNIFICANCE = 4.0  # the same beside a pixel that is flagged already
CONTRAST_MARGIN = 0.3  # of the way from a star's contrast to that of a single bright pixel
SHARPEST_FWHM = 1.6  # [pixel]: below, stars and hits look alike
COSMIC = np.uint8(PixelFlag.COSMIC_RAY)


def flag_cosmic_rays(
    image: np.ndarray, pixel_flags: np.ndarray, background: Background, *, fwhm_pix: float, flux_variance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Add `PixelFlag.COSMIC_RAY` to the flags of a frame.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Without sky.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Nonzero pixels are neither tested nor used as neighbours.
    background : Background
        Its noise sets the threshold.
    fwhm_pix : float
        Seeing [pixel]; below 1.6 pixels nothing is flagged, because stars are as sharp as hits.
    flux_variance : float
        Variance of photon noise per unit of flux.

    Returns
    -------
    flags : ndarray of uint8, shape (ny, nx)
        New flags.
    hits : ndarray of int64, shape (n_hits,)
        Flat indices of the pixels that were added, sorted.
    """
    flags = pixel_flags.copy()
    if not fwhm_pix >= SHARPEST_FWHM:
        return flags, np.empty(0, np.int64)
    a2 = core_radius2(fwhm_pix, 3.0)
    star = 1.0 - (1.0 + 1.0 / a2) ** -3
    contrast = star + CONTRAST_MARGIN * (1.0 - star)
    queue = np.empty(image.size // 8 + 64, np.int64)
    n_hits = _flag(image, flags, background.rms, background.box_pix, contrast, flux_variance, queue)
    return flags, np.sort(queue[:n_hits])


@device
def _excess(image: np.ndarray, flags: np.ndarray, x: int, y: int) -> tuple[float, float, bool]:
    """Mean of the usable direct neighbours, how much noisier than one pixel it makes the excess, and if one is hit."""
    total = 0.0
    count = 0
    hit = False
    for k in range(4):
        i = x + (1 if k == 0 else (-1 if k == 1 else 0))
        j = y + (1 if k == 2 else (-1 if k == 3 else 0))
        flag = flags[j, i]
        if flag == 0:
            total += image[j, i]
            count += 1
        elif flag & COSMIC:
            hit = True
    if count == 0:
        return 0.0, 1.0, hit
    return total / count, 1.0 + 1.0 / count, hit


@device
def _is_hit(
    image: np.ndarray, flags: np.ndarray, x: int, y: int, noise: float, contrast: float, flux_variance: float
) -> bool:
    value = image[y, x]
    mean, factor, hit = _excess(image, flags, x, y)
    excess = value - mean
    limit = GROWN_SIGNIFICANCE if hit else SIGNIFICANCE
    return excess >= contrast * value and excess > limit * np.sqrt(
        factor * (noise * noise + flux_variance * max(mean, 0.0))
    )


@kernel("int64(float32[:, ::1], uint8[:, ::1], float32[:, ::1], int64, float64, float64, int64[::1])")
def _flag(
    image: np.ndarray,
    flags: np.ndarray,
    rms: np.ndarray,
    box: int,
    contrast: float,
    flux_variance: float,
    queue: np.ndarray,
) -> int:
    """Test every bright pixel once, then the neighbours of each hit again, without the hit."""
    ny, nx = image.shape
    rows, columns = rms.shape
    n = 0
    for y in range(1, ny - 1):
        row = min(y // box, rows - 1)
        for column in range(columns):
            noise = rms[row, column]
            floor = np.float32(SIGNIFICANCE * noise)
            stop = nx - 1 if column == columns - 1 else min(nx - 1, (column + 1) * box)
            for x in range(max(1, column * box), stop):
                if image[y, x] <= floor or flags[y, x] != 0:
                    continue
                if n < len(queue) and _is_hit(image, flags, x, y, noise, contrast, flux_variance):
                    flags[y, x] |= COSMIC
                    queue[n] = y * nx + x
                    n += 1
    done = 0
    while done < n:
        y0 = queue[done] // nx
        x0 = queue[done] % nx
        done += 1
        for y in range(max(1, y0 - 1), min(ny - 1, y0 + 2)):
            for x in range(max(1, x0 - 1), min(nx - 1, x0 + 2)):
                noise = rms[min(y // box, rows - 1), min(x // box, columns - 1)]
                if flags[y, x] != 0 or image[y, x] <= GROWN_SIGNIFICANCE * noise or n >= len(queue):
                    continue
                if _is_hit(image, flags, x, y, noise, contrast, flux_variance):
                    flags[y, x] |= COSMIC
                    queue[n] = y * nx + x
                    n += 1
    return n
