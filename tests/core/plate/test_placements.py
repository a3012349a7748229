"""Steps of the search for an image in a catalogue: which stars are compared, what is a hit, and how a map is fitted."""

from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.plate import asterisms
from gaiaflux.core.plate.asterisms import (
    AsterismSearch,
    Placement,
    _base_pairs,
    _linear_fit,
    _refined,
    _search,
    _share_of_image,
    find_placements,
)

SEARCH = AsterismSearch(shape=(1000, 1600), max_shift=800.0, scale_tolerance=0.055, min_pairs=5)
DIAGONAL = float(np.hypot(1000, 1600))


def plan(monkeypatch, n_stars, n_catalog, size=2000.0):
    """First star of the image, number of stars, and of those of the catalogue, of each comparison in turn."""
    calls = []

    def no_placement(x, y, catalog_x, catalog_y, search):
        calls.append((int(x[0]), len(x), len(catalog_x)))
        assert len(x) == len(y)
        assert len(catalog_x) == len(catalog_y)
        return [], 7

    monkeypatch.setattr(asterisms, "_search", no_placement)
    stars, catalog = np.arange(float(n_stars)), np.linspace(-size, size, n_catalog)
    assert find_placements(stars, stars, catalog, catalog, SEARCH) == []
    return calls


def test_the_catalogue_is_compared_in_depths_that_suit_the_stars_of_the_image(monkeypatch):
    # The catalogue fills a circle of 4000 pixels: 7.85 times the area of the image.
    ratio = np.pi / 4 * 4000.0**2 / 1.6e6
    deep = plan(monkeypatch, 200, 3000)
    assert deep == [
        (0, 25, int(1.5 * 25 * ratio)), (0, 25, 500), (0, 60, 500), (30, 25, int(2.0 * 25 * ratio)),
        (100, 25, int(2.0 * 25 * ratio)),
    ]  # fmt: skip
    # On a field as large as the image four stars of the catalogue for one of the image are 100.
    assert plan(monkeypatch, 200, 3000, 300.0) == [(0, 25, 40), (0, 25, 100), (0, 60, 90), (30, 25, 50), (100, 25, 50)]
    # What is not there is not compared, nor the same twice; at least three stars are taken.
    assert plan(monkeypatch, 124, 3000, 300.0)[-1] == (30, 25, 50)
    assert plan(monkeypatch, 54, 3000, 300.0) == [(0, 25, 40), (0, 25, 100), (0, 54, 81)]
    assert plan(monkeypatch, 3, 3000, 300.0) == [(0, 3, 40)]
    assert plan(monkeypatch, 2, 3000) == []
    assert plan(monkeypatch, 200, 30, 300.0) == [(0, 25, 30), (0, 60, 30), (30, 25, 30), (100, 25, 30)]


def test_area_of_the_image_over_that_of_the_catalogue():
    x = np.array([-1000.0, 1000.0, 0.0])
    assert _share_of_image(x, 2.0 * x, SEARCH) == pytest.approx(1.6e6 / (np.pi * 1000.0 * 2000.0))
    assert _share_of_image(0.1 * x, x, SEARCH) == 1.0
    assert _share_of_image(0.0 * x, 0.0 * x, SEARCH) == 1.0


def test_base_pairs_are_long_and_of_bright_stars_first():
    x = np.array([0.0, 99.0, 101.0, 0.0, 300.0])
    y = np.array([0.0, 0.0, 0.0, 101.0, 0.0])
    # Longer than 100 pixels, by the sum of the ranks.
    assert _base_pairs(x, y, 100.0).tolist() == [[0, 2], [0, 3], [0, 4], [1, 3], [1, 4], [2, 3], [2, 4], [3, 4]]
    many = np.random.default_rng(1).uniform(0, 1000, (2, 60))
    pairs = _base_pairs(*many, 250.0)
    assert len(pairs) == 150
    assert (np.diff(pairs.sum(axis=1)) >= 0).all()
    assert (np.hypot(*(many[:, pairs[:, 0]] - many[:, pairs[:, 1]])) > 250.0).all()


def alike(placements):
    """Hits of the placement that leaves the image as it is; 0 where it is not among them."""
    return max((p.n_pairs for p in placements if np.hypot(*p.shift) < 15 and p.matrix[0, 0] > 0.99), default=0)


