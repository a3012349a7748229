"""Stars drawn from tables that are interpolated at their exact places, and the best that anyone could measure of them.

The effective PSF is known on a grid of places over the image and changes linearly between them. A table is read with
cubic interpolation between points a ninth of a pixel apart; weights of an interpolation sum to 1, so that no light is
lost between pixels.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gaiaflux.sim.optics import OVERSAMPLING, REACH_PIX, Optics, Spread, spread_table

__all__ = ["TablePsf", "optimal_error"]

NODES = 5
CORE_FWHM = 3.5
PIXEL_FWHM = 0.68
"""Width that the pixel adds in quadrature: that of a Gaussian of the variance 1/12 [pixel]."""


@dataclass(frozen=True)
class TablePsf:
    """The effective PSF of one frame.

    Attributes
    ----------
    optics : Optics
        Telescope.
    shape : tuple of int
        (ny, nx) of the image.
    fwhm : float
        FWHM of the seeing in the middle of the image [pixel].
    angle : float
        Long axis of the seeing, from x towards y [rad].
    """

    optics: Optics
    shape: tuple[int, int]
    fwhm: float
    angle: float = 0.0

    def seeing_fwhm(self, x: float | np.ndarray, y: float | np.ndarray) -> np.ndarray:
        """FWHM of the seeing at places [pixel]."""
        u, v = self._place(x, y)
        return self.fwhm * (1.0 + 0.5 * self.optics.widening * (u * u + v * v))

    def width(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Width of stars at places, with pixel and defocus [pixel]: how far apart two must be to be told apart."""
        return np.hypot(self.seeing_fwhm(x, y), PIXEL_FWHM) + 2.0 * self.optics.defocus_pix

    @cached_property
    def half(self) -> int:
        """The tables reach this far from a star [pixel]; beyond it there is the wing alone."""
        corner = self.fwhm * (1.0 + self.optics.widening)
        far = Spread(self.optics, corner, 0.0, self.fwhm, (1.0, 1.0)).aberrations_pix
        return int(np.ceil(max(CORE_FWHM * corner, 10.0) + far))

    @cached_property
    def tables(self) -> np.ndarray:
        """Tables at the nodes; shape (n_nodes, n_nodes, n, n), with a margin of a pixel for the interpolation."""
        nodes = self._nodes
        rows = [[spread_table(self._spread((u, v)), self.half + 1) for u in nodes] for v in nodes]
        return np.array(rows)

    def stamp(self, x: float, y: float, half: int) -> tuple[slice, slice, np.ndarray]:
        """Part of a star's light in each pixel around it.

        Parameters
        ----------
        x, y : float
            Place of the star [pixel].
        half : int
            Reach of the stamp [pixel]; no more than that of the tables is given.

        Returns
        -------
        rows, columns : slice
            Where the stamp is on the image; empty for a star too far outside.
        part : ndarray, shape (n_rows, n_columns)
            [1/pixel].
        """
        half = min(half, self.half)
        ny, nx = self.shape
        i, j = round(x), round(y)
        rows, columns = (slice(max(k - half, 0), max(min(k + half + 1, n), 0)) for k, n in ((j, ny), (i, nx)))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return slice(0, 0), slice(0, 0), np.zeros((0, 0), dtype=np.float32)
        middle = (self.half + 1) * OVERSAMPLING
        first_row, along_y = _position(middle + (rows.start - y) * OVERSAMPLING)
        first_column, along_x = _position(middle + (columns.start - x) * OVERSAMPLING)
        n_rows, n_columns = rows.stop - rows.start, columns.stop - columns.start
        down, across = (n_rows - 1) * OVERSAMPLING + 1, (n_columns - 1) * OVERSAMPLING + 1
        band: np.ndarray | float = 0.0
        for part, table in self._near(x, y):
            for k, weight in enumerate(along_y):
                start = first_row - 1 + k
                window = table[start : start + down : OVERSAMPLING, first_column - 1 : first_column - 1 + across + 3]
                band = band + np.float32(part * weight) * window
        assert isinstance(band, np.ndarray)
        stamp = sum(np.float32(weight) * band[:, k : k + across : OVERSAMPLING] for k, weight in enumerate(along_x))
        return rows, columns, np.asarray(stamp)

    def wing(self, x: float, y: float, reach: float) -> tuple[slice, slice, np.ndarray]:
        """Part of a star's light in each pixel beyond its table, as `stamp`; 0 inside the table."""
        ny, nx = self.shape
        far = int(np.ceil(min(reach, REACH_PIX)))
        i, j = round(x), round(y)
        rows, columns = (slice(max(k - far, 0), max(min(k + far + 1, n), 0)) for k, n in ((j, ny), (i, nx)))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return slice(0, 0), slice(0, 0), np.zeros((0, 0))
        row, column = np.arange(rows.start, rows.stop)[:, None], np.arange(columns.start, columns.stop)[None, :]
        outside = np.maximum(np.abs(row - j), np.abs(column - i)) > self.half
        spread = self._spread(tuple(float(a) for a in self._place(x, y)))
        return rows, columns, np.where(outside, spread.wing(column - x, row - y), 0.0)

    def reach(self, flux: float | np.ndarray, faintest: float) -> np.ndarray:
        """Radius beyond which a star's light in a pixel is fainter than a value of the same unit [pixel]."""
        radius = np.arange(0.0, REACH_PIX + 1.0)
        middle = self._spread((0.0, 0.0))
        # Wings of elliptical stars and of pupil images reach a little farther than those of the round middle.
        falling = np.maximum.accumulate(middle.wing(radius, np.zeros_like(radius))[::-1])[::-1]
        index = np.searchsorted(-falling, -faintest / np.maximum(np.asarray(flux, dtype=float), 1e-9))
        return np.minimum(1.1 * radius[np.minimum(index, len(radius) - 1)] + middle.aberrations_pix, REACH_PIX)

    def add_stars(self, image: np.ndarray, x: np.ndarray, y: np.ndarray, flux: np.ndarray, *, faintest: float) -> None:
        """Add the light of stars to an image, in place.

        Parameters
        ----------
        image : ndarray of float32, shape (ny, nx)
            The light is added to it.
        x, y : ndarray, shape (n,)
            Places [pixel]; may lie outside of the image.
        flux : ndarray, shape (n,)
            Total fluxes, in the image's unit.
        faintest : float
            Each star is drawn as far as its light per pixel exceeds this value, and at least over 1.5 FWHM.
        """
        reach = self.reach(flux, faintest)
        least = np.ceil(1.5 * self.width(x, y)).astype(int)
        for k in range(len(x)):
            half = max(int(np.ceil(reach[k])), int(least[k]))
            rows, columns, part = self.stamp(x[k], y[k], half)
            image[rows, columns] += np.float32(flux[k]) * part
            if reach[k] > self.half:
                rows, columns, part = self.wing(x[k], y[k], float(reach[k]))
                image[rows, columns] += (flux[k] * part).astype(np.float32)

    @property
    def _nodes(self) -> np.ndarray:
        return np.linspace(-1.0, 1.0, NODES) if self.optics.varies else np.zeros(1)

    def _place(self, x: float | np.ndarray, y: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        def from_middle(a: float | np.ndarray, n: int) -> np.ndarray:
            return np.clip(2.0 * np.asarray(a, dtype=float) / (n - 1) - 1.0, -1.0, 1.0)

        ny, nx = self.shape
        return from_middle(x, nx), from_middle(y, ny)

    def _spread(self, place: tuple[float, ...]) -> Spread:
        u, v = place
        fwhm = self.fwhm * (1.0 + 0.5 * self.optics.widening * (u * u + v * v))
        return Spread(self.optics, fwhm, self.angle, self.fwhm, (u, v))

    def _near(self, x: float, y: float) -> list[tuple[float, np.ndarray]]:
        """Tables of the nodes around a place, with their weights."""
        tables = self.tables
        last = len(self._nodes) - 1
        if last == 0:
            return [(1.0, tables[0, 0])]
        u, v = (0.5 * (float(a) + 1.0) * last for a in self._place(x, y))
        i, j = min(int(u), last - 1), min(int(v), last - 1)
        right, up = u - i, v - j
        corners = [
            ((1.0 - right) * (1.0 - up), tables[j, i]),
            (right * (1.0 - up), tables[j, i + 1]),
            ((1.0 - right) * up, tables[j + 1, i]),
            (right * up, tables[j + 1, i + 1]),
        ]
        return [corner for corner in corners if corner[0] > 0.0]


def _position(place: float) -> tuple[int, np.ndarray]:
    """Index below a place in a table, and the weights of a cubic through the four points around it."""
    index = int(np.floor(place))
    t = place - index
    weights = np.array(
        [
            -t * (t - 1.0) * (t - 2.0) / 6.0,
            (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0,
            -(t + 1.0) * t * (t - 2.0) / 2.0,
            (t + 1.0) * t * (t - 1.0) / 6.0,
        ]
    )
    return index, weights


def optimal_error(psf: TablePsf, x: np.ndarray, y: np.ndarray, variance: np.ndarray, half: int) -> np.ndarray:
    """Error of the flux of stars at known places, fitted with the true PSF and the true noise.

    Parameters
    ----------
    psf : TablePsf
        True PSF.
    x, y : ndarray, shape (n,)
        Places [pixel].
    variance : ndarray, shape (ny, nx)
        True variance of each pixel, with the light of all stars [electron^2].
    half : int
        Pixels farther from a star than this are left out; the tables' reach counts too.

    Returns
    -------
    ndarray, shape (n,)
        (sum P^2 / V)^-1/2 [electron]; infinite for stars outside of the image.
    """
    information = np.zeros(len(x))
    for k in range(len(x)):
        rows, columns, part = psf.stamp(x[k], y[k], half)
        information[k] = np.sum(part * part / variance[rows, columns], dtype=np.float64)
    with np.errstate(divide="ignore"):
        return information**-0.5
