import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import EarthLocation, SkyCoord, get_body_barycentric, solar_system_ephemeris
from astropy.time import Time
from astropy.utils import iers

from gaiaflux.core.sky.timing import (
    AU_LIGHT_TIME_S,
    StarMotion,
    barycentric_jd_tdb,
    earth_position_au,
    later_utc,
    locate_observer,
    utc_from_scale,
)

SITES = {"CTIO": (-30.1672, -70.8046, 2207.0), "SAAO": (-32.38, 20.81, 1760.0), "pole": (89.99, 10.0, 0.0)}
STARS = [(10.0, 20.0), (266.4, -29.0), (180.0, 66.5), (0.0, -89.9)]


@pytest.fixture
def offline():
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("auto_max_age", None):
        yield


@pytest.mark.parametrize("site", list(SITES))
def test_bjd_agrees_with_astropy_with_a_site(site, offline):
    lat, lon, height = SITES[site]
    mjd = np.linspace(56000.123, 60600.9, 60)
    mjd_tdb, observer = locate_observer(mjd, lat, lon, height)
    location = EarthLocation.from_geodetic(lon * u.deg, lat * u.deg, height * u.m)
    time = Time(mjd, format="mjd", scale="utc", location=location)
    for ra, dec in STARS:
        expected = time.tdb + time.light_travel_time(SkyCoord(ra * u.deg, dec * u.deg))
        bjd = barycentric_jd_tdb(mjd_tdb, observer, ra, dec)
        np.testing.assert_allclose((bjd - 2400000.5 - expected.mjd) * 86400.0, 0.0, atol=1e-4)


def test_without_a_site_the_light_time_of_the_earth_is_the_error(offline):
    mjd = np.linspace(57000.0, 57365.0, 200)
    at_site = locate_observer(mjd, *SITES["CTIO"])
    centre = locate_observer(mjd, np.nan, np.nan, np.nan)
    difference = barycentric_jd_tdb(*at_site, 90.0, -30.0) - barycentric_jd_tdb(*centre, 90.0, -30.0)
    assert 0.005 < np.abs(difference * 86400.0).max() < 0.0215


def test_leap_second_and_offset_of_tdb():
    # TAI - UTC went from 36 to 37 s on 2017-01-01 (MJD 57754); TT = TAI + 32.184 s; TDB - TT stays below 2 ms.
    mjd = np.array([57753.9, 57754.1])
    mjd_tdb, _ = locate_observer(mjd, -30.0, -70.0, 0.0)
    np.testing.assert_allclose((mjd_tdb - mjd) * 86400.0, [36 + 32.184, 37 + 32.184], atol=2e-3)


def test_dates_beyond_the_tables_neither_warn_nor_fail():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mjd = np.array([66000.3, 70000.0, 87000.0])
        mjd_tdb, observer = locate_observer(mjd, -30.0, -70.0, 0.0)
    assert np.isfinite(mjd_tdb).all()
    np.testing.assert_allclose(np.linalg.norm(observer, axis=1), 1.0, atol=0.03)


def test_unknown_and_impossible_times_are_nan_and_others_are_not_touched():
    mjd = np.array([np.nan, 58000.0, 0.0, 1e9, np.inf])
    mjd_tdb, observer = locate_observer(mjd, [0.0, np.nan, 0.0, 0.0, 0.0], 10.0, np.nan)
    np.testing.assert_array_equal(np.isfinite(mjd_tdb), [False, True, False, False, False])
    np.testing.assert_array_equal(np.isfinite(observer).all(axis=1), np.isfinite(mjd_tdb))
    bjd = barycentric_jd_tdb(mjd_tdb, observer, 1.0, 2.0)
    np.testing.assert_array_equal(np.isfinite(bjd), np.isfinite(mjd_tdb))


def test_the_earth_is_where_astropy_puts_it():
    mjd = np.concatenate([np.linspace(15020, 88069, 400), np.linspace(57388, 61407, 400)])
    with solar_system_ephemeris.set("builtin"):
        earth, sun = (get_body_barycentric(b, Time(mjd, format="mjd", scale="tdb")).xyz.T for b in ("earth", "sun"))
    assert np.abs(earth_position_au(mjd) - earth.to_value(u.au)).max() < 1e-6
    assert np.abs(earth_position_au(mjd, heliocentric=True) - (earth - sun).to_value(u.au)).max() < 1e-6


