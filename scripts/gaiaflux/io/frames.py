"""Image files to `Frame`: LCO/BANZAI layout (SCI, ERR, BPM) and plain single images, compressed or not.

Files are opened read-only. What makes a frame unusable is a `BadFrameError` whose text becomes its status.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError, VerifyWarning
from astropy.utils.exceptions import AstropyUserWarning

from gaiaflux.core.pixels import flag_pixels
from gaiaflux.io import header as facts
from gaiaflux.io.checksum import file_sha256
from gaiaflux.io.instruments import instrument_settings
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import PixelFlag
from gaiaflux.model.frame import Frame, FrameInfo

__all__ = ["FrameSettings", "frame_settings", "read_frame"]

# What astropy raises for a file that is cut short, garbled or not FITS at all.
UNREADABLE = (OSError, EOFError, AstropyUserWarning, VerifyError, ValueError, TypeError, KeyError, IndexError)
MASK_NAMES = ("BPM", "MASK", "DQ")
ERROR_NAMES = ("ERR", "ERROR", "SIGMA")
ELECTRON_UNITS = ("electron", "electrons", "e-", "e", "photon", "photons")
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
    header, site : mapping
        The series' settings of these names; missing entries come from the instrument's row or the defaults.
    pixel_scale_arcsec : float or None
        Nominal scale where the header has none.
    centre_deg : tuple of float or None
        Field centre [deg], the pointing where the header has none.
    """

    header: Mapping[str, object] = field(default_factory=dict)
    site: Mapping[str, object] = field(default_factory=dict)
    pixel_scale_arcsec: float | None = None
    centre_deg: tuple[float, float] | None = None


def frame_settings(reading: Mapping[str, object]) -> FrameSettings:
    """Settings from their configuration, where absent entries are None.

    Parameters
    ----------
    reading : mapping
        header, site, pixel_scale_arcsec and centre_deg of a series.

    Returns
    -------
    FrameSettings
    """
    centre = reading.get("centre_deg")
    return FrameSettings(
        header=reading.get("header") or {},
        site=reading.get("site") or {},
        pixel_scale_arcsec=reading.get("pixel_scale_arcsec"),
        centre_deg=tuple(centre) if centre else None,
    )


