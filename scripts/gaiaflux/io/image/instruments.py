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

__all__ = ["DEFAULT", "INSTRUMENTS", "instrument_settings"]

DEFAULT = {
    "exptime": "EXPTIME",
    "unit": None,
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
    name = "/".join(str(header.get(key, "")).strip() for key in ("TELESCOP", "INSTRUME", "PROCTYPE"))
    result = {**DEFAULT, "site": dict(DEFAULT["site"])}
    for pattern, own in INSTRUMENTS:
        if re.match(pattern, name):
            result |= {key: value for key, value in own.items() if key != "site"}
            result["site"] |= own.get("site", {})
    return result
