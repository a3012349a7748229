import numpy as np
import pytest

from gaiaflux.core.maths.field_basis import make_basis
from gaiaflux.core.maths.polynomials import exponents, n_terms, order_for, polynomial_terms, power_terms, square
from gaiaflux.core.maths.surface import frame_terms


@pytest.mark.parametrize("make", [polynomial_terms, power_terms])
def test_terms_are_the_powers_one_row_a_point(make):
    u, v = np.random.default_rng(3).uniform(-1, 1, (2, 20))
    terms = make(u, v, 4)
    assert terms.shape == (20, n_terms(4)) == (20, len(exponents(4))) == (20, 15)
    for column, (p, q) in zip(terms.T, exponents(4), strict=True):
        np.testing.assert_allclose(column, u**p * v**q)


def test_coefficients_of_scaled_variables_become_a_matrix():
    assert square(np.arange(15.0), 4, 2.0)[1, 2] == exponents(4).index((1, 2)) / 8.0
    assert square(np.ones(3), 1, 4.0).tolist() == [[1.0, 0.25], [0.25, 0.0]]


def test_five_points_for_each_term():
    assert [order_for(n, 2) for n in (0, 4, 15, 29, 30, 1000)] == [0, 0, 1, 1, 2, 2]


def test_all_bases_have_one_order_and_layout():
    """Surfaces scale a frame to -1..1; the basis of a series is centred on its stars."""
    x, y = np.array([0.0, 20.0, 15.0, 3.0]), np.array([0.0, 10.0, 2.0, 9.0])
    whole = polynomial_terms(x / 10 - 1, y / 5 - 1, 3)
    np.testing.assert_allclose(frame_terms(x, y, (11, 21), 3), whole, atol=1e-15)
    basis = make_basis(x, y, np.ones(4, bool), 2)
    centred = polynomial_terms(x / 10 - 1, y / 10 - 0.5, 2)
    centred[:, 1:] -= centred[:, 1:].mean(axis=0)
    np.testing.assert_allclose(basis.terms(x, y), centred, atol=1e-15)
