"""Steps of the plate solution: where it is searched, from which reference pixel, and limits that it must hold."""

from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.plate import check
from gaiaflux.core.plate.check import _check_geometry, _has_neighbour, check_solution
from gaiaflux.core.plate.fit import PlateFit
from gaiaflux.core.plate.matching import OffsetSearch, _background, match_mutual, poisson_log_tail, vote_offset
from gaiaflux.core.plate.search import MatchLists, SolveSettings
from gaiaflux.core.plate.solve import _centred, _places, _with_distortion
from gaiaflux.core.sky.projection import linear_tan, pixel_to_sky, sip_order, sky_to_pixel
from gaiaflux.model.errors import BadFrameError

SIZE = 1000
WCS = linear_tan((150.0, 20.0), (499.5, 499.5), np.diag([-0.4, 0.4]) / 3600, (SIZE, SIZE))
SETTINGS = SolveSettings(60.0, 0.5, 2, 5, 0.5)


def moved(pixels=0.0, scale=1.0):
    """The pointing, so many pixels off along y, with another scale."""
    return replace(WCS, crval=(150.0, 20.0 + pixels * 0.4 / 3600), cd=scale * WCS.cd)


def test_patterns_are_searched_around_the_pointing_and_the_header_where_they_differ():
    assert _places(None, WCS) == [WCS]
    assert _places(WCS, None) == [WCS]
    assert _places(None, None) == []
    # A tenth of the smaller side apart, or a hundredth in scale.
    for near in (moved(98.0), moved(-98.0), moved(scale=1.009)):
        assert _places(near, WCS) == [WCS]
    for far in (moved(102.0), moved(-102.0), moved(scale=1.011), moved(scale=0.989)):
        assert _places(far, WCS) == [WCS, far]
    oblong = replace(WCS, shape=(500, 2000))
    assert len(_places(replace(oblong, crval=(150.0, 20.0 + 52 * 0.4 / 3600)), oblong)) == 2


def bent(crpix=(499.5, 499.5)):
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    a[2, 0], b[1, 1] = 8e-6, -5e-6
    return replace(WCS, crpix=crpix, a=a, b=b)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_reference_pixel_beyond_a_quarter_of_the_image_is_brought_to_the_middle(axis):
    for off, kept in ((249.0, True), (-249.0, True), (251.0, False), (-251.0, False), (-5000.0, False)):
        crpix = np.array([499.5, 499.5])
        crpix[axis] += off
        wcs = bent(tuple(crpix)) if abs(off) < 1000 else replace(WCS, crpix=tuple(crpix))
        found = _centred(wcs)
        assert (found is wcs) == kept
        if not kept:
            assert found.crpix == (499.5, 499.5)
            assert sip_order(found) == 2
            x, y = np.random.default_rng(1).uniform(0, 999, (2, 30))
            np.testing.assert_allclose(sky_to_pixel(found, *pixel_to_sky(wcs, x, y)), [x, y], atol=0.01)


def test_a_distortion_belongs_to_the_pixels():
    turn = np.deg2rad(40.0)
    cd = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ WCS.cd
    linear, distorted = replace(WCS, crval=(151.0, 19.0), cd=cd), bent((450.0, 480.0))
    found = _with_distortion(linear, distorted)
    np.testing.assert_allclose(found.a, distorted.a, atol=1e-18)
    np.testing.assert_allclose(found.b, distorted.b, atol=1e-18)
    assert found.crpix == (450.0, 480.0)
    # On the whole both are the same; the distortion of some pixels is left.
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, 999, 7), np.linspace(0, 999, 7)))
    off = np.stack(sky_to_pixel(linear, *pixel_to_sky(found, x, y))) - np.stack([x, y])
    assert np.abs(off.mean(axis=1)).max() < 0.02
    assert 0.3 < np.abs(off).max() < 3.0


@pytest.mark.parametrize(("size", "fine"), [(0.070, True), (0.0855, False), (-0.0590, True), (-0.0725, False)])
def test_the_area_of_a_pixel_in_a_corner_is_three_quarters_to_four_thirds(size, fine):
    # Radial: the area changes by (1 + z)(1 + 3 z) in the corners.
    cubic = np.zeros((4, 4))
    cubic[3, 0] = cubic[1, 2] = size / (2 * 499.5**2)
    wcs = replace(WCS, a=cubic, b=cubic.T)
    assert (0.75 < (1 + size) * (1 + 3 * size) < 1.33) == fine
    if fine:
        _check_geometry(wcs, wcs, SETTINGS)
    else:
        with pytest.raises(BadFrameError, match="wildly distorted in a corner"):
            _check_geometry(wcs, wcs, SETTINGS)


