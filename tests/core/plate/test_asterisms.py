from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.plate.asterisms import AsterismSearch, Placement, _refined, _search, find_placements
from gaiaflux.core.plate.matching import poisson_log_tail
from gaiaflux.core.plate.search import SolveSettings, StarTables
from gaiaflux.core.plate.solve import refine_wcs
from gaiaflux.core.sky.projection import linear_tan, pixel_scale_arcsec
from gaiaflux.model.errors import BadFrameError
from gaiaflux.sim.detector import Camera
from gaiaflux.sim.starlists import StarField, few_star_field, simulate_stars, spoiled_field, stress_field

SETTINGS = {
    "search_radius_arcsec": 90.0,
    "search_rotation_deg": 0.6,
    "max_sip_order": 3,
    "min_stars": 8,
    "max_rms_pix": 0.5,
}
SEARCH = AsterismSearch(shape=(1000, 1600), max_shift=800.0, scale_tolerance=0.055, min_pairs=5)


def solve(lists, **change):
    nominal = change.pop("nominal", lists.nominal)
    given = StarTables(lists.stars, lists.ra_deg, lists.dec_deg, lists.mag, lists.pos_err_mas)
    return refine_wcs(given, lists.header, SolveSettings(**{**SETTINGS, **change}), nominal)


def outcome(field):
    """Largest error over the image [pixel], or NaN where the frame is refused."""
    lists = simulate_stars(field)
    try:
        return lists.error_pix(solve(lists).wcs).max()
    except BadFrameError:
        return np.nan


def lists_with_a_common_part(rng, n_common, n_image, n_catalog, angle, scale, parity, shift):
    """Image and catalogue, brightest first, whose common stars are related by a known map."""
    image = rng.uniform(-1, 1, (2, n_image)) * np.array([[800.0], [500.0]])
    matrix = (
        scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([1.0, parity])
    )
    catalog = rng.uniform(-1900, 1900, (2, n_catalog))
    rows = rng.choice(n_catalog, n_common, replace=False)
    catalog[:, rows] = matrix @ image[:, rng.choice(n_image, n_common, replace=False)] + np.array(shift)[:, None]
    return image, catalog, matrix


@pytest.mark.parametrize(
    ("angle", "scale", "parity", "shift"),
    [(0.0, 1.0, 1.0, (0.0, 0.0)), (2.0, 0.96, -1.0, (600.0, -300.0)), (-1.2, 1.045, 1.0, (-400.0, 650.0))],
)
def test_a_placement_is_found_among_strangers(angle, scale, parity, shift):
    image, catalog, matrix = lists_with_a_common_part(
        np.random.default_rng(3), 14, 22, 110, angle, scale, parity, shift
    )
    best = find_placements(*image, *catalog, SEARCH)[0]
    np.testing.assert_allclose(best.matrix, matrix, atol=1e-3)
    np.testing.assert_allclose(best.shift, shift, atol=1.0)
    assert best.n_pairs >= 14
    assert best.log_chance < np.log(1e-6)


def test_every_star_of_the_image_that_falls_on_one_of_the_catalogue_is_a_hit():
    rng = np.random.default_rng(5)
    image = rng.uniform(-1, 1, (2, 14)) * np.array([[800.0], [500.0]])
    # The outermost ones of the catalogue, too: the map has a margin around them.
    placements, tried = _search(*image, *image, SEARCH)
    assert placements[0].n_pairs == 14
    # Pairs of the image on those of the catalogue, both ways round and mirrored; of two stars there are four.
    assert tried > 4 * 14
    two = np.array([[-600.0, 500.0], [-300.0, 350.0]])
    assert _search(*two, *two, SEARCH)[1] == 4
    np.testing.assert_allclose(placements[0].matrix, np.eye(2), atol=0.02)
    np.testing.assert_allclose(placements[0].shift, 0.0, atol=20.0)


def test_several_placements_are_kept_side_by_side():
    rng = np.random.default_rng(6)
    image = rng.uniform(-1, 1, (2, 12)) * np.array([[800.0], [500.0]])
    shifts = np.array([[-500.0, 0.0], [0.0, 600.0], [650.0, -100.0]])
    # Of the second and third copy of the pattern a star is missing.
    catalog = np.concatenate([image[:, k:] + shift[:, None] for k, shift in enumerate(shifts)], axis=1)
    placements, _ = _search(*image, *catalog, SEARCH)
    hits = [one.n_pairs for one in placements]
    assert hits == sorted(hits, reverse=True)
    for shift, n_hits in zip(shifts, (12, 11, 10), strict=True):
        near = [one for one in placements if np.hypot(*(one.shift - shift)) < 40.0 and one.matrix[0, 0] > 0.97]
        assert near
        assert near[0].n_pairs >= n_hits


