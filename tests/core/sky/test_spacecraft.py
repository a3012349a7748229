import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.core.sky.spacecraft import barycentric_btjd, locate_spacecraft, spacecraft_mjd_tdb
from gaiaflux.core.sky.sphere import directions
from gaiaflux.core.sky.timing import AU_LIGHT_TIME_S, barycentric_jd_tdb, earth_position_au

RADII_AU = 6378.0 / 149597870.7
STARS = np.array([[63.4, -69.2], [80.0, -60.0], [40.0, -75.0], [100.0, -55.0]])


@pytest.fixture
def orbit():
    """A spacecraft on an orbit of 60 radii of the Earth, 13.7 days, and the corrections of four stars."""
    mjd = 58324.3 + np.arange(4000) / 144.0
    phase = 2.0 * np.pi * (mjd - mjd[0]) / 13.7
    offset = 60.0 * RADII_AU * np.stack([np.cos(phase), 0.6 * np.sin(phase), 0.5 * np.sin(phase)], axis=1)
    observer = earth_position_au(mjd) + offset
    corrections = directions(*STARS.T) @ observer.T * AU_LIGHT_TIME_S / 86400.0
    return mjd, observer, corrections.astype(np.float32)


def seconds_off(mjd, found, observer, star):
    return np.abs((found - observer) @ directions(*star)) * AU_LIGHT_TIME_S


def test_one_star_gives_the_place_along_its_line_of_sight(orbit):
    mjd, observer, corrections = orbit
    found = locate_spacecraft(mjd, STARS[0, 0], STARS[0, 1], corrections[0])
    assert seconds_off(mjd, found, observer, STARS[0]).max() < 1e-4
    # Across it, it is at the centre of the Earth.
    offset = found - earth_position_au(mjd)
    across = offset - np.outer(offset @ directions(*STARS[0]), directions(*STARS[0]))
    assert np.abs(across).max() < 1e-9


def test_several_stars_solve_for_all_of_the_place(orbit):
    mjd, observer, corrections = orbit
    found = locate_spacecraft(mjd, *STARS.T, corrections)
    for star in [*STARS, (200.0, 40.0)]:
        assert seconds_off(mjd, found, observer, star).max() < 0.02
    geocentre = earth_position_au(mjd)
    assert seconds_off(mjd, geocentre, observer, (200.0, 40.0)).max() > 0.3


def test_a_missing_or_unbelievable_correction_leaves_the_centre_of_the_earth(orbit):
    mjd, observer, corrections = orbit
    corrections = corrections[:1].copy()
    corrections[0, 5] = np.nan
    corrections[0, 7] += 44.0 / 86400.0
    found = locate_spacecraft(mjd, *STARS[:1].T, corrections)
    np.testing.assert_allclose(found[[5, 7]], earth_position_au(mjd)[[5, 7]], atol=1e-10)
    assert seconds_off(mjd, found, observer, STARS[0])[6] < 1e-4


def test_times_without_a_value_stay_without_a_place(orbit):
    mjd, _, corrections = orbit
    mjd = mjd.copy()
    mjd[3] = np.nan
    found = locate_spacecraft(mjd, *STARS.T, corrections)
    assert np.isnan(found[3]).all()
    assert np.isfinite(np.delete(found, 3, axis=0)).all()


def test_few_times_far_apart_are_as_good_as_many(orbit):
    mjd = np.array([50000.0, 55000.25, 60000.5])
    found = locate_spacecraft(mjd, 10.0, 20.0, np.full(3, np.nan))
    np.testing.assert_array_equal(found, earth_position_au(mjd))


def test_btjd_is_bjd_with_more_digits(orbit):
    mjd, observer, _ = orbit
    expected = barycentric_jd_tdb(mjd, observer, 63.4, -69.2) - 2457000.0
    np.testing.assert_allclose(barycentric_btjd(mjd, observer, 63.4, -69.2), expected, atol=1e-9, rtol=0)


@pytest.mark.real
def test_a_real_light_curve_gives_its_own_times_back(tess_data):
    path = next((tess_data / "tic25155310_s01").glob("hlsp*_lc.fits"))
    with fits.open(path) as hdus:
        header, data = hdus[1].header, hdus[1].data
        time = np.asarray(data["TIME"], float)
        correction = np.asarray(data["TIMECORR"], float)[np.isfinite(time)]
        time = time[np.isfinite(time)]
        place = header["RA_OBJ"], header["DEC_OBJ"]
    mjd = spacecraft_mjd_tdb(time, correction)
    with_geocentre = barycentric_btjd(mjd, earth_position_au(mjd), *place)
    assert np.abs(with_geocentre - time).max() * 86400.0 < 1.0
    with_spacecraft = barycentric_btjd(mjd, locate_spacecraft(mjd, *place, correction), *place)
    assert np.abs(with_spacecraft - time).max() * 86400.0 < 1e-3
