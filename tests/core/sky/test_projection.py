from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from gaiaflux.core.maths.polynomials import exponents, polynomial_terms
from gaiaflux.core.plate.sip import correct_plane, fit_tan_sip, scaled_pixels
from gaiaflux.core.sky.projection import (
    invert_distortion,
    linear_tan,
    pixel_scale_arcsec,
    pixel_to_sky,
    plane_to_sky,
    sip_order,
    sky_to_pixel,
    sky_to_plane,
)
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip

SHAPE = (2048, 2000)


def distorted(ra=150.0, dec=20.0, angle_deg=33.0, seed=1, order=3):
    """A solution of 0.389 arcsec per pixel with some 10 pixels of distortion in the corners."""
    rng = np.random.default_rng(seed)
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    cd = np.array([[-cos, sin], [sin, cos]]) * 0.389 / 3600
    a, b = np.zeros((2, order + 1, order + 1))
    for p, q in exponents(order):
        if p + q > 1:
            a[p, q], b[p, q] = rng.normal(0, 3, 2) / 1000.0 ** (p + q)
    return replace(linear_tan((ra, dec), (1010.3, 1020.9), cd, SHAPE), a=a, b=b)


def astropy_wcs(wcs):
    return WCS(fits.Header.fromstring(cards_from_tan_sip(wcs), sep="\n"))


@pytest.mark.parametrize(("ra", "dec"), [(150.0, 20.0), (0.01, -45.0), (359.99, 0.0), (210.0, 89.7), (12.0, -89.95)])
def test_agrees_with_astropy(ra, dec):
    wcs = distorted(ra, dec)
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-100, 2150, (2, 500))
    found_ra, found_dec = pixel_to_sky(wcs, x, y)
    true_ra, true_dec = astropy_wcs(wcs).all_pix2world(x, y, 0)
    turn = (found_ra - true_ra + 180.0) % 360.0 - 180.0
    scale = pixel_scale_arcsec(wcs) / 3600
    # A double holds an angle of 360 deg to 3e-10 pixel.
    assert np.abs(turn * np.cos(np.deg2rad(true_dec))).max() / scale < 1e-9
    assert np.abs(found_dec - true_dec).max() / scale < 1e-9
    back_x, back_y = sky_to_pixel(wcs, true_ra, true_dec)
    np.testing.assert_allclose(back_x, x, atol=1e-8)
    np.testing.assert_allclose(back_y, y, atol=1e-8)


def test_inverse_is_exact_for_strong_distortion_and_any_shape():
    wcs = distorted(order=5)
    x, y = np.meshgrid(np.linspace(0, 1999, 70), np.linspace(0, 2047, 60))
    back_x, back_y = sky_to_pixel(wcs, *pixel_to_sky(wcs, x, y))
    assert back_x.shape == x.shape
    np.testing.assert_allclose([back_x, back_y], [x, y], atol=1e-8)
    one_x, one_y = sky_to_pixel(wcs, *pixel_to_sky(wcs, 5.0, 7.0))
    assert (one_x.shape, one_y.shape) == ((), ())
    assert [float(one_x), float(one_y)] == pytest.approx([5.0, 7.0], abs=1e-8)


def test_far_side_of_the_sky_and_nan_are_nan():
    wcs = distorted(ra=10.0, dec=60.0)
    x, y = sky_to_pixel(wcs, [190.0, 10.0, np.nan], [-60.0, -40.0, 60.0])
    assert np.isnan(x).all()
    assert np.isnan(y).all()
    xi, _ = sky_to_plane((10.0, 60.0), [190.0, 190.0], [-60.0, 29.9])
    assert np.isnan(xi).all()
    assert np.isnan(pixel_to_sky(wcs, np.nan, 3.0)).all()


def test_right_ascension_lies_between_0_and_360():
    ra, dec = plane_to_sky((0.0, 0.0), [-0.1, 0.0, 0.1], [0.0, 0.0, 0.0])
    np.testing.assert_allclose(ra, [359.9, 0.0, 0.1], atol=1e-6)
    np.testing.assert_allclose(dec, 0.0, atol=1e-12)


def test_inverse_polynomials_serve_other_programs():
    wcs = invert_distortion(distorted())
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, 1999, 41), np.linspace(0, 2047, 41)))
    other = astropy_wcs(wcs)
    # astropy's sip_foc2pix is the AP, BP polynomial alone.
    focal = other.sip_pix2foc(np.stack([x, y], axis=1), 0)
    back = other.sip_foc2pix(focal, 0)
    assert np.hypot(back[:, 0] - x, back[:, 1] - y).max() < 0.01
    assert invert_distortion(linear_tan((1.0, 2.0), (3.0, 4.0), np.eye(2), SHAPE)).ap.shape == (1, 1)


@pytest.mark.parametrize("dec", [20.0, 89.6, -89.9])
def test_fit_recovers_a_solution_from_points(dec):
    truth = distorted(dec=dec)
    x, y = np.random.default_rng(4).uniform(0, 2000, (2, 60))
    ra, sky = pixel_to_sky(truth, x, y)
    off_ra, off_dec = plane_to_sky(truth.crval, 50 / 3600, -40 / 3600)
    turned = truth.cd @ np.array([[1.0, 0.004], [-0.004, 1.001]])
    start = linear_tan((float(off_ra), float(off_dec)), truth.crpix, turned, SHAPE)
    found = fit_tan_sip(start, x, y, (ra, sky), order=3, steps=4)
    assert sip_order(found) == 3
    back_x, back_y = sky_to_pixel(found, ra, sky)
    np.testing.assert_allclose([back_x, back_y], [x, y], atol=1e-4)
    np.testing.assert_allclose(found.a, truth.a, atol=1e-9)


def test_weights_and_too_few_points():
    truth = distorted(order=2)
    x, y = np.random.default_rng(5).uniform(0, 2000, (2, 30))
    ra, dec = pixel_to_sky(truth, x, y)
    wrong = x.copy()
    wrong[:5] += 20.0
    weight = np.where(np.arange(30) < 5, 0.0, 1.0)
    found = fit_tan_sip(truth, wrong, y, (ra, dec), weight, order=2, steps=3)
    np.testing.assert_allclose(found.a, truth.a, atol=1e-10)
    with pytest.raises(ValueError, match="cannot fix"):
        fit_tan_sip(truth, x[:5], y[:5], (ra[:5], dec[:5]), order=2)


def test_a_linear_correction_turns_the_distortion_too():
    wcs = distorted()
    x, y = np.random.default_rng(6).uniform(0, 2000, (2, 40))
    turn = np.array([[np.cos(0.01), -np.sin(0.01)], [np.sin(0.01), np.cos(0.01)]])
    terms = polynomial_terms(*scaled_pixels(wcs, x, y), 1)
    extent = float(np.median((x - wcs.crpix[0]) / terms[:, 1]))
    correction = np.concatenate([np.zeros((2, 1)), extent * (turn - np.eye(2)) @ wcs.cd], axis=1)
    turned = correct_plane(wcs, correction)
    np.testing.assert_allclose(turned.a, wcs.a, atol=1e-16)
    np.testing.assert_allclose(turned.cd, turn @ wcs.cd, atol=1e-14)
