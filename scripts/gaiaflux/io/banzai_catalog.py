"""Star positions from the CAT extension of a BANZAI image."""

import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from astropy.utils.exceptions import AstropyUserWarning

__all__ = ["read_banzai_positions"]


def read_banzai_positions(path: str | Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Windowed positions of the catalogue, brightest first.

    Parameters
    ----------
    path : str or Path
        FITS file.

    Returns
    -------
    x, y : ndarray of float64, shape (n_stars,)
        0-based pixel coordinates (the file's are 1-based); None where the file has no such catalogue.
    """
    with warnings.catch_warnings():
        for category in (VerifyWarning, AstropyUserWarning):
            warnings.simplefilter("ignore", category)
        with fits.open(path, mode="readonly", memmap=False) as hdus:
            table = next((hdu for hdu in hdus if hdu.name == "CAT" and isinstance(hdu, fits.BinTableHDU)), None)
            if table is None:
                return None
            names = {name.upper(): name for name in table.columns.names}
            if not {"X", "Y", "FLUX"} <= set(names):
                return None
            x = np.asarray(table.data[names.get("XWIN", names["X"])], np.float64) - 1.0
            y = np.asarray(table.data[names.get("YWIN", names["Y"])], np.float64) - 1.0
            flux = np.asarray(table.data[names["FLUX"]], np.float64)
    usable = np.isfinite(x) & np.isfinite(y) & np.isfinite(flux)
    order = np.flatnonzero(usable)[np.argsort(-flux[usable], kind="stable")]
    return x[order], y[order]
