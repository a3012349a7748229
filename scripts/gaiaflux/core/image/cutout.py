"""Where a cut-out lies in the image that it was cut from, from the stars of the whole image."""

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA

__all__ = ["find_cutout"]

MAX_STARS = 300
MIN_STARS = 8
SIGNAL_SIGMA = 3.0  # a star is where its pixel stands out by that
MIN_FRACTION = 0.6
MIN_CONTRAST_SIGMA = 5.0
FAR_PIX = 4
MAX_FRACTION_OF_PIXEL = 0.35


def find_cutout(
    image: np.ndarray, x: np.ndarray, y: np.ndarray, guess: tuple[float, float], search_pix: int = 12
) -> tuple[int, int] | None:
    """First pixel of a cut-out in the whole image, from star positions in the whole image.

    The places of the stars are laid on the pixels with every whole shift around the guess. The shift with the brightest
    pixels is taken if most stars are there, no other shift comes near it, and its peak lies on a whole pixel.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        The cut-out, in any unit; not finite pixels are passed over.
    x, y : ndarray, shape (n_stars,)
        Positions in the whole image, brightest first [0-based pixel].
    guess : tuple of float
        (x, y) of the cut-out's first pixel, roughly.
    search_pix : int
        Largest error of the guess on each axis [pixel].

    Returns
    -------
    tuple of int or None
        (x, y) of the cut-out's first pixel in the whole image; None where it cannot be told.
    """
    ny, nx = image.shape
    x, y = np.asarray(x, np.float64) - guess[0], np.asarray(y, np.float64) - guess[1]
    inside = (x >= search_pix) & (y >= search_pix) & (x < nx - search_pix) & (y < ny - search_pix)
    x, y = x[inside][:MAX_STARS], y[inside][:MAX_STARS]
    if len(x) < MIN_STARS:
        return None
    signal = _signal(image)
    whole = round(guess[0]), round(guess[1])
    fraction = guess[0] - whole[0], guess[1] - whole[1]
    x, y = x + fraction[0], y + fraction[1]
    shifts = np.arange(-search_pix, search_pix + 1)
    column = np.clip(np.rint(x[:, None] - shifts).astype(np.int64), 0, nx - 1)
    row = np.clip(np.rint(y[:, None] - shifts).astype(np.int64), 0, ny - 1)
    # (star, shift in y, shift in x)
    values = signal[row[:, :, None], column[:, None, :]]
    score = values.mean(axis=0)
    best = np.unravel_index(np.argmax(score), score.shape)
    if not all(0 < place < len(shifts) - 1 for place in best):
        return None
    far = np.maximum(np.abs(np.arange(len(shifts))[:, None] - best[0]), np.abs(np.arange(len(shifts)) - best[1]))
    others = score[far >= FAR_PIX]
    if score[best] < others.mean() + MIN_CONTRAST_SIGMA * max(others.std(), 1e-9) or score[best] < 1.1 * others.max():
        return None
    if np.mean(values[:, best[0], best[1]] > np.log1p(SIGNAL_SIGMA)) < MIN_FRACTION:
        return None
    if (
        max(abs(_peak(score[:, best[1]], int(best[0]))), abs(_peak(score[best[0]], int(best[1]))))
        > MAX_FRACTION_OF_PIXEL
    ):
        return None
    return whole[0] + int(shifts[best[1]]), whole[1] + int(shifts[best[0]])


def _signal(image: np.ndarray) -> np.ndarray:
    """Height over the median in units of the scatter, compressed so that one bright star does not decide."""
    finite = np.isfinite(image)
    middle = np.median(image[finite])
    scatter = MAD_TO_SIGMA * np.median(np.abs(image[finite] - middle))
    height = np.where(finite, image - middle, 0.0) / max(float(scatter), 1e-30)
    return np.log1p(np.clip(height, 0.0, 1e6))


def _peak(values: np.ndarray, place: int) -> float:
    """Place of the vertex of the parabola through a maximum and its neighbours, relative to it."""
    low, top, high = values[place - 1 : place + 2]
    curvature = 2.0 * top - low - high
    return float(0.5 * (high - low) / curvature) if curvature > 0.0 else 0.0