def read_frame(
    path: str | Path,
    frame_id: str,
    settings: FrameSettings,
    overrides: Mapping[str, object] | None = None,
    *,
    want_error: bool = True,
    want_checksum: bool = False,
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
    want_error, want_checksum : bool
        Whether to read the error plane and to sum the file's bytes; both take time.

    Returns
    -------
    Frame
        Counts in electrons where the gain is known. Non-finite pixels are zero and flagged.

    Raises
    ------
    BadFrameError
        The file cannot be used; the text says why.
    """
    with warnings.catch_warnings():
        for category in (VerifyWarning, AstropyUserWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("error", message="File may have been truncated")
        try:
            # The stream is ours, so that it is closed even where astropy gives up half way.
            with open(path, "rb") as stream, fits.open(stream, memmap=False) as hdus:
                science = _science_hdu(hdus)
                header = _full_header(hdus, science)
                image = _plane(science)
                mask = _companion(hdus, science, MASK_NAMES, image.shape)
                error = _companion(hdus, science, ERROR_NAMES, image.shape) if want_error else None
        except FileNotFoundError:
            raise
        except (
            OSError,
            EOFError,
            AstropyUserWarning,
            VerifyError,
            ValueError,
            TypeError,
            KeyError,
            IndexError,
        ) as failure:
            raise BadFrameError(f"not a readable FITS file: {_first_line(failure)}") from failure
    info = _frame_info(header, image.shape, Path(path), frame_id, settings, overrides or {})
    scale = info.gain if math.isfinite(info.gain) else 1.0
    saturation = info.saturation if math.isfinite(info.saturation) else np.inf
    pixels, flags, n_finite = flag_pixels(np.ascontiguousarray(image, np.float32), scale, saturation)
    if n_finite == 0:
        raise BadFrameError("no finite pixel in the image")
    if mask is not None:
        flags |= _mask_flags(mask, lco=str(header.get("ORIGIN", "")).strip() == "LCOGT")
    if error is not None:
        error = np.ascontiguousarray(error, np.float32) * np.float32(scale)
        flags[~(np.isfinite(error) & (error > 0))] |= PixelFlag.NONFINITE
    if want_checksum:
        info = FrameInfo(**{**info.__dict__, "sha256": file_sha256(path)})
    return Frame(info, pixels, error, flags)


def _first_line(failure: Exception) -> str:
    lines = str(failure).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(failure).__name__


def _science_hdu(hdus: fits.HDUList) -> fits.hdu.base._BaseHDU:
    """The image to measure: named SCI, or the only image of the file."""
    images = [hdu for hdu in hdus if hdu.is_image and hdu.header.get("NAXIS", 0) >= 2]
    named = [hdu for hdu in images if hdu.name == "SCI" or str(hdu.header.get("EXTNAME", "")).strip() == "SCI"]
    if len(named) > 1:
        raise BadFrameError(f"{len(named)} SCI images in one file (several amplifiers or detectors)")
    if named:
        return named[0]
    others = [hdu for hdu in images if hdu.name not in (*MASK_NAMES, *ERROR_NAMES)]
    if not others:
        raise BadFrameError("no image in the file")
    if others[0] is not hdus[0] and len(others) > 1:
        raise BadFrameError(f"{len(others)} images in one file and none is named SCI")
    return others[0]


def _full_header(hdus: fits.HDUList, science: fits.hdu.base._BaseHDU) -> fits.Header:
    """The science header, completed by the primary one."""
    header = science.header.copy()
    if science is not hdus[0]:
        header.extend(hdus[0].header, unique=True, strip=True)
    return header


def _plane(hdu: fits.hdu.base._BaseHDU) -> np.ndarray:
    data = hdu.data
    if data is None:
        raise BadFrameError("the image has no pixels")
    data = np.squeeze(data)
    if data.ndim != 2:
        raise BadFrameError(f"the image has {data.ndim} axes, not 2")
    if min(data.shape) < 16:
        raise BadFrameError(f"the image has only {data.shape[1]} x {data.shape[0]} pixels")
    return data


def _companion(
    hdus: fits.HDUList, science: fits.hdu.base._BaseHDU, names: tuple[str, ...], shape: tuple[int, int]
) -> np.ndarray | None:
    for hdu in hdus:
        if hdu is not science and hdu.is_image and hdu.name in names:
            data = _plane(hdu)
            if data.shape != shape:
                raise BadFrameError(
                    f"{hdu.name} has {data.shape[1]} x {data.shape[0]} pixels, the image {shape[1]} x {shape[0]}"
                )
            return data
    return None


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
    overrides: Mapping[str, object],
) -> FrameInfo:
    keys = facts.merge_settings(instrument_settings(header), settings.header, settings.site, overrides)
    exptime = facts.number(header, keys["exptime"])
    if not math.isfinite(exptime):
        raise BadFrameError(f"no exposure time ({keys['exptime']} is missing): set header.exptime")
    if exptime <= 0:
        raise BadFrameError(f"exposure time is {exptime:g} s")
    gain, saturation = _gain_and_saturation(header, keys, configured="gain" in settings.header or "gain" in overrides)
    ra, dec = _pointing(header, settings.centre_deg)
    mjd_utc = overrides.get("mjd_utc")
    if mjd_utc is not None:
        mjd_utc, rule = float(mjd_utc), "mjd_utc of the sheet"
    else:
        mjd_utc, rule = facts.mid_exposure(header, exptime, keys["time"], (ra, dec))
    site = keys["site"]
    scale = facts.number(header, "PIXSCALE")
    return FrameInfo(
        frame_id=frame_id,
        path=str(path),
        shape=shape,
        unit="electron" if math.isfinite(gain) else "adu",
        exptime_s=exptime,
        mjd_utc=mjd_utc,
        time_rule=rule,
        camera=str(overrides.get("camera") or facts.text(header, keys["camera"])),
        filter=str(overrides.get("filter") or facts.text(header, keys["filter"])),
        airmass=facts.number(header, keys["airmass"]),
        gain=gain,
        read_noise=facts.number(header, keys["read_noise"]),
        saturation=saturation,
        pixel_scale_arcsec=settings.pixel_scale_arcsec or scale,
        wcs_cards=_wcs_cards(header),
        ra_deg=ra,
        dec_deg=dec,
        site_lat_deg=facts.number(header, site["lat_deg"]),
        site_lon_deg=facts.number(header, site["lon_deg"]),
        site_height_m=facts.number(header, site["height_m"]),
        aperture_m=facts.number(header, site["aperture_m"]),
    )


def _gain_and_saturation(header: fits.Header, keys: Mapping[str, object], *, configured: bool) -> tuple[float, float]:
    """Gain [electron per number in the file] and saturation [electron, or adu where the gain is unknown]."""
    if str(header.get("BUNIT", "")).strip().lower() in ELECTRON_UNITS and not configured:
        gain = 1.0
    else:
        gain = facts.number(header, keys["gain"])
        if not gain > 0:
            gain = math.nan
    saturation = facts.number(header, keys["saturation"])
    if not saturation > 0:
        return gain, math.nan
    return gain, saturation * gain if math.isfinite(gain) else saturation


def _pointing(header: fits.Header, centre_deg: tuple[float, float] | None) -> tuple[float, float]:
    if centre_deg is not None:
        return float(centre_deg[0]), float(centre_deg[1])
    ra, dec = header.get("RA"), header.get("DEC")
    if isinstance(ra, str) and isinstance(dec, str) and ":" in ra:
        # Sexagesimal right ascension is in hours by universal habit.
        return 15.0 * facts.sexagesimal(ra.strip()), facts.sexagesimal(dec.strip())
    return facts.number(header, "RA"), facts.number(header, "DEC")


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