def test_the_earth_at_one_and_at_impossible_times():
    mjd = np.array([[60000.25, np.nan, 61000.0], [0.0, 1e9, -np.inf]])
    found = earth_position_au(mjd)
    assert found.shape == (2, 3, 3)
    np.testing.assert_array_equal(np.isfinite(found).all(axis=2), [[True, False, True], [False] * 3])
    np.testing.assert_array_equal(earth_position_au(60000.25), found[0, 0])
    assert earth_position_au(np.nan).shape == (3,)


def test_sites_of_a_mixed_series_are_kept_apart():
    mjd = np.array([58000.0, 58000.0, 58000.0])
    lats, lons, heights = zip(*SITES.values(), strict=True)
    together = locate_observer(mjd, lats, lons, heights)
    for i, site in enumerate(SITES.values()):
        alone = locate_observer(mjd[:1], *site)
        np.testing.assert_array_equal(together[1][i], alone[1][0])
        assert together[0][i] == alone[0][0]


def test_proper_motion_moves_the_light_time(offline):
    # A star that moves 10 arcsec a year, seen 14 years after its reference epoch.
    start = SkyCoord(
        269.45 * u.deg,
        4.69 * u.deg,
        pm_ra_cosdec=-0.8 * u.arcsec / u.yr,
        pm_dec=10.3 * u.arcsec / u.yr,
        distance=10 * u.pc,
        obstime=Time(2016.0, format="jyear", scale="tdb"),
    )
    mjd = np.array([62600.0])
    moved = start.apply_space_motion(new_obstime=Time(mjd[0], format="mjd", scale="tdb"))
    mjd_tdb, observer = locate_observer(mjd, *SITES["SAAO"])
    expected = barycentric_jd_tdb(mjd_tdb, observer, moved.ra.deg, moved.dec.deg)
    found = barycentric_jd_tdb(
        mjd_tdb, observer, 269.45, 4.69, StarMotion(pmra=-800.0, pmdec=10300.0, ref_epoch=2016.0)
    )
    still = barycentric_jd_tdb(mjd_tdb, observer, 269.45, 4.69, StarMotion(pmra=np.nan))
    assert abs(found - expected)[0] * 86400.0 < 1e-3
    assert abs(still - expected)[0] * 86400.0 > 0.02


def test_light_time_of_the_astronomical_unit():
    np.testing.assert_allclose(AU_LIGHT_TIME_S, 149597870700.0 / 299792458.0, rtol=1e-15)


def test_times_for_the_sun_and_the_barycentre_come_back_as_utc(offline):
    utc = Time("2016-12-31T12:00:00", scale="utc", location=EarthLocation.from_geocentric(0, 0, 0, unit=u.m))
    ra, dec = 266.4, -29.0
    star = SkyCoord(ra * u.deg, dec * u.deg)
    plain = 57753.5  # noon, though the day is 86401 s long
    heliocentric = plain + utc.light_travel_time(star, kind="heliocentric").to_value("d")
    barycentric = (utc.tdb + utc.light_travel_time(star)).mjd
    for mjd, scale in [(heliocentric, "hjd_utc"), (barycentric, "bjd_tdb"), (utc.tdb.mjd, "tdb")]:
        assert abs(utc_from_scale(mjd, scale, ra, dec) - plain) * 86400.0 < 1e-4
    assert np.isnan(utc_from_scale(1e7, "tdb", ra, dec))
    with pytest.raises(ValueError, match="unknown time scale"):
        utc_from_scale(plain, "tai", ra, dec)


def test_an_independent_program_and_ephemeris_agree():
    # Example of barycorrpy (JPL's DE430): tau Ceti of the Hipparcos catalogue from Cerro Tololo at JD 2458000 UTC.
    motion = StarMotion(pmra=-1721.05, pmdec=854.16, parallax=273.96, ref_epoch=1991.25)
    mjd = np.array([57999.5, 57999.50001, 57999.50002])
    observed = locate_observer(mjd, -30.169283, -70.806789, 2241.9)
    bjd = barycentric_jd_tdb(*observed, 26.02136459, -15.93955572, motion)
    expected = np.array([2458000.00505211, 2458000.00506211, 2458000.00507211])
    assert np.abs((bjd - expected) * 86400.0).max() < 1e-3


