"""How far one image is moved against another, from their pixels."""

import numpy as np

from gaiaflux.core.cadences.motion import KERNEL_PARAMETERS
from gaiaflux.core.kernels.devices import cubic_weights

__all__ = ["register"]

_LEAST_PIXELS = 20
_BRIGHT = 99.0  # percentile of the pixels at which brightness is compressed


def register(
    reference: np.ndarray, image: np.ndarray, mode: str, max_steps: int = 100, tolerance: float = 1e-6
) -> np.ndarray:
    """Movement that takes places of a reference image to those of an image.

    Parameters
    ----------
    reference, image : ndarray, shape (ny, nx)
        NaN where there is nothing.
    mode : str
        One of `gaiaflux.core.cadences.motion.KERNEL_PARAMETERS`, in whose form the result is.
    max_steps : int
        At most.
    tolerance : float
        Largest change of a place in the image at which it ends [pixel].

    Returns
    -------
    ndarray of float64, shape (n_parameters,)
        NaN where the images have nothing in common or the steps do not end.

    Raises
    ------
    ValueError
        Another mode, or images of two shapes.

    Notes
    -----
    Gauss-Newton steps that equal the images up to a scale and a level (Lucas & Kanade 1981, IJCAI 674; Evangelidis &
    Psarakis 2008, IEEE TPAMI 30, 1858), with brightness compressed as the inverse hyperbolic sine, so that no single
    star decides.
    """
    if mode not in KERNEL_PARAMETERS:
        raise ValueError(f"movement {mode!r} is none of {', '.join(KERNEL_PARAMETERS)}")
    if reference.shape != image.shape:
        raise ValueError(f"images of shapes {reference.shape} and {image.shape}")
    count = KERNEL_PARAMETERS[mode]
    start = np.array([1.0, 0, 0, 0, 1, 0]) if mode == "affine" else np.zeros(count)
    if count == 0:
        return start
    first, second = _compressed(reference), _compressed(image)
    gradients = np.gradient(second)
    places: np.ndarray = np.indices(reference.shape).astype(np.float64)
    y: np.ndarray = places[0]
    x: np.ndarray = places[1]
    parameters = start
    for _ in range(max_steps):
        moved_x, moved_y = _moved(mode, parameters, x, y)
        now, down, right = (_at(values, moved_x, moved_y) for values in (second, *gradients))
        use = np.isfinite(first) & np.isfinite(now) & np.isfinite(down) & np.isfinite(right)
        if use.sum() < max(_LEAST_PIXELS, count + 2):
            return np.full(count, np.nan)
        slopes = _slopes(mode, parameters, x, y, right, down)
        design = np.stack([*(-slope[use] for slope in slopes), first[use], np.ones(use.sum())], axis=1)
        step, _, rank, _ = np.linalg.lstsq(design, now[use], rcond=None)
        if rank < count + 2:
            return np.full(count, np.nan)
        parameters = parameters + step[:count]
        change = np.subtract(_moved(mode, parameters, x, y), (moved_x, moved_y))
        if np.abs(change).max() < tolerance:
            return parameters
    return np.full(count, np.nan)


def _compressed(image: np.ndarray) -> np.ndarray:
    """Brightness over the level of the sky, less steep for bright pixels; NaN stays."""
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return np.full(image.shape, np.nan)
    level, bright = np.median(finite), np.percentile(finite, _BRIGHT)
    scale = bright - level
    return np.arcsinh((image - level) / scale) if scale > 0 else np.full(image.shape, np.nan)


def _moved(mode: str, parameters: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if mode == "translation":
        return x + parameters[0], y + parameters[1]
    if mode == "euclidian":
        dx, dy, angle = parameters
        return x * np.cos(angle) - y * np.sin(angle) + dx, x * np.sin(angle) + y * np.cos(angle) + dy
    a, b, dx, c, d, dy = parameters
    return a * x + b * y + dx, c * x + d * y + dy


def _slopes(
    mode: str, parameters: np.ndarray, x: np.ndarray, y: np.ndarray, right: np.ndarray, down: np.ndarray
) -> list[np.ndarray]:
    """Derivatives of the moved image with respect to the parameters."""
    if mode == "translation":
        return [right, down]
    if mode == "euclidian":
        cos, sin = np.cos(parameters[2]), np.sin(parameters[2])
        return [right, down, right * (-x * sin - y * cos) + down * (x * cos - y * sin)]
    return [right * x, right * y, right, down * x, down * y, down]


def _at(values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values at places by cubic convolution; NaN where a sample is missing."""
    ny, nx = values.shape
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    across, along = cubic_weights(x - column), cubic_weights(y - row)
    inside = (column >= 1) & (column < nx - 2) & (row >= 1) & (row < ny - 2)
    column, row = np.clip(column, 1, nx - 3), np.clip(row, 1, ny - 3)
    total = np.zeros(x.shape)
    for j in range(4):
        for i in range(4):
            total += along[j] * across[i] * values[row + j - 1, column + i - 1]
    return np.where(inside, total, np.nan)
