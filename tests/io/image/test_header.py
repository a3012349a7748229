import math

import pytest

from gaiaflux.io.image.header import mid_exposure, number, sexagesimal, text
from gaiaflux.io.image.instruments import DEFAULT, INSTRUMENTS, instrument_keys
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.settings.header import TimeSettings
from gaiaflux.model.typed import typed

NOWHERE = (math.nan, math.nan)
NOON = 61223.5  # 2026-07-02T12:00:00


def ways(setting):
    """The setting `time` as a checked configuration gives it; None, one mapping, or several."""
    if isinstance(setting, tuple):
        return tuple(map(ways, setting))
    return setting and typed(TimeSettings, {"marks": "start", **setting})


@pytest.mark.parametrize(
    ("header", "setting", "mjd", "rule"),
    [
        ({"DATE-OBS": "2026-07-02T12:00:00"}, None, NOON + 0.0005, "DATE-OBS + exptime/2"),
        ({"DATE-OBS": "2026-07-02T12:00:00.000Z"}, None, NOON + 0.0005, "DATE-OBS + exptime/2"),
        ({"DATE-OBS": "2026-07-02T05:00:00-0700"}, None, NOON + 0.0005, "DATE-OBS + exptime/2"),
        (
            {"DATE-OBS": "2026-07-02", "UT": "12:00:00", "MJD-OBS": 61223.0},
            None,
            NOON + 0.0005,
            "DATE-OBS + UT + exptime/2",
        ),
        ({"DATE-OBS": "2026-07-02", "MJD-OBS": NOON}, None, NOON + 0.0005, "MJD-OBS + exptime/2"),
        ({"JD": 2461224.25}, None, NOON + 0.2505, "JD + exptime/2"),
        (
            {"DATE": "2026-07-02", "LT": "05:00:00"},
            {"date": "DATE", "clock": "LT", "utc_offset_h": -7, "marks": "start"},
            NOON + 0.0005,
            "DATE + LT - (-7 h) + exptime/2",
        ),
        ({"X": NOON}, {"keyword": "X", "format": "mjd", "marks": "mid"}, NOON, "X (mjd, utc)"),
        (
            {"X": NOON + 2400000.5},
            {"keyword": "X", "format": "jd", "marks": "end"},
            NOON - 0.0005,
            "X (jd, utc) - exptime/2",
        ),
        ({"X": "2026-07-02T12:00:00"}, {"keyword": "X", "format": "isot", "marks": "mid"}, NOON, "X (isot, utc)"),
        (
            {"X": NOON + 69.184 / 86400},
            {"keyword": "X", "format": "mjd", "scale": "tdb", "marks": "mid"},
            NOON,
            "X (mjd, tdb)",
        ),
        ({"DATE-OBS": "2026-07-02T12:00:00 UTC"}, None, NOON + 0.0005, "DATE-OBS + exptime/2"),
        ({"DATE-OBS": "2026/07/02", "TIME-OBS": "12:00:00.0"}, None, NOON + 0.0005, "DATE-OBS + TIME-OBS + exptime/2"),
        ({"DATE-OBS": "02/07/98", "UT": "12:00:00"}, None, 50996.5 + 0.0005, "DATE-OBS + UT + exptime/2"),
        # Midnight passes by UTC: 20:00 at UTC-7 is 03:00 of the next day.
        (
            {"DATE": "2026-07-01", "LT": "20:00:00"},
            {"date": "DATE", "clock": "LT", "utc_offset_h": -7},
            NOON - 0.375 + 0.0005,
            "DATE + LT - (-7 h) + exptime/2",
        ),
        # An offset in the text wins, with and without a colon.
        (
            {"DATE": "2026-07-02", "LT": "14:00:00+02:00"},
            {"date": "DATE", "clock": "LT", "utc_offset_h": -7},
            NOON + 0.0005,
            "DATE + LT - (-7 h) + exptime/2",
        ),
        ({"X": "2026-07-02T05:00:00-0700"}, {"keyword": "X", "format": "isot", "marks": "end"}, NOON - 0.0005, None),
        # A clock that is more exact than the time in the date.
        (
            {"DATE-OBS": "2026-07-02T00:00:00", "UTSHUT": "12:00:00.000"},
            {"date": "DATE-OBS", "clock": "UTSHUT"},
            NOON + 0.0005,
            "DATE-OBS + UTSHUT + exptime/2",
        ),
        ({"DATE-OBS": "2026-07-02T12:01:09.184", "TIMESYS": "TDB"}, None, NOON + 0.0005, None),
        ({"DATE-OBS": "2026-07-02T12:01:09.184", "TIMESYS": "TT"}, None, NOON + 0.0005, None),
        ({"DATE-OBS": "2026-07-02T12:00:00", "TIMESYS": "UTC approximate"}, None, NOON + 0.0005, None),
        ({"X": NOON + 2400000.5}, {"keyword": "X", "format": "jd"}, NOON + 0.0005, "X (jd, utc) + exptime/2"),
        ({"X": str(NOON)}, {"keyword": "X", "format": "mjd", "marks": "mid"}, NOON, None),
        # Of several ways the first that the header has.
        (
            {"Y": NOON},
            ({"keyword": "X", "format": "jd"}, {"keyword": "Y", "format": "mjd", "marks": "mid"}),
            NOON,
            None,
        ),
        ({"DATE-OBS": "2026-07-02T12:00:00"}, ({"keyword": "X", "format": "jd"},), NOON + 0.0005, None),
    ],
)
def test_every_form_of_time(header, setting, mjd, rule):
    found, how = mid_exposure(header, 86.4, ways(setting), NOWHERE)
    assert abs(found - mjd) * 86400 < 0.01
    assert rule is None or how == rule


