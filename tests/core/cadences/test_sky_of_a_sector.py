"""From raw frames to pixels without sky: scattered light that rises and falls, and what it leaves in a star's light."""

import numpy as np
import pytest

from gaiaflux.core.cadences.sky_response import fit_response
from gaiaflux.core.cadences.sky_series import SkySeries, smooth_sky
from gaiaflux.core.image.ccd_sky import SkyGrid, measure_sky
from gaiaflux.core.image.star_mask import star_mask

N, SIDE = 200, 128
CADENCE = 1.0 / 48.0
TILE = (64, 80, 48, 64)
LOUD = 30.0


def wave(x, y, turn):
    """Structure over some hundred pixels."""
    return np.sin(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / 700.0 + turn)


@pytest.fixture(scope="module")
def sector():
    """Frames, their true sky, the stars' light and the mask of the catalogue."""
    rng = np.random.default_rng(21)
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    n = 60
    places, flux = rng.uniform(0, SIDE, (n, 2)), 10.0 ** rng.uniform(1.5, 4.0, n)
    places[0], flux[0] = (56.2, 71.7), 1500.0
    distance = np.hypot(x - places[:, 0, None, None], y - places[:, 1, None, None])
    light = np.einsum("k,kji->ji", flux, np.exp(-0.5 * (distance / 0.85) ** 2) / (2 * np.pi * 0.85**2))
    t = np.arange(N) * CADENCE
    rise = 100.0 * np.exp(-0.5 * ((t - 3.0) / 0.4) ** 2)
    pattern = 1.0 + 0.1 * wave(x, y, 0.4) + 0.05 * wave(x, y, 1.7)
    drift = 0.04 * wave(x, y, 2.5)
    sky = 92.0 + rise[:, None, None] * (pattern + np.sin(3.0 * t)[:, None, None] * drift)
    seen = 1.0 + rng.normal(0.0, 0.003, (SIDE, SIDE))
    images = light + sky * seen
    images += rng.normal(size=images.shape) * np.sqrt(images / 1343.0 + 0.0395)
    images += (rng.random(images.shape) < 3e-4) * rng.exponential(30.0, images.shape)
    grid = SkyGrid.of((SIDE, SIDE), 1, 4, first_row=1200, first_column=700)
    mask = star_mask(places[:, 0], places[:, 1], flux, grid, 0.33)
    return t, rise, images.astype(np.float32), sky, light, grid, mask


@pytest.fixture(scope="module")
def sky_series(sector):
    t, _, images, _, _, grid, mask = sector
    frames = [measure_sky(image, mask, grid) for image in images]
    level, error = smooth_sky(
        np.array([frame.level for frame in frames]),
        np.array([frame.level_err for frame in frames]),
        t,
        np.ones(N, bool),
        CADENCE,
    )
    glow = np.zeros((N, 0), np.float32)
    return SkySeries(grid, level, error, glow, glow)


def fitted_response(series, sector):
    _, rise, images, _, _, _, _ = sector
    left = images[:, TILE[0] : TILE[1], TILE[2] : TILE[3]] - series.values(TILE)
    variance = np.full(left.shape[1:], 0.33**2)
    no_shifts = np.zeros((N, 2))
    fitted = fit_response(left, *series.plane(TILE), no_shifts, variance, np.ones(N, bool))
    return left, fitted.light(*series.plane(TILE)), rise > LOUD


def test_the_skys_changes_are_followed(sector, sky_series):
    _, rise, _, sky, _, _, _ = sector
    error = sky_series.values((0, SIDE, 0, SIDE)) - sky
    changes = error - error.mean(axis=0)
    inside = (slice(None), slice(16, -16), slice(16, -16))
    assert changes[inside].std() < 0.05
    # A third of a per mille of what rises.
    assert changes[rise > LOUD][inside].std() < 0.08
    tile = (rise < 1.0, slice(TILE[0], TILE[1]), slice(TILE[2], TILE[3]))
    quiet = error[tile] - error[tile].mean(axis=0)
    stated = np.sqrt((sky_series.errors(TILE)[rise < 1.0] ** 2).mean())
    # The stars' part of an error is taken off where 200 frames show it with certainty.
    assert 0.9 < stated / quiet.std() < 1.8


def test_pixels_scatter_as_their_noise_once_the_response_is_off(sector, sky_series):
    left, response, loud = fitted_response(sky_series, sector)
    _, _, _, sky, light, _, _ = sector
    cut = (slice(TILE[0], TILE[1]), slice(TILE[2], TILE[3]))
    noise = np.sqrt((light[cut] + sky[(slice(None), *cut)]) / 1343.0 + 0.0395)

    def scatter(pixels, frames):
        pull = (pixels - np.median(pixels, axis=0)) / noise
        return np.sqrt((np.where(np.abs(pull) < 5.0, pull, 0.0)[frames] ** 2).mean(axis=0))

    every = np.ones(N, bool)
    for frames in (every, loud):
        assert np.median(scatter(left - response, frames)) <= 1.05
        assert scatter(left - response, frames).max() <= 1.35  # of 256 pixels, each of 40 frames
    assert scatter(left, loud).max() > 1.4


def test_a_star_is_as_noisy_as_its_photons(sector, sky_series):
    left, response, loud = fitted_response(sky_series, sector)
    _, _, _, sky, light, _, _ = sector
    star = (slice(None), slice(71 - 2 - TILE[0], 71 + 4 - TILE[0]), slice(56 - 2 - TILE[2], 56 + 3 - TILE[2]))
    there = light[69:75, 54:59] + sky[:, 69:75, 54:59]
    floor = np.sqrt((there / 1343.0 + 0.0395).sum(axis=(1, 2)))
    flux = np.where(np.abs(left - np.median(left, axis=0)) < 8.0, left, np.median(left, axis=0)) - response
    pull = flux[star].sum(axis=(1, 2))
    pull = (pull - np.median(pull)) / floor
    assert pull.std() == pytest.approx(1.0, abs=0.15)
    assert pull[loud].std() == pytest.approx(1.0, abs=0.3)
    assert abs(pull[loud].mean() - pull[~loud].mean()) < 0.5
