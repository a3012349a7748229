"""Pairs of stars for a fit, and solutions that an offset or a pattern gives."""

from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.plate import search
from gaiaflux.core.plate.asterisms import Placement
from gaiaflux.core.plate.matching import Offset
from gaiaflux.core.plate.search import (
    MatchLists,
    SolveSettings,
    StarTables,
    _first_inside,
    _moved,
    asterism_matches,
    matched_pairs,
)
from gaiaflux.core.sky.projection import linear_tan, pixel_to_sky, plane_to_sky, sky_to_pixel
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.stars import STAR_DTYPE

SHAPE = (800, 1200)
CENTRE = np.array([[599.5], [399.5]])
WCS = linear_tan((150.0, 20.0), (599.5, 399.5), np.diag([-0.5, 0.5]) / 3600, SHAPE)


def pairs_of(x, y, catalog_x, catalog_y, mag=None):
    """Lists of stars that are all as bright, but for the catalogue's magnitudes."""
    n, m = len(x), len(catalog_x)
    ra, dec = pixel_to_sky(WCS, np.asarray(catalog_x, float), np.asarray(catalog_y, float))
    return MatchLists(
        np.arange(n), np.asarray(x, float), np.asarray(y, float), np.full(n, 1e-3), np.zeros(n), np.ones(n, bool),
        np.ones(n, bool), 4.0, np.arange(m), ra, dec, np.full(m, 20.0) if mag is None else np.asarray(mag, float),
        np.zeros(m),
    )  # fmt: skip


