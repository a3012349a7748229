from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.core.sky.plate_polynomial import plate_polynomial
from gaiaflux.core.sky.projection import linear_tan, pixel_to_sky, sky_to_pixel
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards

CD = np.array([[-5.4e-3, 1.9e-3], [1.9e-3, 5.4e-3]])


def test_a_solution_without_distortion_is_followed_over_a_whole_ccd():
    wcs = linear_tan((319.0, -68.0), (1023.5, 1023.5), CD, (2048, 2048))
    made = plate_polynomial(wcs)
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-20, 2068, (2, 500))
    at_x, at_y = made.pixels(*pixel_to_sky(wcs, x, y))
    np.testing.assert_allclose(at_x, x, atol=1e-6)
    np.testing.assert_allclose(at_y, y, atol=1e-6)
    assert made.order == 1


def test_the_distortion_of_a_real_ccd_is_followed(tess_data):
    path = next((tess_data / "ffi_s01_c1_4").glob("*ffic*.fits"))
    wcs = tan_sip_from_cards(fits.getheader(path, 1).tostring(sep="\n"), (2078, 2136))
    made = plate_polynomial(wcs)
    rng = np.random.default_rng(2)
    ra, dec = pixel_to_sky(wcs, *rng.uniform(0, 2078, (2, 2000)))
    for ours, exact in zip(made.pixels(ra, dec), sky_to_pixel(wcs, ra, dec), strict=True):
        np.testing.assert_allclose(ours, exact, atol=1e-3)
    assert made.residual < 1e-3
    # The catalogue that belongs to the crop states the places of two stars.
    np.testing.assert_allclose(np.ravel(made.pixels(319.5031, -22.0456)), [91.1455, 13.1011], atol=1e-3)


def test_the_residual_tells_where_an_order_is_not_enough():
    wcs = linear_tan((10.0, 80.0), (1000.0, 1000.0), CD, (2000, 2000))
    a = np.zeros((5, 5))
    a[2, 0], a[0, 4] = 2e-5, 3e-11
    bent = replace(wcs, a=a, b=a.T)
    made = plate_polynomial(bent, tolerance=0.5)
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0, 1999, (2, 1000))
    away = np.hypot(*(np.array(made.pixels(*pixel_to_sky(bent, x, y))) - [x, y]))
    assert 1e-4 < away.max() < 1.2 * made.residual < 0.6


def test_the_far_side_and_what_is_not_known_are_nan():
    made = plate_polynomial(linear_tan((10.0, 20.0), (50.0, 50.0), CD, (100, 100)))
    x, y = made.pixels(np.array([190.0, np.nan]), np.array([-20.0, 20.0]))
    assert np.isnan(x).all()
    assert np.isnan(y).all()
    assert made.pixels(10.0, 20.0)[0] == pytest.approx(50.0)
