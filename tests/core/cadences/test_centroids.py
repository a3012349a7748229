from dataclasses import replace

import numpy as np
import pytest
from photutils.centroids import centroid_2dg

from gaiaflux.core.cadences.centroids import CentroidOptions, PixelNoise, measure_centroids, motion_stars
from gaiaflux.sim.tess.stamp import pixel_variance
from gaiaflux.sim.tess.star_frames import moved_places, simulate_star_frames
from gaiaflux.sim.tess.stars import tess_flux

STILL = np.zeros((2, 2))


def floor(field, sky=100.0):
    """Least errors of the places by the true functions, with light and a constant free; shape (2, n_stars)."""
    made, step = [], 1e-4
    for response, x, y, flux in zip(field.setup.responses, field.x, field.y, field.setup.flux, strict=True):
        at = np.array([x, y]) - np.rint([x, y]) + 3.0
        around = at + step * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
        light = response.light(around[:, 0], around[:, 1], (7, 7))
        slopes = flux * (light[[1, 3]] - light[[2, 4]]) / (2 * step)
        columns = np.concatenate([light[:1], slopes, np.ones((1, 7, 7))]).reshape(4, -1)
        variance = pixel_variance(flux * light[0] + sky, field.setup.cadence_s).ravel()
        made.append(np.sqrt(np.diag(np.linalg.inv((columns / variance) @ columns.T))[1:3]))
    return np.array(made).T


@pytest.mark.parametrize("tmag", [8.0, 10.0, 12.0])
def test_errors_are_near_the_least_possible_and_true(star_field, measured, response, tmag):
    shift = np.random.default_rng(5).normal(0.0, 0.01, (25, 2))
    field = star_field(100, shift, tmag=(tmag, tmag), seed=31)
    found = measured(field, simulate_star_frames(field.setup), psf=response)
    away = np.stack([found.x - field.setup.x, found.y - field.setup.y])
    away -= away.mean(axis=1, keepdims=True)
    least = np.sqrt((floor(field) ** 2).mean())
    scatter = np.sqrt((away**2).mean() * 25 / 24)
    stated = np.sqrt((np.stack([found.x_err, found.y_err]) ** 2).mean())
    assert scatter < 1.08 * least
    assert 0.95 < scatter / stated < 1.08
    assert np.median(found.flux / field.setup.flux) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("off", [(0.0, 0.0), (1.1, -1.0), (-1.4, 0.5), (0.3, 1.5)])
def test_stars_are_found_from_a_pixel_and_a_half_away(star_field, measured, off):
    field = star_field(60, STILL, seed=2)
    images = simulate_star_frames(field.setup)
    catalogue = field.catalogue + np.array([*off, 0.0])[:, None]
    found = measured(field, images, catalogue)
    np.testing.assert_allclose(found.x, field.setup.x, atol=0.02)
    np.testing.assert_allclose(found.y, field.setup.y, atol=0.02)
    np.testing.assert_allclose(found.shift, -np.array([off, off]), atol=0.6)


def test_a_start_is_enough_where_the_shift_is_known(star_field, measured):
    field = star_field(30, STILL, seed=3)
    images = simulate_star_frames(field.setup)
    catalogue = field.catalogue + np.array([[5.0], [0.0], [0.0]])
    options = CentroidOptions(search=0, farthest=6.0)
    found = measured(field, images, catalogue, options=options, start=(-5.0, 0.0))
    np.testing.assert_allclose(found.x, field.setup.x, atol=0.02)


