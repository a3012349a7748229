"""Weighted least squares for a table whose rows have one constant each and whose columns have a few terms each."""

import numpy as np

__all__ = [
    "column_fit",
    "joint_step",
    "largest_connected",
    "leverage",
    "quadratic_form",
    "remove_rows_and_columns",
    "term_products",
]


def term_products(terms: np.ndarray) -> np.ndarray:
    """Products of all pairs of terms, upper triangle.

    Parameters
    ----------
    terms : ndarray, shape (n, k)
        Terms of each row.

    Returns
    -------
    ndarray, shape (n, k (k + 1) / 2)
        Products.
    """
    rows, columns = np.triu_indices(terms.shape[1])
    return terms[:, rows] * terms[:, columns]


def quadratic_form(terms: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """``terms[i] @ matrices[j] @ terms[i]`` for all rows and columns.

    Parameters
    ----------
    terms : ndarray, shape (n, k)
        Terms of each row.
    matrices : ndarray, shape (m, k, k)
        Symmetric matrix of each column.

    Returns
    -------
    ndarray, shape (n, m)
        Values.
    """
    rows, columns = np.triu_indices(terms.shape[1])
    return term_products(terms) @ (np.where(rows == columns, 1.0, 2.0) * matrices[:, rows, columns]).T


def column_fit(
    residual: np.ndarray, weight: np.ndarray, terms: np.ndarray, active: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Step of the columns' terms with the rows held.

    Parameters
    ----------
    residual, weight : ndarray, shape (n, m)
        What is left to fit, and inverse variances; 0 where without a point.
    terms : ndarray, shape (n, k)
        Terms of each row.
    active : ndarray of bool, shape (m, k)
        Terms that are fitted in each column.

    Returns
    -------
    step : ndarray, shape (m, k)
        0 where not fitted.
    inverse : ndarray, shape (m, k, k)
        Inverse normal matrices, 0 where not fitted: the covariance where the weights are inverse variances.
    """
    k = terms.shape[1]
    rows, columns = np.triu_indices(k)
    packed = weight.T @ term_products(terms)
    normal = np.zeros((weight.shape[1], k, k))
    normal[:, rows, columns] = packed
    normal[:, columns, rows] = packed
    largest = np.where(active, np.diagonal(normal, axis1=1, axis2=2), 0.0).max(axis=1, keepdims=True)
    used = active & (largest > 0)
    both = used[:, :, None] & used[:, None, :]
    normal = np.where(both, normal, 0.0)
    diagonal = np.arange(k)
    normal[:, diagonal, diagonal] += np.where(used, 1e-12 * largest, 1.0)
    inverse = np.where(both, np.linalg.inv(normal), 0.0)
    step = np.einsum("jkl,jl->jk", inverse, (weight * residual).T @ terms)
    return step, inverse


def joint_step(
    residual: np.ndarray, weight: np.ndarray, loose_weight: np.ndarray, terms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Step of the rows' constants and of the columns' terms together.

    The terms of each column are eliminated; what remains is one equation per row. It is singular along the terms
    themselves (a polynomial that all columns share can as well be in the rows): the shortest step is returned.

    Parameters
    ----------
    residual, weight : ndarray, shape (n, m)
        What is left to fit, and inverse variances; 0 where without a point.
    loose_weight : ndarray, shape (n, m)
        Weights for rows whose `weight` is zero: their constants follow the fit without shaping it.
    terms : ndarray, shape (n, k)
        Terms of each row.

    Returns
    -------
    row_step : ndarray, shape (n,)
        Change of the constants.
    column_step : ndarray, shape (m, k)
        Change of the columns' terms.
    """
    everything = np.ones((weight.shape[1], terms.shape[1]), dtype=bool)
    step, inverse = column_fit(residual, weight, terms, everything)
    matrix, root = _row_equations(weight, terms, inverse)
    rhs = (weight * (residual - terms @ step.T)).sum(axis=1) / root
    row_step = np.linalg.solve(matrix, rhs) / root
    step, _ = column_fit(residual - row_step[:, None], weight, terms, everything)
    loose = loose_weight.sum(axis=1)
    follow = (loose_weight * (residual - terms @ step.T)).sum(axis=1) / np.where(loose > 0, loose, 1.0)
    return np.where(weight.sum(axis=1) > 0, row_step, follow), step


def _row_equations(weight: np.ndarray, terms: np.ndarray, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normal matrix of the rows' constants with the columns eliminated, scaled by the second result, of shape (n,)."""
    n = terms.shape[0]
    row_weight = weight.sum(axis=1)
    free = row_weight > 0
    root = np.sqrt(np.where(free, row_weight, 1.0))
    matrix = np.eye(n)
    for first in range(0, weight.shape[1], 200):
        block = slice(first, first + 200)
        # A root of the covariance that exists for a column whose few points leave some terms free, too.
        value, vector = np.linalg.eigh(inverse[block])
        factor = vector * np.sqrt(np.maximum(value, 0.0))[:, None, :]
        columns, k = factor.shape[:2]
        spread = (terms @ factor.transpose(1, 0, 2).reshape(k, -1)).reshape(n, columns, k)
        spread *= (weight[:, block] / root[:, None])[:, :, None]
        spread = spread.reshape(n, -1)
        matrix -= spread @ spread.T
    null, _ = np.linalg.qr(root[:, None] * np.where(free[:, None], terms, 0.0))
    return matrix + null @ null.T + 1e-10 * np.eye(n), root


def remove_rows_and_columns(tables: np.ndarray, weight: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """What is left of tables when the rows' constants and the columns' terms are fitted to them.

    Parameters
    ----------
    tables : ndarray, shape (p, n, m)
        Tables of n rows and m columns.
    weight : ndarray, shape (n, m)
        Inverse variances; 0 where without a point.
    terms : ndarray, shape (n, k)
        Terms of each row.

    Returns
    -------
    ndarray, shape (p, n, m)
        Residuals of the weighted fit.
    """
    everything = np.ones((weight.shape[1], terms.shape[1]), dtype=bool)
    fits = [column_fit(table, weight, terms, everything) for table in tables]
    if not fits:
        return np.zeros((0, *weight.shape))
    matrix, root = _row_equations(weight, terms, fits[0][1])
    rhs = [
        (weight * (table - terms @ step.T)).sum(axis=1) / root for table, (step, _) in zip(tables, fits, strict=True)
    ]
    rows = np.linalg.solve(matrix, np.stack(rhs, axis=1)).T / root
    left = [table - row[:, None] for table, row in zip(tables, rows, strict=True)]
    return np.stack([table - terms @ column_fit(table, weight, terms, everything)[0].T for table in left])


def leverage(weight: np.ndarray, terms: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Share of each point in the fit of its own column at its own place (diagonal of the hat matrix).

    Parameters
    ----------
    weight : ndarray, shape (n, m)
        Inverse variances.
    terms : ndarray, shape (n, k)
        Terms of each row.
    inverse : ndarray, shape (m, k, k)
        From `column_fit`.

    Returns
    -------
    ndarray, shape (n, m)
        0 to 1.
    """
    return weight * quadratic_form(terms, inverse)


def largest_connected(use: np.ndarray, columns: np.ndarray, least: int) -> np.ndarray:
    """The largest set of columns in which each shares enough rows with the others, so that they can be compared.

    Parameters
    ----------
    use : ndarray of bool, shape (n, m)
        Which points there are.
    columns : ndarray of bool, shape (m,)
        Columns to consider.
    least : int
        Rows that a column must share with the rest of its set.

    Returns
    -------
    ndarray of bool, shape (m,)
        The set.
    """
    left = columns.copy()
    best = np.zeros_like(columns)
    while left.sum() > best.sum():
        seed = np.flatnonzero(left)[np.argmax(use[:, left].sum(axis=0))]
        group = np.zeros_like(columns)
        group[seed] = True
        while True:
            rows = use[:, group].any(axis=1)
            grown = group | (left & (use[rows].sum(axis=0) >= least))
            if (grown == group).all():
                break
            group = grown
        left &= ~group
        if group.sum() > best.sum():
            best = group
    return best
