import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers

from gaiaflux.core.timing import AU_LIGHT_TIME_S, barycentric_jd_tdb, locate_observer, utc_from_scale

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
    found = barycentric_jd_tdb(mjd_tdb, observer, 269.45, 4.69, pmra=-800.0, pmdec=10300.0, ref_epoch=2016.0)
    still = barycentric_jd_tdb(mjd_tdb, observer, 269.45, 4.69, pmra=np.nan)
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