@pytest.mark.parametrize(
    ("header", "setting", "reason"),
    [
        ({}, None, "no observation time"),
        ({"DATE-OBS": "2026-07-02", "MJD-OBS": 61223.0}, None, "time of day"),
        ({"DATE-OBS": "yesterday"}, {"date": "DATE-OBS", "clock": "UT"}, "no date and time of day in DATE-OBS and UT"),
        ({"X": "soon"}, {"keyword": "X", "format": "jd"}, "no time in X"),
        ({"X": 12.5}, {"keyword": "X", "format": "mjd"}, "MJD 12.50050, not a date"),
        ({"X": NOON}, {"keyword": "X", "format": "mjd", "scale": "hjd_utc", "marks": "mid"}, "needs the pointing"),
    ],
)
def test_no_time_is_said(header, setting, reason):
    with pytest.raises(BadFrameError, match=reason):
        mid_exposure(header, 86.4, ways(setting), NOWHERE)


def test_heliocentric_time_goes_back_to_the_observatory():
    # Header of a real image: start MJD 56507.79418, HJD of mid-exposure 2456508.2999569979, exposure 200.039 s.
    setting = {"keyword": "HJD", "format": "jd", "scale": "hjd_utc", "marks": "mid"}
    mjd, _ = mid_exposure({"HJD": 2456508.299956998}, 200.039, ways(setting), (273.8708, -25.285))
    assert abs(mjd - (56507.79418 + 100.0195 / 86400)) * 86400 < 1.0


@pytest.mark.parametrize("scale", ["hjd_utc", "bjd_tdb"])
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_times_of_the_sun_and_the_barycentre_agree_with_astropy(scale):
    from astropy import units
    from astropy.coordinates import EarthLocation, SkyCoord
    from astropy.time import Time
    from astropy.utils import iers

    iers.conf.auto_download, iers.conf.auto_max_age = False, None
    ra, dec = 273.87, -25.285
    centre = EarthLocation.from_geocentric(0 * units.m, 0 * units.m, 0 * units.m)
    for mjd in (56300.25, 56420.5, 56507.8, 58000.1):
        time = Time(mjd, format="mjd", scale="utc", location=centre)
        kind = "heliocentric" if scale == "hjd_utc" else "barycentric"
        delay = time.light_travel_time(SkyCoord(ra * units.deg, dec * units.deg), kind)
        stated = ((time.utc if scale == "hjd_utc" else time.tdb) + delay).jd
        setting = {"keyword": "T", "format": "jd", "scale": scale, "marks": "mid"}
        found, _ = mid_exposure({"T": stated}, 60.0, ways(setting), (ra, dec))
        assert abs(found - mjd) * 86400 < 0.05


