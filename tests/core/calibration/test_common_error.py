"""Errors that all stars of a frame share."""

import numpy as np

from gaiaflux.core.calibration.common_error import without_common_error


def frames(common, n=80, seed=3):
    """Errors of photons, sky, and a common relative part in each frame."""
    flux = 10.0 ** np.random.default_rng(seed).uniform(3, 6, (n, 1)) * np.ones(len(common))
    own = np.sqrt(flux + 300.0**2)
    return flux, own, np.hypot(own, np.asarray(common) * flux)


def test_only_the_common_part_is_taken_off():
    flux, own, error = frames([0.0, 0.05, 0.005])
    left = without_common_error(flux, error, np.ones(flux.shape, bool))
    np.testing.assert_allclose(left[:, 0], error[:, 0], rtol=1e-3)
    # A tenth of the variance stays.
    wanted = np.sqrt(own**2 + 0.1 * (np.array([0.0, 0.05, 0.005]) * flux) ** 2)
    np.testing.assert_allclose(left, wanted, rtol=0.02)
    # Bright stars weigh more than faint ones again.
    weight = (flux / left)[:, 1] ** 2
    stated = (flux / error)[:, 1] ** 2
    faint = np.argmin(flux[:, 1])
    assert weight.max() / weight[faint] > 5.0 * stated.max() / stated[faint]


def test_few_stars_and_holes():
    flux, _, error = frames([0.05, 0.05])
    good = np.ones(flux.shape, bool)
    good[9:, 0] = False
    flux[3, 1], error[4, 1] = np.nan, np.nan
    left = without_common_error(flux, error, good)
    np.testing.assert_array_equal(left[:, 0], error[:, 0])
    assert np.isnan(left[4, 1])
    assert np.isfinite(left[5:, 1]).all()
    assert (left[5:, 1] < error[5:, 1]).all()
    assert without_common_error(flux[:0], error[:0], good[:0]).shape == (0, 2)


def test_stars_of_one_brightness_keep_their_errors():
    flux, error = np.full((30, 2), 1e4), np.full((30, 2), 150.0)
    left = without_common_error(flux, error, np.ones(flux.shape, bool))
    assert (left >= 0.2 * error).all()
    assert np.ptp(left) < 1e-9 * left.max() + 1e-9
