import numpy as np
import pytest

from gaiaflux.tess.stamp.stamps import around, default_size, output_bits, resized

CCD = (0, 2048, 44, 2092)


@pytest.mark.parametrize(
    ("tmag", "size"),
    [(10.0, (15, 15)), (5.26, (23, 23)), (0.0, (832, 158)), (-1.0, (832, 158)), (20.0, (15, 15)), (np.nan, (15, 15))],
)
def test_bright_stars_get_larger_stamps(tmag, size):
    assert default_size(tmag) == size


def test_a_stamp_is_odd_and_has_the_star_in_its_middle():
    assert around(100.4, 200.6, (16, 15), CCD) == (92, 109, 194, 209)


def test_a_stamp_ends_where_the_data_end():
    assert around(2.0, 46.0, (15, 15), CCD) == (0, 10, 44, 54)
    assert resized((5, 10, 50, 60), CCD, (7, 55), sides=(20, 0, 20, 0)) == (0, 10, 44, 60)


def test_sides_grow_and_shrink_and_a_size_wins_over_them():
    stamp = (100, 111, 200, 211)
    assert resized(stamp, CCD, (105, 205), sides=(1, 2, 3, 4)) == (99, 113, 197, 215)
    assert resized(stamp, CCD, (105, 205), sides=(-1, -2, 0, 0)) == (101, 109, 200, 211)
    assert resized(stamp, CCD, (105, 205), sides=(1, 2, 3, 4), width=5) == (99, 113, 203, 208)
    assert resized(stamp, CCD, (105, 205), sides=(1, 2, 3, 4), height=4, width=5) == (103, 108, 203, 208)


@pytest.mark.parametrize("sides", [(-6, -6, 0, 0), (0, 0, -20, 0), (0, 0, 0, -300)])
def test_a_stamp_without_pixels_is_refused(sides):
    with pytest.raises(ValueError, match="Invalid stamp selected"):
        resized((100, 111, 200, 211), CCD, (105, 205), sides=sides)


def test_each_column_has_the_bit_of_its_output():
    # 1-based columns 45-556, 557-1068, 1069-1580, 1581-2092 are those of the outputs A to D.
    one_based = np.array([44, 45, 556, 557, 1068, 1069, 1580, 1581, 2092, 2093])
    assert output_bits(one_based - 1).tolist() == [0, 32, 32, 64, 64, 128, 128, 256, 256, 0]
