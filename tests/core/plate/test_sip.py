from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.plate.sip import correct_plane, fit_tan_sip, scaled_pixels
from gaiaflux.core.sky.projection import linear_tan, pixel_to_sky, sip_order, sky_to_plane

SHAPE = (900, 1300)


def solution(ra=80.0, dec=-35.0, order=1, crpix=(700.0, 400.0)):
    """A plate solution that is turned, with a distortion of some ten pixels in the corners."""
    cd = np.array([[-0.98, 0.2], [0.19, 1.01]]) * 0.4 / 3600
    wcs = linear_tan((ra, dec), crpix, cd, SHAPE)
    if order < 2:
        return wcs
    rng = np.random.default_rng(order)
    a, b = np.zeros((order + 1, order + 1)), np.zeros((order + 1, order + 1))
    for p in range(order + 1):
        for q in range(order + 1 - p):
            if p + q >= 2:
                a[p, q], b[p, q] = rng.normal(0, 3.0, 2) / 700.0 ** (p + q)
    return replace(wcs, a=a, b=b)


def points(wcs, n=60, seed=1):
    x, y = np.random.default_rng(seed).uniform(0, 1, (2, n)) * np.array([[SHAPE[1]], [SHAPE[0]]])
    return x, y, pixel_to_sky(wcs, x, y)


def apart_mas(one, other, n=200):
    """Largest distance of two solutions on the image [mas]."""
    x, y, (ra, dec) = points(one, n, seed=9)
    xi, eta = sky_to_plane((float(np.median(ra)), float(np.median(dec))), ra, dec)
    xi2, eta2 = sky_to_plane((float(np.median(ra)), float(np.median(dec))), *pixel_to_sky(other, x, y))
    return 3.6e6 * np.hypot(xi - xi2, eta - eta2).max()


@pytest.mark.parametrize("place", [(80.0, -35.0), (359.99, 10.0), (20.0, 89.6), (20.0, -89.7), (5.0, 89.99996)])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_solution_is_found_again_from_a_wrong_start(place, order):
    truth = solution(*place, order=order)
    start = solution(place[0] + 0.02, place[1] + 0.01 * np.sign(-place[1]))
    angle = np.deg2rad(0.3)
    start = replace(
        start, cd=1.01 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ start.cd
    )
    found = fit_tan_sip(start, *points(truth), order=order, steps=4)
    assert apart_mas(truth, found) < 0.1
    assert found.crpix == start.crpix
    assert sip_order(found) == order
    # A linear solution has no polynomials at all, not some that are zero.
    if order == 1:
        assert found.a.shape == found.b.shape == (1, 1)


def test_weights_tell_which_points_count():
    truth = solution()
    x, y, (ra, dec) = points(truth)
    spoiled = dec + np.where(np.arange(60) < 20, 1e-3, 0.0)
    assert apart_mas(truth, fit_tan_sip(truth, x, y, (ra, spoiled))) > 300.0
    weight = np.where(np.arange(60) < 20, 1e-12, 2.0)
    assert apart_mas(truth, fit_tan_sip(truth, x, y, (ra, spoiled), weight)) < 0.1
    np.testing.assert_allclose(
        fit_tan_sip(truth, x, y, (ra, spoiled), np.full(60, 7.0)).cd,
        fit_tan_sip(truth, x, y, (ra, spoiled)).cd,
        rtol=1e-9,
    )


def test_a_distortion_of_higher_order_than_the_fit_stays():
    truth = solution(order=3)
    # The instrument turned a little and points elsewhere; its distortion is that of its optics.
    angle = np.deg2rad(0.2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    now = replace(truth, crval=(80.01, -35.004), cd=turn @ truth.cd)
    found = fit_tan_sip(truth, *points(now), order=1, steps=4)
    assert apart_mas(now, found) < 1.0
    np.testing.assert_allclose(found.a, truth.a, atol=1e-15)
    np.testing.assert_allclose(found.b, truth.b, atol=1e-15)


def test_a_correction_is_added_on_the_tangent_plane():
    wcs = solution(order=2)
    correction = np.zeros((2, 3))
    x, y, (ra, dec) = points(wcs)
    assert apart_mas(wcs, correct_plane(wcs, correction)) < 1e-3
    correction[:, 0] = 3e-4, -2e-4
    xi, eta = sky_to_plane(wcs.crval, ra, dec)
    xi2, eta2 = sky_to_plane(wcs.crval, *pixel_to_sky(correct_plane(wcs, correction), x, y))
    np.testing.assert_allclose(xi2 - xi, 3e-4, atol=1e-7)
    np.testing.assert_allclose(eta2 - eta, -2e-4, atol=1e-7)
    u, v = scaled_pixels(wcs, x, y)
    correction[:, 0] = 0.0
    correction[0, 1], correction[1, 2] = 2e-6, -1e-6
    xi2, eta2 = sky_to_plane(wcs.crval, *pixel_to_sky(correct_plane(wcs, correction), x, y))
    np.testing.assert_allclose(xi2 - xi, 2e-6 * u, atol=1e-7)
    np.testing.assert_allclose(eta2 - eta, -1e-6 * v, atol=1e-7)


def test_pixels_are_counted_from_the_reference_pixel_to_the_far_side():
    u, v = scaled_pixels(solution(), np.array([700.0, 0.0, 1299.0]), np.array([400.0, 0.0, 899.0]))
    assert u[0] == v[0] == 0.0
    assert max(np.abs(u).max(), np.abs(v).max()) == pytest.approx(1.0, abs=0.01)


def test_too_few_points_and_points_on_a_line():
    truth = solution()
    x, y, (ra, dec) = points(truth, 5)
    with pytest.raises(ValueError, match="5 points cannot fix a solution of order 2"):
        fit_tan_sip(truth, x, y, (ra, dec), order=2)
    assert apart_mas(truth, fit_tan_sip(truth, x[:3], y[:3], (ra[:3], dec[:3]))) < 0.1
    with pytest.raises(ValueError, match="2 points cannot fix a solution of order 1"):
        fit_tan_sip(truth, x[:2], y[:2], (ra[:2], dec[:2]))
    same = np.full(4, 700.0)
    with pytest.raises(ValueError, match="do not fix the solution"):
        fit_tan_sip(truth, same, np.full(4, 400.0), pixel_to_sky(truth, same, np.full(4, 400.0)))