@pytest.mark.parametrize(("off", "hits"), [(0.0100, 9), (0.0140, 8)])
def test_a_hit_is_within_a_hundredth_of_the_diagonal(off, hits):
    # Eight stars make the placement; the ninth lies beside its place.
    image = np.random.default_rng(2).uniform(-1, 1, (2, 9)) * np.array([[700.0], [400.0]])
    catalog = image.copy()
    catalog[:, 8] += off * DIAGONAL * np.array([0.6, -0.8])
    pairs = _base_pairs(*image, 0.25 * 0.5 * DIAGONAL)
    assert (pairs < 8).all(axis=1).any()
    # Laid by a pair that is exact, not by one with the ninth star.
    alone = _search(image[0], image[1], *catalog, replace(SEARCH, scale_tolerance=1e-9))[0]
    assert alike(alone) == hits


@pytest.mark.parametrize(
    ("rows", "hits"),
    [
        ([0, 4, *range(10, 30)], 2),  # two of the first ten are the base itself
        ([0, 4, 7, *range(12, 30)], 21),
        ([0, 4, 7, *range(16, 30)], 3),  # three of the first sixteen
        ([0, 4, 7, 12, *range(16, 30)], 18),
    ],
)
def test_where_none_but_the_base_hits_the_rest_is_not_looked_at(rows, hits):
    image = np.random.default_rng(4).uniform(-1, 1, (2, 30)) * np.array([[780.0], [480.0]])
    catalog = np.ascontiguousarray(image[:, rows])
    found = alike(_search(*image, *catalog, replace(SEARCH, scale_tolerance=1e-9))[0])
    assert found == (hits if hits > 2 else 0)


def test_six_parameters_of_eight_stars_and_four_of_fewer():
    rng = np.random.default_rng(5)
    stars = rng.uniform(-500, 500, (2, 12))
    sheared = np.array([[1.02, 0.05], [-0.01, 0.97]])
    goal = sheared @ stars + np.array([[30.0], [-20.0]])
    matrix, shift = _linear_fit(stars[:, :8], goal[:, :8])
    np.testing.assert_allclose(matrix, sheared, atol=1e-9)
    np.testing.assert_allclose(shift, [30.0, -20.0], atol=1e-6)
    # Of seven a rotation with a scale, and mirrored ones as well.
    matrix, _ = _linear_fit(stars[:, :7], goal[:, :7])
    assert np.ptp(np.linalg.svd(matrix, compute_uv=False)) == pytest.approx(0.0, abs=1e-9)
    turn = 1.03 * np.array([[np.cos(2.0), np.sin(2.0)], [np.sin(2.0), -np.cos(2.0)]])
    matrix, shift = _linear_fit(stars[:, :5], turn @ stars[:, :5] + 7.0)
    np.testing.assert_allclose(matrix, turn, atol=1e-9)
    np.testing.assert_allclose(shift, [7.0, 7.0], atol=1e-6)
    # Nor does a line of stars carry six.
    line = np.stack([stars[0], 0.5 * stars[0]])
    matrix, _ = _linear_fit(line, line)
    np.testing.assert_allclose(np.abs(matrix @ line), np.abs(line), atol=1e-6)


def refined(image, catalog, matrix=None, **changes):
    start = Placement(np.eye(2) if matrix is None else matrix, np.zeros(2), 20, 30.0, 0.0)
    return _refined(start, *image, *catalog, 1.0, replace(SEARCH, **changes))


def test_a_placement_is_refined_within_its_limits():
    image = np.random.default_rng(6).uniform(-1, 1, (2, 30)) * np.array([[790.0], [490.0]])
    # Rows of a grid, so that no star is near another one's place.
    image = (
        np.stack([g.ravel() for g in np.meshgrid(np.linspace(-700, 700, 6), np.linspace(-400, 400, 5))]) + image / 20
    )
    for scale, there in ((1.054, True), (1.056, False), (0.946, True), (0.944, False)):
        assert (refined(image, scale * image, scale * np.eye(2)) is not None) == there
    for stretch, there in ((1.079, True), (1.081, False)):
        bent = np.diag([np.sqrt(stretch), 1.0 / np.sqrt(stretch)])
        assert (refined(image, bent @ image, bent) is not None) == there
    # Three pairs at least, whatever is asked for.
    assert refined(image[:, :3], image[:, :3], min_pairs=1).n_pairs == 3
    assert refined(image[:, :2], image[:, :2], min_pairs=1) is None
    # Stars beyond the first 150 do not count.
    many = np.stack([g.ravel() for g in np.meshgrid(np.linspace(-790, 790, 20), np.linspace(-490, 490, 10))])
    assert refined(many, many).n_pairs == 150
