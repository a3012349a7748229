"""Bad columns and rows of images without a mask."""

import numpy as np
import pytest

from gaiaflux.core.image.bad_lines import bad_lines
from gaiaflux.core.psf.moffat import MoffatProfile

SHAPE = (1100, 700)
NOISE = 12.0


def sky(seed, stars=200, fwhm=1.3):
    rng = np.random.default_rng(seed)
    image = rng.normal(500.0, NOISE, SHAPE)
    profile = MoffatProfile.from_fwhm(fwhm)
    j, i = np.mgrid[-12:13, -12:13]
    for x, y in zip(rng.integers(12, SHAPE[1] - 13, stars), rng.integers(12, SHAPE[0] - 13, stars), strict=True):
        light = 10 ** rng.uniform(3, 6)
        image[y - 12 : y + 13, x - 12 : x + 13] += (
            light * (1.0 + (np.hypot(i, j) / profile.alpha) ** 2) ** -profile.beta
        )
    return image.astype(np.float32)


def found(image, flags=None):
    return bad_lines(image, np.zeros(image.shape, np.uint8) if flags is None else flags)


@pytest.mark.parametrize("seed", range(5))
def test_stars_gradients_and_amplifiers_are_no_bad_lines(seed):
    image = sky(seed)
    image += np.float32(0.2) * np.arange(SHAPE[1], dtype=np.float32)
    image[:, SHAPE[1] // 2 :] += 40.0
    assert found(image).mean() < 0.002


def test_columns_and_rows_that_are_off_or_scatter():
    image = sky(7)
    rng = np.random.default_rng(8)
    image[:, 100] += 4.0 * NOISE
    image[:, 200] -= 4.0 * NOISE
    image[:, 301] += rng.choice([-1.0, 1.0], SHAPE[0]).astype(np.float32) * 10.0 * NOISE
    image[333] += 5.0 * NOISE
    image[560:, 450] = 0.0
    bad = found(image)
    for column in (100, 200, 301):
        assert bad[:, column].all()
    assert bad[333].all()
    assert bad[560:, 450].all()
    assert bad[:500, 450].sum() == 1  # in the bad row
    expected = np.zeros(SHAPE, bool)
    expected[:, [100, 200, 301, 450]], expected[333] = True, True
    assert not bad[~expected].any()


def test_the_limits_are_those_that_are_stated():
    image = np.random.default_rng(9).normal(500.0, NOISE, SHAPE).astype(np.float32)
    one, other = image.copy(), image.copy()
    one[:, 77] += 0.7 * NOISE
    other[:, 77] += 3.0 * NOISE
    assert not found(one).any()
    assert found(other)[:, 77].all()


def test_what_is_flagged_already_or_a_pattern_is_left():
    image = sky(10)
    image[:, 50] += 10.0 * NOISE
    flags = np.zeros(SHAPE, np.uint8)
    flags[:, 50] = 1
    assert not found(image, flags).any()
    image = sky(11)
    image[:, ::10] += 10.0 * NOISE
    assert not found(image).any()


def test_small_or_empty_images_have_none():
    assert not found(np.zeros((10, 10), np.float32)).any()
    assert not found(np.zeros((600, 600), np.float32)).any()