def solution(n, residual=0.05):
    """Pairs on a grid that fit as well as they are stated."""
    side = int(np.ceil(np.sqrt(n)))
    x, y = (g.ravel()[:n] for g in np.meshgrid(np.linspace(40, 960, side), np.linspace(40, 960, side)))
    rows = np.arange(n)
    ra, dec = pixel_to_sky(WCS, x, y)
    lists = MatchLists(
        rows, x.copy(), y.copy(), np.full(n, residual**2), 0.01 * rows, np.ones(n, bool), np.ones(n, bool), 4.0, rows,
        ra, dec, 0.01 * rows, np.zeros(n),
    )  # fmt: skip
    variance = np.full(n, residual**2)
    sign = np.where(rows % 2, 1.0, -1.0)
    residuals = residual * np.stack([sign, np.where(rows % 4 < 2, 1.0, -1.0)])
    return lists, PlateFit(WCS, (rows, rows), residuals, 1 / variance, variance, np.eye(3) * variance[0] / n)


@pytest.mark.parametrize(
    ("rms", "fwhm", "limit"), [(0.1, 4.0, 0.45), (0.2, 4.0, 0.5), (0.3, 4.0, 0.6), (0.1, 9.0, 0.45), (0.1, 12.0, 0.6)]
)
def test_how_uncertain_a_solution_may_be_somewhere(rms, fwhm, limit, monkeypatch):
    lists, fit = solution(100, rms)
    lists = replace(lists, fwhm=fwhm)
    for worst, refused in ((limit - 0.01, False), (limit + 0.01, True)):
        monkeypatch.setattr(check, "worst_error_pix", lambda *given, value=worst: value)
        if refused:
            with pytest.raises(BadFrameError, match=rf"leave the plate solution uncertain by {worst:.1f} pixels"):
                check_solution(lists, WCS, fit, fit.variance, 1.5, SETTINGS)
        else:
            check_solution(lists, WCS, fit, fit.variance, 1.5, SETTINGS)


@pytest.mark.parametrize(("scatter", "known", "refused"), [(1.15, 100, False), (1.25, 100, True), (9.0, 4, False)])
def test_magnitudes_scatter_by_no_more_than_1_2(scatter, known, refused):
    lists, fit = solution(100)
    # Half of the stars deviate by the robust scatter over 1.4826 or more.
    lists.mag[:] = lists.instrumental + 20.0 + scatter / 1.4826 * np.where(np.arange(100) % 2, 1.0, -1.0)
    lists.mag[known:] = np.nan
    if refused:
        with pytest.raises(BadFrameError, match=r"nothing to do with the catalogue's \(scatter 1\.[23] mag\)"):
            check_solution(lists, WCS, fit, fit.variance, 1.5, SETTINGS)
    else:
        check_solution(lists, WCS, fit, fit.variance, 1.5, SETTINGS)


def with_others(n_pairs, offsets, beside=None):
    """Pairs, and bright stars that lie so far from theirs of the catalogue, in gaps of the grid or beside a pair."""
    lists, fit = solution(n_pairs)
    gaps = np.flatnonzero(np.arange(len(lists.x)) % 3 == 0)[: len(offsets)]
    x, y = lists.x[gaps] + 31.0, lists.y[gaps] + 29.0
    if beside is not None:
        x, y = lists.x[gaps] + beside, lists.y[gaps].copy()
    ra, dec = pixel_to_sky(WCS, x, y)
    order = np.argsort(np.append(np.arange(n_pairs), gaps + 0.5), kind="stable")
    place = np.argsort(order)
    n = n_pairs + len(offsets)
    rows = np.arange(n)
    columns = {
        "x": np.append(lists.x, x + np.asarray(offsets))[order], "y": np.append(lists.y, y)[order],
        "ra": np.append(lists.ra, ra)[order], "dec": np.append(lists.dec, dec)[order],
    }  # fmt: skip
    more = {name: np.ones(n) for name in ("variance", "good", "real")} | {
        "instrumental": 0.01 * rows, "mag": 0.01 * rows, "star_rows": rows, "catalog_rows": rows,
        "catalog_variance": np.zeros(n),
    }  # fmt: skip
    pairs = place[:n_pairs], place[:n_pairs]
    return replace(lists, **columns, **more), replace(fit, pairs=pairs)


def refuses(lists, fit, radius=1.0):
    try:
        check_solution(lists, WCS, fit, fit.variance, radius, SETTINGS)
    except BadFrameError as error:
        return "a part of the image only" in str(error)
    return False


@pytest.mark.parametrize(("n_off", "refused"), [(10, False), (11, True)])
def test_more_than_fifteen_in_a_hundred_bright_stars_beside_their_places(n_off, refused):
    # Of 144 the brighter half are compared, 72: of them eleven are more.
    assert refuses(*with_others(144, [5.0] * n_off)) == refused


@pytest.mark.parametrize(("off", "refused"), [(7.8, True), (8.3, False)])
def test_a_place_is_missed_by_eight_radii(off, refused):
    assert refuses(*with_others(144, [off] * 40)) == refused


@pytest.mark.parametrize(("n_pairs", "refused"), [(40, True), (41, False)])
def test_of_forty_stars_three_are_too_many(n_pairs, refused):
    # Of few stars one in twenty; of more 0.15 of the brighter half.
    assert refuses(*with_others(n_pairs, [1.2] * 3), radius=0.1) == refused
    assert not refuses(*with_others(40, [1.2] * 2), radius=0.1)