def test_numbers_and_texts():
    header = {"A": "1.5", "B": " -30:09:54 ", "C": True, "D": "n/a", "E": 7, "F": " V ", "G": float("inf")}
    assert number(header, "A") == 1.5
    assert number(header, "B") == pytest.approx(-30.165)
    assert number(header, 2.5) == 2.5
    assert number(header, "E") == 7.0
    for name in ("C", "D", "G", "missing", None):
        assert math.isnan(number(header, name))
    assert number(header, ("A", "E")) == 4.25
    assert number(header, ("A", "missing")) == 1.5
    assert math.isnan(number(header, ("D", "missing")))
    assert text(header, "F") == "V"
    assert text(header, "missing") == ""
    assert sexagesimal("-00:30:00") == -0.5
    assert math.isnan(sexagesimal("12"))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("2m0-02", "ep07", ""), {"aperture_m": 2.0, "gain": "GAIN"}),
        (("1m0-05", "fl15", ""), {"aperture_m": 1.0}),
        (("0m4-14", "kb29", ""), {"aperture_m": 0.4}),
        (("0m4-05", "sq32", ""), {"aperture_m": 0.35}),
        (("CTIO 4.0-m telescope", "DECam", "InstCal"), {"aperture_m": 4.0, "gain": ("GAINA", "GAINB"), "unit": None}),
        (("KPNO 4.0 meter telescope", "Mosaic3", "InstCal"), {"unit": "electron/s", "lon_deg": -111.5997}),
        (("KPNO 4.0 meter telescope", "Mosaic3", "raw"), {"unit": None, "aperture_m": 4.0}),
        (("Steward 2.3 m (bok)", "90prime", "InstCal"), {"unit": "electron/s", "aperture_m": 2.3}),
        (("Swope", "Direct/4Kx4K-4", ""), {"gain": "EGAIN", "read_noise": "ENOISE", "aperture_m": 1.0}),
        (("ct13m", "ANDICAM-CCD", ""), {"filter": "CCDFLTID"}),
        (("SAAO 1.0m", "STE3 CCD", ""), {"saturation": 65000.0}),
        (("", "", ""), {"gain": "GAIN", "lat_deg": "LATITUDE"}),
    ],
)
def test_known_instruments(names, expected):
    header = dict(zip(("TELESCOP", "INSTRUME", "PROCTYPE"), names, strict=True))
    found = instrument_keys(header)
    flat = {**vars(found), **vars(found.site)}
    assert {key: flat[key] for key in expected} == expected


def test_rows_of_instruments_say_what_the_settings_can_say():
    for pattern, own in INSTRUMENTS:
        assert set(own) <= set(vars(DEFAULT)), pattern
        assert set(own.get("site", {})) <= set(vars(DEFAULT.site)), pattern
        if "lat_deg" in own.get("site", {}):
            assert -90 < own["site"]["lat_deg"] < 90
            assert -180 < own["site"]["lon_deg"] < 180


def test_an_exposure_across_a_leap_second_has_its_middle_a_second_earlier():
    header = {"DATE-OBS": "2016-12-31T23:59:00"}
    mjd, _ = mid_exposure(header, 600.0, None, (10.0, -5.0))
    assert (mjd - 57754.0) * 86400.0 == pytest.approx(239.0, abs=1e-4)
    header = {"DATE-OBS": "2017-12-31T23:59:00"}
    mjd, _ = mid_exposure(header, 600.0, None, (10.0, -5.0))
    assert (mjd - 58119.0) * 86400.0 == pytest.approx(240.0, abs=1e-4)
