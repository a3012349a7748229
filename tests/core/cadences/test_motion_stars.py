from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.cadences.motion_stars import StarChoice, choose_motion_stars
from gaiaflux.sim.tess.stars import tess_flux

SHAPE = (512, 512)


def crowd(n=3000, seed=1):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-20, 532, (2, n))
    # Twice as many stars for each magnitude.
    mag = 15.0 + np.log2(rng.uniform(2.0**-9, 1.0, n))
    return x, y, np.array([tess_flux(one) for one in mag])


def test_chosen_stars_are_bright_lonely_and_inside():
    x, y, flux = crowd()
    choice = StarChoice(most=150)
    rows = choose_motion_stars(x, y, flux, SHAPE, choice)
    assert 50 <= len(rows) <= 150
    assert (np.diff(rows) > 0).all()
    assert x[rows].min() >= 6
    assert y[rows].max() <= 505
    for row in rows:
        near = np.hypot(x - x[row], y - y[row]) <= 3.0
        near[row] = False
        assert flux[near].sum() <= 0.02 * flux[row]
    assert (0.3 * flux[rows] + 100.0 < 0.6 * 9e4).all()


def test_stars_are_spread_over_the_frame():
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.uniform(10, 120, 900), rng.uniform(10, 500, 100)])
    y = np.concatenate([rng.uniform(10, 120, 900), rng.uniform(10, 500, 100)])
    flux = np.concatenate([np.full(900, 3e4), np.full(100, 3e3)])
    choice = StarChoice(most=60, neighbours=(10.0,))
    rows = choose_motion_stars(x, y, flux, SHAPE, choice)
    assert len(rows) == 60
    away = (x[rows] > 128) | (y[rows] > 128)
    assert away.sum() > 30


def test_full_pixels_and_the_columns_along_which_they_bleed_are_avoided():
    x = np.array([250.0, 250.5, 256.0, 275.0, 251.0, 300.0])
    y = np.array([250.0, 275.0, 250.0, 250.0, 400.0, 300.0])
    flux = np.array([tess_flux(4.0), 1e4, 1e4, 1e4, 1e4, 1e4])
    assert choose_motion_stars(x, y, flux, SHAPE, StarChoice()).tolist() == [3, 4, 5]


def test_more_light_of_neighbours_is_allowed_where_few_stars_are():
    x, y = np.array([50.0, 52.0, 150.0, 152.0]), np.array([50.0, 50.0, 150.0, 150.0])
    flux = np.array([1e4, 150.0, 1e4, 800.0])
    few = StarChoice(enough=1)
    assert choose_motion_stars(x, y, flux, SHAPE, few).tolist() == [0]
    assert choose_motion_stars(x, y, flux, SHAPE, replace(few, enough=2)).tolist() == [0, 2]


def test_what_cannot_be_measured_is_passed_over():
    x = np.array([50.0, 100.0, np.nan, 150.0, 200.0, 3.0, 250.0])
    y = np.array([50.0, 100.0, 50.0, 150.0, 200.0, 100.0, 250.0])
    flux = np.array([1e4, np.nan, 1e4, 5.0, -1.0, 1e4, 1e4])
    assert choose_motion_stars(x, y, flux, SHAPE, StarChoice()).tolist() == [0, 6]
    unusable = np.zeros(SHAPE, bool)
    unusable[251, 250] = True
    assert choose_motion_stars(x, y, flux, SHAPE, StarChoice(), unusable).tolist() == [0]
    assert not len(choose_motion_stars(x[:0], y[:0], flux[:0], SHAPE, StarChoice()))


def test_neighbours_outside_of_the_frame_or_choice_count():
    choice = StarChoice(margin=0.0, enough=1, neighbours=(0.02,))
    assert not len(choose_motion_stars(np.array([1.0, -1.0]), np.full(2, 50.0), np.array([1e4, 1e3]), SHAPE, choice))


@pytest.mark.parametrize("n", [3, 4])
def test_a_crop_has_as_many_as_there_are(n):
    x = np.linspace(20, 100, n)
    assert len(choose_motion_stars(x, x, np.full(n, 5e3), (128, 128), StarChoice())) == n


def test_the_light_of_neighbours_is_that_of_all_pairs():
    x, y, flux = crowd(2000, seed=9)
    choice = StarChoice(most=10_000, neighbours=(0.05,), near=4.0, least_snr=0.0)
    rows = choose_motion_stars(x, y, flux, SHAPE, choice)
    near = np.hypot(x - x[:, None], y - y[:, None]) <= 4.0
    np.fill_diagonal(near, False)
    lonely = (near @ flux) <= 0.05 * flux
    free = choose_motion_stars(x, y, flux, SHAPE, replace(choice, neighbours=(1e9,)))
    assert rows.tolist() == free[lonely[free]].tolist()
    assert 0 < len(rows) < len(free)
