"""A pixel response function in closed form, that changes over the CCD.

It is a sum of Gaussians beside each other, each integrated over the pixel by quadrature, not by the interpolation of
whatever fits it. Width, asymmetry and centre change smoothly over the CCD, as widely as the functions that were
measured for the mission's cameras do.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

__all__ = [
    "FIRST_COLUMN",
    "LAST_COLUMN",
    "LAST_ROW",
    "OVERSAMPLING",
    "PARTS",
    "SIZE_PIX",
    "Response",
    "ResponseGrid",
    "ResponseShape",
    "response_grid",
    "response_shape",
]

FIRST_COLUMN, LAST_COLUMN, LAST_ROW = 44, 2091, 2047  # of the pixels that see the sky, 0-based
SIZE_PIX, OVERSAMPLING = 13, 9
# Of the three components: part of the light, width in the middle of the CCD [pixel], and how far its centre is from the
# star in the direction of the field's middle, at the corner [pixel].
PARTS = np.array([0.75, 0.19, 0.06])
WIDTHS = np.array([0.52, 1.15, 2.4])
COMA = np.array([-0.05, 0.12, 0.35])
OFFSET = (0.12, 0.02)  # of the whole function's centre in the middle of the CCD [pixel]
NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)


class ResponseShape(NamedTuple):
    """Centres of the components, from the star, and their standard deviations [pixel], each of shape (..., 3)."""

    x: np.ndarray
    y: np.ndarray
    width_x: np.ndarray
    width_y: np.ndarray


def response_shape(column: np.ndarray | float, row: np.ndarray | float) -> ResponseShape:
    """Shape of the function at places of the CCD.

    Parameters
    ----------
    column, row : ndarray or float, shape (...)
        0-based, with the virtual columns [pixel].

    Returns
    -------
    ResponseShape
    """
    u = (2.0 * (np.asarray(column, np.float64) - FIRST_COLUMN) / (LAST_COLUMN - FIRST_COLUMN) - 1.0)[..., None]
    v = (2.0 * np.asarray(row, np.float64) / LAST_ROW - 1.0)[..., None]
    grow = 1.0 + 0.14 * (u + v) / 2.0 + 0.05 * (u * u + v * v) / 2.0
    stretch = 0.04 * (u * u - v * v) + 0.03 * u * v
    width = WIDTHS * grow
    return ResponseShape(OFFSET[0] + COMA * u, OFFSET[1] + COMA * v, width * (1 + stretch), width * (1 - stretch))


@dataclass(frozen=True)
class Response:
    """The function at one place of the CCD.

    Attributes
    ----------
    parts : ndarray, shape (n,)
        Light of each component; of sum 1.
    x, y : ndarray, shape (n,)
        Centres of the components, from the star [pixel].
    width_x, width_y : ndarray, shape (n,)
        Standard deviations [pixel].
    """

    parts: np.ndarray
    x: np.ndarray
    y: np.ndarray
    width_x: np.ndarray
    width_y: np.ndarray

    @classmethod
    def at(cls, column: float, row: float) -> "Response":
        """The function at a place of the CCD [pixel, 0-based, with the virtual columns]."""
        made = cls(PARTS, *response_shape(column, row))
        # What lies beyond the edge of the measured functions counts for nothing in them.
        return replace(made, parts=PARTS * OVERSAMPLING**2 / made.raw_samples().sum())

    def light(self, x: np.ndarray, y: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Part of a star's light in each pixel of a stamp.

        Parameters
        ----------
        x, y : ndarray, shape (n,)
            Places of the star in the stamp [pixel].
        shape : tuple of int
            (ny, nx).

        Returns
        -------
        ndarray of float64, shape (n, ny, nx)
            Nothing beyond half of `SIZE_PIX` from the star, where the measured functions end too.
        """
        x, y = np.atleast_1d(x), np.atleast_1d(y)
        total = np.zeros((len(x), *shape))
        for k, part in enumerate(self.parts):
            across = self._profile(np.arange(shape[1]) - x[:, None], self.x[k], self.width_x[k])
            along = self._profile(np.arange(shape[0]) - y[:, None], self.y[k], self.width_y[k])
            total += part * along[:, :, None] * across[:, None, :]
        return total

    def samples(self) -> np.ndarray:
        """The function at steps of a ninth of a pixel, shape (117, 117), rows are y; of sum 81, as in the files."""
        samples = self.raw_samples()
        return samples * OVERSAMPLING**2 / samples.sum()

    def raw_samples(self) -> np.ndarray:
        """As `samples`, of the sum that the components have."""
        half = (SIZE_PIX * OVERSAMPLING - 1) // 2
        offset = np.arange(-half, half + 1) / OVERSAMPLING
        total = np.zeros((len(offset), len(offset)))
        for k, part in enumerate(self.parts):
            across = self._profile(offset, self.x[k], self.width_x[k])
            along = self._profile(offset, self.y[k], self.width_y[k])
            total += part * along[:, None] * across[None, :]
        return total

    @staticmethod
    def _profile(offset: np.ndarray, centre: float, width: float) -> np.ndarray:
        """Integral of a Gaussian over the pixels around offsets from the star."""
        inside = np.abs(offset) <= SIZE_PIX / 2
        place = (offset[..., None] + 0.5 * NODES - centre) / width
        value = np.exp(-0.5 * place * place) @ WEIGHTS / (2.0 * width * np.sqrt(2.0 * np.pi))
        return np.where(inside, value, 0.0)


class ResponseGrid(NamedTuple):
    """Samples of the function over the CCD, shape (n, n, 117, 117), and the columns and rows of their places."""

    samples: np.ndarray
    columns: np.ndarray
    rows: np.ndarray


def response_grid(n: int = 5) -> ResponseGrid:
    """Samples of the function at places over the CCD.

    Parameters
    ----------
    n : int
        Places along each axis, from edge to edge.

    Returns
    -------
    ResponseGrid
        Places are 0-based and count the virtual columns [pixel].
    """
    columns = np.rint(np.linspace(FIRST_COLUMN, LAST_COLUMN, n))
    rows = np.rint(np.linspace(0, LAST_ROW, n))
    samples = np.array([[Response.at(column, row).samples() for column in columns] for row in rows])
    return ResponseGrid(samples, columns, rows)
