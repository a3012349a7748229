"""What the scatter of measurements at empty places tells of the sky under stars."""

from typing import NamedTuple

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA, MEDIAN_NOISE

__all__ = [
    "DENSE",
    "LEAST_EMPTY",
    "HiddenSky",
    "grid_places",
    "hidden_variance",
    "nothing_hidden",
    "typical_structure",
    "uneven_sky",
]

EMPTY_SIDE = 32
LEAST_EMPTY = 40
NEAREST = 48
MESH = 20
UNEVEN = 5.0  # robust standard deviations beyond the usual scatter of pixels, from which on it is structure
LEAST_ANNULI = 20
DENSE = 0.08
"""Stars a beam above which hardly a place is empty: what scatters there are stars, which stay the same."""


class HiddenSky(NamedTuple):
    """Structure of the sky that is in a measurement and not in its stated noise; arrays of shape (n,).

    Attributes
    ----------
    variance : ndarray of float64
        To be added [square of the measurement].
    ratio : ndarray of float64
        Scatter at empty places around over the stated one, at least 1; NaN where there are too few.
    """

    variance: np.ndarray
    ratio: np.ndarray


def nothing_hidden(n: int) -> HiddenSky:
    """Where empty places tell nothing: no variance, and no known ratio, for `n` places."""
    return HiddenSky(np.zeros(n), np.full(n, np.nan))


def grid_places(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Places evenly over an image: x and y of 32 x 32 [pixel], each of shape (1024,).

    Parameters
    ----------
    shape : tuple of int
        (ny, nx) of the image.
    """
    side = (np.arange(EMPTY_SIDE) + 0.5) / EMPTY_SIDE
    x, y = np.meshgrid(side * shape[1] - 0.5, side * shape[0] - 0.5)
    return x.ravel(), y.ravel()


def typical_structure(ratio: np.ndarray) -> float:
    """Median ratio of `hidden_variance` over the stars; NaN where none is known.

    Parameters
    ----------
    ratio : ndarray, shape (n,)
        NaN = not known.
    """
    known = ratio[np.isfinite(ratio)]
    return float(np.median(known)) if known.size else float("nan")


def hidden_variance(
    x: np.ndarray, y: np.ndarray, places: tuple[np.ndarray, np.ndarray], value: np.ndarray, variance: np.ndarray
) -> HiddenSky:
    """Variance beyond the stated one, from what was measured where there is nothing.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Where it is wanted [pixel].
    places : tuple of ndarray, each of shape (n_empty,)
        Empty places [pixel].
    value, variance : ndarray, shape (n_empty,)
        What was measured there, whose truth is one and the same, and its stated variance.

    Returns
    -------
    HiddenSky
        Nothing with fewer than 40 empty places.

    Notes
    -----
    Of the whole image, or of the 48 nearest places where these scatter by more than chance lets them: a squared
    median deviation of k values is known to 1.65 sqrt(2 / k) of itself.
    """
    n = len(value)
    if n < LEAST_EMPTY:
        return nothing_hidden(len(x))
    square = (MAD_TO_SIGMA * (value - np.median(value))) ** 2
    stated = float(np.median(variance))
    common = max(float(np.median(square)) - stated, 0.0)
    k = min(NEAREST, n)
    certain = max(1.0 - 2.0 * MEDIAN_NOISE / np.sqrt(k), 0.0)
    # It changes no faster than the places are apart: of a mesh of them the nearest counts.
    mesh_x, mesh_y = (np.linspace(axis.min(), axis.max(), MESH) for axis in places)
    at = np.meshgrid(mesh_x, mesh_y)
    distance2 = np.subtract.outer(at[0].ravel(), places[0]) ** 2 + np.subtract.outer(at[1].ravel(), places[1]) ** 2
    nearest = np.argpartition(distance2, k - 1, axis=1)[:, :k]
    mesh = np.maximum(certain * np.median(square[nearest], axis=1) - stated, common).reshape(MESH, MESH)
    column, row = (_nearest(axis, values) for axis, values in ((mesh_x, x), (mesh_y, y)))
    hidden = mesh[row, column]
    return HiddenSky(hidden, np.sqrt(1.0 + hidden / stated))


def uneven_sky(hidden: HiddenSky, pixel_scatter: np.ndarray) -> HiddenSky:
    """The same with structure inside of single annuli: a halo or a trail that is too narrow for the empty places.

    Parameters
    ----------
    hidden : HiddenSky
        Per pixel; n places.
    pixel_scatter : ndarray, shape (n,)
        Of the pixels of the annulus around each place; NaN where not known.

    Returns
    -------
    HiddenSky
        The scatter beyond the usual one and its chance is taken for a level that may be wrong by so much: which part of
        the structure is under the star, the annulus does not tell. Nothing is added with fewer than 20 annuli.
    """
    known = np.isfinite(pixel_scatter)
    if np.count_nonzero(known) < LEAST_ANNULI:
        return hidden
    usual = float(np.median(pixel_scatter[known]))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(pixel_scatter[known] - usual)))
    scatter = np.where(known, pixel_scatter, usual)
    uneven = scatter > usual + UNEVEN * spread
    excess = np.where(uneven, scatter**2 - usual**2, 0.0)
    ratio = np.where(uneven & np.isfinite(hidden.ratio), np.maximum(hidden.ratio, scatter / usual), hidden.ratio)
    return HiddenSky(hidden.variance + excess, ratio)


def _nearest(axis: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Index of the nearest of evenly spaced points."""
    step = max(float(axis[1] - axis[0]), 1e-9)
    return np.clip(np.rint((values - axis[0]) / step), 0, len(axis) - 1).astype(np.int64)
