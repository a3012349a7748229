"""Where the stars of a catalogue are on an image."""

import numpy as np

from gaiaflux.core.sky.epoch import jyear_of_mjd, propagate
from gaiaflux.core.sky.projection import sky_to_pixel
from gaiaflux.core.sky.timing import earth_position_au
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.wcs import TanSip

__all__ = ["places_on_image"]


def places_on_image(catalog: SkyCatalog, wcs: TanSip, mjd_utc: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions of stars on an image at its epoch, with proper motion and parallax.

    Parameters
    ----------
    catalog : SkyCatalog
        Stars.
    wcs : TanSip
        Plate solution of the image.
    mjd_utc : float
        Its mid-exposure [d].

    Returns
    -------
    x, y : ndarray of float64, shape (n_stars,)
        [pixel, 0-based]; NaN for stars behind the tangent plane or without a position.
    """
    return sky_to_pixel(wcs, *propagate(catalog, jyear_of_mjd(mjd_utc), earth_position_au(mjd_utc)))
