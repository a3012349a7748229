import numpy as np

from gaiaflux.core.image.spots import bright_spots


def spotted():
    image = np.random.default_rng(11).normal(0.0, 1.0, (40, 50))
    for x, y, light in ((0, 0, 300.0), (20, 30, 400.0), (21, 30, 380.0), (49, 39, 250.0), (10, 10, 90.0)):
        image[y, x] += light
    image[5, 5] = np.nan
    return image


def test_spots_are_the_brightest_around_and_above_the_limit():
    x, y = bright_spots(spotted(), np.zeros((40, 50), bool), 100.0)
    assert sorted(zip(x.tolist(), y.tolist(), strict=True)) == [(0, 0), (20, 30), (49, 39)]


def test_what_is_known_is_not_looked_at():
    known = np.zeros((40, 50), bool)
    known[28:33, 18:24] = True
    x, _ = bright_spots(spotted(), known, 100.0)
    assert sorted(x.tolist()) == [0, 49]


def test_scatter_raises_the_limit_and_nothing_seen_has_no_spot():
    image = spotted() * 10.0
    x, _ = bright_spots(image, np.zeros((40, 50), bool), 100.0)
    assert sorted(x.tolist()) == [0, 10, 20, 49]
    for x in (
        bright_spots(image, np.ones((40, 50), bool), 1.0),
        bright_spots(np.full((4, 4), np.nan), np.zeros((4, 4), bool), 1.0),
    ):
        assert len(x[0]) == 0
