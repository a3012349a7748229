"""The stars of a catalogue at the time of an observation, on the sky and on the CCD."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.sky.epoch import propagate
from gaiaflux.model.tess_catalog import TessCatalog
from gaiaflux.tess.stamp.pixel_source import PixelSource
from gaiaflux.tess.stamp.stamps import Stamp

__all__ = ["PlacedStars"]


@dataclass(frozen=True)
class PlacedStars:
    """A catalogue with the places of its stars; all arrays have the shape (n_stars,).

    Attributes
    ----------
    catalog : TessCatalog
    epoch : float
        Julian year of the observation.
    ra_deg, dec_deg : ndarray of float64
        Then [deg].
    row, column : ndarray of float64
        On the CCD [pixel, 0-based]; NaN where it does not see the place.
    """

    catalog: TessCatalog
    epoch: float
    ra_deg: np.ndarray
    dec_deg: np.ndarray
    row: np.ndarray
    column: np.ndarray

    @classmethod
    def of(cls, catalog: TessCatalog, source: PixelSource, epoch: float) -> "PlacedStars":
        """Place the stars of a catalogue in a source at an epoch."""
        ra, dec = propagate(catalog, epoch)
        return cls(catalog, epoch, ra, dec, *source.place(ra, dec))

    def within(self, stamp: Stamp, beyond: float = 0.0) -> np.ndarray:
        """Stars on the pixels of a stamp.

        Parameters
        ----------
        stamp : Stamp
        beyond : float
            So far outside of its pixels they may be [pixel].

        Returns
        -------
        ndarray of bool, shape (n_stars,)
        """
        first, last, left, right = stamp
        rows = (self.row >= first - 0.5 - beyond) & (self.row <= last - 0.5 + beyond)
        return rows & (self.column >= left - 0.5 - beyond) & (self.column <= right - 0.5 + beyond)
