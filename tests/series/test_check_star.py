"""The check star of a light curve for the AAVSO."""

import numpy as np
import pytest

from gaiaflux.model.flags import StarFlag
from gaiaflux.model.status import StarUse
from gaiaflux.series.export import _check_star, _good, _level


class Source:
    """Light curves of one method: stars of growing level, each with its own scatter over its errors."""

    def __init__(self, level, pull, used=None, m=9):
        level, pull = np.asarray(level, float), np.asarray(pull, float)
        n = len(level)
        wave = np.array([0.0, 1.0, -1.0, 2.0, -2.0, 1.0, -1.0, 3.0, -3.0])[:m]
        error = 0.01 * np.abs(level)[:, None] * np.ones(m)
        self.arrays = {
            "flux_cal": level[:, None] + error * pull[:, None] * wave, "flux_cal_err": error,
            "flags": np.zeros((n, m), "u4"),
            "ensemble_status": np.array([StarUse.USED if one else "left out" for one in (used or [True] * n)], object),
        }  # fmt: skip

    def grid(self, name):
        return self.arrays[name.partition("/")[2]]

    array = grid


def test_the_star_of_the_ensemble_that_scatters_least_for_its_errors():
    source = Source([100.0, 90.0, 110.0, 105.0], [1.0, 0.8, 0.5, 0.9])
    assert _check_star(source, "aperture", 0) == 2
    # Never the star itself, nor one that is not used.
    assert _check_star(source, "aperture", 2) == 1
    some = Source([100.0, 90.0, 110.0, 105.0], [1.0, 0.8, 0.5, 0.9], used=[True, True, False, True])
    assert _check_star(some, "aperture", 0) == 1
    none = Source([100.0, 90.0], [1.0, 1.0], used=[True, False])
    assert _check_star(none, "aperture", 0) == -1


def test_spoiled_points_do_not_count():
    source = Source([100.0, 90.0, 110.0], [1.0, 0.8, 0.9])
    source.arrays["flux_cal"][1, 1:] *= 1.5
    source.arrays["flags"][1, 1:4] = StarFlag.SATURATED
    assert _check_star(source, "aperture", 0) == 2
    source.arrays["flags"][1, 1:] = StarFlag.SATURATED
    assert _check_star(source, "aperture", 0) == 1
    # Without any point a star is the last that is taken.
    source.arrays["flags"][1] = StarFlag.SATURATED
    assert _check_star(source, "aperture", 0) == 2
    assert _good(source, "aperture", 1).tolist() == [False] * 9
    source.arrays["flux_cal_err"][2, :] = 0.0
    assert _check_star(source, "aperture", 0) in (1, 2)


@pytest.mark.parametrize(("place", "found"), [(49, True), (50, False)])
def test_fifty_stars_of_like_brightness_are_compared(place, found):
    # The quietest one is the fiftieth or the fifty-first by its distance in brightness.
    level = 1000.0 * np.exp(0.01 * np.arange(61))
    pull = np.full(61, 1.0)
    pull[place + 1] = 0.1
    assert (_check_star(Source(level, pull), "aperture", 0) == place + 1) == found


def test_brightness_is_the_median_of_the_calibrated_points():
    source = Source([100.0], [1.0])
    assert _level(source, "aperture", 0) == 100.0
    source.arrays["flux_cal"][0, 5:] = np.nan
    assert _level(source, "aperture", 0) == pytest.approx(np.median(source.arrays["flux_cal"][0, :5]))
    source.arrays["flux_cal"][0] = np.nan
    assert np.isnan(_level(source, "aperture", 0))
    negative = Source([-5.0, 90.0, 110.0], [1.0, 0.8, 0.5])
    assert _check_star(negative, "aperture", 0) == 2
