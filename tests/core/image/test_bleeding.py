import numpy as np

from gaiaflux.core.image.bleeding import full_wells, grown


def test_charge_flows_along_a_column_from_a_full_well():
    image = np.full((20, 15), 100.0)
    image[8:11, 5] = 95_000.0
    image[4:8, 5] = 60_000.0  # charge below
    image[11:13, 5] = 40_000.0  # light of the star, no charge
    image[2, 12] = 80_000.0  # a bright star that is not full
    full = full_wells(image, 9e4)
    due = np.zeros_like(full)
    due[3:12, 4:7] = True
    np.testing.assert_array_equal(full, due)


def test_without_a_full_well_nothing_is_masked():
    image = np.full((6, 6), 5e4)
    image[2, 2] = np.nan
    assert not full_wells(image, 9e4).any()


def test_a_mask_grows_by_one_pixel_and_not_around_the_edge():
    mask = np.zeros((4, 5), bool)
    mask[0, 4] = True
    due = np.zeros_like(mask)
    due[:2, 3:] = True
    np.testing.assert_array_equal(grown(mask), due)
