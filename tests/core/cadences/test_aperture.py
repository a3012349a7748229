import numpy as np
import pytest

from gaiaflux.core.cadences.aperture import sum_aperture, threshold_aperture
from gaiaflux.core.cadences.frames import StampFrames

MASK = np.zeros((5, 6), bool)
MASK[1:3, 2:5] = True


def frames(flux, error=2.0, background=0.5):
    flux = np.asarray(flux, np.float32)
    like = np.ones_like(flux)
    return StampFrames(flux, error * like, background * like, np.ones(len(flux), bool), np.zeros((len(flux), 2)))


def test_sums_and_errors_with_the_background_in_common():
    flux = np.full((3, 5, 6), 10.0)
    flux[1, 1, 2] = 40.0
    sums = sum_aperture(frames(flux), MASK)
    np.testing.assert_allclose(sums.flux, [60, 90, 60])
    np.testing.assert_allclose(sums.flux_err, np.sqrt(6 * 2.0**2 + (6 * 0.5) ** 2))
    np.testing.assert_allclose(sums.centroid[0], [3.0, 1.5])
    assert sums.centroid[1, 0] < 3
    assert not sums.incomplete.any()


def test_gaps():
    flux = np.full((4, 5, 6), 10.0)
    flux[1, 2, 3] = np.nan
    flux[2] = np.nan
    flux[3] = -1.0
    flux[:, 1, 2] = np.nan  # never seen: no part of the aperture
    sums = sum_aperture(frames(flux), MASK)
    assert sums.flux[0] == 50
    assert np.isnan(sums.flux[1:3]).all()
    assert np.isnan(sums.flux_err[1:3]).all()
    assert sums.incomplete.tolist() == [False, True, True, False]
    assert sums.flux[3] == -5
    assert np.isnan(sums.centroid[1:]).all()


def test_a_pixel_without_an_error_has_its_usual_one():
    made = frames(np.full((2, 5, 6), 10.0))
    expected = sum_aperture(made, MASK).flux_err
    made.flux_err[1, 1, 2] = 0.0
    np.testing.assert_allclose(sum_aperture(made, MASK).flux_err, expected)
    assert np.isnan(sum_aperture(made, np.zeros((5, 6), bool)).flux).all()


def test_a_pixel_that_never_has_an_error_scatters_as_its_steps():
    flux = np.full((400, 5, 6), 10.0) + np.random.default_rng(2).normal(0, 3.0, (400, 5, 6))
    made = frames(flux)
    known = sum_aperture(made, MASK).flux_err ** 2 - made.flux_err[:, 1, 3] ** 2
    made.flux_err[:, 1, 3] = 0.0
    found = sum_aperture(made, MASK).flux_err ** 2 - known
    np.testing.assert_allclose(np.sqrt(found), 3.0, rtol=0.15)


def image(*stars, shape=(11, 11), noise=1.0):
    row, column = np.indices(shape)
    rng = np.random.default_rng(4)
    light = sum(f * np.exp(-0.5 * ((column - x) ** 2 + (row - y) ** 2)) for x, y, f in stars)
    return 50.0 + light + noise * rng.normal(size=shape)


def test_the_aperture_is_the_hill_of_the_star():
    two = image((4.0, 5.0, 1000.0), (7.2, 5.0, 1500.0))
    one = threshold_aperture(two, 4.2, 4.9)
    other = threshold_aperture(two, 7.0, 5.1)
    assert one[5, 4]
    assert other[5, 7]
    assert not (one & other).any()
    assert 12 <= one.sum() <= 40
    alone = threshold_aperture(image((4.0, 5.0, 1000.0)), 4.2, 4.9)
    assert alone.sum() >= one.sum()


def test_where_nothing_stands_out_it_is_small():
    flat = threshold_aperture(image((0, 0, 0.0)), 5.3, 5.9)
    assert flat.sum() in (9, *range(1, 6))
    assert flat[6, 5] or flat.sum() < 9
    none = threshold_aperture(np.full((5, 5), np.nan), 2.0, 2.0)
    assert not none.any()
    corner = threshold_aperture(np.zeros((5, 5)), 0.0, 4.0)
    assert corner.sum() == 4


@pytest.mark.parametrize("sigma", [2.0, 20.0, 200.0])
def test_a_higher_threshold_gives_a_smaller_aperture(sigma):
    made = image((5.0, 5.0, 1000.0))
    assert (
        threshold_aperture(made, 5.0, 5.0, sigma=sigma).sum() >= threshold_aperture(made, 5, 5, sigma=2 * sigma).sum()
    )
