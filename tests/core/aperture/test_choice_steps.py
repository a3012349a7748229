"""Steps of the choice of an aperture, each with a known answer."""

import numpy as np
import pytest

from gaiaflux.core.aperture.choice import (
    FixedApertures,
    choose_apertures,
    fixed_apertures,
    fold_scatter,
    pick_aperture,
    with_fixed,
)
from gaiaflux.core.aperture.neighbours import light_at_distance, neighbour_light
from gaiaflux.core.aperture.scatter import frame_trends, predicted_error, recommend_radius
from gaiaflux.core.psf.moffat import MoffatProfile

PROFILE = MoffatProfile.from_fwhm(4.0, 3.0)


def test_two_apertures_and_their_covariance():
    # A third of the inner and the rest of the outer one; the inner one's noise is a part of the outer one's.
    fixed = FixedApertures(
        np.array([5.0]), np.array([[1, 0]]), np.array([[1 / 3, 1.0]], "f4"), np.array([[0.8, 0.5]], "f4")
    )
    flux = np.array([[[10.0, 12.0, 15.0]], [[20.0, 22.0, 25.0]]], "f4")
    error = np.array([[[1.0, 2.0, 3.0]], [[2.0, 3.0, 4.0]]], "f4")
    flags = np.array([[[1, 2, 4]], [[8, 16, 32]]], "u4")
    found = with_fixed(flux, error, flags, fixed, np.arange(2))
    assert found.flux[:, 0, 3].tolist() == [pytest.approx(12 / 3 + 2 * 15 / 3), 20.0]
    variance = (2 / 3) ** 2 + (2 * 3 / 3) ** 2 + 2 * (1 / 3) * (2 / 3) * 0.8 * 2.0**2
    assert found.flux_err[:, 0, 3].tolist() == [pytest.approx(np.sqrt(variance)), 2.0]
    assert found.flags[:, 0, 3].tolist() == [6, 24]
    # One frame alone has its own weights.
    alone = with_fixed(flux[1:], error[1:], flags[1:], fixed, np.array([1]))
    np.testing.assert_array_equal(alone.flux, found.flux[1:])
    none = FixedApertures.none(2)
    assert with_fixed(flux, error, flags, none, np.arange(2)).flux is flux
    picked = pick_aperture(flux, error, flags, np.array([3]), fixed)
    assert picked.flux.tolist() == [found.flux[:, 0, 3].tolist()]
    assert picked.flags.tolist() == [[6, 24]]
    assert pick_aperture(flux, error, flags, np.array([2]), none).flux.tolist() == [[15.0, 25.0]]


def chosen(scatter, stated, count=100, level=1e3, expected=None):
    scatter, stated = np.asarray(scatter, float), np.asarray(stated, float)[None]
    both = np.stack([scatter, scatter])[:, None] if scatter.ndim == 1 else scatter[:, None]
    count = np.broadcast_to(count, both.shape)
    expected = stated if expected is None else np.asarray(expected, float)[None]
    return choose_apertures(both, count, stated, np.array([level]), expected)


def test_the_smallest_aperture_within_two_per_cent():
    nan = np.nan
    for second, index in ((0.985, 0), (0.975, 1)):
        assert chosen([nan, nan], [1.0, 1.0], expected=[1.0, second]).index.tolist() == [index]
        # Of those that scatter alike the stated errors decide in the same way.
        assert chosen([50.0, 50.0], [50.0, 50.0 * second]).index.tolist() == [index]
    # Below a thousandth of the flux more photons do not help.
    assert chosen([50.0, 50.0], [3.0, 1.0], level=1e5).index.tolist() == [0]
    assert chosen([50.0, 50.0], [300.0, 100.0], level=1e5).index.tolist() == [1]


@pytest.mark.parametrize(("excess", "index"), [(0.105, 1), (0.125, 0)])
def test_scatters_are_alike_within_their_error(excess, index):
    # Twenty points' worth of the stated error is believed; of 400 points two apertures' variances differ by 0.9 times
    # the root of 2 over 400, beside the two per cent.
    tolerance = 1.02**2 + 0.9 * np.sqrt(2 / 400)
    stated = np.array([100.0, 90.0])
    variance = 100.0**2 * np.array([1.0, 1.0 + excess])
    score = (400 * variance + 20 * stated**2) / 420
    assert (score[1] <= tolerance * score[0]) == bool(index)
    assert chosen(np.sqrt(variance), stated, count=200).index.tolist() == [index]


def test_few_points_make_an_aperture_worse():
    # Half of the points are worth twice the variance.
    count = np.array([[[60, 30]]] * 2)
    scatter = np.array([[[100.0, 90.0]]] * 2)
    found = choose_apertures(scatter, count, np.array([[100.0, 80.0]]), np.array([1.0]), np.array([[100.0, 80.0]]))
    assert found.index.tolist() == [0]
    found = choose_apertures(
        scatter, 60 + 0 * count, np.array([[100.0, 80.0]]), np.array([1.0]), np.array([[1.0, 1.0]])
    )
    assert found.index.tolist() == [1]


def test_each_half_is_judged_by_the_choice_of_the_other():
    # The even frames prefer the first aperture, the odd ones the second.
    scatter = np.array([[10.0, 30.0], [40.0, 20.0]])
    found = chosen(scatter, [1.0, 1.0])
    assert found.agreed.tolist() == [False]
    assert found.held_out[0] == pytest.approx(np.sqrt(0.5 * (30.0**2 + 40.0**2)))
    alike = chosen(np.array([[10.0, 30.0], [12.0, 20.0]]), [1.0, 1.0])
    assert alike.agreed.tolist() == [True]
    assert alike.held_out[0] == pytest.approx(np.sqrt(0.5 * (10.0**2 + 12.0**2)))


