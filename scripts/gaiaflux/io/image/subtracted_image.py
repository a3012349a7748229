"""Images of which the stars have been subtracted, as FITS."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits

from gaiaflux.io.atomic import replacing

__all__ = ["write_subtracted"]


def write_subtracted(path: str | Path, image: np.ndarray, wcs_cards: str, facts: Mapping[str, tuple]) -> None:
    """Write an image with a plate solution.

    Parameters
    ----------
    path : str or Path
        FITS file; it appears under its name only when all of it is there.
    image : ndarray of float32, shape (ny, nx)
        Counts.
    wcs_cards : str
        FITS cards of the plate solution, one a line.
    facts : mapping of str to tuple
        Further keywords: (value, comment). What is not finite is left out.
    """
    hdu = fits.PrimaryHDU(image)
    hdu.header.extend(fits.Header.fromstring(wcs_cards, sep="\n"))
    for keyword, (value, comment) in facts.items():
        if not isinstance(value, float) or np.isfinite(value):
            hdu.header[keyword] = (value, comment)
    with replacing(path) as temporary:
        hdu.writeto(temporary)
