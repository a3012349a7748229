import numpy as np
import pytest

from gaiaflux.core.maths.two_way import (
    column_fit,
    joint_step,
    largest_connected,
    leverage,
    quadratic_form,
    remove_rows_and_columns,
)

N, M, K = 30, 12, 3


@pytest.fixture
def table():
    """Residuals, weights with gaps, and terms of which the first is 1."""
    rng = np.random.default_rng(1)
    terms = np.concatenate([np.ones((N, 1)), rng.uniform(-1, 1, (N, K - 1))], axis=1)
    weight = rng.uniform(0.5, 3.0, (N, M)) * (rng.random((N, M)) > 0.2)
    return rng.normal(size=(N, M)), weight, terms


def column_design(terms, weight, j, used):
    root = np.sqrt(weight[:, j])
    return terms[:, used] * root[:, None], root


def test_columns_are_fitted_one_by_one(table):
    residual, weight, terms = table
    active = np.ones((M, K), bool)
    active[2, 2] = active[3, 1:] = False
    weight[:, 4] = 0.0
    step, inverse = column_fit(residual, weight, terms, active)
    share = leverage(weight, terms, inverse)
    for j in range(M):
        used = np.flatnonzero(active[j]) if j != 4 else np.zeros(0, int)
        design, root = column_design(terms, weight, j, used)
        expected = np.zeros(K)
        covariance = np.zeros((K, K))
        if used.size:
            covariance[np.ix_(used, used)] = np.linalg.inv(design.T @ design)
            expected[used] = np.linalg.lstsq(design, root * residual[:, j], rcond=None)[0]
        np.testing.assert_allclose(step[j], expected, atol=1e-9)
        np.testing.assert_allclose(inverse[j], covariance, atol=1e-9)
        np.testing.assert_allclose(share[:, j], weight[:, j] * np.einsum("nk,kl,nl->n", terms, covariance, terms))
        # The shares of all points are the number of terms.
        assert share[:, j].sum() == pytest.approx(used.size)


def test_quadratic_form_is_that_of_each_row_and_column():
    rng = np.random.default_rng(2)
    terms, matrices = rng.normal(size=(5, K)), rng.normal(size=(4, K, K))
    matrices = matrices + matrices.transpose(0, 2, 1)
    expected = np.einsum("ik,jkl,il->ij", terms, matrices, terms)
    np.testing.assert_allclose(quadratic_form(terms, matrices), expected)


def whole_design(terms, weight):
    """All points of rows and columns in one matrix: constants of the rows first."""
    rows, columns = np.nonzero(weight)
    design = np.zeros((rows.size, N + M * K))
    design[np.arange(rows.size), rows] = 1.0
    for k in range(K):
        design[np.arange(rows.size), N + columns * K + k] = terms[rows, k]
    return design * np.sqrt(weight[rows, columns])[:, None], rows, columns


def test_rows_and_columns_together_are_the_dense_fit(table):
    residual, weight, terms = table
    weight[5] = 0.0
    loose = np.where(np.arange(N)[:, None] == 5, 1.0, weight)
    row_step, step = joint_step(residual, weight, loose, terms)
    design, rows, columns = whole_design(terms, weight)
    target = residual[rows, columns] * np.sqrt(weight[rows, columns])
    solution = np.linalg.lstsq(design, target, rcond=None)[0]
    model = row_step[:, None] + terms @ step.T
    expected = design @ solution / np.sqrt(weight[rows, columns])
    np.testing.assert_allclose(model[rows, columns], expected, atol=1e-6)
    # A row without weight follows the fit and does not shape it.
    assert row_step[5] == pytest.approx(np.mean(residual[5] - terms[5] @ step.T))


def test_what_rows_and_columns_leave_of_tables(table):
    residual, weight, terms = table
    tables = np.stack([residual, residual**2])
    left = remove_rows_and_columns(tables, weight, terms)
    design, rows, columns = whole_design(terms, weight)
    root = np.sqrt(weight[rows, columns])
    for one, found in zip(tables, left, strict=True):
        target = one[rows, columns] * root
        expected = (target - design @ np.linalg.lstsq(design, target, rcond=None)[0]) / root
        np.testing.assert_allclose(found[rows, columns], expected, atol=1e-6)
    assert remove_rows_and_columns(tables[:0], weight, terms).shape == (0, N, M)


def test_the_largest_set_of_columns_that_share_rows():
    use = np.zeros((20, 9), bool)
    use[:10, :4] = True  # four columns of ten rows
    use[9:, 4:] = True  # five columns of eleven rows: one row is common to both
    everything = np.ones(9, bool)
    assert largest_connected(use, everything, 2).tolist() == [False] * 4 + [True] * 5
    assert largest_connected(use, everything, 1).all()
    some = everything.copy()
    some[[7, 8]] = False
    assert largest_connected(use, some, 2).tolist() == [True] * 4 + [False] * 5
    # A chain of columns that each share two rows with the next hangs together.
    chain = np.zeros((12, 5), bool)
    for j in range(5):
        chain[2 * j : 2 * j + 4, j] = True
    assert largest_connected(chain, np.ones(5, bool), 2).all()
    assert largest_connected(chain, np.ones(5, bool), 3).sum() == 1
