"""The stars of a stamp as a table."""

import numpy as np
from astropy.table import Table

from gaiaflux.core.sky.epoch import propagate
from gaiaflux.model.tess_catalog import TessCatalog
from gaiaflux.tess.stamp.pixel_source import PixelSource
from gaiaflux.tess.stamp.stamps import Stamp

__all__ = ["BUFFER_PIX", "star_table", "target_facts"]

BUFFER_PIX = 5.0
"""Stars so far outside of a stamp are in its table: their light reaches into it [pixel]."""


def star_table(catalog: TessCatalog, source: PixelSource, stamp: Stamp, epoch: float) -> Table:
    """Stars within a stamp and `BUFFER_PIX` around it.

    Parameters
    ----------
    catalog : TessCatalog
    source : PixelSource
        Says where on the CCD a star is.
    stamp : Stamp
        On the CCD.
    epoch : float
        Julian year to which the stars are moved.

    Returns
    -------
    astropy.table.Table
        starid, tmag, ra, dec [deg], row, column, row_stamp, column_stamp [pixel, 0-based]; also where it is empty.
        ``meta["in_stamp"]``: ndarray of bool, whether each is within the stamp itself.
    """
    ra, dec = propagate(catalog, epoch)
    row, column = source.place(ra, dec)
    first, last, left, right = stamp

    def within(buffer: float) -> np.ndarray:
        rows = (row >= first - 0.5 - buffer) & (row <= last - 0.5 + buffer)
        return rows & (column >= left - 0.5 - buffer) & (column <= right - 0.5 + buffer)

    near = within(BUFFER_PIX)
    table = Table(
        {
            "starid": catalog.star_id[near],
            "tmag": catalog.mag[near],
            "ra": ra[near],
            "dec": dec[near],
            "row": row[near],
            "column": column[near],
            "row_stamp": row[near] - first,
            "column_stamp": column[near] - left,
        },
        meta={"in_stamp": within(0.0)[near]},
    )
    for name, unit in (("tmag", "mag"), ("ra", "deg"), ("dec", "deg")):
        table[name].unit = unit
    for name in ("row", "column", "row_stamp", "column_stamp"):
        table[name].unit = "pixel"
    return table


def target_facts(star: TessCatalog, ra_deg: float, dec_deg: float) -> dict[str, float]:
    """What the TASOC photometry module says of its target.

    Parameters
    ----------
    star : TessCatalog
        Of one row.
    ra_deg, dec_deg : float
        Place at the epoch of the observation [deg].

    Returns
    -------
    dict of str to float
        ra, decl (at that epoch), ra_J2000, decl_J2000 [deg], pm_ra, pm_decl [mas/yr], tmag [mag], teff [K].
    """
    at_2000 = propagate(star, 2000.0)
    return {
        "ra": ra_deg,
        "decl": dec_deg,
        "ra_J2000": float(at_2000[0][0]),
        "decl_J2000": float(at_2000[1][0]),
        "pm_ra": float(star.pmra[0]),
        "pm_decl": float(star.pmdec[0]),
        "tmag": float(star.mag[0]),
        "teff": float(star.teff[0]),
    }
