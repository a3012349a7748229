"""Catalogues of the sky and of a series."""

from dataclasses import dataclass, fields

import numpy as np

__all__ = ["SkyCatalog", "StarCatalog"]


@dataclass(frozen=True)
class SkyCatalog:
    """Stars with positions at an epoch, as Gaia gives them; every attribute is an array of shape (n_stars,).

    Missing proper motions and parallaxes are 0 here, with the larger error that such a star deserves.

    Attributes
    ----------
    source_id : ndarray of int64
        Gaia source identifier; -1 for a star that is not in Gaia.
    ra_deg, dec_deg : ndarray of float64
        ICRS position at `ref_epoch` [deg].
    ref_epoch : ndarray of float64
        Julian year (TCB).
    pmra, pmdec : ndarray of float64
        Proper motion [mas/yr]; `pmra` includes cos(dec).
    parallax : ndarray of float64
        [mas].
    pos_err : ndarray of float64
        One-axis position error at `ref_epoch` [mas].
    pm_err : ndarray of float64
        One-axis proper-motion error [mas/yr].
    phot_g_mean_mag : ndarray of float64
        Gaia G [mag]; NaN where unknown.
    bp_rp : ndarray of float64
        Gaia BP - RP [mag]; NaN where unknown.
    """

    source_id: np.ndarray
    ra_deg: np.ndarray
    dec_deg: np.ndarray
    ref_epoch: np.ndarray
    pmra: np.ndarray
    pmdec: np.ndarray
    parallax: np.ndarray
    pos_err: np.ndarray
    pm_err: np.ndarray
    phot_g_mean_mag: np.ndarray
    bp_rp: np.ndarray

    def __len__(self) -> int:
        """Number of stars."""
        return len(self.source_id)

    @property
    def mag(self) -> np.ndarray:
        """What is known of the stars' magnitudes [mag], shape (n_stars,); NaN where nothing is."""
        return self.phot_g_mean_mag

    def __getitem__(self, rows: np.ndarray) -> "SkyCatalog":
        """Rows picked by an index array, slice or boolean mask."""
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True)
class StarCatalog(SkyCatalog):
    """The stars that are measured in every frame of a series.

    Attributes
    ----------
    star_id : ndarray of int64
        Fixed for the series.
    x_ref, y_ref : ndarray of float64
        Position on the reference image [pixel]; may lie outside of it.
    mag_ref : ndarray of float64
        Magnitude measured on the reference image, on the scale of `phot_g_mean_mag`, without a colour term [mag]; NaN
        where the star is not on it or too faint.
    """

    star_id: np.ndarray
    x_ref: np.ndarray
    y_ref: np.ndarray
    mag_ref: np.ndarray

    @property
    def mag(self) -> np.ndarray:
        """Gaia's magnitude, or where it has none that of the reference image [mag], shape (n_stars,)."""
        return np.where(np.isfinite(self.phot_g_mean_mag), self.phot_g_mean_mag, self.mag_ref)
