"""Where the stars of a catalogue come from: what its columns are called, and what its magnitudes are.

A further source of stars is a `CatalogSource` and its line in `SOURCES`; nothing behind the reading of its table names
its columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["GAIA", "REFERENCE_IMAGE", "REQUIRED_ROLES", "SOURCES", "CatalogSource"]

REQUIRED_ROLES = ("source_id", "ra", "dec", "mag")
"""What each row of a table has to say."""


@dataclass(frozen=True)
class CatalogSource:
    """A source of stars.

    Attributes
    ----------
    name : str
        `source` of its catalogues, unless its release is known.
    system : str
        System of its magnitudes.
    columns : mapping of str to str
        Name in its tables (found in any case) of ``source_id``, ``ra``, ``dec``, ``mag``, and of what
        there is of ``colour``, or ``blue`` and ``red`` whose difference it is; ``pmra`` (with cos dec), ``pmdec``,
        ``parallax``, ``ref_epoch``; ``ra_error``, ``dec_error`` or ``pos_err``; ``pmra_error``, ``pmdec_error`` or
        ``pm_err``; ``ruwe``. Units are converted where the table states them; else they are deg, mas, mas/yr.
    epoch : float
        Of positions without ``ref_epoch``, Julian year.
    required_roles : tuple of str
        Keys of `columns` without which a table is of no use.
    identifier_roles : tuple of str
        Keys of `columns` that hold 64-bit numbers: as text they never pass through floating point.
    """

    name: str
    system: str
    columns: Mapping[str, str]
    epoch: float = 2016.0
    required_roles: tuple[str, ...] = REQUIRED_ROLES
    identifier_roles: tuple[str, ...] = ("source_id",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", {role: name.lower() for role, name in self.columns.items()})

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the columns that a table has to have."""
        return tuple(self.columns[role] for role in self.required_roles)

    @property
    def identifiers(self) -> tuple[str, ...]:
        """Names of the columns that hold identifiers."""
        return tuple(self.columns[role] for role in self.identifier_roles)


_ASTROMETRY = (
    *("source_id", "ra", "dec", "pmra", "pmdec", "parallax", "ref_epoch", "ruwe"),
    *("ra_error", "dec_error", "pmra_error", "pmdec_error", "pos_err", "pm_err"),
)
GAIA = CatalogSource(
    name="gaia",
    system="Gaia G",
    columns={
        **{name: name for name in _ASTROMETRY},
        "mag": "phot_g_mean_mag",
        "blue": "phot_bp_mean_mag",
        "red": "phot_rp_mean_mag",
        "colour": "bp_rp",
    },
)
"""Gaia's archive, its mirrors, and tables with its names."""
REFERENCE_IMAGE = CatalogSource(name="reference_image", system="instrumental magnitude", columns={})
"""The reference image's own stars: no table is read."""
SOURCES = (GAIA, REFERENCE_IMAGE)
