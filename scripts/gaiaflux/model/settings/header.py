"""Settings `header`, made from the schema by `gaiaflux.workflow.sections`; edit that instead."""

from dataclasses import dataclass

__all__ = ["HeaderSettings", "TimeSettings"]


@dataclass(frozen=True, kw_only=True)
class TimeSettings:
    """Time of the exposure, from a date and a clock keyword or from one keyword with a format.

    Attributes
    ----------
    date : str, optional
        Keyword of the date, or of date and time.
    clock : str, optional
        Keyword of the time of day, where the date keyword has none.
    utc_offset_h : float, optional
        Time zone of the clock, added to UTC; an offset in the header's text itself is honoured first [h].
    keyword : str, optional
        Keyword of the time.
    format : str, optional
        Format of the time.
    scale : str, optional
        Time scale; hjd_utc and bjd_tdb are converted back to the observatory.
    marks : str
        Which moment of the exposure the time is.
    """

    date: str | None
    clock: str | None
    utc_offset_h: float | None
    keyword: str | None
    format: str | None
    scale: str | None
    marks: str


@dataclass(frozen=True, kw_only=True)
class HeaderSettings:
    """Where the header says what, or constants, where the defaults for known instruments do not fit.

    Attributes
    ----------
    exptime : float or str, optional
        Exposure time [s].
    unit : str, optional
        Unit of the image's numbers, where BUNIT does not say it or is wrong.
    gain : float or str, optional
        Gain [electron/adu].
    read_noise : float or str, optional
        Read noise; 0 is allowed [electron].
    saturation : float or str, optional
        Level at which a pixel is saturated [adu].
    filter : str, optional
        Filter.
    camera : str, optional
        Camera.
    airmass : float or str, optional
        Airmass.
    time : TimeSettings, optional
        Time of the exposure, from a date and a clock keyword or from one keyword with a format.
    """

    exptime: float | str | None
    unit: str | None
    gain: float | str | None
    read_noise: float | str | None
    saturation: float | str | None
    filter: str | None
    camera: str | None
    airmass: float | str | None
    time: TimeSettings | None
