"""Saturation that no header tells."""

import numpy as np
import pytest

from gaiaflux.core.image.pixel_flags import flat_top_level

SHAPE = (300, 400)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]


def image(well, peaks, seed=1):
    """Stars of some peak values on a sky of 200, cut at a full well."""
    rng = np.random.default_rng(seed)
    light = np.full(SHAPE, 200.0)
    for k, peak in enumerate(peaks):
        light += peak * np.exp(-0.5 * ((X - 40.3 - 37 * k) ** 2 + (Y - 150.4) ** 2) / 1.5**2)
    return np.minimum(np.round(rng.normal(light, np.sqrt(light))), well).astype(np.float32)


def level_of(pixels, flags=None):
    return flat_top_level(pixels, np.zeros(SHAPE, np.uint8) if flags is None else flags)


@pytest.mark.parametrize("seed", range(6))
def test_stars_below_the_full_well_show_none(seed):
    assert np.isnan(level_of(image(np.inf, (5e4, 5e4, 3e4, 9e3), seed)))


def test_equal_tops_of_two_stars_show_it():
    level = level_of(image(40_000, (1.5e5, 9e4, 1e4)))
    assert level == pytest.approx(40_000, rel=2e-3)
    assert level < 40_000
    # One star, or one hot corner, is no proof.
    assert np.isnan(level_of(image(40_000, (1.5e5, 1e4))))


def test_flagged_pixels_do_not_count():
    pixels = image(40_000, (1.5e5, 9e4, 1e4))
    flags = np.zeros(SHAPE, np.uint8)
    flags[pixels >= 40_000] = 1
    assert not abs(level_of(pixels, flags) - 40_000) < 100
    assert np.isnan(level_of(pixels, np.ones(SHAPE, np.uint8)))


def test_faint_or_flat_images_show_none():
    pixels = image(np.inf, (30.0, 30.0))
    assert np.isnan(level_of(np.minimum(pixels, 215.0)))
    assert np.isnan(level_of(np.zeros(SHAPE, np.float32)))
    bright = image(np.inf, (1e3,))
    bright[:40] = 50_000.0
    assert np.isnan(level_of(bright))
