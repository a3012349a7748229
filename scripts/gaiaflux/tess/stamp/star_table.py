"""The stars of a stamp as a table."""

import numpy as np
from astropy.table import Table

from gaiaflux.core.sky.epoch import propagate
from gaiaflux.model.tess_catalog import TessCatalog
from gaiaflux.tess.stamp.placed_stars import PlacedStars
from gaiaflux.tess.stamp.stamps import Stamp

__all__ = ["BUFFER_PIX", "star_table", "target_facts"]

BUFFER_PIX = 5.0
"""Stars so far outside of a stamp are in its table: their light reaches into it [pixel]."""


def star_table(stars: PlacedStars, stamp: Stamp) -> Table:
    """Stars within a stamp and `BUFFER_PIX` around it.

    Parameters
    ----------
    stars : PlacedStars
    stamp : Stamp
        On the CCD.

    Returns
    -------
    astropy.table.Table
        starid, tmag, ra, dec [deg], row, column, row_stamp, column_stamp [pixel, 0-based]; also where it is empty.
        ``meta["in_stamp"]``: ndarray of bool, whether each is within the stamp itself.
    """
    near = np.flatnonzero(stars.within(stamp, BUFFER_PIX))
    row, column = stars.row[near], stars.column[near]
    table = Table(
        {
            "starid": stars.catalog.star_id[near],
            "tmag": stars.catalog.mag[near],
            "ra": stars.ra_deg[near],
            "dec": stars.dec_deg[near],
            "row": row,
            "column": column,
            "row_stamp": row - stamp[0],
            "column_stamp": column - stamp[2],
        },
        meta={"in_stamp": stars.within(stamp)[near]},
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
