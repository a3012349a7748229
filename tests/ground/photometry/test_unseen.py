"""Points of stars that are not where the catalogue has them."""

from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.ground.photometry.unseen import flag_unseen
from gaiaflux.model.catalog import Place
from gaiaflux.model.flags import NOT_GOOD, StarFlag
from gaiaflux.model.measurement import FrameResult

FACTS = {"reference_nx": 100, "reference_ny": 80}
N_BRIGHT = 20


def made(flux, place=Place.CATALOG, x=50.0, y=40.0, mag=15.0, error=1.0):
    """A star of magnitude 15, flux 100, after bright ones that scatter by 5 %; and its flags."""
    mags = np.append(np.linspace(12.0, 14.0, N_BRIGHT), mag)
    wave = 1.0 + 0.05 * np.sin(np.arange(N_BRIGHT))
    fluxes = np.append(100.0 * 10 ** (-0.4 * (mags[:-1] - 15.0)) * wave, flux).astype(np.float32)
    n = len(mags)
    catalog = SimpleNamespace(
        mag=mags, x_ref=np.append(np.full(n - 1, 10.0), x), y_ref=np.append(np.full(n - 1, 10.0), y)
    )
    catalog.place = np.append(np.zeros(n - 1, np.int8), np.int8(place))
    return catalog, {"flux": fluxes, "flux_err": np.full(n, error, np.float32), "flags": np.full(n, 16, np.uint32)}


def flagged(*args, **kwargs):
    catalog, stars = made(*args, **kwargs)
    flag_unseen(FrameResult({}, stars), catalog, FACTS)
    assert (stars["flags"][:-1] == 16).all()
    assert stars["flags"][-1] in (16, 16 | StarFlag.UNSEEN)
    return bool(stars["flags"][-1] & NOT_GOOD)


@pytest.mark.parametrize(("flux", "unseen"), [(-3.0, True), (4.9, True), (5.1, False), (80.0, False), (np.nan, False)])
def test_points_of_an_empty_place_are_good_where_the_star_is_seen(flux, unseen):
    assert flagged(flux, Place.EMPTY) == unseen
    assert not flagged(flux, Place.CATALOG)
    assert not flagged(flux, Place.MEASURED)


def test_a_little_of_the_promised_light_is_of_a_neighbour():
    assert flagged(2.9, Place.EMPTY, error=0.1)
    assert not flagged(3.2, Place.EMPTY, error=0.1)
    # Without a magnitude nothing is promised.
    assert flagged(0.4, Place.EMPTY, mag=np.nan, error=0.1)
    assert not flagged(0.6, Place.EMPTY, mag=np.nan, error=0.1)


@pytest.mark.parametrize(("x", "y"), [(-0.6, 40.0), (99.6, 40.0), (50.0, -0.6), (50.0, 79.6)])
def test_beside_the_reference_image_a_clear_star_must_be_seen(x, y):
    assert flagged(2.5, x=x, y=y)
    assert not flagged(3.5, x=x, y=y)
    # By 0.3 mag it may be fainter: 76 must be 7 errors.
    assert flagged(10.0, x=x, y=y, error=10.5)
    assert not flagged(10.0, x=x, y=y, error=11.2)
    assert not flagged(2.5, x=x, y=y, mag=np.nan)
    assert not flagged(2.5, Place.MEASURED, x=x, y=y)
    assert not flagged(2.5, x=np.clip(x, -0.4, 99.4), y=np.clip(y, -0.4, 79.4))


def test_each_aperture_has_its_own_points():
    catalog, stars = made(4.0, Place.EMPTY)
    stars = {name: np.stack([values, values], axis=1) for name, values in stars.items()}
    stars["flux"][-1, 1] = 6.0
    flag_unseen(FrameResult({}, stars), catalog, FACTS)
    assert (stars["flags"][-1] & StarFlag.UNSEEN > 0).tolist() == [True, False]
    assert (stars["flags"][:-1] == 16).all()
