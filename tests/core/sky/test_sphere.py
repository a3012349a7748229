import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from gaiaflux.core.sky.epoch import propagate
from gaiaflux.core.sky.projection import linear_tan, sky_to_pixel
from gaiaflux.core.sky.sphere import directions, separation_deg, sky_of_direction
from gaiaflux.core.sky.star_positions import places_on_image
from gaiaflux.core.sky.timing import earth_position_au
from gaiaflux.model.catalog import SkyCatalog


def test_axes_of_the_sky():
    np.testing.assert_allclose(
        directions([0.0, 90.0, 180.0, 45.0, 10.0], [0.0, 0.0, 0.0, 0.0, 90.0]),
        [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0.5**0.5, 0.5**0.5, 0], [0, 0, 1]], atol=1e-15,
    )  # fmt: skip
    assert directions(30.0, -40.0).shape == (3,)
    assert np.isnan(directions(np.nan, 3.0)).all()
    assert np.isnan(directions(3.0, np.nan)).all()


def test_positions_come_back_from_vectors_of_any_length():
    for ra, dec in ((0.0, 0.0), (359.9, -89.0), (180.0, 45.0), (270.5, -30.0), (12.0, 89.99)):
        found = sky_of_direction(7.5 * directions(ra, dec))
        assert found == (pytest.approx(ra, abs=1e-9), pytest.approx(dec, abs=1e-9))


def test_angles_are_exact_where_they_are_small_and_where_they_are_large():
    first = directions([10.0] * 3, [20.0] * 3)
    second = directions([10.0, 10.0, 190.0], [20.0 + 1e-9, 21.0, -20.0])
    np.testing.assert_allclose(separation_deg(first, second), [1e-9, 1.0, 180.0], rtol=1e-5)
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, (2, 30)), rng.uniform(-90, 90, (2, 30))
    expected = SkyCoord(ra[0], dec[0], unit="deg").separation(SkyCoord(ra[1], dec[1], unit="deg")).deg
    found = separation_deg(directions(ra[0], dec[0]), directions(ra[1], dec[1]))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_places_on_an_image_are_those_of_its_epoch():
    one, columns = np.ones(3), ("pos_err", "pm_err", "mag", "colour")
    motion = {"pmra": [0.0, 500.0, -300.0], "pmdec": [0.0, -200.0, 800.0], "parallax": [0.0, 400.0, 50.0]}
    catalog = SkyCatalog(
        **dict.fromkeys(columns, one),
        **{name: np.array(values) for name, values in motion.items()},
        source_id=np.arange(3),
        ra_deg=150.0 + np.array([0.0, 0.01, 0.02]),
        dec_deg=20.0 * one,
        ref_epoch=2016.0 * one,
        system="Gaia G",
        source="gaia",
    )
    wcs = linear_tan((150.0, 20.0), (500.0, 400.0), np.diag([-0.4, 0.4]) / 3600, (800, 1000))
    mjd = 60310.25
    x, y = places_on_image(catalog, wcs, mjd)
    year = 2000.0 + (mjd - 51544.5) / 365.25
    expected = sky_to_pixel(wcs, *propagate(catalog, year, earth_position_au(mjd)))
    np.testing.assert_allclose([x, y], expected, atol=1e-9)
    # Eight years of half a second of arc are ten pixels.
    still = sky_to_pixel(wcs, catalog.ra_deg, catalog.dec_deg)
    assert np.hypot(x - still[0], y - still[1])[1] == pytest.approx(8.0 * np.hypot(0.5, 0.2) / 0.4, rel=0.1)
    assert (x[0], y[0]) == (pytest.approx(500.0), pytest.approx(400.0))