def test_the_chance_of_a_placement_counts_the_catalogue_on_the_image():
    rng = np.random.default_rng(8)
    image = rng.uniform(-1, 1, (2, 30)) * np.array([[790.0], [490.0]])
    # As many strangers beside the image as on it; none of them near one of its stars.
    beside = (
        np.array([[900.0, -900.0, 0.0, 0.0, 1500.0], [0.0, 0.0, 600.0, -600.0, 450.0]])
        + rng.normal(size=(2, 1, 5))[:, 0]
    )
    catalog = np.concatenate([image[:, :20], beside, beside + 60.0], axis=1)
    start = Placement(np.eye(2), np.array([3.0, -2.0]), 20, 20.0, 0.0)
    found = _refined(start, *image, *catalog, 1.0, SEARCH)
    assert found.n_pairs == 20
    np.testing.assert_allclose(found.shift, 0.0, atol=1e-9)
    np.testing.assert_allclose(found.matrix, np.eye(2), atol=1e-9)
    radius = 0.45 * 20.0
    expected = 20 * (1 - np.exp(-30 * np.pi * radius**2 / SEARCH.area))
    assert found.log_chance == pytest.approx(poisson_log_tail(18, expected))
    # Fewer pairs than are asked for, or a place too far away, are none.
    assert _refined(start, *image, *catalog, 1.0, replace(SEARCH, min_pairs=21)) is None
    far = catalog + np.array([[801.0], [0.0]])
    assert _refined(replace(start, shift=np.array([800.0, 0.0])), *image, *far, 1.0, SEARCH) is None
    near = catalog + np.array([[799.0], [0.0]])
    assert _refined(replace(start, shift=np.array([798.0, 0.0])), *image, *near, 1.0, SEARCH).n_pairs == 20


def test_an_image_that_is_squeezed_is_another_one():
    image, catalog, _ = lists_with_a_common_part(np.random.default_rng(7), 20, 22, 110, 0.4, 1.0, 1.0, (0.0, 0.0))
    assert find_placements(*image, *catalog, SEARCH)
    for squeeze, found in ((1.02, True), (1.06, False)):
        bent = image * np.array([[squeeze], [1 / squeeze]])
        wide = replace(SEARCH, scale_tolerance=0.2)
        assert bool([one for one in find_placements(*bent, *catalog, wide) if one.n_pairs > 12]) is found


def test_beyond_the_limits_nothing_is_found():
    for angle, scale, shift in ((1.0, 1.09, (0.0, 0.0)), (1.0, 1.0, (900.0, 300.0))):
        image, catalog, _ = lists_with_a_common_part(np.random.default_rng(4), 20, 22, 110, angle, scale, 1.0, shift)
        assert not find_placements(*image, *catalog, SEARCH)


def test_unrelated_or_tiny_lists_have_no_placement():
    for seed in range(10):
        image, catalog, _ = lists_with_a_common_part(np.random.default_rng(seed), 0, 60, 400, 0, 1, 1, (0, 0))
        assert not [one for one in find_placements(*image, *catalog, SEARCH) if one.log_chance < np.log(1e-6)]
    few = np.arange(2.0)
    many = np.linspace(-400.0, 400.0, 9)
    for stars, catalog in ((few, few), (few, many), (many, few)):
        assert find_placements(stars, stars[::-1], catalog, catalog[::-1], SEARCH) == []


def test_stress_no_wrong_solution_and_all_with_enough_stars():
    fields = [stress_field(seed) for seed in range(30)]
    errors = np.array([outcome(field) for field in fields])
    assert not np.any(errors > 1.0)
    many = np.array([field.n_stars > 30 for field in fields])
    assert many.sum() == 20
    assert np.isfinite(errors[many]).all()
    lost = np.array([field.header != "offset" for field in fields])
    assert {field.header for field in fields} == {"none", "wrong", "offset"}
    assert lost.sum() == 15


def test_saturated_and_spoiled_stars_wrong_rows_and_trails_cost_no_frame():
    fields = [spoiled_field(seed) for seed in range(900, 930)]
    errors = np.array([outcome(field) for field in fields])
    assert not np.any(errors > 1.0)
    many = np.array([field.n_stars > 60 for field in fields])
    assert many.sum() == 20
    assert np.isfinite(errors[many]).all()


def test_few_stars_are_solved_where_the_distortion_is_small():
    errors = np.array([outcome(few_star_field(seed, (0.0, 0.3))) for seed in range(24)])
    assert not np.any(errors > 1.0)
    assert np.isfinite(errors).sum() >= 18


def test_few_stars_that_cannot_tell_the_distortion_are_refused():
    # Enough stars match with a small scatter, yet the rest of the image would be some pixels off.
    reasons = []
    for seed in range(90):
        lists = simulate_stars(few_star_field(seed))
        try:
            assert lists.error_pix(solve(lists).wcs).max() < 1.0
        except BadFrameError as reason:
            reasons.append(str(reason))
    assert sum("leave the plate solution uncertain by" in reason for reason in reasons) >= 10


