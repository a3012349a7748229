import numpy as np
import pytest

from gaiaflux.core.image.bleeding import find_bleeding, needs_rows
from gaiaflux.sim.imperfect_camera import bleed

LEVEL = 9e4


def star(flux, x, y, shape, width=0.9):
    row, column = np.indices(shape)
    return flux / (2 * np.pi * width**2) * np.exp(-0.5 * ((column - x) ** 2 + (row - y) ** 2) / width**2)


def image(*stars, shape=(61, 25), up=0.5):
    """The light of stars, and the pixels as they are read."""
    light = sum(star(*one, shape) for one in stars)
    return light, bleed(light, 1e5, up)


@pytest.mark.parametrize("up", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("flux", [7e5, 2e6, 4e6])
def test_all_charge_that_moved_is_found_and_little_else(flux, up):
    light, read = image((flux, 12.3, 29.6), up=up)
    made = find_bleeding(read, LEVEL)
    assert (made.full == (read > LEVEL)).all()
    moved = np.abs(read - light) > 0
    assert (made.mask | ~moved).all()
    # At each end of a column one pixel beyond the charge, and three at most in the star's own core.
    more = made.mask & ~moved & ~made.full
    assert more.sum(axis=0).max() <= 8
    assert not more[:, ~made.full.any(axis=0)].any()
    assert read[made.mask].sum() == pytest.approx(light[made.mask].sum(), rel=1e-9)


def test_an_image_without_full_pixels_has_none():
    made = find_bleeding(image((2e5, 12.0, 30.0))[1], LEVEL)
    assert not made.any
    assert not made.mask.any()
    assert needs_rows(made, 1e6) == (0, 0)


def test_stars_have_groups_of_their_own():
    _, read = image((2e6, 5.0, 30.0), (1e6, 18.0, 20.0))
    made = find_bleeding(read, LEVEL)
    assert sorted(np.unique(made.group)) == [0, 1, 2]
    right = made.near(18.0, 20.0, 2.0, full=True)
    assert len(right) == 1
    alone = made.of(right)
    assert not alone.bled[:, :12].any()
    assert (alone.bled[:, 12:] == made.bled[:, 12:]).all()
    assert not len(made.near(12.0, 50.0, 2.0))
    assert made.of(np.zeros(0, int)).any is False


def test_a_star_above_the_end_of_a_column_is_not_charge():
    _, alone = image((2e6, 12.0, 25.0))
    end = np.nonzero(find_bleeding(alone, LEVEL).bled[:, 12])[0].max()
    made = find_bleeding(image((2e6, 12.0, 25.0), (1e5, 12.0, end + 5.0))[1], LEVEL)
    assert np.nonzero(made.bled[:, 12])[0].max() <= end + 1
    assert not made.mask[end + 4 : end + 7].any()


def test_pixels_without_a_number_end_a_column():
    read = image((2e6, 12.0, 30.0))[1].copy()
    read[33:, 12] = np.nan
    made = find_bleeding(read, LEVEL)
    assert made.bled[32, 12]
    assert not made.bled[33:, 12].any()
    assert not find_bleeding(np.full((5, 5), np.nan), LEVEL).any


def test_an_image_as_wide_as_its_columns():
    read = np.full((30, 1), 20.0)
    read[10:15] = 1e5
    read[15] = 4e4
    made = find_bleeding(read, LEVEL)
    assert np.nonzero(made.bled[:, 0])[0].tolist() == [10, 11, 12, 13, 14, 15]
    assert np.nonzero(made.mask[:, 0])[0].tolist() == list(range(9, 17))


def test_rows_that_are_missing():
    light, read = image((4e6, 12.0, 30.0))
    whole = find_bleeding(read, LEVEL)
    low, high = np.nonzero(whole.bled.any(axis=1))[0][[0, -1]]
    assert needs_rows(whole) == (0, 0)
    for first, last, sides in ((low + 8, 61, (True, False)), (0, high - 8, (False, True)), (25, 36, (True, True))):
        part = find_bleeding(read[first:last], LEVEL)
        missing = light.sum() - read[first:last].sum()
        rows = needs_rows(part, missing)
        assert tuple(row > 0 for row in rows) == sides
        for _ in range(4):
            first, last = max(first - rows[0], 0), min(last + rows[1], 61)
            rows = needs_rows(find_bleeding(read[first:last], LEVEL), light.sum() - read[first:last].sum())
        assert rows == (0, 0)
        assert 61 - (last - first) > 5  # no more than it takes
