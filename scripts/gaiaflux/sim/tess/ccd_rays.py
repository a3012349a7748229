"""Tracks of cosmic rays through the pixels of one frame."""

import numpy as np

__all__ = ["ray_tracks"]

# Electrons that a ray leaves (median, and scatter of the logarithm), mean length of its track and the longest [pixel].
MEDIAN, SCATTER = 1500.0, 1.0
LENGTH_PIX, LONGEST_PIX = 2.0, 15.0
STEPS = 24


def ray_tracks(shape: tuple[int, int], per_pixel: float, rng: np.random.Generator) -> np.ndarray:
    """What cosmic rays leave in a frame.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    per_pixel : float
        Mean number of rays.
    rng : Generator

    Returns
    -------
    ndarray of float64, shape (ny, nx)
        [electron]; 0 where no ray went.
    """
    ny, nx = shape
    image = np.zeros(shape)
    n = int(rng.poisson(per_pixel * ny * nx))
    x, y, angle = rng.uniform(-0.5, nx - 0.5, n), rng.uniform(-0.5, ny - 0.5, n), rng.uniform(0.0, 2.0 * np.pi, n)
    length = np.minimum(rng.exponential(LENGTH_PIX, n), LONGEST_PIX)
    charge = MEDIAN * np.exp(SCATTER * rng.standard_normal(n))
    along = (np.arange(STEPS) + 0.5) / STEPS * length[:, None]
    column = np.rint(x[:, None] + along * np.cos(angle)[:, None]).astype(int).ravel()
    row = np.rint(y[:, None] + along * np.sin(angle)[:, None]).astype(int).ravel()
    inside = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
    np.add.at(image, (row[inside], column[inside]), np.repeat(charge / STEPS, STEPS)[inside])
    return image
