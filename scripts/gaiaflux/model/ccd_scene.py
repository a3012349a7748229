"""The stars of a CCD, as the mean of its full-frame images shows them."""

from dataclasses import dataclass

import numpy as np

__all__ = ["CcdScene"]


@dataclass(frozen=True)
class CcdScene:
    """Stars of a catalogue, solved for together.

    Attributes
    ----------
    star_id : ndarray of int64, shape (n,)
        Increasing.
    x, y : ndarray of float64, shape (n,)
        Column and row on the CCD in the reference frame [pixel, 0-based].
    position_err : ndarray of float64, shape (n,)
        How far a star may be from there [pixel].
    flux, flux_err : ndarray of float64, shape (n,)
        Light in the mean of the frames [electron/s]; NaN and infinite for stars without a pixel.
    chi2 : ndarray of float64, shape (n,)
        Per pixel of each star, of the noise and the usual error of the response function.
    common : ndarray of float64, shape (n_tile_rows, n_tile_columns, 2)
        Shift in x and y of the stars of each tile against the catalogue [pixel]; NaN for a tile without pixels.
    sky : ndarray of float64, shape (n_tile_rows, n_tile_columns)
        What is left of the sky in the mean of each tile [electron/s]; NaN for a tile without pixels.
    """

    star_id: np.ndarray
    x: np.ndarray
    y: np.ndarray
    position_err: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    chi2: np.ndarray
    common: np.ndarray
    sky: np.ndarray

    def __len__(self) -> int:
        """Number of stars."""
        return len(self.star_id)

    @classmethod
    def none(cls) -> "CcdScene":
        """A scene without stars."""
        no, tiles = np.zeros(0), np.full((1, 1, 2), np.nan)
        return cls(np.zeros(0, np.int64), no, no, no, no, no, no, tiles, tiles[..., 0])

    def rows_of(self, star_id: np.ndarray) -> np.ndarray:
        """Row of each star, -1 for one whose light is not known, int64."""
        if not len(self):
            return np.full(len(star_id), -1, np.int64)
        at = np.minimum(np.searchsorted(self.star_id, star_id), len(self) - 1)
        known = (self.star_id[at] == star_id) & np.isfinite(self.flux[at])
        return np.where(known, at, -1).astype(np.int64)
