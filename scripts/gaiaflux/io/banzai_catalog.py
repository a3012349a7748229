"""Star positions from the CAT extension of a BANZAI image."""

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from astropy.utils.exceptions import AstropyUserWarning

__all__ = ["catalog_positions", "read_banzai_positions"]


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


def read_banzai_positions(path: str | Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Windowed positions of the catalogue in a file, brightest first, as they stand there.

    Parameters
    ----------
    path : str or Path
        FITS file.

    Returns
    -------
    x, y : ndarray of float64, shape (n_stars,)
        0-based pixel coordinates; None where the file has no such catalogue. Those of a cropped image may be positions
        in the full frame: `gaiaflux.io.frames.read_frame` puts them right.
    """
    with warnings.catch_warnings():
        for category in (VerifyWarning, AstropyUserWarning):
            warnings.simplefilter("ignore", category)
        with open(path, "rb") as stream, fits.open(stream, memmap=False) as hdus:
            found = catalog_positions(hdus)
    return None if found is None else (found["x"], found["y"])
