"""Which stars are compared for an offset, and the candidates that patterns of stars give."""

import numpy as np
import pytest

from gaiaflux.core.plate import search
from gaiaflux.core.plate.matching import Offset
from gaiaflux.core.plate.search import SolveSettings, StarTables, first_match, prepare_lists
from gaiaflux.core.sky.projection import linear_tan, pixel_to_sky
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.stars import STAR_DTYPE

SHAPE = (800, 1200)
WCS = linear_tan((150.0, 20.0), (599.5, 399.5), np.diag([-0.5, 0.5]) / 3600, SHAPE)
SETTINGS = SolveSettings(30.0, 0.5, 2, 5, 0.5)


def lists(n, n_catalog, n_common=0, min_stars=5):
    rng = np.random.default_rng(3)
    stars = np.zeros(n, STAR_DTYPE)
    stars["x"], stars["y"] = rng.uniform(0, 1199, n), rng.uniform(0, 799, n)
    stars["flux"], stars["snr"], stars["fwhm"] = np.arange(n, 0, -1) * 10.0, 50.0, 4.0
    x, y = rng.uniform(0, 1199, n_catalog), rng.uniform(0, 799, n_catalog)
    x[:n_common], y[:n_common] = stars["x"][:n_common], stars["y"][:n_common]
    ra, dec = pixel_to_sky(WCS, x, y)
    given = StarTables(stars, ra, dec, np.arange(float(n_catalog)), np.full(n_catalog, 10.0))
    return prepare_lists(given, WCS, SolveSettings(30.0, 0.5, 2, min_stars, 0.5))


def compared(monkeypatch, made, answers):
    """Numbers of stars of catalogue and image of each comparison; each answers with a log chance and pairs."""
    calls = []

    def vote(xa, ya, xb, yb, limits):
        calls.append((len(xa), len(xb)))
        assert limits.radius_pix == pytest.approx(60.0)
        assert limits.extent_pix == pytest.approx(0.5 * np.hypot(800, 1200))
        assert limits.tolerance_pix == 12.0
        log_chance, n_pairs = answers[min(len(calls), len(answers)) - 1]
        return Offset(0.0, 1.0, 2.0, n_pairs, 0.0, 12.0, log_chance)

    monkeypatch.setattr(search, "vote_offset", vote)
    try:
        return calls, first_match(made, WCS, SETTINGS)
    except BadFrameError as error:
        return calls, str(error)


def test_the_brightest_are_compared_then_those_of_each_cell_then_fewer_and_more(monkeypatch):
    calls, said = compared(monkeypatch, lists(2000, 2000), [(0.0, 1), (-3.0, 8), (-1.0, 9), (0.0, 2)])
    # 1.3 times as many of the image as are meant, 1.5 times of the catalogue, which covers the image alone.
    assert calls[0] == (300, 260)
    assert calls[2:] == [(90, 78), (1200, 1040)]
    # In each of 16 cells 18 and 16 of them.
    assert calls[1] == (16 * 18, 16 * 16)
    assert "at best 8 of the 256 brightest agree, as by chance" in said


@pytest.mark.parametrize(("chance", "n_pairs", "taken"), [(1e-3, 5, False), (9e-4, 5, True), (1e-9, 4, False)])
def test_an_offset_is_taken_that_chance_makes_once_in_a_thousand(monkeypatch, chance, n_pairs, taken):
    calls, found = compared(monkeypatch, lists(300, 300), [(float(np.log(chance)), n_pairs)])
    assert (len(calls) == 1) == taken
    if taken:
        assert found[1:] == (12.0, "offset")
    else:
        assert "no offset" in found


@pytest.mark.parametrize("common", [96, 100, 104, 108])
def test_the_header_holds_where_four_of_ten_stars_are_at_their_places(monkeypatch, common):
    made = lists(260, 260, common)
    x, y = search.sky_to_pixel(WCS, made.ra, made.dec)
    # By chance three pixels bring some more together.
    pairs = search.match_mutual(x, y, made.x, made.y, 3.0)[0]
    assert common <= len(pairs) < common + 8
    _, found = compared(monkeypatch, made, [(-50.0, 99)])
    assert found[2] == ("header" if len(pairs) >= 104 else "offset")


def test_the_header_is_asked_once(monkeypatch):
    # Half of the sixty brightest are at their places and none of the others: of 200 that is too few.
    _, found = compared(monkeypatch, lists(900, 900, 50), [(0.0, 1)])
    assert "no offset" in found
