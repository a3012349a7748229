"""Fluxes in circular apertures with a local background, as a table; for images and positions of the user's own."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["run_aperture_photometry"]

# The annulus lies between these distances beyond the aperture [pixel].
_GAP, _REACH = 3.0, 5.0
_FIRST_CLIP, _CLIP = 4.0, 3.0
_ONE_SIGMA_BELOW = 0.158655
_ROUNDS = 30
# Standard deviation of a normal distribution cut at 3 sigma, and that of a median of many over that of a mean.
_CUT_SIGMA = 0.98658
_MEDIAN_ERROR = np.sqrt(np.pi / 2.0)
_LEAST_PIXELS = 10
_BLOCK_VALUES = 2_000_000


def run_aperture_photometry(image: np.ndarray, error: np.ndarray, positions: np.ndarray, radius: float) -> "Table":
    """Sum an image in circles around given positions, the local background subtracted.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Counts; NaN where there is none.
    error : ndarray, shape (ny, nx)
        One sigma of each pixel [image unit].
    positions : array-like, shape (n_stars, 2) or (2,)
        x (column) and y (row) [pixel; 0-based, integer = pixel centre]; NaN = nowhere.
    radius : float
        Of the aperture [pixel].

    Returns
    -------
    astropy.table.Table
        A row for each position, in their order: ``id`` (from 1), ``x_center``, ``y_center`` [pixel], ``aperture_sum``
        and ``aperture_sum_err`` [image unit]. An aperture that reaches over the edge has what is inside the image. NaN
        where the aperture is off the image or holds a pixel that is not finite, or its annulus has fewer than 10
        pixels; the error alone is NaN where only the error image is not finite.

    Raises
    ------
    ValueError
        Shapes that do not fit together, or a radius that is not positive.

    Notes
    -----
    Pixels count by their overlap w with the circle (exact, photutils). The background is the median of the annulus from
    radius + 3 to radius + 5 pixels, cut at 3 sigma around the median until nothing changes (once at 4 before, with the
    sigma of the pixels below the median); a pixel belongs to the annulus if its centre does. With A = sum of w, the
    variance is sum(w^2 error^2) + A^2 (pi / 2) s^2 / n for the n pixels of the annulus with scatter s.
    """
    from astropy.table import Table

    image, error = np.asarray(image, np.float64), np.asarray(error, np.float64)
    positions = np.atleast_2d(np.asarray(positions, np.float64))
    if image.ndim != 2 or error.shape != image.shape:
        raise ValueError(f"image and error must be two images of one shape, not {image.shape} and {error.shape}")
    if positions.ndim != 2 or (positions.size and positions.shape[1] != 2):
        raise ValueError(f"positions must have shape (n_stars, 2), not {positions.shape}")
    if not (np.isfinite(radius) and radius > 0):
        raise ValueError(f"the aperture's radius must be positive, not {radius}")
    positions = positions.reshape(-1, 2)
    sums = _sums(image, error, positions, float(radius))
    level, level_err = _background(image, positions, float(radius))
    return Table(
        {
            "id": np.arange(1, len(positions) + 1),
            "x_center": positions[:, 0],
            "y_center": positions[:, 1],
            "aperture_sum": sums.total - sums.area * level,
            "aperture_sum_err": np.sqrt(sums.variance + (sums.area * level_err) ** 2),
        },
        units={"x_center": "pix", "y_center": "pix"},
    )


class _Sums(NamedTuple):
    """Sum, its variance and the area in the image of each circle; NaN off the image."""

    total: np.ndarray
    variance: np.ndarray
    area: np.ndarray


def _sums(image: np.ndarray, error: np.ndarray, positions: np.ndarray, radius: float) -> _Sums:
    from photutils.aperture import CircularAperture

    total, variance, area = (np.full(len(positions), np.nan) for _ in range(3))
    rows = np.flatnonzero(np.isfinite(positions).all(axis=1))
    if rows.size == 0:
        return _Sums(total, variance, area)
    for row, mask in zip(rows, CircularAperture(positions[rows], radius).to_mask(method="exact"), strict=True):
        inside, part = mask.get_overlap_slices(image.shape)
        if inside is None:
            continue
        weight = mask.data[part]
        touched = weight > 0.0
        if not touched.any():
            continue
        weight = weight[touched]
        total[row] = weight @ image[inside][touched]
        # Of each pixel the part w counts, so that its variance counts with w squared.
        variance[row] = weight**2 @ error[inside][touched] ** 2
        area[row] = weight.sum()
    return _Sums(total, variance, area)


def _background(image: np.ndarray, positions: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Clipped median of each annulus and its error; NaN with too few pixels."""
    inner, outer = radius + _GAP, radius + _REACH
    level, error = np.full(len(positions), np.nan), np.full(len(positions), np.nan)
    # Offsets from the nearest pixel to all that can be in the annulus of any position within that pixel.
    size = int(np.ceil(outer)) + 1
    dy, dx = (values.ravel() for values in np.mgrid[-size : size + 1, -size : size + 1])
    distance = np.hypot(dx, dy)
    candidates = (distance >= inner - 1.0) & (distance <= outer + 1.0)
    dx, dy = dx[candidates], dy[candidates]
    ny, nx = image.shape
    x, y = positions.T
    near = (x > -outer - 1.0) & (x < nx + outer) & (y > -outer - 1.0) & (y < ny + outer)
    rows = np.flatnonzero(near)
    step = max(_BLOCK_VALUES // len(dx), 1)
    for first in range(0, len(rows), step):
        block = rows[first : first + step]
        i = np.rint(x[block]).astype(np.int64)[:, None] + dx
        j = np.rint(y[block]).astype(np.int64)[:, None] + dy
        r2 = (i - x[block, None]) ** 2 + (j - y[block, None]) ** 2
        used = (r2 >= inner**2) & (r2 <= outer**2) & (i >= 0) & (i < nx) & (j >= 0) & (j < ny)
        values = np.where(used, image[np.clip(j, 0, ny - 1), np.clip(i, 0, nx - 1)], np.nan)
        level[block], error[block] = _clipped_median(values)
    return level, error


def _clipped_median(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median of each row and its error; what is not finite does not count."""
    good = np.isfinite(values)
    # Kept values of a sorted row are neighbours: columns first to last - 1.
    values = np.sort(np.where(good, values, np.inf), axis=1)
    first, last = np.zeros(len(values), np.int64), good.sum(axis=1)
    column = np.arange(values.shape[1])
    values = np.where(column < last[:, None], values, 0.0)
    # First with the scatter of the pixels below the median: others are brightened by stars.
    middle = _middle(values, first, last)
    limit = _FIRST_CLIP * (middle - _quantile(values, first, last, _ONE_SIGMA_BELOW))
    for turn in range(_ROUNDS):
        kept = (column >= first[:, None]) & (column < last[:, None])
        kept &= np.abs(values - middle[:, None]) <= limit[:, None]
        number = kept.sum(axis=1)
        settled = turn > 0 and np.array_equal(number, last - first)
        first = kept.argmax(axis=1)
        last = first + number
        middle, scatter = _middle(values, first, last), _scatter(values, kept)
        if settled:
            break
        limit = _CLIP * scatter
    enough = number >= _LEAST_PIXELS
    error = _MEDIAN_ERROR * scatter / (_CUT_SIGMA * np.sqrt(np.maximum(number, 1)))
    return np.where(enough, middle, np.nan), np.where(enough, error, np.nan)


def _middle(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Median of columns first to last - 1 of sorted rows; of none, some value."""
    return _quantile(values, first, last, 0.5)


def _quantile(values: np.ndarray, first: np.ndarray, last: np.ndarray, fraction: float) -> np.ndarray:
    """Quantile, interpolated, of columns first to last - 1 of sorted rows; of none, some value."""
    rows = np.arange(len(values))
    place = first + fraction * np.maximum(last - first - 1, 0)
    low = np.floor(place).astype(np.int64)
    part = place - low
    high = np.minimum(low + 1, values.shape[1] - 1)
    return (1.0 - part) * values[rows, low] + part * values[rows, high]


def _scatter(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Standard deviation of the kept values of each row; 0 with none."""
    number = np.maximum(kept.sum(axis=1), 1)
    mean = np.sum(values, axis=1, where=kept) / number
    return np.sqrt(np.sum((values - mean[:, None]) ** 2, axis=1, where=kept) / number)
