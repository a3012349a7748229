"""Columns that always see more of the sky than their neighbours."""

import numpy as np
import pytest

from gaiaflux.core.cadences.sky_columns import BLOCK_ROWS, column_blocks, column_light

NX = 96


def image(ny, seed=3):
    """Mean image of pixels that respond differently, with faint stars, and without columns."""
    rng = np.random.default_rng(seed)
    made = rng.normal(0.0, 0.25, (ny, NX))
    stars = rng.random((ny, NX)) < 0.01
    return made + np.where(stars, rng.exponential(20.0, (ny, NX)), 0.0)


def test_columns_are_found_and_others_are_none():
    seen, strap = image(128), np.zeros(NX)
    strap[[20, 21, 63]] = 2.7, 2.7, 0.8
    made = column_light(seen + strap, np.ones(seen.shape, bool))
    assert made.shape == (1, NX)
    np.testing.assert_allclose(made[0, strap > 0], strap[strap > 0], atol=0.2)
    assert not made[0, strap == 0].any()


def test_pixels_of_stars_do_not_count():
    seen = image(128)
    sky = np.ones(seen.shape, bool)
    seen[30:90, 40] += 500.0
    sky[30:90, 40] = False
    assert not column_light(seen, sky).any()


def test_a_column_that_no_pixel_tells_has_none():
    seen = image(64)
    seen[:, 50] += 5.0
    sky = np.ones(seen.shape, bool)
    sky[5:, 50] = False
    assert not column_light(seen, sky).any()


def test_what_has_no_number_is_passed_over():
    seen = image(64)
    seen[:, 10] += 3.0
    seen[3:9, :] = np.nan
    seen[:, 30] = np.nan
    made = column_light(seen, np.ones(seen.shape, bool))[0]
    assert made[10] == pytest.approx(3.0, abs=0.2)
    assert np.flatnonzero(made).tolist() == [10]


def test_each_block_of_rows_has_its_own():
    seen = image(2 * BLOCK_ROWS)
    seen[:BLOCK_ROWS, 33] += 2.0
    made = column_light(seen, np.ones(seen.shape, bool))
    assert made[0, 33] == pytest.approx(2.0, abs=0.15)
    assert made[1, 33] == 0.0


@pytest.mark.parametrize("n_rows", [1, 100, 300, 640, 2048])
def test_blocks_are_alike(n_rows):
    sizes = np.bincount(column_blocks(n_rows))
    assert sizes.sum() == n_rows
    assert sizes.max() - sizes.min() <= 1


def test_a_narrow_image_has_no_columns():
    assert not column_light(np.ones((50, 12)), np.ones((50, 12), bool)).any()
