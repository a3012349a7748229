"""Image files to `Frame`: LCO/BANZAI layout (SCI, ERR, BPM) and plain single images, compressed or not.

Files are opened read-only. What makes a frame unusable is a `BadFrameError` whose text becomes its status.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError

from gaiaflux.core.image.bad_lines import bad_lines
from gaiaflux.core.image.pixel_flags import flag_pixels, flat_top_level
from gaiaflux.io.checksum import file_sha256
from gaiaflux.io.image import header as facts
from gaiaflux.io.image.instruments import Keys, instrument_keys
from gaiaflux.io.image.planes import read_planes
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import PixelFlag
from gaiaflux.model.frame import Frame, FrameInfo
from gaiaflux.model.settings.companions import CompanionsSettings
from gaiaflux.model.settings.header import HeaderSettings
from gaiaflux.model.settings.site import SiteSettings
from gaiaflux.model.typed import typed

__all__ = ["FrameSettings", "frame_settings", "read_frame"]

ELECTRON_UNITS = ("electron", "electrons", "e-", "e", "photon", "photons")
PER_SECOND = re.compile(r" *(/ *|per *)s(ec(ond)?)?$| +s-1$|\.s-1$", re.IGNORECASE)
# fmt: off
CALIBRATIONS = {
    "bias", "bias frame", "zero", "dark", "dark frame", "flat", "flat frame", "flat field", "dome flat", "domeflat",
    "sky flat", "skyflat", "lampflat", "bpm", "arc", "master bias", "master dark", "master flat",
}
# fmt: on
POINTING = (("RA", "DEC"), ("RA_OBS", "DEC_OBS"), ("OBJCTRA", "OBJCTDEC"))
# fmt: off
WCS_KEYWORDS = (
    "CTYPE", "CUNIT", "CRVAL", "CRPIX", "CDELT", "CROTA", "CD1_", "CD2_", "PC1_", "PC2_", "PC001", "PC002", "PV1_",
    "PV2_", "A_", "B_", "AP_", "BP_", "WAT0_", "WAT1_", "WAT2_", "LONPOLE", "LATPOLE", "RADESYS", "RADECSYS", "EQUINOX",
)
# fmt: on


@dataclass(frozen=True)
class FrameSettings:
    """How the images of a series are to be read.

    Attributes
    ----------
    header, site : HeaderSettings, SiteSettings or None
        The series' settings of these names; missing entries come from the instrument's row or the defaults.
    pixel_scale_arcsec : float or None
        Nominal scale where the header has none.
    centre_deg : tuple of float or None
        Field centre [deg], the pointing where the header has none.
    extension : str, int or None
        Name or number of the image in files of several.
    companions : CompanionsSettings or None
        Where mask, weight and error are, see `gaiaflux.io.image.planes.read_planes`.
    """

    header: HeaderSettings | None = None
    site: SiteSettings | None = None
    pixel_scale_arcsec: float | None = None
    centre_deg: tuple[float, float] | None = None
    extension: str | int | None = None
    companions: CompanionsSettings | None = None


def frame_settings(reading: Mapping[str, Any]) -> FrameSettings:
    """Settings from their configuration, where absent entries are None.

    Parameters
    ----------
    reading : mapping
        header, site, pixel_scale_arcsec, centre_deg, extension and companions of a series.

    Returns
    -------
    FrameSettings
    """
    centre = reading.get("centre_deg")
    return FrameSettings(
        header=typed(HeaderSettings, reading["header"]) if reading.get("header") else None,
        site=typed(SiteSettings, reading["site"]) if reading.get("site") else None,
        pixel_scale_arcsec=reading.get("pixel_scale_arcsec"),
        centre_deg=(float(centre[0]), float(centre[1])) if centre else None,
        extension=reading.get("extension"),
        companions=typed(CompanionsSettings, reading["companions"]) if reading.get("companions") else None,
    )


def read_frame(
    path: str | Path,
    frame_id: str,
    settings: FrameSettings,
    overrides: Mapping[str, Any] | None = None,
    *,
    want_error: bool = True,
    want_checksum: bool = False,
    want_seeds: bool = False,
) -> Frame:
    """Read an image and what its header says.

    Parameters
    ----------
    path : str or Path
        FITS file; compressed by gzip or by tile compression, whatever its ending says.
    frame_id : str
        Identifier of the frame.
    settings : FrameSettings
        The series' settings.
    overrides : mapping, optional
        The frame's row of a sheet: exptime, gain, read_noise, saturation, filter, camera, airmass, mjd_utc.
    want_error, want_checksum, want_seeds : bool
        Whether to read the error plane, to sum the file's bytes, and to read the star catalogue; each takes time.

    Returns
    -------
    Frame
        Counts in electrons where the gain is known. Non-finite pixels are zero and flagged.

    Raises
    ------
    BadFrameError
        The file cannot be used; the text says why.
    """
    planes = read_planes(path, settings.extension, settings.companions, want_error=want_error, want_seeds=want_seeds)
    header, image = planes.header, planes.image
    info, scale = _frame_info(header, image.shape, Path(path), frame_id, settings, overrides or {})
    saturation = info.saturation if math.isfinite(info.saturation) else np.inf
    pixels, flags, n_finite = flag_pixels(np.ascontiguousarray(image, np.float32), scale, saturation)
    if n_finite == 0:
        raise BadFrameError("no finite pixel in the image")
    if planes.mask is not None:
        own = settings.companions is None or settings.companions.mask is None
        flags |= _mask_flags(planes.mask, lco=own and str(header.get("ORIGIN", "")).strip() == "LCOGT")
    else:
        flags[bad_lines(pixels, flags)] |= PixelFlag.BAD
    if not math.isfinite(info.saturation):
        info = replace(info, saturation=flat_top_level(pixels, flags))
        flags[pixels >= info.saturation] |= PixelFlag.SATURATED
    error = None
    if planes.error is not None:
        error = planes.error * np.float32(scale)
        flags[~(np.isfinite(error) & (error > 0))] |= PixelFlag.NONFINITE
    if want_checksum:
        info = replace(info, sha256=file_sha256(path))
    return Frame(info, pixels, error if want_error else None, flags, planes.seeds)


def _mask_flags(mask: np.ndarray, *, lco: bool) -> np.ndarray:
    """Pixel flags of a mask: nonzero is bad; LCO marks saturated pixels with bit 2."""
    saturated = (mask & 2) != 0 if lco and mask.dtype.kind in "ui" else np.zeros(mask.shape, bool)
    bad = (mask != 0) & ~(saturated & (mask == 2))
    return (bad * np.uint8(PixelFlag.BAD)) | (saturated * np.uint8(PixelFlag.SATURATED))


def _frame_info(
    header: fits.Header,
    shape: tuple[int, int],
    path: Path,
    frame_id: str,
    settings: FrameSettings,
    overrides: Mapping[str, Any],
) -> tuple[FrameInfo, float]:
    """What the header says, and the factor from the file's numbers to the frame's unit."""
    for keyword in ("OBSTYPE", "IMAGETYP"):
        kind = str(header.get(keyword, "")).strip()
        if kind.lower() in CALIBRATIONS:
            raise BadFrameError(f"not an image of the sky ({keyword} = {kind})")
    keys = facts.merge_keys(instrument_keys(header), settings.header, settings.site, overrides)
    exptime = facts.number(header, keys.exptime)
    if not math.isfinite(exptime):
        raise BadFrameError(f"no exposure time ({keys.exptime} is missing): set header.exptime")
    if exptime <= 0:
        raise BadFrameError(f"exposure time is {exptime:g} s")
    gain, per_second = _gain(header, keys, configured=_is_configured("gain", settings, overrides))
    factor = gain if math.isfinite(gain) else 1.0
    saturation = facts.number(header, keys.saturation)
    ra, dec = _pointing(header, settings.centre_deg)
    mjd_utc = overrides.get("mjd_utc")
    if mjd_utc is not None:
        mjd_utc, rule = float(mjd_utc), "mjd_utc of the sheet"
    else:
        mjd_utc, rule = facts.mid_exposure(header, exptime, keys.time, (ra, dec))
    scale = facts.number(header, "PIXSCALE")
    info = FrameInfo(
        frame_id=frame_id,
        path=str(path),
        shape=shape,
        unit="electron" if math.isfinite(gain) else "adu",
        exptime_s=exptime,
        mjd_utc=mjd_utc,
        time_rule=rule,
        camera=str(overrides.get("camera") or facts.text(header, keys.camera)),
        filter=str(overrides.get("filter") or facts.text(header, keys.filter)),
        airmass=facts.number(header, keys.airmass),
        gain=gain,
        read_noise=facts.number(header, keys.read_noise),
        saturation=saturation * factor if saturation > 0 else math.nan,
        pixel_scale_arcsec=settings.pixel_scale_arcsec or scale,
        wcs_cards=_wcs_cards(header),
        ra_deg=ra,
        dec_deg=dec,
        site_lat_deg=facts.number(header, keys.site.lat_deg),
        site_lon_deg=facts.number(header, keys.site.lon_deg),
        site_height_m=facts.number(header, keys.site.height_m),
        aperture_m=facts.number(header, keys.site.aperture_m),
    )
    return info, factor * (exptime if per_second else 1.0)


def _is_configured(name: str, settings: FrameSettings, overrides: Mapping[str, Any]) -> bool:
    """Whether the user says it, for the series or for the frame."""
    return getattr(settings.header, name, None) is not None or overrides.get(name) is not None


def _gain(header: fits.Header, keys: Keys, *, configured: bool) -> tuple[float, bool]:
    """Gain [electron per adu; NaN where unknown], and whether the numbers are per second of exposure."""
    unit = str(keys.unit or header.get("BUNIT", "")).strip().lower()
    per_second = PER_SECOND.search(unit) is not None
    if PER_SECOND.sub("", unit) in ELECTRON_UNITS and not configured:
        return 1.0, per_second
    gain = facts.number(header, keys.gain)
    return gain if gain > 0 else math.nan, per_second


def _pointing(header: fits.Header, centre_deg: tuple[float, float] | None) -> tuple[float, float]:
    if centre_deg is not None:
        return float(centre_deg[0]), float(centre_deg[1])
    for names in POINTING:
        ra, dec = (header.get(name) for name in names)
        if isinstance(ra, str) and isinstance(dec, str) and len(ra.replace(":", " ").split()) > 1:
            # Sexagesimal right ascension is in hours by universal habit.
            place = 15.0 * facts.sexagesimal(ra.strip()), facts.sexagesimal(dec.strip())
        else:
            place = facts.number(header, names[0]), facts.number(header, names[1])
        if math.isfinite(sum(place)):
            return place
    return math.nan, math.nan


def _wcs_cards(header: fits.Header) -> str:
    """Cards of the primary celestial WCS, one a line; empty where the header has none."""
    if not str(header.get("CTYPE1", "")).strip() or not str(header.get("CTYPE2", "")).strip():
        return ""
    lines = []
    for card in header.cards:
        keyword = card.keyword
        if keyword.startswith(WCS_KEYWORDS) and not _alternate(keyword):
            try:
                lines.append(fits.Card(keyword, card.value).image.rstrip())
            except (VerifyError, ValueError):
                continue
    return "\n".join(lines)


def _alternate(keyword: str) -> bool:
    """Whether the keyword belongs to an alternate WCS (CTYPE1A ...), which is not read."""
    return (
        keyword[-1].isalpha() and keyword[:5] in ("CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT") and keyword[-2].isdigit()
    )
