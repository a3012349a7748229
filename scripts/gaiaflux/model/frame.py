"""One image and what its header says."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Frame", "FrameInfo"]

NAN = float("nan")


@dataclass(frozen=True)
class FrameInfo:
    """What is known of a frame before it is measured.

    Attributes
    ----------
    frame_id : str
        Base name without FITS endings, or the name that a sheet gives.
    path : str
        File as configured.
    sha256 : str
        Checksum of the file's bytes; empty where it was not asked for.
    camera, filter : str
        As in the header; empty where unknown.
    shape : tuple of int
        (ny, nx) of the science pixels.
    unit : str
        ``electron``, or ``adu`` where no gain is known.
    exptime_s : float
        Exposure time [s].
    mjd_utc : float
        Mid-exposure at the observatory, Modified Julian Date, UTC [d].
    time_rule : str
        How `mjd_utc` was found, for a person to check.
    airmass : float
        NaN where unknown.
    gain : float
        Electron per adu of the file's numbers; NaN where unknown. The pixels of `Frame` are already multiplied by it.
    read_noise : float
        Read noise [electron]; NaN where unknown.
    saturation : float
        Saturation level in `unit`, from the header or from equal maxima; NaN where neither shows one.
    pixel_scale_arcsec : float
        Nominal scale from the header or the configuration; NaN where neither has it.
    wcs_cards : str
        The header's celestial WCS as FITS cards, one a line; empty where there is none.
    ra_deg, dec_deg : float
        Pointing from the header where there is no WCS [deg, ICRS]; NaN where unknown.
    site_lat_deg, site_lon_deg, site_height_m, aperture_m : float
        Observatory (longitude positive to the east) and telescope diameter; NaN where unknown.
    """

    frame_id: str
    path: str
    shape: tuple[int, int]
    unit: str
    exptime_s: float
    mjd_utc: float
    time_rule: str
    sha256: str = ""
    camera: str = ""
    filter: str = ""
    airmass: float = NAN
    gain: float = NAN
    read_noise: float = NAN
    saturation: float = NAN
    pixel_scale_arcsec: float = NAN
    wcs_cards: str = ""
    ra_deg: float = NAN
    dec_deg: float = NAN
    site_lat_deg: float = NAN
    site_lon_deg: float = NAN
    site_height_m: float = NAN
    aperture_m: float = NAN


@dataclass(frozen=True)
class Frame:
    """Pixels of one exposure; pixel (0, 0) is the centre of the first pixel, x = column, y = row.

    Attributes
    ----------
    info : FrameInfo
        Header facts.
    image : ndarray of float32, shape (ny, nx)
        Counts in `info.unit`; finite everywhere (non-finite pixels are zero and flagged).
    error : ndarray of float32, shape (ny, nx), or None
        One sigma per pixel in `info.unit` where the file has it; None means: use gain, read noise and sky.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Bits of `gaiaflux.model.flags.PixelFlag`; zero = good.
    seeds : tuple of ndarray of float64, or None
        x, y of a star catalogue that came with the image [0-based pixel], brightest first; None where there is none or
        it was not asked for.
    """

    info: FrameInfo
    image: np.ndarray
    error: np.ndarray | None
    pixel_flags: np.ndarray
    seeds: tuple[np.ndarray, np.ndarray] | None = None
