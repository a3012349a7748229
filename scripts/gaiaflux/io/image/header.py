"""Facts of a frame from its header and the user's `header` and `site` settings.

A setting is a keyword name (text) or the value itself (number). What neither settings nor header have is NaN or empty,
except exposure time and time, without which a frame has no place in a light curve.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gaiaflux.io.image.instruments import Key, Keys
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.settings.header import HeaderSettings, TimeSettings
from gaiaflux.model.settings.site import SiteSettings

__all__ = ["merge_keys", "mid_exposure", "number", "sexagesimal", "text"]

MJD_JD = 2400000.5
EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
SECONDS_PER_DAY = 86400.0
_OF_SHEET = ("exptime", "gain", "read_noise", "saturation", "filter", "camera", "airmass")


def merge_keys(
    known: Keys, header: HeaderSettings | None, site: SiteSettings | None, overrides: Mapping[str, Any]
) -> Keys:
    """Put the user's settings over those of the instrument, and a sheet's row over both.

    Parameters
    ----------
    known : Keys
        From `gaiaflux.io.image.instruments.instrument_keys`.
    header, site : HeaderSettings, SiteSettings or None
        The series' settings; what is None is ignored.
    overrides : mapping
        Columns of the frame's row in the sheet.

    Returns
    -------
    Keys
    """
    own = _given(header)
    sheet = {key: value for key, value in overrides.items() if value is not None and key in _OF_SHEET}
    return replace(known, site=replace(known.site, **_given(site)), **(own | sheet))


def _given(section: HeaderSettings | SiteSettings | None) -> dict[str, Any]:
    if section is None:
        return {}
    return {key: value for key, value in vars(section).items() if value is not None}


def number(header: Mapping, setting: Key) -> float:
    """Numeric value of a setting: a constant, the value of a keyword, or the mean of several keywords.

    Parameters
    ----------
    header : mapping
        FITS header.
    setting : str, float, tuple of str, or None
        Keyword name or names (one for each amplifier), or constant.

    Returns
    -------
    float
        NaN where there is none or where it is not a finite number. Sexagesimal text is read as degrees.
    """
    if setting is None:
        return math.nan
    if isinstance(setting, tuple):
        values = [value for value in (number(header, name) for name in setting) if math.isfinite(value)]
        return sum(values) / len(values) if values else math.nan
    value = header.get(setting) if isinstance(setting, str) else setting
    if isinstance(value, bool) or value is None:
        return math.nan
    if isinstance(value, str):
        value = value.strip()
        try:
            return float(value)
        except ValueError:
            return sexagesimal(value)
    try:
        result = float(value)
    except (TypeError, ValueError):
        return math.nan
    return result if math.isfinite(result) else math.nan


def sexagesimal(value: str) -> float:
    """``d:m:s`` in units of its first field; NaN where the text is something else."""
    parts = value.replace(":", " ").split()
    if not 2 <= len(parts) <= 3:
        return math.nan
    try:
        fields = [abs(float(part)) for part in parts]
    except ValueError:
        return math.nan
    size = sum(field / 60**power for power, field in enumerate(fields))
    return -size if parts[0].startswith("-") else size


def text(header: Mapping, setting: Key) -> str:
    """Text of a keyword; the setting itself where the header has no such keyword and it is not one of its own names."""
    if setting is None:
        return ""
    value = header.get(setting) if isinstance(setting, str) else setting
    return "" if value is None else str(value).strip()


def mid_exposure(
    header: Mapping,
    exptime_s: float,
    setting: TimeSettings | Sequence[TimeSettings] | None,
    ra_dec_deg: tuple[float, float],
) -> tuple[float, str]:
    """Mid-exposure time at the observatory.

    Parameters
    ----------
    header : mapping
        FITS header.
    exptime_s : float
        Exposure time [s].
    setting : TimeSettings, sequence of them, or None
        ``date, clock, utc_offset_h, marks`` or ``keyword, format, scale, marks``; of several the first that the header
        has; None: the first of DATE-OBS, DATE-OBS with a clock keyword, MJD-OBS, JD that carries a time of day, as the
        start (UTC, or what TIMESYS says).
    ra_dec_deg : tuple of float
        Pointing [deg], for times that are given for the Sun or the barycentre.

    Returns
    -------
    mjd_utc : float
        [d].
    rule : str
        How it was found.

    Raises
    ------
    BadFrameError
        The header has no usable time.
    """
    if isinstance(setting, TimeSettings) or setting is None:
        way = setting
    else:
        way = next((way for way in setting if (way.keyword or way.date) in header), None)
    if way is None:
        mjd, rule = _default_time(header)
        marks, scale = "start", "utc"
        if str(header.get("TIMESYS", "")).strip().upper() in ("TT", "TDB"):  # 2 ms apart
            scale = "tdb"
            rule += " (tdb)"
    else:
        marks, scale = way.marks, way.scale or "utc"
        mjd, rule = _configured_time(header, way)
    mjd = _later(mjd, {"start": 0.5, "mid": 0.0, "end": -0.5}[marks] * exptime_s, scale)
    rule += {"start": " + exptime/2", "mid": "", "end": " - exptime/2"}[marks]
    if scale != "utc":
        mjd = _to_utc(mjd, scale, ra_dec_deg)
    if not 15000 < mjd < 120000:
        raise BadFrameError(f"the time from {rule} is MJD {mjd:.5f}, not a date of an image: set header.time")
    return mjd, rule


def _configured_time(header: Mapping, way: TimeSettings) -> tuple[float, str]:
    """Time of a setting before it is moved to mid-exposure, and the rule by which it was found."""
    if way.date:
        offset_h = way.utc_offset_h or 0.0
        names = [name for name in (way.date, way.clock) if name]
        mjd = _iso_to_mjd(_stamp(*(str(header.get(name, "")).strip() for name in names)), offset_h)
        if mjd is None:
            raise BadFrameError(f"no date and time of day in {' and '.join(names)}: set header.time")
        return mjd, f"{' + '.join(names)}" + (f" - ({offset_h:g} h)" if offset_h else "")
    keyword, form = way.keyword or "", way.format or "isot"
    return _read_time(header, keyword, form), f"{keyword} ({form}, {way.scale or 'utc'})"


def _later(mjd: float, seconds: float, scale: str) -> float:
    """The instant a time span later; a UTC across midnight may have a leap second in between."""
    later = mjd + seconds / SECONDS_PER_DAY
    if scale != "utc" or not math.isfinite(later) or math.floor(later) == math.floor(mjd):
        return later
    from gaiaflux.core.sky.timing import later_utc

    return later_utc(mjd, seconds)


def _default_time(header: Mapping) -> tuple[float, str]:
    date = str(header.get("DATE-OBS", "")).strip()
    mjd = _iso_to_mjd(date)
    if mjd is not None:
        return mjd, "DATE-OBS"
    for clock in ("UTSTART", "TIME-OBS", "UT", "UTC-OBS", "UT-OBS"):
        mjd = _iso_to_mjd(_stamp(date, str(header.get(clock, "")).strip()))
        if mjd is not None:
            return mjd, f"DATE-OBS + {clock}"
    for keyword, zero in (("MJD-OBS", 0.0), ("JD", MJD_JD)):
        value = number(header, keyword)
        # A whole number is a date that lost its time of day.
        if math.isfinite(value) and value % 1.0 != 0.0:
            return value - zero, keyword
    raise BadFrameError("no observation time with a time of day in the header: set header.time")


def _read_time(header: Mapping, keyword: str, form: str) -> float:
    if form == "isot":
        mjd = _iso_to_mjd(str(header.get(keyword, "")).strip())
    else:
        value = number(header, keyword)
        mjd = value - (MJD_JD if form == "jd" else 0.0) if math.isfinite(value) else None
    if mjd is None:
        raise BadFrameError(f"no time in {keyword} (format {form}): set header.time")
    return mjd


def _stamp(date: str, clock: str = "") -> str:
    """Date and time of day put together; of a date that has a time of its own only the date, where there is a clock."""
    return f"{date.partition('T')[0]}T{clock}" if clock else date


def _iso_to_mjd(stamp: str, utc_offset_h: float = 0.0) -> float | None:
    """MJD of an ISO date with a time of day; an offset in the text wins over `utc_offset_h`."""
    stamp = stamp.upper().removesuffix("UTC").strip().rstrip("Z").replace(" ", "T", 1).replace(" ", "")
    # FITS files from before 2000: day/month/year of the 20th century.
    stamp = re.sub(r"^(\d\d)/(\d\d)/(\d\d)(?=T|$)", r"19\3-\2-\1", stamp).replace("/", "-")
    if "T" not in stamp or stamp.startswith("T") or stamp.endswith("T"):
        return None
    leap = ":60" in stamp
    try:
        moment = datetime.fromisoformat(stamp.replace(":60", ":59") if leap else stamp)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC) - timedelta(hours=utc_offset_h)
    return (moment - EPOCH) / timedelta(days=1) + (1.0 / SECONDS_PER_DAY if leap else 0.0)


def _to_utc(mjd: float, scale: str, ra_dec_deg: tuple[float, float]) -> float:
    """UTC at the observatory (the Earth's centre is near enough: 21 ms) of a TDB, HJD or BJD."""
    from gaiaflux.core.sky.timing import BARYCENTRIC_SCALES, utc_from_scale

    if scale in BARYCENTRIC_SCALES and not all(math.isfinite(value) for value in ra_dec_deg):
        raise BadFrameError(f"a time in {scale} needs the pointing, and the header has none: set centre_deg")
    return utc_from_scale(mjd, scale, *ra_dec_deg)
