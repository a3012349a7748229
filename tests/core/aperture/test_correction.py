import numpy as np
import pytest

from gaiaflux.core.aperture.correction import GrowthCurves, fit_correction, fit_profile, model_correction
from gaiaflux.core.aperture.neighbours import light_at_distance, neighbour_light
from gaiaflux.core.maths.surface import fit_surface
from gaiaflux.core.psf.moffat import MoffatProfile

RADII = np.array([2.0, 3.0, 4.0, 6.0, 9.0, 12.0])
SHAPE = (1000, 800)
PROFILE = MoffatProfile.from_fwhm(4.0, 3.2)


@pytest.mark.parametrize("annulus", [None, (16.0, 24.0)])
@pytest.mark.parametrize(("fwhm", "beta"), [(4.0, 2.5), (4.0, 3.2), (6.0, 5.0)])
def test_profile_fitted_to_a_growth_curve(fwhm, beta, annulus):
    truth = MoffatProfile.from_fwhm(fwhm, beta)
    sky = truth.annulus_brightness(*annulus) if annulus else 0.0
    light = truth.growth(RADII) - np.pi * RADII**2 * sky
    found = fit_profile(RADII, light / light[-1], np.full(6, 1e-4), MoffatProfile.from_fwhm(5.0), annulus)
    assert found.fwhm == pytest.approx(fwhm, rel=1e-3)
    assert found.beta == pytest.approx(beta, rel=0.01)


def test_profile_needs_two_radii():
    start = MoffatProfile.from_fwhm(5.0)
    assert fit_profile(RADII[:1], np.ones(1), np.zeros(1), start) == start
    two = fit_profile(RADII[:2], PROFILE.growth(RADII[:2]) / PROFILE.growth(RADII[1]), np.full(2, 1e-4), start)
    assert two.beta == start.beta
    three = fit_profile(RADII[:3], PROFILE.growth(RADII[:3]) / PROFILE.growth(RADII[2]), np.full(3, 1e-5), start)
    assert three.beta == pytest.approx(PROFILE.beta, rel=0.02)
    assert three.fwhm == pytest.approx(PROFILE.fwhm, rel=0.01)


def make_stars(n, rng, variation=0.05):
    x, y = rng.uniform(0, SHAPE[1], n), rng.uniform(0, SHAPE[0], n)
    u, v = x / 400 - 1, y / 500 - 1
    alpha = PROFILE.alpha * (1 + variation * (u - 0.5 * v + 0.7 * u * v))
    truth = 1 - (1 + (RADII / alpha[:, None]) ** 2) ** (1 - PROFILE.beta)
    whole = 10 ** rng.uniform(5, 6, n)
    flux = whole[:, None] * truth
    # Independent noise in each ring; the sum's variance adds up.
    rings = np.diff(flux, axis=1, prepend=0.0) + 200.0 * np.diff(np.pi * RADII**2, prepend=0.0)
    flux = flux + np.cumsum(rng.normal(0, np.sqrt(rings)), axis=1)
    return x, y, flux, np.cumsum(rings, axis=1), truth, whole


def test_correction_follows_the_width_over_the_field():
    rng = np.random.default_rng(7)
    x, y, flux, variance, _, _ = make_stars(200, rng)
    flux[:4] *= [1.0, 1.1, 1.3, 1.4, 1.5, 1.6]  # blends
    fit = fit_correction(GrowthCurves(x, y, flux, variance, np.zeros(200), RADII), np.arange(6), 5, SHAPE, PROFILE)
    assert fit.measured
    assert fit.n_stars == 200
    x, y, _, _, truth, _ = make_stars(500, rng)
    fraction, error = fit.fraction(x, y)
    assert (np.std(fraction / truth - 1, axis=0) < [0.006, 0.004, 0.003, 0.0015, 0.0010, 0.0010]).all()
    assert (np.abs(np.mean(fraction / truth - 1, axis=0)) < 0.003).all()
    # The same without the field dependence is far worse.
    assert np.std(truth[:, 0] / truth[:, 0].mean()) > 0.04
    assert (error < 0.01).all()
    assert (np.std((fraction - truth) / error, axis=0)[:4] < 1.5).all()


def test_correction_with_few_stars_has_lower_order():
    rng = np.random.default_rng(8)
    for n, order in ((1, 0), (14, 0), (15, 1), (30, 2)):
        x, y, flux, variance, _, _ = make_stars(n, rng)
        fit = fit_correction(GrowthCurves(x, y, flux, variance, np.zeros(n), RADII), np.array([1]), 5, SHAPE, PROFILE)
        assert fit.ratios[0].order == order
        fraction, error = fit.fraction(x, y)
        assert np.isfinite(fraction).all()
        assert np.isfinite(error).all()


def test_correction_is_flat_where_the_width_does_not_change():
    orders = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, y, flux, variance, _, _ = make_stars(60, rng, variation=0.0)
        fit = fit_correction(GrowthCurves(x, y, flux, variance, np.zeros(60), RADII), np.array([1]), 5, SHAPE, PROFILE)
        orders.append(fit.ratios[0].order)
    assert orders.count(0) >= 18


def test_model_correction_is_flat_and_unsure():
    fit = model_correction(RADII, PROFILE)
    assert not fit.measured
    fraction, error = fit.fraction(np.array([1.0, np.nan]), np.array([5.0, 5.0]))
    np.testing.assert_allclose(fraction[0], PROFILE.growth(RADII))
    assert np.isnan(fraction[1]).all()
    assert (np.diff(error[0][1:]) < 0).all()


