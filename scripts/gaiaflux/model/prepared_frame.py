"""One full-frame image after its preparation: pixels, sky, where its stars are, and what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gaiaflux.model.wcs import TanSip

__all__ = ["CENTROIDS", "FRAME_FACTS", "CentroidTable", "PreparedFrame"]

FRAME_FACTS = {
    "path": ("", "file"),
    "origin": ("", "'spoc-ffi' or 'tica-ffi'"),
    "procver": ("", "version of the pipeline"),
    "data_release": ("", "of the mission; -1 = not stated"),
    "cadenceno": ("", "number of the cadence"),
    "mjd_tdb": ("d", "mid-exposure at the spacecraft"),
    "exptime_s": ("s", "time in which light was gathered"),
    "timecorr_d": ("d", "light time to the barycentre for timecorr_ra, timecorr_dec"),
    "timecorr_ra": ("deg", "direction of timecorr_d; NaN where not known"),
    "timecorr_dec": ("deg", "direction of timecorr_d; NaN where not known"),
    "clock_offset_s": ("s", "added to the file's time stamps for the clock of its data release"),
    "quality": ("", "bits of the mission"),
    "flags": ("", "bits of gaiaflux.model.flags.FrameFlag"),
    "errors": ("", "where the errors of pixels are from for which the file states none"),
    "sky": ("electron/s", "median of the sky's mesh"),
}
"""Unit and description of what is kept of each frame, by name."""


CENTROIDS = ("x", "y", "x_err", "y_err", "spread", "spread_err")
"""Columns of `CentroidTable` that were measured."""


@dataclass(frozen=True)
class CentroidTable:
    """Places of stars in one frame.

    Attributes
    ----------
    star_id : ndarray of int64, shape (n,)
        Of the catalogue.
    x, y, x_err, y_err : ndarray of float64, shape (n,)
        Place and its one-sigma error [pixel, 0-based in the image]; NaN where the fit failed.
    spread, spread_err : ndarray of float64, shape (n,)
        How much more variance the star's image has than the response function, and its error [pixel^2].
    """

    star_id: np.ndarray
    x: np.ndarray
    y: np.ndarray
    x_err: np.ndarray
    y_err: np.ndarray
    spread: np.ndarray
    spread_err: np.ndarray


@dataclass(frozen=True)
class PreparedFrame:
    """What the preparation keeps of an image.

    Attributes
    ----------
    facts : mapping
        `FRAME_FACTS`.
    flux : ndarray of float32, shape (ny, nx)
        As calibrated, with the sky [electron/s]; NaN where there is none.
    flux_err : ndarray of float32, shape (ny, nx)
        One-sigma error, without the sky's [electron/s].
    sky : mapping of str to ndarray or int
        Arrays of `gaiaflux.core.image.ccd_sky.FrameSky`.
    centroids : CentroidTable
        Of the stars that tell the motion.
    wcs : TanSip or None
        As the file has it, in coordinates of `flux`.
    remarks : tuple of str
        What is odd about the image.
    """

    facts: Mapping[str, str | int | float]
    flux: np.ndarray
    flux_err: np.ndarray
    sky: Mapping[str, np.ndarray | int]
    centroids: CentroidTable
    wcs: TanSip | None
    remarks: tuple[str, ...] = field(default=())
