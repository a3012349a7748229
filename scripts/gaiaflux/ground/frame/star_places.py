"""The stars of a catalogue at their places in a frame."""

import numpy as np

from gaiaflux.core.sky.star_positions import places_on_image
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.frame import Frame
from gaiaflux.model.measurement import PlacedFrame
from gaiaflux.model.wcs import TanSip

__all__ = ["place_stars"]


def place_stars(frame: Frame, wcs: TanSip, catalog: SkyCatalog, fwhm_pix: float) -> PlacedFrame:
    """Carry the stars of a catalogue to a frame's epoch (proper motion, parallax) and find their places in it.

    Parameters
    ----------
    frame : Frame
        Pixels.
    wcs : TanSip
        Refined plate solution of this frame.
    catalog : SkyCatalog
        Stars.
    fwhm_pix : float
        The frame's seeing.

    Returns
    -------
    PlacedFrame

    Raises
    ------
    BadFrameError
        The seeing is not known.
    """
    x, y = places_on_image(catalog, wcs, frame.info.mjd_utc)
    if not (np.isfinite(fwhm_pix) and fwhm_pix > 0):
        raise BadFrameError("no star to measure the seeing with")
    return PlacedFrame(frame, wcs, catalog, x, y, float(fwhm_pix))
