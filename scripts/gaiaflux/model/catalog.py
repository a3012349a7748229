"""Catalogues of the sky and of a series."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from typing import Any, Self

import numpy as np

__all__ = ["Place", "SkyCatalog", "StarCatalog"]


class Place(IntEnum):
    """Where the place of a star comes from."""

    CATALOG = 0
    MEASURED = 1
    """On the reference image."""
    EMPTY = 2
    """The catalogue's, where the reference image shows nothing of a star that would be clear."""


@dataclass(frozen=True)
class SkyCatalog:
    """Stars with positions at an epoch; every attribute but the last two is an array of shape (n_stars,).

    Missing proper motions and parallaxes are 0 here, with the larger error that such a star deserves.

    Attributes
    ----------
    source_id : ndarray of int64
        Identifier in the source's catalogue (Gaia's source_id); -1 for a star that is not in it.
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
    mag : ndarray of float64
        Magnitude in `system` [mag]; NaN where unknown.
    colour : ndarray of float64
        Colour index of the source (Gaia's BP - RP) [mag]; NaN where unknown.
    system : str
        Magnitude system: ``Gaia G``, or what another source has.
    source : str
        Where the stars come from: ``gaia`` or its release (``gaiadr3``), ``reference_image`` ...
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
    mag: np.ndarray
    colour: np.ndarray
    system: str = field(kw_only=True)
    source: str = field(kw_only=True)

    def __len__(self) -> int:
        """Number of stars."""
        return len(self.source_id)

    @property
    def best_mag(self) -> np.ndarray:
        """What is known of the stars' magnitudes [mag], shape (n_stars,); NaN where nothing is."""
        return self.mag

    @classmethod
    def column_names(cls) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(f.name for f in fields(cls) if f.name not in ("system", "source"))

    def columns(self) -> dict[str, np.ndarray]:
        """Arrays by name; not copied."""
        return {name: getattr(self, name) for name in self.column_names()}

    def with_columns(self, columns: Mapping[str, np.ndarray]) -> Self:
        """The same source with other arrays."""
        changes: dict[str, Any] = dict(columns)
        return replace(self, **changes)

    def __getitem__(self, rows: np.ndarray | slice) -> Self:
        """Rows picked by an index array, slice or boolean mask."""
        return self.with_columns({name: values[rows] for name, values in self.columns().items()})


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
        Magnitude measured on the reference image, on the scale of `mag`, without a colour term [mag]; NaN where the
        star is not on it or too faint.
    place : ndarray of int8
        `Place`: where the position comes from.
    """

    star_id: np.ndarray
    x_ref: np.ndarray
    y_ref: np.ndarray
    mag_ref: np.ndarray
    place: np.ndarray

    @property
    def best_mag(self) -> np.ndarray:
        """The catalogue's magnitude, or where it has none or no star that of the reference image [mag], (n_stars,)."""
        return np.where(np.isfinite(self.mag) & (self.place != Place.EMPTY), self.mag, self.mag_ref)