@pytest.mark.parametrize(("beside", "refused"), [(7.5, False), (8.5, True)])
def test_blends_within_two_widths_do_not_count(beside, refused):
    assert refuses(*with_others(40, [1.2] * 3, beside=beside), radius=0.1) == refused


def test_a_neighbour_is_another_point_within_the_radius():
    x, y = np.array([10.0, 20.0, 30.0]), np.array([5.0, 5.0, 5.0])
    others = np.array([10.0, 20.0, 21.9, 30.0, 32.1]), np.array([5.0, 5.0, 5.0, 5.0, 5.0])
    assert _has_neighbour(x, y, *others, 2.0).tolist() == [False, True, False]
    assert _has_neighbour(x, y, others[1], 3.1 + 0.1 * others[0], 2.0).tolist() == [False] * 3
    near = np.array([10.0]), np.array([6.9])
    assert _has_neighbour(x, y, *near, 2.0).tolist() == [True, False, False]
    assert _has_neighbour(x, y, near[0], near[1] + 0.2, 2.0).tolist() == [False] * 3


def test_pairs_by_chance_in_a_box():
    counts = np.random.default_rng(2).poisson(2.0, (30, 40)).astype(np.int32)
    counts[8:15, 10:17] += 3  # a cluster
    around, core = counts[6:17, 8:19], counts[9:14, 11:16]
    near = (around.sum() - core.sum()) / (121 - 25)
    assert _background(counts, 10, 12) == pytest.approx(9.0 * near)
    core = counts[24:29, 29:34]
    everywhere = (counts.sum() - core.sum()) / (1200 - 25)
    around = counts[21:32, 26:37]
    local = (around.sum() - core.sum()) / (around.size - core.size)
    assert _background(counts, 25, 30) == pytest.approx(9.0 * max(local, everywhere))
    corner = counts[:7, :7].sum() - counts[:4, :4].sum()
    whole = (counts.sum() - counts[:4, :4].sum()) / (1200 - 16)
    assert _background(counts, 0, 0) == pytest.approx(9.0 * max(corner / (49 - 16), whole))


def test_the_chance_of_an_offset_counts_all_that_was_tried():
    rng = np.random.default_rng(3)
    xa, ya = rng.uniform(-500, 500, (2, 40))
    xb, yb = xa + 37.0, ya - 21.0
    # Of a tolerance of 12 pixels: cells of 8, boxes of three by three; 60 pixels are 8 cells, and one for the rim.
    found = vote_offset(xa, ya, xb, yb, OffsetSearch(60.0, 0.0, 700.0, 12.0))
    assert (found.angle_rad, found.tolerance_pix) == (0.0, 12.0)
    assert (found.dx, found.dy) == (pytest.approx(37.0, abs=0.5), pytest.approx(-21.0, abs=0.5))
    column = np.floor((xb[None] - xa[:, None]) / 8.0 + 0.5).astype(int) + 9
    row = np.floor((yb[None] - ya[:, None]) / 8.0 + 0.5).astype(int) + 9
    counts = np.zeros((19, 19), int)
    inside = (column >= 0) & (column < 19) & (row >= 0) & (row < 19)
    np.add.at(counts, (row[inside], column[inside]), 1)
    boxes = np.array([[counts[j : j + 3, i : i + 3].sum() for i in range(17)] for j in range(17)])
    at = np.unravel_index(boxes.argmax(), boxes.shape)
    assert found.n_pairs == boxes.max() >= 40
    assert found.n_chance == pytest.approx(_background(counts, *at))
    assert found.log_chance == pytest.approx(poisson_log_tail(boxes.max(), found.n_chance) + np.log(19 * 19))
    # Rotations are tried in steps of one and a half cells at the corner: of 0.1 rad and 700 pixels six to either side.
    turned = vote_offset(xa, ya, xb, yb, OffsetSearch(60.0, 0.1, 700.0, 12.0))
    assert turned.angle_rad == 0.0
    assert turned.log_chance == pytest.approx(found.log_chance + np.log(13))
    # Nothing is better than certain.
    nothing = vote_offset(xa[:2], ya[:2], xb[:2] + 900, yb[:2], OffsetSearch(60.0, 0.0, 700.0, 12.0))
    assert (nothing.n_pairs, nothing.log_chance) == (0, 0.0)


def test_the_bound_of_a_poisson_tail():
    assert poisson_log_tail(10, 2.0) == pytest.approx(8.0 - 10 * np.log(5.0))
    assert poisson_log_tail(3, 3.0) == poisson_log_tail(0, 0.0) == 0.0
    assert poisson_log_tail(2, 0.0) == pytest.approx(2.0 - 2 * np.log(2e12))


def test_the_nearest_of_two_is_the_partner():
    rows = match_mutual(np.array([0.0, 3.0]), np.zeros(2), np.array([1.0, 9.9]), np.zeros(2), 5.0)
    assert [r.tolist() for r in rows] == [[0], [0]]
    rows = match_mutual(np.array([0.0]), np.zeros(1), np.array([4.9]), np.zeros(1), 5.0)
    assert [r.tolist() for r in rows] == [[0], [0]]
    assert match_mutual(np.array([0.0]), np.zeros(1), np.array([5.1]), np.zeros(1), 5.0)[0].size == 0
