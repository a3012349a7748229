import numpy as np
import pytest

from gaiaflux.core.maths.field_basis import field_order, make_basis, n_terms


def test_terms_are_centred_on_the_stars_and_scaled_to_the_field():
    rng = np.random.default_rng(1)
    x, y = rng.uniform(100, 900, 40), rng.uniform(300, 500, 40)
    x[:2], y[:2] = [100.0, 900.0], [300.0, 500.0]
    stars = np.arange(40) < 30
    x[35], y[36] = 5000.0, np.nan
    basis = make_basis(x, y, stars, 2)
    assert (basis.x0, basis.y0, basis.half) == (500.0, 400.0, 400.0)
    u, v = (x - 500.0) / 400.0, (y - 400.0) / 400.0
    raw = np.stack([u**0, u, v, u * u, u * v, v * v], axis=1)
    expected = raw - np.append(0.0, raw[stars].mean(axis=0)[1:])
    expected[36] = [1.0, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(basis.terms(x, y), expected, atol=1e-12)
    np.testing.assert_allclose(basis.terms(x[stars], y[stars])[:, 1:].mean(axis=0), 0.0, atol=1e-12)
    nobody = make_basis(x, y, np.zeros(40, bool), 1)
    np.testing.assert_allclose(nobody.terms(np.array([2.0]), np.array([3.0])), [[1.0, 2.0, 3.0]])
    # Stars in one place have a field of a pixel around them.
    assert make_basis(np.full(3, 7.0), np.full(3, 8.0), np.ones(3, bool), 1).half == 1.0


def test_number_of_terms():
    assert [n_terms(order) for order in range(4)] == [1, 3, 6, 10]
    assert n_terms(np.array([0, 2])).tolist() == [1, 6]


def test_an_order_needs_five_stars_a_term_and_a_field():
    rng = np.random.default_rng(2)
    x, y = rng.uniform(0, 1000, (2, 60))
    counts = [0, 4, 14, 15, 29, 30, 49, 50, 60]
    present = np.stack([np.arange(60) < n for n in counts], axis=1)
    assert field_order(x, y, present, 3).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3]
    assert field_order(x, y, present, 1).tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1]
    # On a line there is no slope across it, in a corner of the field none at all.
    line = present.copy()
    assert field_order(x, 0.0 * x, line, 2).tolist() == [0] * 9
    corner = np.stack([(x < 60) & (y < 1000), np.ones(60, bool)], axis=1)
    assert field_order(x, y, corner, 2)[0] == 0
    assert field_order(x, y, np.repeat(present[:, 8:], 2, axis=1), 2).tolist() == [2, 2]


@pytest.mark.parametrize("order", [1, 2])
def test_a_series_of_one_corner_has_an_order_of_its_own(order):
    # The scale is that of the stars that are anywhere, so that frames of one corner alone are no corner.
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0, 100, (2, 40))
    assert field_order(x, y, np.ones((40, 3), bool), order).tolist() == [order] * 3
