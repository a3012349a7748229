"""Frames to files in the layout of LCO's BANZAI pipeline, or to a plain single-HDU image in adu."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from astropy.io import fits

from gaiaflux.model.flags import PixelFlag
from gaiaflux.model.frame import Frame, FrameInfo

__all__ = ["write_banzai", "write_plain"]

BANZAI_BAD = 1
BANZAI_SATURATED = 2
MJD_ZERO = datetime(1858, 11, 17, tzinfo=UTC)
RICE_QUANTIZATION = 16.0
"""Steps per noise sigma; the rounding then adds 0.02 % to the noise."""


def write_banzai(
    path: str | Path,
    frame: Frame,
    *,
    science_in_primary: bool = True,
    header: dict[str, object] | None = None,
    catalog: np.ndarray | None = None,
) -> None:
    """Write a frame as BANZAI does: SCI, CAT, BPM and ERR.

    Parameters
    ----------
    path : str or Path
        Written anew. The name's end decides: ``.fits``, ``.fits.gz`` (the whole file) or ``.fits.fz`` (Rice-compressed
        images, with subtractive dither; SCI is then never in the primary HDU).
    frame : Frame
        In electron.
    science_in_primary : bool
        SCI in the primary HDU, as BANZAI did until 2019, or behind an empty one.
    header : dict, optional
        Further cards, or other values for the ones written here.
    catalog : ndarray, optional
        Structured array for the CAT extension, with BANZAI's column names and 1-based positions.

    Raises
    ------
    ValueError
        The frame is not in electron.
    """
    if frame.info.unit != "electron":
        raise ValueError(f"BANZAI's images are in electron, not in {frame.info.unit}")
    compressed = Path(path).name.endswith(".fz")
    cards = _banzai_header(frame.info)
    for name, value in (header or {}).items():
        cards[name] = value
    mask = np.where(frame.pixel_flags & (PixelFlag.BAD | PixelFlag.NONFINITE), BANZAI_BAD, 0).astype(np.uint8)
    mask[frame.pixel_flags & PixelFlag.SATURATED != 0] |= BANZAI_SATURATED
    hdus = fits.HDUList()
    if compressed or not science_in_primary:
        hdus.append(fits.PrimaryHDU())
        hdus.append(_image(frame.image, "SCI", compressed, cards))
    else:
        hdus.append(fits.PrimaryHDU(frame.image, cards))
        hdus[0].header["EXTNAME"] = ("SCI", "extension name")
    if catalog is not None:
        hdus.append(fits.BinTableHDU(catalog, name="CAT"))
    hdus.append(_image(mask, "BPM", compressed, fits.Header()))
    if frame.error is not None:
        hdus.append(_image(frame.error, "ERR", compressed, fits.Header([("BUNIT", "electron")])))
    hdus.writeto(path, overwrite=True, output_verify="exception")


def write_plain(path: str | Path, frame: Frame, *, gain: float, header: dict[str, object] | None = None) -> None:
    """Write a frame's image alone, as unsigned 16-bit integers, the way a small observatory's camera does.

    Parameters
    ----------
    path : str or Path
        Written anew.
    frame : Frame
        In electron.
    gain : float
        [electron/adu].
    header : dict, optional
        Further cards, or other values for the ones written here; a value of None removes a card.
    """
    adu = np.clip(np.rint(frame.image / np.float32(gain)), 0, 65535).astype(np.uint16)
    info = frame.info
    start = _start(info)
    cards = fits.Header()
    cards["DATE-OBS"] = (_isot(start), "[UTC] start of the exposure")
    cards["EXPTIME"] = (info.exptime_s, "[s] exposure time")
    cards["FILTER"] = info.filter
    cards["INSTRUME"] = info.camera
    cards["GAIN"] = (gain, "[electron/adu]")
    cards["RDNOISE"] = (info.read_noise, "[electron]")
    cards["SATURATE"] = (np.floor(info.saturation / gain), "[adu]")
    cards["AIRMASS"] = info.airmass
    cards["BUNIT"] = "adu"
    cards.extend(fits.Header.fromstring(info.wcs_cards, sep="\n"), strip=False)
    for name, value in (header or {}).items():
        if value is None:
            cards.remove(name, ignore_missing=True)
        else:
            cards[name] = value
    fits.PrimaryHDU(adu, cards).writeto(path, overwrite=True)


def _banzai_header(info: FrameInfo) -> fits.Header:
    start = _start(info)
    stop = start + timedelta(seconds=info.exptime_s)
    rows: list[tuple[str, object, str]] = [
        ("ORIGIN", "LCOGT", "Organization"),
        ("SITEID", "lsc", "ID code of the site"),
        ("ENCID", "doma", "ID code of the Enclosure"),
        ("TELID", "1m0a", "ID code of the Telescope"),
        ("TELESCOP", "1m0-05", "The Name of the Telescope"),
        ("LATITUDE", info.site_lat_deg, "[deg North] Telescope Latitude"),
        ("LONGITUD", info.site_lon_deg, "[deg East] Telescope Longitude"),
        ("HEIGHT", info.site_height_m, "[m] Altitude above sea level"),
        ("OBSTYPE", "EXPOSE", "Observation type"),
        ("ORIGNAME", info.frame_id.replace("e91", "e00") + ".fits", "Fname written by ICS"),
        ("TIMESYS", "UTC", "Time system used"),
        ("DATE-OBS", _isot(start), "[UTC] Start of the exposure"),
        ("DAY-OBS", (start - timedelta(hours=12)).strftime("%Y%m%d"), "[UTC] Date of the night"),
        ("UTSTART", _isot(start)[11:], "[UTC] Start time"),
        ("UTSTOP", _isot(stop)[11:], "[UTC] Finish time"),
        ("MJD-OBS", round(info.mjd_utc - 0.5 * info.exptime_s / 86400.0, 7), "[UTC days] Start date/time"),
        ("EXPTIME", info.exptime_s, "[s] Exposure length"),
        ("FILTER", info.filter, "Filter used"),
        ("INSTRUME", info.camera, "Instrument used"),
        ("GAIN", 1.0, "[electrons/count] Pixel gain"),
        ("RDNOISE", info.read_noise, "[electrons/pixel] Read noise"),
        ("DARKCURR", 0.0, "[electrons/pixel/s] Dark current"),
        ("SATURATE", info.saturation, "[electron] Saturation level"),
        ("MAXLIN", info.saturation, "[electron] Non-linearity level"),
        ("CCDSUM", "1 1", "CCD on-chip summing/binning"),
        ("PIXSCALE", info.pixel_scale_arcsec, "[arcsec/pixel] Nominal pixel scale"),
        ("RA", _sexagesimal(info.ra_deg / 15.0, 4), "[HH:MM:SS.sss] RA of the pointing"),
        ("DEC", _sexagesimal(info.dec_deg, 3, signed=True), "[sDD:MM:SS.ss] Dec of the pointing"),
        ("OBJECT", info.frame_id, "Object name"),
        ("AIRMASS", round(info.airmass, 7), "Effective mean airmass"),
        ("BUNIT", "electron", "Unit of the pixels"),
        ("L1FWHM", "N/A", "[arcsec] Frame FWHM in arcsec"),
        ("L1ELLIP", "N/A", "Mean image ellipticity (1-B/A)"),
        ("L1MEDIAN", "N/A", "[electron] Median of frame background"),
        ("RLEVEL", 91, "Reduction level"),
        ("WCSERR", 0, "Error status of WCS fit"),
    ]
    cards = fits.Header()
    for name, value, comment in rows:
        unknown = isinstance(value, float) and not np.isfinite(value)
        cards[name] = ("N/A" if unknown else value, comment)
    if info.wcs_cards:
        cards.extend(fits.Header.fromstring(info.wcs_cards, sep="\n"), strip=False)
    return cards


def _image(data: np.ndarray, name: str, compressed: bool, header: fits.Header) -> fits.ImageHDU | fits.CompImageHDU:
    if not compressed:
        return fits.ImageHDU(data, header, name=name)
    if data.dtype.kind == "f":
        return fits.CompImageHDU(
            data,
            header,
            name=name,
            compression_type="RICE_1",
            quantize_level=RICE_QUANTIZATION,
            quantize_method=1,
            dither_seed=1,
        )
    return fits.CompImageHDU(data, header, name=name, compression_type="RICE_1")


def _start(info: FrameInfo) -> datetime:
    return MJD_ZERO + timedelta(days=info.mjd_utc, seconds=-0.5 * info.exptime_s)


def _isot(time: datetime) -> str:
    """Date and time to the millisecond."""
    return (time + timedelta(microseconds=500)).replace(tzinfo=None).isoformat(timespec="milliseconds")


def _sexagesimal(value: float, digits: int, *, signed: bool = False) -> str:
    """Hours or degrees, minutes and seconds, with colons."""
    if not np.isfinite(value):
        return "N/A"
    units = round(abs(value) * 3600 * 10**digits)
    seconds, fraction = divmod(units, 10**digits)
    minutes, seconds = divmod(seconds, 60)
    whole, minutes = divmod(minutes, 60)
    sign = ("-" if value < 0 else "+") if signed else ""
    return f"{sign}{whole:02d}:{minutes:02d}:{seconds:02d}.{fraction:0{digits}d}"
