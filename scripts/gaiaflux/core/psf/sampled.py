"""A point-spread function that is given as samples between the pixels, at some places of the field.

Such are the pixel response functions that the makers of a camera have measured. Between the samples the function is
interpolated by a cubic convolution (Keys 1981, IEEE TASSP 29, 1153), between the places linearly in x and in y.
"""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.kernels.devices import cubic_weights
from gaiaflux.core.psf.interpolation import cubic_slopes
from gaiaflux.core.psf.protocol import Stamps
from gaiaflux.core.psf.stamps import add_stamp

__all__ = ["PlacedSamples", "SampledPsf", "sampled_psf"]


@dataclass(frozen=True)
class SampledPsf:
    """Samples of a PSF of total light 1; a `gaiaflux.core.psf.protocol.Psf`. Made by `sampled_psf`.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx) of the frame.
    x, y : ndarray of float64, shape (n_x,), (n_y,)
        Columns and rows of the places in the field, increasing [pixel]; beyond the outermost these hold.
    samples : ndarray of float64, shape (n_y, n_x, size, size)
        Part of the light per pixel in a pixel at an offset from the star, rows are y; size is odd, the middle is offset
        0. Beyond the outermost samples there is no light.
    oversampling : int
        Samples in a pixel, along an axis.
    """

    shape: tuple[int, int]
    x: np.ndarray
    y: np.ndarray
    samples: np.ndarray
    oversampling: int

    @property
    def edge(self) -> float:
        """Largest offset from a star, along an axis, that the samples reach [pixel]."""
        return (self.samples.shape[-1] - 1) / 2 / self.oversampling

    def part(self, corner: tuple[int, int], shape: tuple[int, int]) -> "SampledPsf":
        """The same function in the coordinates of a part of the frame.

        Parameters
        ----------
        corner : tuple of int
            (column, row) of the part's first pixel [pixel, 0-based in the frame].
        shape : tuple of int
            (ny, nx) of the part.

        Returns
        -------
        SampledPsf
        """
        return replace(self, shape=shape, x=self.x - corner[0], y=self.y - corner[1])

    def at(self, x: np.ndarray, y: np.ndarray) -> "PlacedSamples":
        """The function at the places of stars; see `Psf.at`."""
        x, y = (np.require(values, np.float64, ["C", "W"]) for values in (x, y))
        (i, part_x), (j, part_y) = _cells(self.x, x), _cells(self.y, y)
        cell = np.stack([j, i], axis=1)
        return PlacedSamples(x, y, cell, np.stack([part_y, part_x], axis=1), self.samples, self.oversampling)

    def fwhm_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Diameter of the circle with the area where the function exceeds half of its largest sample, shape (n,)."""
        counts = np.sum(self.samples > 0.5 * self.samples.max(axis=(2, 3), keepdims=True), axis=(2, 3))
        widths = 2.0 * np.sqrt(counts / np.pi) / self.oversampling
        (i, u), (j, v) = _cells(self.x, np.atleast_1d(x)), _cells(self.y, np.atleast_1d(y))
        right, above = np.minimum(i + 1, len(self.x) - 1), np.minimum(j + 1, len(self.y) - 1)
        low = (1.0 - u) * widths[j, i] + u * widths[j, right]
        return (1.0 - v) * low + v * ((1.0 - u) * widths[above, i] + u * widths[above, right])

    def describe(self) -> dict[str, str | int | float]:
        """Width in the middle of the frame, and how densely and where it is sampled."""
        ny, nx = self.shape
        middle = np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2])
        return {
            "kind": "sampled",
            "fwhm_pix": float(self.fwhm_at(*middle)[0]),
            "oversampling": self.oversampling,
            "edge_pix": self.edge,
            "n_places": len(self.x) * len(self.y),
        }


@dataclass(frozen=True)
class PlacedSamples:
    """`SampledPsf` at the places of n stars; a `PlacedPsf`.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Positions of the stars [pixel].
    cell : ndarray of int64, shape (n, 2)
        Row and column of the place in the field below and left of each star.
    part : ndarray of float64, shape (n, 2)
        How far the star is from it on the way to the next, 0 to 1.
    samples, oversampling
        As of `SampledPsf`.
    """

    x: np.ndarray
    y: np.ndarray
    cell: np.ndarray
    part: np.ndarray
    samples: np.ndarray
    oversampling: int

    @property
    def corner(self) -> float:
        """Distance from the star to the corner of the samples [pixel]."""
        return float(np.hypot(*self.samples.shape[-2:])) / 2 / self.oversampling

    def values(self, column: np.ndarray, row: np.ndarray, radius: float) -> np.ndarray:
        """Part of each star's light in the pixels around it; see `PlacedPsf.values`."""
        values = self._empty(1, radius)[0]
        _make_stamps(values, column, row, self.x, self.y, radius, *self._table())
        return values

    def gradients(self, column: np.ndarray, row: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives with respect to the star's x and y; see `PlacedPsf.gradients`."""
        made = self._empty(2, radius)
        _make_slopes(made[0], made[1], column, row, self.x, self.y, radius, *self._table())
        return made[0], made[1]

    def reach(self, flux: np.ndarray, faintest: float, farthest: float) -> np.ndarray:
        """The corner of the samples, however bright the star; see `PlacedPsf.reach`."""
        return np.where(np.asarray(flux) != 0.0, min(self.corner, farthest), 0.0)

    def add_light(self, image: np.ndarray, stamps: Stamps, flux: np.ndarray, reach: np.ndarray) -> None:
        """Add stars to an image; see `PlacedPsf.add_light`."""
        places = stamps.column, stamps.row, self.x, self.y
        reach = np.minimum(reach, self.corner)
        _add_samples(image, stamps.values, *places, flux, reach, stamps.radius, *self._table())

    def _table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        return self.samples, self.cell, self.part, self.oversampling

    def _empty(self, n: int, radius: float) -> np.ndarray:
        """Zeros for n sets of stamps, shape (n, n_stars, size, size)."""
        size = 2 * int(np.ceil(radius)) + 1
        return np.zeros((n, len(self.x), size, size), np.float32)


def sampled_psf(
    samples: np.ndarray, oversampling: int, x: np.ndarray, y: np.ndarray, shape: tuple[int, int]
) -> SampledPsf:
    """PSF of samples at some places of the field.

    Parameters
    ----------
    samples : ndarray, shape (n_y, n_x, size, size)
        In any unit: they are scaled to a total light of 1. Rows are y; size is odd, the middle is offset 0.
    oversampling : int
        Samples in a pixel, along an axis.
    x, y : ndarray, shape (n_x,), (n_y,)
        Places in the field, increasing [pixel, 0-based].
    shape : tuple of int
        (ny, nx) of the frame.

    Returns
    -------
    SampledPsf

    Raises
    ------
    ValueError
        Shapes that do not fit each other, places that do not increase, or samples without light.
    """
    samples = np.array(samples, np.float64)
    x, y = (np.array(values, np.float64) for values in (x, y))
    if samples.shape[:2] != (len(y), len(x)) or samples.ndim != 4 or samples.shape[2] != samples.shape[3]:
        raise ValueError(f"samples of shape {samples.shape} do not belong to {len(y)} x {len(x)} places")
    if samples.shape[3] % 2 == 0 or oversampling < 1:
        raise ValueError(f"{samples.shape[3]} samples have no middle, or there is none in a pixel ({oversampling})")
    if not (np.all(np.diff(x) > 0) and np.all(np.diff(y) > 0)):
        raise ValueError("the places of the samples do not increase")
    total = samples.sum(axis=(2, 3), keepdims=True) / oversampling**2
    if not (np.isfinite(samples).all() and (total > 0).all()):
        raise ValueError("samples without light")
    return SampledPsf((int(shape[0]), int(shape[1])), x, y, samples / total, int(oversampling))


def _cells(nodes: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Node below each place, and how far the place is on the way to the next one, 0 to 1."""
    if len(nodes) == 1:
        return np.zeros(len(place), np.int64), np.zeros(len(place))
    below = np.clip(np.searchsorted(nodes, place, side="right") - 1, 0, len(nodes) - 2)
    return below, np.clip((place - nodes[below]) / (nodes[below + 1] - nodes[below]), 0.0, 1.0)


@device
def _start(offset: float, oversampling: int, middle: int) -> tuple[int, float]:
    """Sample below an offset [pixel] from the star, and how far the offset is on the way to the next one."""
    place = offset * oversampling
    below = int(np.floor(place))
    return below + middle, place - below


@device
def _value(
    samples: np.ndarray,
    cell: np.ndarray,
    part: np.ndarray,
    j: int,
    i: int,
    along: tuple[float, float, float, float],
    across: tuple[float, float, float, float],
) -> float:
    """Samples around (j, i), weighed, and between the places of the field."""
    n_rows, n_columns, size, _ = samples.shape
    total = 0.0
    for b in range(2):
        share_row = part[0] if b else 1.0 - part[0]
        for a in range(2):
            share = share_row * (part[1] if a else 1.0 - part[1])
            if share == 0.0:
                continue
            table = samples[min(cell[0] + b, n_rows - 1), min(cell[1] + a, n_columns - 1)]
            if 1 <= j < size - 2 and 1 <= i < size - 2:
                for q in range(4):
                    line = table[j + q - 1]
                    near = across[0] * line[i - 1] + across[1] * line[i]
                    total += share * along[q] * (near + across[2] * line[i + 1] + across[3] * line[i + 2])
                continue
            for q in range(4):
                if 0 <= j + q - 1 < size:
                    for p in range(4):
                        if 0 <= i + p - 1 < size:
                            total += share * along[q] * across[p] * table[j + q - 1, i + p - 1]
    return total


@device
def _slopes(
    samples: np.ndarray,
    cell: np.ndarray,
    part: np.ndarray,
    j: int,
    i: int,
    weights: tuple[tuple[float, float, float, float], ...],
) -> tuple[float, float]:
    """As `_value`, for the derivatives in x and in y; `weights` along, across, and of their slopes."""
    n_rows, n_columns, size, _ = samples.shape
    along, across, slope_y, slope_x = weights
    to_x, to_y = 0.0, 0.0
    for b in range(2):
        share_row = part[0] if b else 1.0 - part[0]
        for a in range(2):
            share = share_row * (part[1] if a else 1.0 - part[1])
            if share == 0.0:
                continue
            table = samples[min(cell[0] + b, n_rows - 1), min(cell[1] + a, n_columns - 1)]
            for q in range(4):
                if not 0 <= j + q - 1 < size:
                    continue
                line = table[j + q - 1]
                between, slope = 0.0, 0.0
                for p in range(4):
                    if 0 <= i + p - 1 < size:
                        between += across[p] * line[i + p - 1]
                        slope += slope_x[p] * line[i + p - 1]
                to_x += share * along[q] * slope
                to_y += share * slope_y[q] * between
    return to_x, to_y


@kernel(
    "void(float32[:, :, ::1], int64[::1], int64[::1], float64[::1], float64[::1], float64, float64[:, :, :, ::1],"
    " int64[:, ::1], float64[:, ::1], int64)"
)
def _make_stamps(
    values: np.ndarray,
    column: np.ndarray,
    row: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    radius: float,
    samples: np.ndarray,
    cell: np.ndarray,
    part: np.ndarray,
    oversampling: int,
) -> None:
    n, size, _ = values.shape
    half = (size - 1) // 2
    middle = (samples.shape[3] - 1) // 2
    for k in range(n):
        # All pixels of a star lie alike between the samples.
        first_i, tx = _start(column[k] - x[k], oversampling, middle)
        first_j, ty = _start(row[k] - y[k], oversampling, middle)
        across, along = cubic_weights(tx), cubic_weights(ty)
        for j in range(size):
            dy = row[k] + j - half - y[k]
            for i in range(size):
                dx = column[k] + i - half - x[k]
                if dx * dx + dy * dy <= radius * radius:
                    at_j, at_i = first_j + (j - half) * oversampling, first_i + (i - half) * oversampling
                    values[k, j, i] = np.float32(_value(samples, cell[k], part[k], at_j, at_i, along, across))


@kernel(
    "void(float32[:, :, ::1], float32[:, :, ::1], int64[::1], int64[::1], float64[::1], float64[::1], float64,"
    " float64[:, :, :, ::1], int64[:, ::1], float64[:, ::1], int64)"
)
def _make_slopes(
    along_x: np.ndarray,
    along_y: np.ndarray,
    column: np.ndarray,
    row: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    radius: float,
    samples: np.ndarray,
    cell: np.ndarray,
    part: np.ndarray,
    oversampling: int,
) -> None:
    n, size, _ = along_x.shape
    half = (size - 1) // 2
    middle = (samples.shape[3] - 1) // 2
    for k in range(n):
        first_i, tx = _start(column[k] - x[k], oversampling, middle)
        first_j, ty = _start(row[k] - y[k], oversampling, middle)
        weights = (cubic_weights(ty), cubic_weights(tx), cubic_slopes(ty), cubic_slopes(tx))
        for j in range(size):
            dy = row[k] + j - half - y[k]
            for i in range(size):
                dx = column[k] + i - half - x[k]
                if dx * dx + dy * dy <= radius * radius:
                    at_j, at_i = first_j + (j - half) * oversampling, first_i + (i - half) * oversampling
                    to_x, to_y = _slopes(samples, cell[k], part[k], at_j, at_i, weights)
                    # The offset falls as the star's place grows.
                    along_x[k, j, i] = np.float32(-oversampling * to_x)
                    along_y[k, j, i] = np.float32(-oversampling * to_y)


@kernel(
    "void(float32[:, ::1], float32[:, :, ::1], int64[::1], int64[::1], float64[::1], float64[::1], float64[::1],"
    " float64[::1], float64, float64[:, :, :, ::1], int64[:, ::1], float64[:, ::1], int64)"
)
def _add_samples(
    image: np.ndarray,
    values: np.ndarray,
    column: np.ndarray,
    row: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    flux: np.ndarray,
    reach: np.ndarray,
    radius: float,
    samples: np.ndarray,
    cell: np.ndarray,
    part: np.ndarray,
    oversampling: int,
) -> None:
    ny, nx = image.shape
    middle = (samples.shape[3] - 1) // 2
    for k in range(len(values)):
        if flux[k] == 0.0:
            continue
        add_stamp(image, values[k], column[k], row[k], np.float32(flux[k]))
        if reach[k] <= radius:
            continue
        first_i, tx = _start(column[k] - x[k], oversampling, middle)
        first_j, ty = _start(row[k] - y[k], oversampling, middle)
        across, along = cubic_weights(tx), cubic_weights(ty)
        far = int(np.ceil(reach[k]))
        for j in range(max(0, row[k] - far), min(ny, row[k] + far + 1)):
            dy = j - y[k]
            for i in range(max(0, column[k] - far), min(nx, column[k] + far + 1)):
                dx = i - x[k]
                r2 = dx * dx + dy * dy
                if r2 > radius * radius and r2 <= reach[k] * reach[k]:
                    at_j, at_i = first_j + (j - row[k]) * oversampling, first_i + (i - column[k]) * oversampling
                    light = flux[k] * _value(samples, cell[k], part[k], at_j, at_i, along, across)
                    image[j, i] += np.float32(light)
