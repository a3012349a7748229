import numpy as np
import pytest

from gaiaflux.core.cadences.motion import kernel_offsets
from gaiaflux.core.cadences.registration import register

SHAPE = (64, 60)
TRUTH = {
    "translation": [0.42, -0.71],
    "euclidian": [0.5, 0.3, 0.01],
    "affine": [1.004, 0.002, 0.3, -0.003, 0.998, -0.2],
}


def image(mode=None, kernel=None, noise=1.0, seed=0):
    rng = np.random.default_rng(11)
    stars = np.stack([rng.uniform(0, 60, 70), rng.uniform(0, 64, 70)], axis=1)
    flux = 100 * (1 + rng.pareto(1.3, 70))
    if mode:
        stars = stars + kernel_offsets(mode, np.array(kernel), stars)
    y, x = np.indices(SHAPE)
    light = sum(f * np.exp(-((x - sx) ** 2 + (y - sy) ** 2) / 2.5) for (sx, sy), f in zip(stars, flux, strict=True))
    return light + np.random.default_rng(seed).normal(0, noise, SHAPE)


@pytest.mark.parametrize("mode", TRUTH)
def test_a_movement_is_found_whatever_level_and_scale(mode):
    found = register(image(), 1.3 * image(mode, TRUTH[mode], seed=1) + 50.0, mode)
    corners = np.array([[0.0, 0.0], [59.0, 0.0], [0.0, 63.0], [59.0, 63.0]])
    error = kernel_offsets(mode, found, corners) - kernel_offsets(mode, np.array(TRUTH[mode]), corners)
    assert np.abs(error).max() < 0.06


def test_missing_pixels_do_not_count():
    second = image("translation", TRUTH["translation"], seed=1)
    second[10:14, 20:30] = np.nan
    np.testing.assert_allclose(register(image(), second, "translation"), TRUTH["translation"], atol=0.03)


@pytest.mark.parametrize("case", ["nothing finite", "flat", "too small"])
def test_images_without_a_common_pattern_give_nan(case):
    first = image()
    second = {
        "nothing finite": np.full(SHAPE, np.nan),
        "flat": np.zeros(SHAPE),
        "too small": np.where(np.add.outer(np.arange(64) > 4, np.arange(60) > 4), np.nan, first),
    }[case]
    assert np.isnan(register(first, second, "translation")).all()


def test_steps_that_do_not_end_give_nan():
    assert np.isnan(register(image(), image("translation", [0.4, 0.0]), "translation", max_steps=1)).all()


def test_what_is_refused():
    with pytest.raises(ValueError, match="none of"):
        register(image(), image(), "wcs")
    with pytest.raises(ValueError, match="shapes"):
        register(image(), image()[1:], "translation")
    assert register(image(), image(), "unchanged").size == 0
