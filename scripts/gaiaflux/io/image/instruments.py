"""What the headers of known instruments mean: one row each.

To add an instrument, add a row to `INSTRUMENTS`:

- a regular expression that matches the beginning of ``TELESCOP/INSTRUME`` of its headers; where the same camera writes
  different products, of ``TELESCOP/INSTRUME/PROCTYPE``. Of several rows that match, later ones win;
- only those entries of the `header` and `site` settings in which it differs from `DEFAULT`. A value is a keyword name
  (text), a constant (number), or names of keywords whose mean counts (one for each amplifier). `unit` is what the
  numbers are where BUNIT does not say it or is wrong. `time` may be several settings: the first whose keyword is there.

Check a new row with a file: the time, the noise of the sky against its level, and the airmass must come out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from gaiaflux.model.settings.header import TimeSettings
from gaiaflux.model.typed import typed

__all__ = ["DEFAULT", "INSTRUMENTS", "Keys", "SiteKeys", "instrument_keys"]

Key = str | float | tuple[str, ...] | None


@dataclass(frozen=True)
class SiteKeys:
    """Where a header says where the telescope is, or constants; as `Keys`.

    Attributes
    ----------
    lat_deg, lon_deg, height_m, aperture_m : Key
        Geodetic latitude and longitude [deg, positive to the east], height and diameter of the telescope [m].
    """

    lat_deg: Key = "LATITUDE"
    lon_deg: Key = "LONGITUD"
    height_m: Key = "HEIGHT"
    aperture_m: Key = None


@dataclass(frozen=True)
class Keys:
    """Where a header says what: a keyword, several of which the mean counts, or a constant.

    Attributes
    ----------
    exptime, gain, read_noise, saturation, filter, camera, airmass : Key
        As the settings of these names.
    unit : str or None
        What the numbers are where BUNIT does not say it or is wrong.
    time : TimeSettings, tuple of them, or None
        Of several the first that the header has counts, if it has any; None: the usual keywords.
    site : SiteKeys
        Of the observatory.
    """

    exptime: Key = "EXPTIME"
    unit: str | None = None
    gain: Key = "GAIN"
    read_noise: Key = "RDNOISE"
    saturation: Key = "SATURATE"
    filter: Key = "FILTER"
    camera: Key = "INSTRUME"
    airmass: Key = "AIRMASS"
    time: TimeSettings | tuple[TimeSettings, ...] | None = None
    site: SiteKeys = SiteKeys()


class _Site(TypedDict, total=False):
    lat_deg: Key
    lon_deg: Key
    height_m: Key
    aperture_m: Key


class _Row(TypedDict, total=False):
    exptime: Key
    unit: str
    gain: Key
    read_noise: Key
    saturation: Key
    filter: Key
    camera: Key
    airmass: Key
    time: dict[str, Any] | tuple[dict[str, Any], ...]
    site: _Site


DEFAULT = Keys()

INSTRUMENTS: tuple[tuple[str, _Row], ...] = (
    # Las Cumbres Observatory, as BANZAI leaves it: FITS keywords as in DEFAULT, all cameras alike (MuSCAT: ep0x).
    (r"2m0-.*/", {"site": {"aperture_m": 2.0}}),
    (r"1m0-.*/", {"site": {"aperture_m": 1.0}}),
    (r"0m4-.*/", {"site": {"aperture_m": 0.4}}),
    (r"0m4-.*/sq", {"site": {"aperture_m": 0.35}}),
    (
        # DATE-OBS has no time of day and MJD-OBS no fraction; LONGITUD counts to the west.
        r"ct13m/ANDICAM-CCD",
        {
            "filter": "CCDFLTID",
            "airmass": "SECZ",
            "time": {"date": "DATE-OBS", "clock": "TIME-OBS", "utc_offset_h": 0.0, "marks": "start"},
            "site": {"lat_deg": -30.165, "lon_deg": -70.815, "height_m": 2207.0, "aperture_m": 1.3},
        },
    ),
    (
        # Full well of the 16-bit converter; saturated pixels read 65300 or a little more. Raw files lack PHJDMID.
        r"SAAO 1.0m/STE3 CCD",
        {
            "saturation": 65000.0,
            "filter": "FILTERS",
            "airmass": "SECZ",
            "time": (
                {"keyword": "PHJDMID", "format": "jd", "scale": "hjd_utc", "marks": "mid"},
                {"keyword": "MJD-OBS", "format": "mjd", "scale": "utc", "marks": "start"},
            ),
            "site": {"lat_deg": -32.3795, "lon_deg": 20.8107, "height_m": 1760.0, "aperture_m": 1.0},
        },
    ),
    (
        # Two amplifiers for each detector.
        r"CTIO 4.0-m telescope/DECam",
        {
            "gain": ("GAINA", "GAINB"),
            "read_noise": ("RDNOISEA", "RDNOISEB"),
            "site": {"lat_deg": -30.1692, "lon_deg": -70.8063, "height_m": 2207.0, "aperture_m": 4.0},
        },
    ),
    (
        r"KPNO 4.0 meter telescope/",
        {"site": {"lat_deg": 31.9633, "lon_deg": -111.5997, "height_m": 2120.0, "aperture_m": 4.0}},
    ),
    # The comment of BUNIT = counts/s says photoelectrons; an ADU in the extension is left over from the raw file.
    (r"KPNO 4.0 meter telescope/Mosaic3/InstCal", {"unit": "electron/s"}),
    (
        r"Steward 2.3 m \(bok\)/90prime",
        {"site": {"lat_deg": 31.9629, "lon_deg": -111.6004, "height_m": 2071.0, "aperture_m": 2.3}},
    ),
    (
        r"Steward 2.3 m \(bok\)/90prime/InstCal",
        {"unit": "electron/s", "read_noise": tuple(f"RDNOIS{k}" for k in range(1, 17))},
    ),
    (
        # SITELAT of the header is 8 km off.
        r"Swope/Direct",
        {
            "gain": "EGAIN",
            "read_noise": "ENOISE",
            "site": {"lat_deg": -29.0146, "lon_deg": -70.6926, "height_m": 2380.0, "aperture_m": 1.0},
        },
    ),
)


def instrument_keys(header: Mapping) -> Keys:
    """Keys for the instrument that a header names.

    Parameters
    ----------
    header : mapping
        FITS header.

    Returns
    -------
    Keys
        `DEFAULT` with the instrument's own entries on top.
    """
    name = "/".join(str(header.get(key, "")).strip() for key in ("TELESCOP", "INSTRUME", "PROCTYPE"))
    keys = DEFAULT
    for pattern, own in INSTRUMENTS:
        if re.match(pattern, name):
            changes: dict[str, Any] = {key: value for key, value in own.items() if key not in ("site", "time")}
            if "time" in own:
                changes["time"] = _time(own["time"])
            keys = replace(keys, site=replace(keys.site, **own.get("site", {})), **changes)
    return keys


def _time(ways: dict[str, Any] | tuple[dict[str, Any], ...]) -> TimeSettings | tuple[TimeSettings, ...]:
    return typed(TimeSettings, ways) if isinstance(ways, dict) else tuple(typed(TimeSettings, way) for way in ways)
