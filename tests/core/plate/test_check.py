from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.plate.check import check_solution, worst_error_pix
from gaiaflux.core.plate.fit import PlateFit
from gaiaflux.core.plate.search import MatchLists, SolveSettings
from gaiaflux.core.sky.projection import linear_tan, pixel_to_sky
from gaiaflux.model.errors import BadFrameError

SIZE = 1000
WCS = linear_tan((150.0, 20.0), (499.5, 499.5), np.diag([-0.4, 0.4]) / 3600, (SIZE, SIZE))
SETTINGS = SolveSettings(60.0, 0.5, 2, 5, 0.5)


def right_solution(n_pairs, n_image, n_catalog, seed=1):
    """`n_pairs` stars at their places by the catalogue to 0.05 pixel, the rest of both lists anywhere."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(10, SIZE - 10, (2, n_image))
    cx, cy = rng.uniform(10, SIZE - 10, (2, n_catalog))
    cx[:n_pairs], cy[:n_pairs] = x[:n_pairs], y[:n_pairs]
    residuals = rng.normal(0, 0.05, (2, n_pairs))
    x[:n_pairs] += residuals[0]
    y[:n_pairs] += residuals[1]
    ra, dec = pixel_to_sky(WCS, cx, cy)
    star, known = np.arange(n_image), np.arange(n_catalog)
    lists = MatchLists(
        star, x, y, np.full(n_image, 0.0025), 0.01 * star, np.ones(n_image, bool), np.ones(n_image, bool), 4.0,
        known, ra, dec, 0.01 * known, np.zeros(n_catalog),
    )  # fmt: skip
    variance = np.full(n_pairs, 0.0025)
    pairs = np.arange(n_pairs), np.arange(n_pairs)
    return lists, PlateFit(WCS, pairs, residuals, 1.0 / variance, variance, np.eye(3) * 0.0025 / n_pairs)


def check(lists, solution, radius=1.0, start=WCS):
    check_solution(lists, start, solution, solution.variance, radius, SETTINGS)


def test_a_good_solution_is_believed():
    check(*right_solution(200, 220, 260), 1.0)
    check(*right_solution(60, 80, 90, seed=2), 1.0)


def test_fewer_pairs_than_twice_those_by_chance_are_a_coincidence():
    # 3000 x 3000 stars within 3 pixels: 8 % of the area is near a star, 240 pairs come by chance. 450 are very many
    # more by the statistics of counts, but every second one of them would be wrong.
    lists, solution = right_solution(450, 3000, 3000)
    with pytest.raises(BadFrameError, match=r"only 450 of 3000 stars match the 3000 of the catalogue: 24\d would"):
        check(lists, solution, 3.0)


def test_few_pairs_that_chance_could_make_are_not_believed():
    # Where two are expected, 14 come by chance once in a million times at most, 13 more often; three more are what it
    # costs to place the lists.
    radius = float(np.sqrt(2.0 * SIZE**2 / (np.pi * 80 * 100)))
    with pytest.raises(BadFrameError, match=r"only 16 of 80 stars match the 100 of the catalogue: 2 would by chance"):
        check(*right_solution(16, 80, 100), radius)
    check(*right_solution(17, 80, 100, seed=2), radius)


def header(shift_arcsec=0.0, turn_deg=0.0, scale=1.0, parity=1.0):
    """Where the search began: the solution, changed."""
    angle = np.deg2rad(turn_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return replace(WCS, crval=(150.0, 20.0 + shift_arcsec / 3600), cd=scale * turn @ WCS.cd @ np.diag([1.0, parity]))


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"shift_arcsec": 71.0}, ""),  # 1.2 times the search radius
        ({"shift_arcsec": 74.0}, "lies 74 arcsec from the header's"),
        ({"turn_deg": 0.65}, ""),  # 1.2 times the search's rotation, and 0.1 deg
        ({"turn_deg": -0.8}, "is turned by 0.80 deg from the header's"),
        ({"scale": 1.028}, ""),
        ({"scale": 1.035}, "another scale or parity than the header's: 0.966 x 0.966"),
        ({"scale": 0.968}, "another scale or parity than the header's: 1.033 x 1.033"),
        ({"parity": -1.0}, "another scale or parity"),
    ],
)
def test_a_solution_far_from_the_header_is_refused(changed, text):
    lists, solution = right_solution(200, 220, 260)
    if not text:
        check(lists, solution, start=header(**changed))
        return
    with pytest.raises(BadFrameError, match=text):
        check(lists, solution, start=header(**changed))


def test_a_wild_distortion_of_a_corner_is_refused():
    lists, solution = right_solution(200, 220, 260)
    bent = np.zeros((3, 3))
    for size, refused in ((1e-4, False), (3e-4, True)):
        bent[2, 0] = size  # its slope at the edge, 500 pixels off, is 1000 times that
        wcs = replace(WCS, a=bent, b=np.zeros((3, 3)))
        ra, dec = pixel_to_sky(wcs, lists.x, lists.y)
        placed = replace(lists, ra=np.append(ra, lists.ra[220:]), dec=np.append(dec, lists.dec[220:]))
        if refused:
            with pytest.raises(BadFrameError, match="wildly distorted in a corner"):
                check(placed, replace(solution, wcs=wcs), start=wcs)
        else:
            check(placed, replace(solution, wcs=wcs), start=wcs)


def test_stars_that_scatter_are_refused():
    lists, solution = right_solution(200, 220, 260)
    for rms, refused in ((0.45, False), (0.55, True)):
        variance = np.full(200, rms**2)
        noisy = replace(solution, residuals=solution.residuals * rms / 0.05, weight=1.0 / variance, variance=variance)
        noisy.weight[:20] = 0.0  # clipped ones do not count
        noisy.residuals[:, :20] = 30.0
        if refused:
            with pytest.raises(BadFrameError, match=r"scatter by 0\.\d\d pixels"):
                check(lists, noisy)
        else:
            check(lists, noisy)


def test_too_few_pairs_are_refused():
    lists, solution = right_solution(200, 220, 260)
    solution.weight[4:] = 0.0
    with pytest.raises(BadFrameError, match="only 4 stars match the catalogue, 5 are needed"):
        check(lists, solution)


def test_brightness_that_has_nothing_to_do_with_the_catalogues_is_refused():
    lists, solution = right_solution(200, 220, 260)
    rng = np.random.default_rng(3)
    for scatter, refused in ((0.9, False), (1.6, True)):
        lists.mag[:200] = lists.instrumental[:200] + 25.0 + rng.normal(0, scatter, 200)
        lists.mag[:5] = np.nan
        if refused:
            with pytest.raises(BadFrameError, match=r"nothing to do with the catalogue's \(scatter 1\.\d mag\)"):
                check(lists, solution)
        else:
            check(lists, solution)


@pytest.mark.parametrize(("share", "refused"), [(0.0, False), (0.05, False), (0.3, True)])
def test_a_solution_of_a_part_of_the_image_is_refused(share, refused):
    # Beside 200 pairs there are as bright stars that lie five pixels from the catalogue's.
    n_off = round(200 * share)
    lists, solution = right_solution(200, 200 + n_off, 200 + n_off, seed=4)
    rng = np.random.default_rng(5)
    cx, cy = rng.uniform(50, SIZE - 50, (2, n_off))
    lists.x[200:], lists.y[200:] = cx + 4.0, cy - 3.0
    lists.ra[200:], lists.dec[200:] = pixel_to_sky(WCS, cx, cy)
    # Mixed by brightness, as they come.
    order = rng.permutation(200 + n_off)
    place = np.argsort(order)
    stars = {name: getattr(lists, name)[order] for name in ("x", "y", "variance", "good", "real", "ra", "dec")}
    pairs = place[solution.pairs[0]], place[solution.pairs[1]]
    mixed, solution = replace(lists, **stars), replace(solution, pairs=pairs)
    if refused:
        with pytest.raises(
            BadFrameError, match=r"a part of the image only: \d+ bright stars lie 1\.0 to 8 pixels off, beside 100 "
        ):
            check(mixed, solution)
    else:
        check(mixed, solution)


def off_pairs(lists, solution, places, offsets):
    """Give the last stars, which are in no pair, places beside those of the catalogue, and mix all by brightness."""
    n = places.shape[1]
    lists.x[-n:], lists.y[-n:] = places + offsets
    lists.ra[-n:], lists.dec[-n:] = pixel_to_sky(WCS, *places)
    order = np.random.default_rng(8).permutation(len(lists.x))
    place = np.argsort(order)
    stars = {name: getattr(lists, name)[order] for name in ("x", "y", "variance", "good", "real", "ra", "dec")}
    return replace(lists, **stars), replace(solution, pairs=(place[solution.pairs[0]], place[solution.pairs[1]]))


@pytest.mark.parametrize(("distance", "few"), [(0.9, False), (0.25, True)])
def test_stars_that_the_fit_left_out_are_not_off_where_they_lie_at_their_place(distance, few):
    # A third of the bright stars are saturated: found where they should be, but no part of the fit.
    n, radius = (12, 0.3) if few else (200, 1.0)
    lists, solution = right_solution(n, n + n // 3, n + n // 3, seed=4)
    rng = np.random.default_rng(7)
    angle = rng.uniform(0, 2 * np.pi, n // 3)
    offsets = distance * np.stack([np.cos(angle), np.sin(angle)])
    places = rng.uniform(50, SIZE - 50, (2, n // 3))
    check(*off_pairs(lists, solution, places, offsets), radius)
    with pytest.raises(BadFrameError, match="a part of the image only"):
        check(*off_pairs(lists, solution, places, np.full_like(offsets, 4.0 * radius)), radius)


def test_wrong_rows_of_the_catalogue_are_no_sign_of_a_wrong_solution():
    rng = np.random.default_rng(9)
    angle, size = rng.uniform(0, 2 * np.pi, 60), rng.uniform(2.0, 7.0, 60)
    offsets = size * np.stack([np.cos(angle), np.sin(angle)])
    for where, refused in ((rng.uniform(50, SIZE - 50, (2, 60)), False), (rng.uniform(50, 350, (2, 60)), True)):
        lists, solution = right_solution(200, 260, 260, seed=4)
        if refused:
            with pytest.raises(BadFrameError, match="a part of the image only"):
                check(*off_pairs(lists, solution, where, offsets))
        else:
            check(*off_pairs(lists, solution, where, offsets))


@pytest.mark.parametrize("n_off", [0, 1])
def test_of_few_stars_all_are_compared(n_off):
    # A star that lies three pixels from the catalogue's, as faint as the faintest of twelve that match.
    lists, solution = right_solution(12, 12 + n_off, 12 + n_off, seed=6)
    lists.x[12:], lists.y[12:] = 503.0, 400.0
    lists.ra[12:], lists.dec[12:] = pixel_to_sky(WCS, np.full(n_off, 500.0), np.full(n_off, 400.0))
    if n_off:
        with pytest.raises(
            BadFrameError, match=r"only: 1 bright stars lie 0\.3 to \d pixels off, beside 12 that match"
        ):
            check(lists, solution, 0.3)
    else:
        check(lists, solution, 0.3)


def worst(lists, solution, start=WCS):
    return worst_error_pix(lists, start, solution, solution.variance)


def test_the_error_where_it_is_worst_grows_where_there_are_no_stars():
    lists, solution = right_solution(100, 100, 100)
    everywhere = worst(lists, solution)
    assert everywhere < 0.1
    more, of_more = right_solution(400, 400, 400)
    assert worst(more, of_more) < 0.75 * everywhere
    # The same stars in one quarter of the image say little of the others; a corner says nothing.
    for factor, least, most in ((0.5, 0.15, 0.8), (0.2, 1.0, 20.0)):
        assert least < worst(replace(lists, x=factor * lists.x, y=factor * lists.y), solution) < most


def test_a_large_distortion_is_hardly_left_where_the_header_has_one():
    lists, solution = right_solution(60, 60, 60)
    lists.x[:], lists.y[:] = 0.4 * lists.x, 0.4 * lists.y
    bent = np.zeros((4, 4))
    bent[3, 0] = 1e-10
    assert worst(lists, solution, replace(WCS, a=bent, b=bent)) < 0.75 * worst(lists, solution)


def test_stars_are_not_trusted_more_than_their_noise_allows():
    lists, solution = right_solution(100, 100, 100)
    usual = worst(lists, solution)
    # The weights of a fit with heavy tails are larger than the inverse variances; clipped stars have none.
    assert worst(lists, replace(solution, weight=3.0 * solution.weight)) == pytest.approx(usual, rel=1e-12)
    some = np.where(np.arange(100) < 50, solution.weight, 0.0)
    assert worst(lists, replace(solution, weight=some)) > 1.2 * usual


def test_residuals_that_look_like_a_distortion_leave_room_for_it():
    lists, solution = right_solution(100, 100, 100)
    u, v = lists.x / 500 - 1, lists.y / 500 - 1
    bent = solution.residuals + 0.3 * np.stack([u * u - 0.33, u * v])
    assert worst(lists, replace(solution, residuals=bent)) > 2.0 * worst(lists, solution)


@pytest.mark.parametrize("known", [False, True])
def test_stars_that_say_nothing_leave_what_is_thought_beforehand(known):
    # Half a side for each linear term of an axis; distortions of any order of magnitude from a fiftieth of a pixel to
    # 4 % of half a side, in a corner, of which a header that has one leaves hardly more than 0.02 %.
    lists, solution = right_solution(60, 60, 60)
    bent = np.zeros((3, 3))
    bent[2, 0] = 1e-9
    start = replace(WCS, a=bent, b=bent) if known else WCS
    sizes = np.geomspace(0.02, 0.04 * 500, 9)
    weight = np.minimum(0.0002 * 500 / sizes, 1.0) ** 2 if known else np.ones(9)
    usual2 = np.average(sizes**2, weights=weight)
    # In a corner all terms are one: three linear ones, and the second and third degree of the same size each.
    expected = np.sqrt(2.0 * (3 * 500.0**2 + 2 * usual2))
    found = worst_error_pix(lists, start, solution, np.full(60, 1e40))
    assert found**2 - 6 * 500.0**2 == pytest.approx(expected**2 - 6 * 500.0**2, rel=1e-3)


def test_a_distortion_of_a_higher_degree_is_no_larger_than_that_which_was_fitted():
    lists, solution = right_solution(100, 100, 100)
    found = []
    for strength in (0.1, 1.0, 100.0):
        bent = np.zeros((4, 4))
        bent[3, 0] = strength / 499.5**3
        fitted = replace(solution, wcs=replace(WCS, a=bent), covariance=np.eye(10) * 0.0025 / 100)
        found.append(worst(replace(lists, x=0.5 * lists.x, y=0.5 * lists.y), fitted))
    assert found[0] < 0.9 * found[1]
    assert found[1] < 0.9 * found[2]
