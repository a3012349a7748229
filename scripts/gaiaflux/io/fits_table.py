"""Structured arrays to FITS tables."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits

__all__ = ["write_fits_tables"]


def write_fits_tables(
    path: str | Path, tables: Mapping[str, np.ndarray], units: Mapping[str, str] | None = None
) -> None:
    """Write tables as extensions of a new FITS file.

    Parameters
    ----------
    path : str or Path
        Written anew.
    tables : mapping of str to structured ndarray
        Extension name to table; 64-bit integers stay what they are.
    units : mapping of str to str, optional
        Column name to FITS unit, for all tables.
    """
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for name, table in tables.items():
        hdu = fits.BinTableHDU(table, name=name)
        for column in hdu.columns:
            unit = (units or {}).get(column.name)
            if unit:
                column.unit = unit
        hdus.append(hdu)
    hdus.writeto(path, overwrite=True)
