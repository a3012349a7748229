"""Pixels whose wells are full, and the columns into which their charge flows."""

import numpy as np

__all__ = ["full_wells", "grown"]

BLEEDING = 0.5  # of the saturation level: a column's pixels from the full one on that hold more hold its charge


def full_wells(image: np.ndarray, level: float) -> np.ndarray:
    """Pixels that are saturated, or on a column beside them into which charge flows, and all their neighbours.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        NaN is no light. Charge flows along y.
    level : float
        Saturation [in the unit of the image].

    Returns
    -------
    ndarray of bool, shape (ny, nx)
    """
    with np.errstate(invalid="ignore"):
        full, much = image >= level, image >= BLEEDING * level
    if not full.any():
        return full
    for j in range(1, len(full)):
        full[j] |= full[j - 1] & much[j]
    for j in range(len(full) - 2, -1, -1):
        full[j] |= full[j + 1] & much[j]
    return grown(full)


def grown(mask: np.ndarray) -> np.ndarray:
    """A mask with all pixels that touch it, at a corner too.

    Parameters
    ----------
    mask : ndarray of bool, shape (ny, nx)

    Returns
    -------
    ndarray of bool, shape (ny, nx)
    """
    ny, nx = mask.shape
    around = np.pad(mask, 1)
    return np.logical_or.reduce([around[j : j + ny, i : i + nx] for j in range(3) for i in range(3)])