@pytest.mark.parametrize("what", ["displaced", "blank", "level", "nothing", "another field"])
def test_a_frame_without_the_stars_has_no_places(star_field, measured, what):
    field = star_field(40, STILL, seed=4)
    if what == "displaced":
        images = simulate_star_frames(replace(field.setup, x=field.setup.x + 3.0))
    elif what == "another field":
        other = star_field(40, STILL, seed=40)
        images = simulate_star_frames(other.setup)
    else:
        images = np.full((2, 256, 256), {"blank": 0.0, "level": 100.0, "nothing": np.nan}[what], np.float32)
    found = measured(field, images)
    near = np.isfinite(found.x)
    assert near.mean() < (0.2 if what == "another field" else 0.01)
    assert np.array_equal(found.n_used > 0, near)
    assert np.isnan(found.x_err[~near]).all()


@pytest.mark.parametrize("light", [3e3, 3e4])
def test_one_bad_pixel_is_left_out_wherever_it_is(star_field, measured, light):
    field = star_field(49, STILL, seed=6, tmag=(10.0, 12.0))
    clean = simulate_star_frames(field.setup)[:1]
    images = np.repeat(clean, 25, axis=0)
    column, row = np.rint(field.x).astype(int), np.rint(field.y).astype(int)
    for frame, image in enumerate(images):
        where = (frame + 7 * np.arange(49)) % 25
        image[row + where // 5 - 2, column + where % 5 - 2] += light
    before, found = measured(field, clean), measured(field, images)
    away = np.hypot(found.x - before.x, found.y - before.y) / before.x_err
    assert np.isfinite(away).mean() > 0.99
    assert np.mean(away[np.isfinite(away)] > 10.0) < 0.08
    assert np.median(found.n_used) == 48


def test_pixels_that_cannot_be_used_do_not_count(star_field, measured):
    field = star_field(20, STILL, seed=7)
    images = simulate_star_frames(field.setup)
    bad = np.zeros(images.shape[1:], bool)
    column, row = np.rint(field.x).astype(int), np.rint(field.y).astype(int)
    bad[row, column + 2] = True
    images[0, row, column + 2] = 5e4
    images[1, row, column + 2] = np.nan
    found = measured(field, images, unusable=bad)
    assert (found.n_used == 48).all()
    np.testing.assert_allclose(found.x, field.setup.x, atol=0.02)
    left_out = measured(field, images[1:])
    np.testing.assert_array_equal(left_out.x[0], found.x[1])


def test_light_that_is_not_even_does_not_move_stars(star_field, measured):
    yy, xx = np.indices((256, 256))
    glow = 400.0 * np.exp(-((xx - 90.0) ** 2 + (yy - 150.0) ** 2) / (2 * 30.0**2)) + 1.5 * xx
    field = star_field(60, STILL, seed=8, tmag=(11.0, 12.5))
    dark = simulate_star_frames(replace(field.setup, seed=None))
    bright = simulate_star_frames(replace(field.setup, seed=None, sky=100.0 + glow))
    moved = {}
    for slopes in (True, False):
        options = CentroidOptions(slopes=slopes)
        one, other = (measured(field, images, options=options) for images in (dark, bright))
        moved[slopes] = np.median(np.hypot(other.x - one.x, other.y - one.y))
    assert moved[True] < 1e-4
    assert moved[False] > 10 * moved[True]


def test_known_neighbours_are_taken_off(star_field, response):
    field = star_field(30, STILL, seed=9)
    near_x, near_y = field.x + 2.3, field.y - 1.2
    everyone = np.concatenate([field.catalogue, [near_x, near_y, 0.1 * field.setup.flux]], axis=1)
    moved = moved_places(*everyone[:2], np.array([[0.2, -0.1], [0.0, 0.0]]), np.zeros(2), np.zeros(2))
    setup = replace(
        field.setup, x=moved[0], y=moved[1], flux=everyone[2], responses=2 * field.setup.responses, seed=None
    )
    images = simulate_star_frames(setup)
    noise, options, rows = PixelNoise(1.0 / 1343.0, 0.0395), CentroidOptions(), np.arange(30)
    away = {}
    for subtract in (True, False):
        stars = motion_stars(response, everyone, rows, (1000, 700), options, subtract=subtract)
        found = measure_centroids(images[0], stars, noise, options)
        away[subtract] = np.hypot(found.x - setup.x[0, rows], found.y - setup.y[0, rows])
    assert away[True].max() < 2e-3
    assert np.median(away[False]) > 0.004


def test_the_width_tells_motion_within_the_exposure(star_field, measured, response):
    trail = np.array([[0.0, 0.0], [0.4, 0.0], [0.3, 0.3], [0.0, 0.8]])
    field = star_field(60, np.zeros((4, 2)), seed=10, trail=trail)
    found = measured(field, simulate_star_frames(field.setup), psf=response)
    spread = np.median(found.spread, axis=1)
    # The nine places of the trail have a slightly larger variance than an even one.
    expected = (trail**2).sum(axis=1) / 24.0 * (10.0 / 8.0)
    np.testing.assert_allclose(spread - spread[0], expected, rtol=0.25, atol=2e-4)
    np.testing.assert_allclose(np.median(found.x - field.setup.x, axis=1), 0.0, atol=5e-3)


def test_stars_at_the_edge_and_full_planes_of_variance(star_field, measured, response):
    field = star_field(20, STILL, seed=11)
    images = simulate_star_frames(field.setup)
    variance = (images[0] / 1341.0 + 0.04).astype(np.float32)
    variance[:, :128] = np.nan
    options = CentroidOptions()
    stars = motion_stars(response, field.catalogue, np.arange(20), (1000, 700), options)
    found = measure_centroids(images[0], stars, PixelNoise(0.0, 0.0, variance), options)
    assert np.isfinite(found.x[field.x > 129]).all()
    assert np.isnan(found.x[field.x < 126]).all()
    cut = int(field.x[0]) - 1
    stars = motion_stars(response, field.catalogue - [[cut], [0], [0]], np.arange(1), (1000 + cut, 700), options)
    edge = measure_centroids(images[0][:, cut:], stars, PixelNoise(1.0 / 1341.0, 0.04), options)
    assert edge.x[0] + cut == pytest.approx(field.setup.x[0, 0], abs=0.01)
    assert 28 <= edge.n_used[0] < 49
    with pytest.raises(ValueError, match="plane of shape"):
        measure_centroids(images[0], stars, PixelNoise(0.0, 0.0, variance[1:]), options)
    with pytest.raises(ValueError, match="where stars have 9"):
        measure_centroids(images[0], stars, PixelNoise(1.0, 1.0), CentroidOptions(half=4))


def test_places_agree_with_a_fit_by_photutils(star_field, measured, response):
    """Relative places of two frames: a Gaussian is biased alike in both where they differ by whole pixels."""
    field = star_field(12, np.array([[0.0, 0.0], [1.0, -1.0]]), seed=12, tmag=(8.0, 9.0))
    images = simulate_star_frames(field.setup)
    found = measured(field, images, psf=response)
    ours, theirs = found.x[1] - found.x[0], []
    for x, y in zip(field.x, field.y, strict=True):
        column, row = int(np.rint(x)), int(np.rint(y))
        pair = [
            centroid_2dg(images[k, row + dy - 3 : row + dy + 4, column + dx - 3 : column + dx + 4] - 100.0)[0] + dx
            for k, (dx, dy) in enumerate(((0, 0), (1, -1)))
        ]
        theirs.append(pair[1] - pair[0])
    np.testing.assert_allclose(ours, theirs, atol=3e-3)
    np.testing.assert_allclose(ours, 1.0, atol=1e-3)


def test_no_stars_at_all(response):
    options = CentroidOptions()
    stars = motion_stars(response, np.zeros((3, 0)), np.zeros(0, int), (1000, 700), options)
    found = measure_centroids(np.zeros((20, 20), np.float32), stars, PixelNoise(1.0, 1.0), options)
    assert len(found.x) == 0
    assert tess_flux(20.44) == 1.0
