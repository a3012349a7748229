"""How well a catalogue knows where its stars are when an image is taken."""

from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.core.sky.projection import linear_tan
from gaiaflux.ground.catalog.star_catalog import _place_error

J2016_MJD = 57388.5


@pytest.mark.parametrize("years", [10.0, -10.0])
def test_places_without_motion_are_the_less_certain_the_longer_ago_they_were_measured(years):
    step = 0.5 / 3600.0
    wcs = linear_tan((10.0, 20.0), (50.0, 50.0), np.diag([-step, step]), (101, 101))
    catalog = SimpleNamespace(
        ref_epoch=np.full(4, 2016.0), pos_err=np.array([3.0, 0.1, np.nan, 40.0]), pm_err=np.array([0.4, 10.0, 0.1, 3.0])
    )
    error = _place_error(catalog, wcs, J2016_MJD + 365.25 * years)
    np.testing.assert_allclose(error, [5.0 / 500.0, 0.2, np.inf, 50.0 / 500.0], rtol=1e-3)
