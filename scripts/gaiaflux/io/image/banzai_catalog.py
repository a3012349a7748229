"""Star positions from the CAT extension of a BANZAI image."""

from collections.abc import Iterable

import numpy as np
from astropy.io import fits

__all__ = ["catalog_positions"]


def catalog_positions(hdus: Iterable[fits.hdu.base._BaseHDU]) -> dict[str, np.ndarray] | None:
    """Stars of the CAT extension, brightest first.

    Parameters
    ----------
    hdus : iterable of HDU
        The open file.

    Returns
    -------
    dict of str to ndarray of float64, shape (n_stars,), or None
        x, y: windowed positions, 0-based [pixel] (the file's are 1-based), of the image that the catalogue was made
        from; ra, dec [deg] where the catalogue has them. None where there is no such catalogue.
    """
    table = next((hdu for hdu in hdus if hdu.name == "CAT" and isinstance(hdu, fits.BinTableHDU)), None)
    if table is None:
        return None
    names = {name.upper(): name for name in table.columns.names}
    if not {"X", "Y", "FLUX"} <= set(names):
        return None
    flux = np.asarray(table.data[names["FLUX"]], np.float64)
    columns = {
        "x": np.asarray(table.data[names.get("XWIN", names["X"])], np.float64) - 1.0,
        "y": np.asarray(table.data[names.get("YWIN", names["Y"])], np.float64) - 1.0,
    }
    if {"RA", "DEC"} <= set(names):
        columns |= {key: np.asarray(table.data[names[key.upper()]], np.float64) for key in ("ra", "dec")}
    usable = np.isfinite(columns["x"]) & np.isfinite(columns["y"]) & np.isfinite(flux)
    order = np.flatnonzero(usable)[np.argsort(-flux[usable], kind="stable")]
    return {key: values[order] for key, values in columns.items()}