@pytest.mark.parametrize(("change", "some"), [(5e-4, False), (2e-3, True)])
def test_radii_that_are_the_same_in_all_frames_are_fixed_already(change, some):
    fwhm = np.where(np.arange(40) % 2, 4.0, 5.0)
    radii = np.tile([2.0, 4.0, 9.0], (40, 1))
    radii[::2] += change
    assert bool(fixed_apertures(radii, fwhm).radii.size) == some


def test_the_trend_of_a_frame_needs_thirty_stars_within_three_sigma():
    rng = np.random.default_rng(3)
    n, m = 50, 5
    x, y = rng.uniform(0, 100, (2, n))
    flux = (
        1e4 * np.exp(0.001 * rng.normal(size=(m, n)))[:, :, None] * np.array([1.0, 0.5, 2.0, 1.0, 1.0])[:, None, None]
    )
    flux[3, :8] *= 3.0
    flux[4, :22] *= 3.0
    trends = frame_trends(flux, np.ones(flux.shape, bool), x, y)
    assert np.isfinite(trends[0]).all(axis=1).tolist() == [True, True, True, True, False]
    np.testing.assert_allclose(trends[0, :4, 0] - trends[0, 0, 0], np.log([1.0, 0.5, 2.0, 1.0]), atol=0.05)
    # A flux that is not positive tells nothing.
    flux[0, :21] = -1.0
    assert np.isnan(frame_trends(flux, np.ones(flux.shape, bool), x, y)[0, 0]).all()


def test_scatter_about_the_median_of_all_frames():
    n, m = 40, 60
    rng = np.random.default_rng(4)
    x, y = rng.uniform(0, 100, (2, n))
    usable = np.ones((m, n, 1), bool)
    flux = np.full((m, n, 1), 1e4)
    # One star is brighter in all even frames: each half deviates from the common median by half of that.
    flux[::2, 0] = 1.01e4
    flux[1::2, 0] = 0.99e4
    trends = np.zeros((1, m, 6))
    scatter, count = fold_scatter(flux, usable, x, y, trends, (x, y))
    np.testing.assert_allclose(scatter[:, 0, 0], 100.0 / 0.9946, rtol=1e-6)
    np.testing.assert_allclose(scatter[:, 1:, 0], 0.0, atol=1e-6)
    assert (count == 30).all()


def test_predicted_errors_by_hand():
    flux = np.array([[[1000.0, 3000.0]]], "f4").repeat(5, axis=0)
    error = np.array([[[4.0, 1.0]]], "f4").repeat(5, axis=0)
    usable = np.ones(flux.shape, bool)
    # A thousandth of the larger of the two fluxes; half of a per cent where a neighbour is.
    neighbour = np.array([[[False, True]]]).repeat(5, axis=0)
    found = predicted_error(flux, error, usable, neighbour)
    np.testing.assert_allclose(found, [[5.0, np.sqrt(1.0 + 9.0 + 15.0**2)]], rtol=1e-6)
    index, score = recommend_radius(flux, error, usable, neighbour)
    assert index.tolist() == [0]
    np.testing.assert_allclose(score, found)
    none = np.zeros(flux.shape, bool)
    assert recommend_radius(flux, error, none, neighbour)[0].tolist() == [1]  # the middle one


def test_neighbours_are_taken_from_their_table_up_to_the_reach():
    x, y = np.array([50.0, 53.3, 50.0, 71.9, 50.0]), np.array([50.0, 50.0, 44.0, 50.0, 72.1])
    flux = np.array([1.0, 100.0, 30.0, 1e4, 1e6])
    radii = np.array([3.0, 5.0])
    found = neighbour_light(x, y, flux, radii, PROFILE, 22.0)
    for k, radius in enumerate(radii):
        distance = np.array([3.3, 6.0, 21.9])
        expected = light_at_distance(distance, radius, PROFILE) @ flux[1:4]
        assert found[0, k] == pytest.approx(expected, rel=2e-3)
    # Linear between steps of a 96th of the reach.
    steps = np.linspace(0.0, 22.0, 97)
    table = light_at_distance(steps, 3.0, PROFILE)
    only = neighbour_light(x[:2], y[:2], flux[:2], radii, PROFILE, 22.0)
    np.testing.assert_allclose(only[0, 0], 100.0 * np.interp(3.3, steps, table), rtol=1e-9)
    np.testing.assert_allclose(only[1, 0], 1.0 * np.interp(3.3, steps, table), rtol=1e-9)
    # All alone, and nobody wanted.
    assert neighbour_light(x[:1], y[:1], flux[:1], radii, PROFILE, 22.0).tolist() == [[0.0, 0.0]]
    assert neighbour_light(x, y, -flux, radii, PROFILE, 22.0).tolist() == [[0.0, 0.0]] * 5
    assert neighbour_light(x, y, flux, radii, PROFILE, 22.0, np.zeros(0, int)).shape == (0, 2)


def test_light_of_a_star_in_a_circle_is_whole_where_the_circle_is_large():
    found = light_at_distance(np.array([0.0, 1e-12, 2.0, 9.0]), 4000.0, PROFILE)
    np.testing.assert_allclose(found, 1.0, atol=1e-6)
    # In its own middle it is the growth curve.
    for radius in (1.0, 3.0, 8.0):
        assert light_at_distance(np.zeros(1), radius, PROFILE)[0] == pytest.approx(PROFILE.growth(radius), rel=2e-4)
    # Far away the brightness is that of the centre, and the light is the circle's area times that.
    assert light_at_distance(np.array([400.0]), 2.0, PROFILE)[0] == pytest.approx(
        np.pi * 4 * PROFILE.surface_brightness(400.0), rel=1e-3
    )