def grid(n):
    return 50.0 + 100.0 * (np.arange(n) % 11), 60.0 + 100.0 * (np.arange(n) // 11)


@pytest.mark.parametrize(("n", "spread", "off", "kept"), [
    (10, 0.0, 0.95, True), (10, 0.0, 1.05, False), (9, 0.0, 5.0, True),
    # 1.4826 times the usual deviation of 0.4, five times.
    (40, 0.4, 2.8, True), (40, 0.4, 3.2, False),
])  # fmt: skip
def test_pairs_of_another_brightness_are_none(n, spread, off, kept):
    x, y = grid(n)
    mag = 20.0 + spread * np.where(np.arange(n) % 2, 1.0, -1.0)
    mag[3] = 20.0 + off
    stars, catalog = matched_pairs(pairs_of(x, y, x + 1.0, y, mag), WCS, 2.0, None)
    assert (3 in stars) == kept
    np.testing.assert_array_equal(stars, catalog)
    # Of an unknown brightness a pair is one.
    mag[5] = np.nan
    assert 5 in matched_pairs(pairs_of(x, y, x + 1.0, y, mag), WCS, 2.0, None)[0]


def test_pairs_lie_within_the_radius_also_beyond_the_edge():
    x = np.array([0.0, 0.0, 1199.0, 1199.0, 300.0, 300.0])
    y = np.array([300.0, 500.0, 300.0, 500.0, 0.0, 799.0])
    # Three pixels off: within a radius of four, not of two; the image ends at 0 and at its number of pixels.
    other_x, other_y = x + np.array([-3, 3, 3, -3, 0, 0]), y + np.array([0, 0, 0, 0, -3, 3])
    lists = pairs_of(x, y, other_x, other_y)
    assert matched_pairs(lists, WCS, 4.0, None)[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert matched_pairs(lists, WCS, 2.0, None)[0].size == 0
    off = pairs_of(x[:1], y[:1], x[:1] - 4.5, y[:1])
    assert matched_pairs(off, WCS, 4.6, None)[0].size == 1


def test_the_lists_are_taken_as_deep_as_asked_for():
    x, y = grid(66)
    lists = pairs_of(x, y, x, y)
    assert matched_pairs(lists, WCS, 2.0, 20)[0].tolist() == list(range(20))
    # Of the image 1.3 times as many, so that a few strange ones do not matter.
    strange = replace(lists, x=np.append(np.full(8, 1150.0), x), y=np.append(np.arange(8) * 90.0, y),
                      instrumental=np.zeros(74), variance=np.ones(74))  # fmt: skip
    assert len(matched_pairs(strange, WCS, 2.0, 20)[0]) == 18
    assert len(matched_pairs(strange, WCS, 2.0, 30)[0]) == 30
    # Catalogue stars beside the image do not count, but no more than as many again are looked at.
    beside = np.append(np.full(15, -300.0), x), np.append(np.arange(15.0), y)
    deep = pairs_of(x, y, *beside)
    assert len(_first_inside(deep, WCS, 20)[0]) == 35
    assert len(_first_inside(deep, WCS, 10)[0]) == 20


def test_an_offset_turns_about_the_middle_and_then_shifts():
    offset = Offset(0.02, 31.0, -18.0, 50, 0.0, 12.0, -30.0)
    x, y = np.random.default_rng(1).uniform(0, 1, (2, 40)) * np.array([[1199.0], [799.0]])
    found = np.stack(sky_to_pixel(_moved(WCS, offset), *pixel_to_sky(WCS, x, y)))
    turn = np.array([[np.cos(0.02), -np.sin(0.02)], [np.sin(0.02), np.cos(0.02)]])
    expected = turn @ (np.stack([x, y]) - CENTRE) + CENTRE + np.array([[31.0], [-18.0]])
    np.testing.assert_allclose(found, expected, atol=1e-3)


def given(n=30, min_x=-2000.0, max_x=3200.0):
    rng = np.random.default_rng(2)
    stars = np.zeros(n, STAR_DTYPE)
    stars["x"], stars["y"] = rng.uniform(0, 1199, n), rng.uniform(0, 799, n)
    stars["flux"], stars["snr"], stars["fwhm"], stars["x_err"], stars["y_err"] = 100.0, 50.0, 4.0, 0.1, 0.1
    stars["flags"][4] = StarFlag.COSMIC_RAY
    x, y = rng.uniform(min_x, max_x, 900), rng.uniform(-2000, 2800, 900)
    return StarTables(stars, *pixel_to_sky(WCS, x, y), np.full(900, 15.0), np.full(900, 10.0))


@pytest.mark.parametrize("min_stars", [3, 8])
def test_a_pattern_is_searched_around_the_pointing_and_gives_a_solution(monkeypatch, min_stars):
    turn = 0.97 * np.array([[np.cos(2.0), np.sin(2.0)], [np.sin(2.0), -np.cos(2.0)]])
    shift = np.array([300.0, -200.0])
    seen = {}

    def placements(x, y, catalog_x, catalog_y, limits):
        seen.update(x=x, y=y, distance=np.hypot(catalog_x, catalog_y), limits=limits)
        return [Placement(turn, shift, 20, 7.5, -40.0)]

    monkeypatch.setattr(search, "find_placements", placements)
    tables = given()
    ((found, tolerance),) = asterism_matches(tables, WCS, SolveSettings(30.0, 0.5, 2, min_stars, 0.5))
    assert tolerance == 7.5
    limits = seen["limits"]
    assert (limits.shape, limits.max_shift, limits.min_pairs) == (SHAPE, 0.55 * 1200, min(min_stars, 5))
    assert limits.scale_tolerance == 0.055
    # All stars but the cosmic ray, from the middle; the catalogue as far as a corner may lie, of a scale too small.
    assert len(seen["x"]) == 29
    assert np.abs(seen["x"]).max() <= 600.0
    assert np.abs(seen["y"]).max() <= 400.0
    reach = 0.55 * 1200 + 1.05 * 0.5 * np.hypot(800, 1200)
    assert 0.97 * reach < seen["distance"].max() < reach
    x, y = np.array([0.0, 1199.0, 600.0, 0.0]), np.array([0.0, 799.0, 200.0, 799.0])
    plane = (turn @ (np.stack([x, y]) - CENTRE) + shift[:, None]) * 0.5 / 3600
    expected = sky_to_pixel(WCS, *plane_to_sky((150.0, 20.0), *plane))
    np.testing.assert_allclose(sky_to_pixel(WCS, *pixel_to_sky(found, x, y)), expected, atol=0.02)
    monkeypatch.setattr(search, "find_placements", lambda *arguments: [])
    text = r"no pattern of the 29 brightest stars .* of ra 150\.0000, dec \+20\.0000 at 0\.5 arcsec/pixel"
    with pytest.raises(BadFrameError, match=text):
        asterism_matches(tables, WCS, SolveSettings(30.0, 0.5, 2, min_stars, 0.5))
    with pytest.raises(BadFrameError, match="no pattern of the 60 brightest"):
        asterism_matches(given(90), WCS, SolveSettings(30.0, 0.5, 2, min_stars, 0.5))
