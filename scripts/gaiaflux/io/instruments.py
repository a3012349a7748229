"""What the headers of known instruments mean: one row each.

To add an instrument, add a row: a pattern for ``TELESCOP/INSTRUME`` and only those entries of the `header` and `site`
settings in which it differs from `DEFAULT`. Values are keyword names (text) or constants (numbers).
"""

import re
from collections.abc import Mapping

__all__ = ["DEFAULT", "INSTRUMENTS", "instrument_settings"]

DEFAULT = {
    "exptime": "EXPTIME",
    "gain": "GAIN",
    "read_noise": "RDNOISE",
    "saturation": "SATURATE",
    "filter": "FILTER",
    "camera": "INSTRUME",
    "airmass": "AIRMASS",
    "time": None,
    "site": {"lat_deg": "LATITUDE", "lon_deg": "LONGITUD", "height_m": "HEIGHT", "aperture_m": None},
}

INSTRUMENTS = (
    (r"2m0-.*/", {"site": {"aperture_m": 2.0}}),
    (r"1m0-.*/", {"site": {"aperture_m": 1.0}}),
    (r"0m4-.*/", {"site": {"aperture_m": 0.4}}),
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
        # Full well of the 16-bit converter; saturated pixels read 65300 or a little more.
        r"SAAO 1.0m/STE3 CCD",
        {
            "saturation": 65000.0,
            "filter": "FILTERS",
            "time": {"keyword": "PHJDMID", "format": "jd", "scale": "hjd_utc", "marks": "mid"},
            "site": {"lat_deg": -32.3795, "lon_deg": 20.8107, "height_m": 1760.0, "aperture_m": 1.0},
        },
    ),
    (
        r"CTIO 4.0-m telescope/DECam",
        {"site": {"lat_deg": -30.1692, "lon_deg": -70.8063, "height_m": 2207.0, "aperture_m": 4.0}},
    ),
)


def instrument_settings(header: Mapping[str, object]) -> dict:
    """Settings for the instrument that a header names.

    Parameters
    ----------
    header : mapping
        FITS header.

    Returns
    -------
    dict
        `DEFAULT` with the instrument's own entries on top.
    """
    name = f"{str(header.get('TELESCOP', '')).strip()}/{str(header.get('INSTRUME', '')).strip()}"
    result = {**DEFAULT, "site": dict(DEFAULT["site"])}
    for pattern, own in INSTRUMENTS:
        if re.match(pattern, name):
            result |= {key: value for key, value in own.items() if key != "site"}
            result["site"] |= own.get("site", {})
    return result
