"""Growth curves: weights of the fit, errors of the fractions, widths of the stars."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from gaiaflux.core.aperture.correction import (
    GrowthCorrection,
    GrowthCurves,
    _supported_order,
    _widths,
    fit_correction,
    fit_profile,
    model_correction,
)
from gaiaflux.core.maths.surface import Surface
from gaiaflux.core.psf.moffat import MoffatProfile

RADII = np.array([2.0, 3.0, 4.0, 6.0, 9.0, 12.0])
SHAPE = (1000, 800)
PROFILE = MoffatProfile.from_fwhm(4.0, 3.2)


def flat(value, error=0.0, scatter=0.0, slope=0.0):
    """A surface that rises along x by `slope` from the middle to the edge."""
    covariance = np.zeros((3, 3))
    covariance[0, 0] = error**2
    return Surface(np.array([value, slope, 0.0]), covariance, 1, SHAPE, scatter, 100)


@pytest.mark.parametrize("reference", [3, 1])
def test_ratios_are_weighed_with_their_errors_and_that_of_the_profile(reference):
    # A curve that is no Moffat function's: which radius is believed decides.
    radii = RADII[:5]
    curve = PROFILE.growth(radii) / PROFILE.growth(radii[reference])
    curve = curve * (1.0 + np.array([0.01, -0.012, 0.008, -0.006, 0.004]))
    error = np.array([0.0, 0.002, 0.004, 0.001, 0.003])
    found = fit_profile(radii, curve, error, MoffatProfile.from_fwhm(4.5, 3.0), reference=reference)
    others = np.arange(5) != reference

    def pull(parameters):
        light = MoffatProfile(np.exp(parameters[0]), parameters[1]).growth(radii)
        return ((light / light[reference] - curve) / np.hypot(error, 0.002))[others]

    best = least_squares(pull, [np.log(PROFILE.alpha), 3.2], xtol=1e-14, ftol=1e-14, gtol=1e-14).x
    assert 2.0 < best[1] < 8.0
    np.testing.assert_allclose([found.alpha, found.beta], [np.exp(best[0]), best[1]], rtol=1e-4)


def test_a_profile_stays_within_what_telescopes_make():
    for beta, bound in ((1.6, 2.0), (14.0, 8.0)):
        truth = MoffatProfile.from_fwhm(4.0, beta).growth(RADII)
        found = fit_profile(RADII, truth / truth[-1], np.full(6, 1e-4), PROFILE)
        assert found.beta == pytest.approx(bound, abs=1e-6)
    # The width within a factor of two.
    for factor in (1.9, 2.2, 0.55, 0.45):
        truth = MoffatProfile(PROFILE.alpha * factor, PROFILE.beta).growth(RADII)
        start = MoffatProfile(PROFILE.alpha, PROFILE.beta)
        found = fit_profile(RADII, truth / truth[-1], np.full(6, 1e-4), start)
        if 0.5 < factor < 2.0:
            assert found.alpha == pytest.approx(PROFILE.alpha * factor, rel=1e-3)
        else:
            assert found.alpha == pytest.approx(PROFILE.alpha * (2.0 if factor > 1 else 0.5), rel=1e-3)


def test_fraction_and_error_of_a_place():
    ratios = (flat(0.5, 0.01, 0.02), flat(0.8, 0.003, 0.004, slope=0.1))
    fit = GrowthCorrection(RADII[:2], PROFILE, 12.0, ratios, flat(0.0, 0.05, 0.0, slope=0.2), 50)
    x, y = np.array([399.5, 799.0, 0.0]), np.full(3, 499.5)
    u = np.array([0.0, 0.2, -0.2])
    inside = np.array([MoffatProfile(PROFILE.alpha * np.exp(one), PROFILE.beta).growth(12.0) for one in u])
    slope = float(PROFILE.growth_slope(12.0))
    ratio = np.array([[0.5, 0.8], [0.5, 0.9], [0.5, 0.7]])
    inside_err = np.hypot(slope * 0.05, 0.1 * slope * u)
    for scatter in (True, False):
        own = np.hypot([0.01, 0.003], [0.02, 0.004]) if scatter else np.array([0.01, 0.003])
        fraction, error = fit.fraction(x, y, star_scatter=scatter)
        np.testing.assert_allclose(fraction, ratio * inside[:, None], rtol=1e-9)
        np.testing.assert_allclose(error, np.hypot(own * inside[:, None], ratio * inside_err[:, None]), rtol=1e-9)
    # A width that runs away is held at half of a factor e.
    wide = GrowthCorrection(RADII[:2], PROFILE, 12.0, ratios, flat(0.0, slope=3.0), 50).fraction(x, y)[0]
    for k, one in ((1, 0.5), (2, -0.5)):
        expected = MoffatProfile(PROFILE.alpha * np.exp(one), PROFILE.beta).growth(12.0)
        np.testing.assert_allclose(wide[k], ratio[k] * expected, rtol=1e-9)


def test_scatter_of_too_few_stars_always_counts():
    # Five stars for each of the six terms of an order of two.
    for n, order, unresolved in ((29, 2, True), (30, 2, False), (14, 1, True), (15, 1, False), (3, 0, False)):
        rng = np.random.default_rng(n)
        x, y = rng.uniform(0, 800, n), rng.uniform(0, 1000, n)
        ratio = PROFILE.growth(RADII) / PROFILE.growth(RADII[-1]) + 0.03 * rng.normal(size=(n, 1)) * (RADII < 12.0)
        stars = GrowthCurves(x, y, 1e6 * ratio, np.ones(ratio.shape), np.zeros(n), RADII)
        fit = fit_correction(stars, np.arange(2), len(RADII) - 1, SHAPE, PROFILE, max_order=order)
        assert fit.unresolved is unresolved
        surface = fit.ratios[0]
        assert surface.scatter > 0.01
        with_scatter, without = (fit.fraction(x, y, star_scatter=one)[1][:, 0] for one in (True, False))
        if unresolved:
            np.testing.assert_array_equal(without, with_scatter)
        else:
            assert (without < 0.9 * with_scatter).all()


def test_a_model_may_be_wrong_by_three_per_cent_of_the_width():
    fit = model_correction(RADII, PROFILE)
    assert not fit.measured
    assert (fit.reference_radius, fit.n_stars) == (12.0, 0)
    fraction, error = fit.fraction(np.array([3.0, np.nan]), np.array([4.0, 5.0]))
    np.testing.assert_allclose(fraction[0], PROFILE.growth(RADII))
    wider, narrower = (MoffatProfile(PROFILE.alpha * factor, PROFILE.beta).growth(RADII) for factor in (1.03, 0.97))
    np.testing.assert_allclose(error[0], 0.5 * (narrower - wider), rtol=5e-3)
    assert np.isnan(fraction[1]).all()
    assert np.isnan(error[1]).all()


def test_widths_of_stars_from_all_their_radii():
    widening = np.array([0.0, 0.01, -0.02])
    curves = np.array([MoffatProfile(PROFILE.alpha * np.exp(w), PROFILE.beta).growth(RADII) for w in widening])
    ratio = curves / curves[:, 5:]
    error = np.full(ratio.shape, 1e-3) * np.array([1.0, 2.0, 1.0, 1.0, 1.0, 0.0])
    found, found_err = _widths(ratio, error, ratio[0], RADII, 5, PROFILE)
    np.testing.assert_allclose(found, widening, atol=3e-4)
    # Each radius counts by its response over its variance; errors add up, since they are common.
    response = (curves[1] / curves[1, 5] - curves[0] / curves[0, 5])[:5] / 0.01
    weight = np.abs(response) / error[0, :5] ** 2
    expected = (error[0, :5] * weight).sum() / (weight * np.abs(response)).sum()
    np.testing.assert_allclose(found_err, expected, rtol=0.02)
    # A single radius tells no width.
    none = _widths(np.ones((3, 1)), np.zeros((3, 1)), np.ones(1), RADII[:1], 0, PROFILE)
    assert none[0].tolist() == [0.0] * 3
    assert none[1].tolist() == [1.0] * 3


@pytest.mark.parametrize(("slope", "order"), [(0.15, 0), (0.6, 1)])
def test_an_order_has_to_pay_for_its_terms(slope, order):
    # Of 80 stars a term costs ln 80 of chi squared: a plane 8.8 in all. Along x it explains the sum of (slope u)^2.
    u = np.linspace(-1, 1, 80)
    x, y = 399.5 * (1 + u), 499.5 * (1 + np.sin(np.arange(80) * 2.4))
    gain = (slope * u) ** 2
    assert (gain.sum() > 8.8) == bool(order)
    assert _supported_order(x, y, slope * u, np.ones(80), SHAPE, 1) == order
    # So much, however few the stars are that a higher order could have.
    assert _supported_order(x[:14], y[:14], 5.0 * u[:14], np.ones(14), SHAPE, 2) == 0


def test_ratios_of_circles_and_their_errors():
    # A star's noise in rings of its own; the sky's error is common to both circles.
    n = 40
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0, 799, n), rng.uniform(0, 999, n)
    light = 1e5 * PROFILE.growth(RADII)
    variance = np.tile(np.cumsum(np.diff(light, prepend=0.0)) * 4.0, (n, 1))
    sky = np.full(n, 2.0)
    flux = np.tile(light, (n, 1))
    fit = fit_correction(GrowthCurves(x, y, flux, variance, sky, RADII), np.arange(6), 4, SHAPE, PROFILE, max_order=0)
    whole, area = light[4], np.pi * RADII**2
    ratio = light / whole
    # Within the reference: noise of the inner and of the rest; beyond it of the reference itself and of the ring.
    rest = np.abs(variance[0, 4] - variance[0])
    smaller = np.minimum(variance[0], variance[0, 4])
    expected = (1 - ratio) ** 2 * smaller + np.minimum(ratio, 1.0) ** 2 * rest + ((area - ratio * area[4]) * 2.0) ** 2
    error = np.sqrt(expected) / whole / np.sqrt(n)
    for k in (0, 1, 2, 3, 5):
        assert fit.ratios[k].coefficients[0] == pytest.approx(ratio[k], rel=1e-6)
        assert fit.ratios[k].error(x[:1], y[:1])[0] == pytest.approx(error[k], rel=1e-3)
    assert fit.reference_radius == 9.0
    assert fit.profile.alpha == pytest.approx(PROFILE.alpha, rel=1e-3)
    assert fit.profile.beta == pytest.approx(PROFILE.beta, rel=1e-3)
    np.testing.assert_allclose(fit.widening.value(x, y), 0.0, atol=1e-4)


@pytest.mark.parametrize(("sigmas", "order"), [(2.9, 0), (3.5, 1)])
def test_a_star_counts_up_to_four_sigma(sigmas, order):
    # The one star on the other side of the field asks for a slope: it would spare its square, which costs two terms of
    # ln 100.
    x, y = np.where(np.arange(100) == 7, 799.0, 0.0), np.linspace(0.0, 999.0, 100)
    width = np.where(np.arange(100) == 7, sigmas, 0.6745 * np.where(np.arange(100) % 2, 1.0, -1.0))
    assert (sigmas**2 > 2 * np.log(100)) == bool(order)
    assert _supported_order(x, y, width, np.ones(100), SHAPE, 1) == order