def test_the_earth_is_where_the_jet_propulsion_laboratory_has_it(offline):
    # Horizons (DE441), Earth from the Sun at 2000-01-01 12:00 TDB, ICRF equator [au].
    jpl = np.array([-1.771350992727098e-01, 8.874285223255191e-01, 3.847428990882070e-01])
    mjd_tdb, earth = locate_observer(np.array([51544.5 - 64.184 / 86400]), np.nan, np.nan, np.nan)
    assert abs(mjd_tdb[0] - 51544.5) * 86400 < 2e-3
    from astropy.coordinates import get_body_barycentric

    sun = get_body_barycentric("sun", Time(51544.5, format="mjd", scale="tdb"), ephemeris="builtin").xyz.to_value(u.au)
    assert np.abs(earth[0] - sun - jpl).max() * AU_LIGHT_TIME_S < 1e-4


def test_near_stars_have_curved_wave_fronts():
    # Against the plain geometry: light of a star at a finite distance, at the observer and at the barycentre.
    mjd_tdb, observer = locate_observer(np.linspace(58000.0, 58365.0, 25), *SITES["SAAO"])
    ra, dec, parallax = 217.43, -62.68, 768.07
    toward = SkyCoord(ra * u.deg, dec * u.deg).cartesian.xyz.value
    distance = 180 / np.pi * 3.6e6 / parallax
    # |d n - r| - d, without the cancellation of large numbers.
    square = (observer**2).sum(axis=1) - 2 * distance * observer @ toward
    extra = square / (np.sqrt(distance**2 + square) + distance)
    expected = -extra * AU_LIGHT_TIME_S
    found = (
        barycentric_jd_tdb(mjd_tdb, observer, ra, dec, StarMotion(parallax=parallax)) - 2400000.5 - mjd_tdb
    ) * 86400.0
    plane = (barycentric_jd_tdb(mjd_tdb, observer, ra, dec) - 2400000.5 - mjd_tdb) * 86400.0
    assert np.abs(found - expected).max() < 1e-4
    assert 5e-4 < np.abs(plane - expected).max() < 1e-3
    for unknown in (np.nan, -5.0, 0.0):
        same = barycentric_jd_tdb(mjd_tdb, observer, ra, dec, StarMotion(parallax=unknown))
        np.testing.assert_array_equal(same, barycentric_jd_tdb(mjd_tdb, observer, ra, dec))


@pytest.mark.parametrize("date", ["2016-12-31", "2015-06-30", "1998-12-31", "2012-06-30"])
def test_time_goes_on_evenly_across_a_leap_second(date, offline):
    midnight = np.floor(Time(date, scale="utc").mjd) + 1.0
    before, after = midnight - 10.0 / 86400, midnight + 10.0 / 86400
    mjd_tdb, _ = locate_observer(np.array([before, after]), *SITES["CTIO"])
    assert np.diff(mjd_tdb)[0] * 86400 == pytest.approx(21.0, abs=1e-5)
    assert later_utc(before, 21.0) == pytest.approx(after, abs=1e-10)
    assert later_utc(after, -21.0) == pytest.approx(before, abs=1e-10)
    expected = Time(f"{date}T23:59:50", scale="utc").tai + 7200 * u.s
    found = Time(later_utc(before, 7200.0), format="mjd", scale="utc")
    assert abs((found.tai - expected).to_value(u.s)) < 1e-4


def test_time_goes_on_evenly_across_any_other_midnight():
    for mjd in (57753.2, 57754.9999, 59000.99999, 15020.5, 66000.9999, 1e6):
        assert later_utc(mjd, 3600.0) == mjd + 3600.0 / 86400.0
    assert np.isnan(later_utc(np.nan, 60.0))


def test_every_year_of_the_tables_and_beyond_without_a_warning_or_a_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network is asked for")

    monkeypatch.setattr("socket.socket.connect", refuse)
    mjd = np.arange(41400.0, 88000.0, 91.31)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mjd_tdb, observer = locate_observer(mjd, *SITES["CTIO"])
        bjd = barycentric_jd_tdb(mjd_tdb, observer, 100.0, -20.0)
    assert np.isfinite(bjd).all()
    offset = (mjd_tdb - mjd) * 86400.0
    assert (np.diff(offset) > -4e-3).all()  # leap seconds only add up
    assert offset[0] == pytest.approx(10 + 32.184, abs=2e-3)
    assert offset[-1] == pytest.approx(37 + 32.184, abs=2e-3)
    # Without a table of the Earth's rotation the site is less than 430 m off: compare with a year that is in it.
    assert np.linalg.norm(np.diff(observer, axis=0), axis=1).max() < 1.7
