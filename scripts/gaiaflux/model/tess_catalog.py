"""The stars around the targets of a TESS field."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gaiaflux.model.catalog import SkyCatalog

__all__ = ["FIRST_OWN_STAR", "STATED", "TessCatalog"]

STATED = "catalogue"
"""`TessCatalog.mag_source` of a magnitude that the catalogue itself gives."""

FIRST_OWN_STAR = 90_000_000_001
"""Number of the first star that no list names: larger than those of the TIC, with eleven digits as file names have."""


@dataclass(frozen=True)
class TessCatalog(SkyCatalog):
    """Stars of the TESS Input Catalog (TIC), sorted by `star_id`; `mag` is the TESS magnitude.

    Attributes
    ----------
    star_id : ndarray of int64
        TIC number; each stands there once.
    mag_err : ndarray of float64
        One-sigma error of `mag` [mag]; NaN where `mag` is.
    mag_source : ndarray of str
        `STATED`, or the bands of the relation that gave it (`gaiaflux.core.sky.tess_magnitude.RELATIONS`); empty where
        `mag` is NaN.
    teff : ndarray of float64
        Effective temperature [K]; NaN where unknown.
    left_out : mapping of str to ndarray of int64
        TIC numbers of rows that were not taken, by reason (-1 for a row without a number).
    remarks : tuple of str
        What else is odd about the file: sentences for the user.
    """

    star_id: np.ndarray
    mag_err: np.ndarray
    mag_source: np.ndarray
    teff: np.ndarray
    left_out: Mapping[str, np.ndarray] = field(kw_only=True, default_factory=dict)
    remarks: tuple[str, ...] = field(kw_only=True, default=())

    @classmethod
    def column_names(cls) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(name for name in super().column_names() if name not in ("left_out", "remarks"))

    def why_missing(self, star_id: int) -> str:
        """Reason why a star was left out; empty where the file does not have it, or the catalogue does."""
        return next((reason for reason, ids in self.left_out.items() if star_id in ids), "")

    def one_per_source(self, target: int | None = None) -> np.ndarray:
        """Rows that stand for the stars of a fit: TIC numbers of one Gaia source are one star.

        Parameters
        ----------
        target : int, optional
            TIC number whose row stands for its source; else the brightest does, the first of equal ones.

        Returns
        -------
        ndarray of bool, shape (n_stars,)
            True for one row of each source, and for every row that is not of Gaia.
        """
        last = np.where(np.isfinite(self.mag), self.mag, np.inf)
        order = np.lexsort((np.arange(len(self)), last, self.star_id != (-1 if target is None else target)))
        _, first = np.unique(self.source_id[order], return_index=True)
        keep = self.source_id < 0
        keep[order[first]] = True
        return keep
