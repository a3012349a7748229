"""The light of a few stars on all pixels of one small stamp, at any place in it or around it.

A function that is given as samples (`gaiaflux.core.psf.sampled`) is joined between the places of the field once for
each star. Its samples are then laid out by their place within a pixel: all pixels of a stamp lie alike between the
samples of a star, so that each of the sixteen samples of the cubic convolution is a run of neighbours in memory.
"""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.kernels.devices import cubic_weights
from gaiaflux.core.psf.interpolation import cubic_slopes
from gaiaflux.core.psf.sampled import SampledPsf

__all__ = [
    "StampLight",
    "StarTables",
    "add_star_light",
    "mean_stamp_light",
    "shape_tables",
    "stamp_light",
    "star_tables",
]

FIELD_PIX = 256.0


@dataclass(frozen=True)
class StarTables:
    """The function of each of n stars, of total light 1.

    Attributes
    ----------
    samples : ndarray of float64, shape (n, oversampling**2 * pixels**2)
        Part of the light per pixel: by the place within a pixel (y, x), then by the pixel (y, x).
    oversampling : int
        Samples in a pixel, along an axis.
    middle : int
        Number of samples, along an axis, from the first to the one at offset 0.
    pixels : int
        Along an axis; the outermost hold no light.
    """

    samples: np.ndarray
    oversampling: int
    middle: int
    pixels: int

    def __len__(self) -> int:
        """Number of stars."""
        return len(self.samples)

    @property
    def edge(self) -> float:
        """Largest offset from a star, along an axis, with light [pixel]."""
        return self.middle / self.oversampling - 1.0

    def of(self, rows: np.ndarray) -> "StarTables":
        """Those of some of the stars, by row or mask."""
        return replace(self, samples=np.ascontiguousarray(self.samples[rows]))

    def reshaped(self, shapes: "StarTables", amount: np.ndarray) -> "StarTables":
        """All of them with the shapes of `shape_tables` added, each times an amount."""
        return replace(self, samples=self.samples + amount @ shapes.samples)


@dataclass(frozen=True)
class StampLight:
    """Light of stars on the pixels of a stamp, and how it changes with their places.

    Attributes
    ----------
    light : ndarray of float64, shape (..., n, ny, nx)
        Part of each star's light per pixel.
    along_x, along_y : ndarray of float64, of the shape of `light`
        Derivatives with respect to the star's x and y [1/pixel].
    """

    light: np.ndarray
    along_x: np.ndarray
    along_y: np.ndarray


def star_tables(psf: SampledPsf, x: np.ndarray, y: np.ndarray) -> StarTables:
    """Join the samples between the places of the field, for each star.

    Parameters
    ----------
    psf : SampledPsf
    x, y : ndarray, shape (n,)
        Places of the stars in the field [pixel, in the coordinates of `psf`]; beyond the outermost places of the
        samples these hold.

    Returns
    -------
    StarTables

    Raises
    ------
    ValueError
        A place that is not finite.
    """
    return _lay_out(_joined(psf, x, y), psf.oversampling)


def shape_tables(psf: SampledPsf, x: float, y: float) -> StarTables:
    """How the function changes about a place of the field: tables without any light in all.

    Parameters
    ----------
    psf : SampledPsf
    x, y : float
        Place in the field [pixel].

    Returns
    -------
    StarTables
        Of two rows, to be multiplied with a distance in x, and in y, in units of `FIELD_PIX`.
    """
    half = 0.5 * FIELD_PIX
    around = _joined(psf, x + half * np.array([1, -1, 0, 0]), y + half * np.array([0, 0, 1, -1]))
    return _lay_out(around[[0, 2]] - around[[1, 3]], psf.oversampling)


