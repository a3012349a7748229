"""Where a cut-out lies in the image that it was cut from."""

import numpy as np
import pytest

from gaiaflux.core.image.cutout import _peak, _signal, find_cutout

SHAPE = (150, 180)
FIRST = (400, 250)  # column and row of the cut-out's first pixel


def stars(n, seed=1, margin=14.0):
    """Positions in the whole image, far from each other and from the cut-out's edge."""
    rng = np.random.default_rng(seed)
    columns, rows = np.meshgrid(np.arange(margin, SHAPE[1] - margin, 12), np.arange(margin, SHAPE[0] - margin, 12))
    chosen = rng.permutation(columns.size)[:n]
    jitter = rng.integers(-3, 4, (2, n))
    x, y = columns.ravel()[chosen] + jitter[0], rows.ravel()[chosen] + jitter[1]
    return np.clip(x, 13, SHAPE[1] - 14) + FIRST[0], np.clip(y, 13, SHAPE[0] - 14) + FIRST[1]


def cutout(x, y, shift=(0.0, 0.0), height=300.0, width=0.9, noise=1.0):
    image = 50.0 + np.random.default_rng(2).normal(0, noise, SHAPE)
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for k in range(len(x)):
        dx, dy = xx - (x[k] - FIRST[0] + shift[0]), yy - (y[k] - FIRST[1] + shift[1])
        image += np.broadcast_to(height, len(x))[k] * np.exp(-0.5 * (dx**2 + dy**2) / width**2)
    return image


@pytest.mark.parametrize("off", [(0.0, 0.0), (7.0, -4.0), (-11.0, 11.0), (3.3, -0.4), (-2.5, 5.6)])
def test_it_is_found_around_a_rough_guess(off):
    x, y = stars(40)
    guess = FIRST[0] + off[0], FIRST[1] + off[1]
    assert find_cutout(cutout(x, y), x, y, guess) == FIRST
    # Pixels without a value and one star of any brightness do not matter.
    holed = cutout(x, y, height=np.where(np.arange(40) == 3, 1e7, 300.0))
    holed[::7, ::11] = np.nan
    assert find_cutout(1e-3 * holed, x, y, guess) == FIRST


@pytest.mark.parametrize(("off", "found"), [(11, True), (12, False), (13, False)])
def test_the_best_place_has_others_around_it(off, found):
    x, y = stars(40, margin=30.0)
    for guess in ((FIRST[0] + off, FIRST[1]), (FIRST[0], FIRST[1] - off)):
        assert (find_cutout(cutout(x, y), x, y, guess) is not None) == found
    assert find_cutout(cutout(x, y), x, y, (FIRST[0] + 4, FIRST[1]), search_pix=5) == FIRST
    assert find_cutout(cutout(x, y), x, y, (FIRST[0] + 5, FIRST[1]), search_pix=5) is None


@pytest.mark.parametrize(("n", "found"), [(8, True), (7, False)])
def test_eight_stars_inside_of_the_margin(n, found):
    x, y = stars(n)
    assert (find_cutout(cutout(x, y), x, y, FIRST) == FIRST) == found
    # Those within 12 pixels of the edge may be beyond it: they do not count.
    for edge in ((11.0, 60.0), (60.0, 11.0), (SHAPE[1] - 12.0, 60.0), (60.0, SHAPE[0] - 12.0)):
        also = np.append(x[: 8 - 1], edge[0] + FIRST[0]), np.append(y[: 8 - 1], edge[1] + FIRST[1])
        assert find_cutout(cutout(*also), *also, FIRST) is None
    for edge in ((12.0, 60.0), (60.0, 12.0), (SHAPE[1] - 13.0, 60.0), (60.0, SHAPE[0] - 13.0)):
        also = np.append(x[:7], edge[0] + FIRST[0]), np.append(y[:7], edge[1] + FIRST[1])
        assert find_cutout(cutout(*also), *also, FIRST) == FIRST


@pytest.mark.parametrize(("there", "found"), [(26, True), (22, False)])
def test_six_of_ten_stars_are_there(there, found):
    x, y = stars(40)
    assert (find_cutout(cutout(x[:there], y[:there]), x, y, FIRST) == FIRST) == found


def test_stars_beyond_the_first_three_hundred_are_not_looked_at():
    x, y = stars(100)
    strange_x, strange_y = np.random.default_rng(4).uniform([[414.0], [264.0]], [[565.0], [385.0]], (2, 210))
    image = cutout(x, y)
    assert find_cutout(image, np.append(strange_x[:40], x), np.append(strange_y[:40], y), FIRST) == FIRST
    assert find_cutout(image, np.append(x, strange_x), np.append(y, strange_y), FIRST) is None
    assert find_cutout(image, np.append(np.tile(x, 3), strange_x), np.append(np.tile(y, 3), strange_y), FIRST) == FIRST


@pytest.mark.parametrize(("part", "found"), [(0.25, True), (-0.25, True), (0.45, False), (-0.45, False)])
def test_the_places_of_the_stars_are_whole_pixels_from_those_in_the_image(part, found):
    x, y = stars(60)
    for shift in ((part, 0.0), (0.0, part)):
        assert (find_cutout(cutout(x, y, shift, width=1.3), x, y, FIRST) == FIRST) == found


def test_what_does_not_stand_out_is_no_place():
    x, y = stars(40)
    empty = np.random.default_rng(3).normal(50.0, 1.0, SHAPE)
    assert find_cutout(empty, x, y, FIRST) is None
    # Two places as good as each other.
    twice = cutout(np.append(x, x + 6), np.append(y, y + 5))
    assert find_cutout(twice, x, y, FIRST) is None


def test_signal_is_the_logarithm_of_the_height_over_the_scatter():
    image = np.array([[10.0, 12.0, 8.0, 10.0, np.nan, 1e12, 14.0, 6.0, 10.0]])
    scatter = 1.4826 * 2.0  # half of the pixels deviate by two or more
    expected = np.log1p(np.clip(np.array([0, 2, -2, 0, 0, 1e12, 4, -4, 0]) / scatter, 0, 1e6))
    np.testing.assert_allclose(_signal(image)[0], expected)
    assert (_signal(np.full((3, 3), 7.0)) == 0).all()


def test_vertex_of_a_parabola():
    assert _peak(5.0 - 2.0 * (np.arange(5.0) - 2.3) ** 2, 2) == pytest.approx(0.3)
    assert _peak(np.array([1.0, 1.0, 1.0]), 1) == 0.0