@pytest.mark.parametrize("distance", [0.0, 0.7, 3.0, 5.9, 6.1, 12.0, 30.0])
def test_light_of_a_star_in_a_circle_beside_it(distance):
    step = 0.02
    grid = np.arange(-6.0 + step / 2, 6.0, step)
    dx, dy = np.meshgrid(grid, grid)
    inside = np.hypot(dx, dy) < 6.0
    expected = np.sum(PROFILE.surface_brightness(np.hypot(dx + distance, dy))[inside]) * step**2
    assert light_at_distance(np.array([distance]), 6.0, PROFILE)[0] == pytest.approx(expected, rel=3e-3)


def test_neighbour_light_against_all_pairs():
    rng = np.random.default_rng(9)
    x, y = rng.uniform(-20, 120, (2, 150))
    flux = rng.uniform(10, 1000, 150)
    flux[:3] = [np.nan, -5.0, 0.0]
    x[5] = np.nan
    radii = np.array([3.0, 6.0])
    found = neighbour_light(x, y, flux, radii, PROFILE, 22.0)
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    for k, radius in enumerate(radii):
        light = light_at_distance(distance.ravel(), radius, PROFILE).reshape(150, 150) * flux
        light[~(distance < 22.0) | np.eye(150, dtype=bool) | ~(flux > 0)] = 0
        expected = np.nansum(light, axis=1)
        expected[5] = np.nan
        np.testing.assert_allclose(found[:, k], expected, rtol=0.02, atol=1e-3)
    some = np.array([9, 5, 3])
    np.testing.assert_array_equal(neighbour_light(x, y, flux, radii, PROFILE, 22.0, some), found[some])
    nobody = np.zeros(0)
    assert neighbour_light(nobody, nobody, nobody, radii, PROFILE, 22.0).shape == (0, 2)


def test_surface_is_robust_and_knows_its_error():
    rng = np.random.default_rng(10)
    pulls = []
    for _ in range(60):
        x, y = rng.uniform(0, SHAPE[1], 100), rng.uniform(0, SHAPE[0], 100)
        z_err = rng.uniform(0.5, 2.0, 100)
        true = 3 + 0.01 * x - 1e-5 * y**2
        z = true + rng.normal(0, np.hypot(z_err, 0.8))
        z[:5] += 50
        fit = fit_surface(x, y, z, z_err, SHAPE, 2)
        assert fit.n_used <= 95
        pulls.append(((fit.value(x, y) - true) / fit.error(x, y), fit.scatter))
    assert np.std([p for p, _ in pulls]) == pytest.approx(1.0, abs=0.15)
    assert np.mean([s for _, s in pulls]) == pytest.approx(0.8, abs=0.12)
    slope_x, slope_y = fit.gradient(np.array([400.0]), np.array([500.0]))
    assert slope_x[0] == pytest.approx(0.01, abs=0.002)
    assert slope_y[0] == pytest.approx(-0.01, abs=0.002)


def test_surface_with_few_points():
    one = fit_surface(np.array([3.0]), np.array([4.0]), np.array([7.0]), np.array([0.5]), SHAPE, 2)
    assert one.order == 0
    assert one.value(np.array([9.0]), np.array([9.0]))[0] == pytest.approx(7.0)
    assert one.error(np.array([9.0]), np.array([9.0]))[0] == pytest.approx(0.5, rel=0.01)
    with pytest.raises(ValueError, match="one point"):
        fit_surface(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0), SHAPE, 0)


def test_error_of_the_light_beyond_the_reference_radius():
    rng = np.random.default_rng(11)
    x, y, flux, variance, _, _ = make_stars(400, rng, variation=0.15)
    fit = fit_correction(GrowthCurves(x, y, flux, variance, np.zeros(400), RADII), np.arange(6), 5, SHAPE, PROFILE)
    _, error = fit.fraction(x, y)
    # Within the reference radius the ratio is 1 by definition: all of the error is that of the light beyond it, a
    # tenth of its change over the field and what the fit of the width leaves open.
    np.testing.assert_allclose(fit.ratios[5].error(x, y), 0.0, atol=1e-8)
    wider = MoffatProfile(fit.profile.alpha * np.exp(fit.widening.value(x, y)), fit.profile.beta)
    change = np.abs(wider.growth(RADII[5]) - fit.profile.growth(RADII[5]))
    assert change.max() > 0.005
    far = change > 0.002
    assert far.sum() > 50
    ratio = error[far, 5] / change[far]
    assert 0.08 < np.median(ratio) < 0.12
    assert ((ratio > 0.06) & (ratio < 0.25)).all()
    unsure = np.abs(fit.profile.growth_slope(RADII[5])) * fit.widening.error(x, y)
    assert (unsure > 0).all()
    assert (error[:, 5] >= 0.99 * unsure).all()
    # The smaller circles have this error, too.
    assert (error[:, 4] > 0.98 * error[:, 5]).all()


def test_an_error_of_the_sky_is_common_to_both_circles():
    # Each star's sky is off by its own amount, far more than its noise: that explains all that the ratios scatter.
    rng = np.random.default_rng(12)
    x, y, flux, variance, _, _ = make_stars(200, rng, variation=0.0)
    sky = np.full(200, 100.0)
    flux = flux + np.pi * RADII**2 * (sky * rng.normal(size=200))[:, None]
    fit = fit_correction(GrowthCurves(x, y, flux, variance, sky, RADII), np.arange(6), 5, SHAPE, PROFILE)
    blind = fit_correction(GrowthCurves(x, y, flux, variance, np.zeros(200), RADII), np.arange(6), 5, SHAPE, PROFILE)
    for k in (1, 2, 3):
        assert blind.ratios[k].scatter > 0.02
        assert fit.ratios[k].scatter < 0.35 * blind.ratios[k].scatter