def _joined(psf: SampledPsf, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Samples at places of the field, shape (n, size, size)."""
    x, y = np.broadcast_arrays(np.atleast_1d(np.asarray(x, np.float64)), np.atleast_1d(np.asarray(y, np.float64)))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a star's place in the field is not finite")
    placed = psf.at(x, y)
    part = placed.part
    weights = np.stack(
        [along * across for along in (1.0 - part[:, 0], part[:, 0]) for across in (1.0 - part[:, 1], part[:, 1])],
        axis=1,
    )
    table = np.empty((len(x), psf.samples.shape[2] * psf.samples.shape[3]))
    # Stars of a stamp are mostly between the same places.
    cells, member = np.unique(placed.cell, axis=0, return_inverse=True)
    for k, low in enumerate(cells):
        high = np.minimum(low + 1, np.array(psf.samples.shape[:2]) - 1)
        around = psf.samples[[low[0], low[0], high[0], high[0]], [low[1], high[1], low[1], high[1]]]
        mine = member.reshape(-1) == k
        table[mine] = weights[mine] @ around.reshape(4, -1)
    return table.reshape(len(x), *psf.samples.shape[2:])


def _lay_out(table: np.ndarray, over: int) -> StarTables:
    """Samples, shape (n, size, size), by their place within a pixel."""
    n, size = table.shape[:2]
    # A pixel without light all around: no sample of a convolution that reaches a pixel is missing.
    pixels = -(-size // over) + 2
    padded = np.zeros((n, pixels * over, pixels * over))
    padded[:, over : over + size, over : over + size] = table
    phases = padded.reshape(n, pixels, over, pixels, over).transpose(0, 2, 4, 1, 3)
    return StarTables(
        np.ascontiguousarray(phases.reshape(n, (over * pixels) ** 2)), over, (size - 1) // 2 + over, pixels
    )


def stamp_light(tables: StarTables, x: np.ndarray, y: np.ndarray, shape: tuple[int, int]) -> StampLight:
    """Light of stars at one or several places each.

    Parameters
    ----------
    tables : StarTables
        Of n stars.
    x, y : ndarray, shape (n,) or (m, n)
        Finite places in the stamp, also outside of it [pixel, 0-based].
    shape : tuple of int
        (ny, nx) of the stamp.

    Returns
    -------
    StampLight
        With arrays of shape (n, ny, nx) or (m, n, ny, nx).
    """
    x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
    if x.shape[-1] != len(tables):
        raise ValueError(f"{x.shape[-1]} places for {len(tables)} stars")
    flat = [np.require(values.reshape(-1, len(tables)), np.float64, ["C", "W"]) for values in (x, y)]
    made = np.zeros((3, *flat[0].shape, *shape))
    _light_of_places(
        made[0], made[1], made[2], tables.samples, tables.oversampling, tables.middle, tables.pixels, *flat
    )
    return StampLight(*(part.reshape(*x.shape, *shape) for part in made))


def mean_stamp_light(
    tables: StarTables, x: np.ndarray, y: np.ndarray, shifts: np.ndarray, share: np.ndarray, shape: tuple[int, int]
) -> StampLight:
    """Light of stars in the mean of frames that are shifted against each other.

    Parameters
    ----------
    tables : StarTables
        Of n stars.
    x, y : ndarray, shape (n,)
        Places in the stamp at shift 0 [pixel].
    shifts : ndarray, shape (m, 2)
        Shifts in x and y, that are added to the places [pixel].
    share : ndarray, shape (m,)
        Part of the frames at each shift; of sum 1.
    shape : tuple of int
        (ny, nx) of the stamp.

    Returns
    -------
    StampLight
        With arrays of shape (n, ny, nx).
    """
    made = np.zeros((3, len(tables), *shape))
    arrays = (np.require(values, np.float64, ["C", "W"]) for values in (x, y, shifts, share))
    _mean_light(made[0], made[1], made[2], tables.samples, tables.oversampling, tables.middle, tables.pixels, *arrays)
    return StampLight(made[0], made[1], made[2])


@device
def add_star_light(
    light: np.ndarray,
    along_x: np.ndarray,
    along_y: np.ndarray,
    samples: np.ndarray,
    over: int,
    middle: int,
    m: int,
    x: float,
    y: float,
    share: float,
) -> None:
    """Add a star at (x, y), times `share`, to images of its light and of the derivatives."""
    ny, nx = light.shape
    place_x, place_y = middle - x * over, middle - y * over
    first_x, first_y = int(np.floor(place_x)), int(np.floor(place_y))
    tx, ty = place_x - first_x, place_y - first_y
    across, along = cubic_weights(tx), cubic_weights(ty)
    slope_x, slope_y = cubic_slopes(tx), cubic_slopes(ty)
    # The offset falls as the star's place grows.
    scale = -share * over
    low_x, high_x = (first_x - 1) // over, (first_x + 2) // over
    low_y, high_y = (first_y - 1) // over, (first_y + 2) // over
    for q in range(4):
        at_y = first_y + q - 1
        start = at_y // over
        line = (at_y - start * over) * over
        b0, b1, b2, b3 = (
            _start(line, first_x - 1, start, over, m),
            _start(line, first_x, start, over, m),
            _start(line, first_x + 1, start, over, m),
            _start(line, first_x + 2, start, over, m),
        )
        value, to_x, to_y = share * along[q], scale * along[q], scale * slope_y[q]
        for j in range(max(0, -low_y), min(ny, m - high_y)):
            for i in range(max(0, -low_x), min(nx, m - high_x)):
                k = j * m + i
                t0, t1, t2, t3 = samples[b0 + k], samples[b1 + k], samples[b2 + k], samples[b3 + k]
                between = across[0] * t0 + across[1] * t1 + across[2] * t2 + across[3] * t3
                slope = slope_x[0] * t0 + slope_x[1] * t1 + slope_x[2] * t2 + slope_x[3] * t3
                light[j, i] += value * between
                along_x[j, i] += to_x * slope
                along_y[j, i] += to_y * between


@device
def _start(line: int, at: int, row: int, over: int, m: int) -> int:
    """Where the samples of a row of pixels begin."""
    start = at // over
    return ((line + at - start * over) * m + row) * m + start


@kernel(
    "void(float64[:, :, :, ::1], float64[:, :, :, ::1], float64[:, :, :, ::1], float64[:, ::1], int64, int64, int64,"
    " float64[:, ::1], float64[:, ::1])",
    fastmath={"contract"},
)
def _light_of_places(
    light: np.ndarray,
    along_x: np.ndarray,
    along_y: np.ndarray,
    samples: np.ndarray,
    over: int,
    middle: int,
    m: int,
    x: np.ndarray,
    y: np.ndarray,
) -> None:
    for c in range(x.shape[0]):
        for k in range(x.shape[1]):
            add_star_light(
                light[c, k], along_x[c, k], along_y[c, k], samples[k], over, middle, m, x[c, k], y[c, k], 1.0
            )


@kernel(
    "void(float64[:, :, ::1], float64[:, :, ::1], float64[:, :, ::1], float64[:, ::1], int64, int64, int64,"
    " float64[::1], float64[::1], float64[:, ::1], float64[::1])",
    fastmath={"contract"},
)
def _mean_light(
    light: np.ndarray,
    along_x: np.ndarray,
    along_y: np.ndarray,
    samples: np.ndarray,
    over: int,
    middle: int,
    m: int,
    x: np.ndarray,
    y: np.ndarray,
    shifts: np.ndarray,
    share: np.ndarray,
) -> None:
    for k in range(len(x)):
        for c in range(len(share)):
            at_x, at_y = x[k] + shifts[c, 0], y[k] + shifts[c, 1]
            add_star_light(light[k], along_x[k], along_y[k], samples[k], over, middle, m, at_x, at_y, share[c])
