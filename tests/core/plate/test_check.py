import numpy as np
import pytest

from gaiaflux.core.plate.check import check_solution
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


def check(lists, solution, radius):
    check_solution(lists, WCS, solution, solution.variance, radius, SETTINGS)


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
    # Nine pairs where two are expected: three are what it costs to place the lists, six are not rare enough.
    lists, solution = right_solution(9, 80, 100)
    with pytest.raises(BadFrameError, match=r"only 9 of 80 stars match the 100 of the catalogue: 2 would by chance"):
        check(lists, solution, 9.0)