def test_the_stated_worst_error_is_an_honest_one():
    errors, stated = [], []
    for seed in range(12):
        lists = simulate_stars(StarField(seed=seed, n_stars=40 + 20 * seed, distortion_arcsec=5.0, header="none"))
        try:
            fit = solve(lists)
        except BadFrameError:
            continue
        errors.append(lists.error_pix(fit.wcs).max())
        stated.append(fit.worst_err_mas / 1000.0 / pixel_scale_arcsec(fit.wcs))
    errors, stated = np.array(errors), np.array(stated)
    assert len(errors) >= 9
    assert np.all(errors < 3.0 * stated)
    assert 0.3 < np.median(errors / stated) < 1.5


def test_the_header_comes_first():
    lists = simulate_stars(StarField(seed=1))
    assert solve(lists).method == "offset"
    assert solve(replace(lists, header=lists.truth)).method == "header"
    assert solve(replace(lists, header=None)).method == "asterism"


@pytest.mark.parametrize("scale", [0.955, 1.045])
@pytest.mark.parametrize("mirrored", [False, True])
def test_scale_and_parity(scale, mirrored):
    lists = simulate_stars(StarField(seed=2, header="none", mirrored=mirrored, spurious=0.3))
    cd = lists.nominal.cd * scale
    nominal = linear_tan(lists.nominal.crval, lists.nominal.crpix, cd, lists.nominal.shape)
    fit = solve(replace(lists, nominal=nominal))
    assert lists.error_pix(fit.wcs).max() < 0.5
    assert (np.linalg.det(fit.wcs.cd) > 0) == mirrored


def test_a_wrong_scale_or_position_is_refused():
    lists = simulate_stars(StarField(seed=3, header="none"))
    nominal = lists.nominal
    larger = linear_tan(nominal.crval, nominal.crpix, 1.1 * nominal.cd, nominal.shape)
    with pytest.raises(BadFrameError, match="no pattern of the 60 brightest stars lies in the catalogue"):
        solve(replace(lists, nominal=larger))
    far = linear_tan((nominal.crval[0], 0.9 * nominal.crval[1]), nominal.crpix, nominal.cd, nominal.shape)
    with pytest.raises(BadFrameError, match=r"only 0 catalogue stars where the image may be"):
        solve(replace(lists, nominal=far))
    with pytest.raises(ValueError, match="neither"):
        solve(replace(lists, header=None), nominal=None)


def test_a_wrong_header_gives_way_to_the_pointing_and_lends_its_distortion():
    lists = simulate_stars(StarField(seed=4, n_stars=14, header="wrong", header_distorted=True))
    fit = solve(lists)
    assert (fit.method, fit.sip_order) == ("asterism", 3)
    assert lists.error_pix(fit.wcs).max() < 1.0
    # A header that points to another part of the sky does not hide the pointing.
    away = replace(lists.header, crval=(lists.header.crval[0] + 40.0, lists.header.crval[1]))
    assert solve(replace(lists, header=away)).method == "asterism"
    with pytest.raises(BadFrameError, match="where the header says"):
        solve(replace(lists, header=away), nominal=None)


def test_a_header_without_a_pointing_beside_it_is_searched_around():
    lists = simulate_stars(StarField(seed=5, header="wrong", mirrored=True))
    fit = solve(lists, nominal=None)
    assert fit.method == "asterism"
    assert lists.error_pix(fit.wcs).max() < 0.5


def test_the_brightest_stars_need_not_be_in_both_lists():
    lists = simulate_stars(StarField(seed=6, n_stars=800, header="none"))
    stars = lists.stars[np.argsort(-lists.stars["flux"])[20:]]
    assert lists.error_pix(solve(replace(lists, stars=stars)).wcs).max() < 0.5
    k = np.argsort(lists.mag)[150:]
    shallow = replace(
        lists, ra_deg=lists.ra_deg[k], dec_deg=lists.dec_deg[k], mag=lists.mag[k], pos_err_mas=lists.pos_err_mas[k]
    )
    assert lists.error_pix(solve(shallow).wcs).max() < 0.5


def test_oblong_images():
    camera = Camera(shape=(700, 2100))
    lists = simulate_stars(StarField(seed=7, n_stars=300, header="none", camera=camera))
    assert lists.error_pix(solve(lists).wcs).max() < 0.5


@pytest.mark.parametrize("n_stars", [8, 15, 100])
def test_another_field_is_never_accepted(n_stars):
    for seed in range(20):
        field = StarField(seed=seed, n_stars=n_stars, header="none", distortion_arcsec=0.3, catalog_depth_mag=2.0)
        lists, other = simulate_stars(field), simulate_stars(replace(field, seed=seed + 1000))
        with pytest.raises(BadFrameError):
            solve(replace(other, stars=lists.stars), min_stars=5)
