import math

import pytest

from gaiaflux.io.header import mid_exposure, number, sexagesimal, text
from gaiaflux.model.errors import BadFrameError

NOWHERE = (math.nan, math.nan)
NOON = 61223.5  # 2026-07-02T12:00:00


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
    ],
)
def test_every_form_of_time(header, setting, mjd, rule):
    found, how = mid_exposure(header, 86.4, setting, NOWHERE)
    assert abs(found - mjd) * 86400 < 0.01
    assert how == rule


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
        mid_exposure(header, 86.4, setting, NOWHERE)


def test_heliocentric_time_goes_back_to_the_observatory():
    # Header of a real image: start MJD 56507.79418, HJD of mid-exposure 2456508.2999569979, exposure 200.039 s.
    setting = {"keyword": "HJD", "format": "jd", "scale": "hjd_utc", "marks": "mid"}
    mjd, _ = mid_exposure({"HJD": 2456508.299956998}, 200.039, setting, (273.8708, -25.285))
    assert abs(mjd - (56507.79418 + 100.0195 / 86400)) * 86400 < 1.0


def test_numbers_and_texts():
    header = {"A": "1.5", "B": " -30:09:54 ", "C": True, "D": "n/a", "E": 7, "F": " V ", "G": float("inf")}
    assert number(header, "A") == 1.5
    assert number(header, "B") == pytest.approx(-30.165)
    assert number(header, 2.5) == 2.5
    assert number(header, "E") == 7.0
    for name in ("C", "D", "G", "missing", None):
        assert math.isnan(number(header, name))
    assert text(header, "F") == "V"
    assert text(header, "missing") == ""
    assert sexagesimal("-00:30:00") == -0.5
    assert math.isnan(sexagesimal("12"))
