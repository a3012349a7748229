"""Kernel of the linear fit of many frames."""

import numpy as np

from gaiaflux.core.kernels.compile import device, kernel

__all__ = ["factorise", "fit_frames", "invert_factor"]

LEAST_LEFT = 0.05
"""Part of a star's information that must be left in the pixels that count; else it is not measured in the frame."""


@device
def factorise(matrix: np.ndarray, n: int, least: float) -> None:
    """Cholesky factor of a symmetric matrix, in its lower half; a column that depends on those before becomes zero."""
    for j in range(n):
        whole = matrix[j, j]
        pivot = whole
        for k in range(j):
            pivot -= matrix[j, k] * matrix[j, k]
        if not pivot > least * whole:
            for i in range(j, n):
                matrix[i, j] = 0.0
            continue
        root = np.sqrt(pivot)
        matrix[j, j] = root
        for i in range(j + 1, n):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = total / root


@device
def invert_factor(factor: np.ndarray, inverse: np.ndarray, n: int) -> None:
    """Inverse of the matrix of a Cholesky factor; rows and columns of a zero pivot are zero."""
    for c in range(n):
        for i in range(n):
            if factor[i, i] == 0.0:
                inverse[i, c] = 0.0
                continue
            total = 1.0 if i == c else 0.0
            for k in range(i):
                total -= factor[i, k] * inverse[k, c]
            inverse[i, c] = total / factor[i, i]
        for back in range(n):
            i = n - 1 - back
            if factor[i, i] == 0.0:
                continue
            total = inverse[i, c]
            for k in range(i + 1, n):
                total -= factor[k, i] * inverse[k, c]
            inverse[i, c] = total / factor[i, i]
        if factor[c, c] == 0.0:
            for i in range(n):
                inverse[i, c] = 0.0


@kernel(
    "void(float64[:, ::1], float64[:, ::1], float32[:, ::1], float64[::1], int64[::1], float32[:, ::1],"
    " float32[:, ::1], float32[:, ::1], uint8[:, ::1], int64[::1], float64[:, ::1], float64[:, ::1], float64[:, ::1],"
    " float64[:, :, ::1], float64[:, :, ::1], float64[:, :, ::1], float64[:, :, ::1], float64[:, :, ::1],"
    " float64[:, ::1], float64[::1], float64[::1], float64[::1], float64, int64, float64[:, ::1], float64[:, :, ::1])",
    fastmath={"contract", "reassoc"},
)
def fit_frames(
    value: np.ndarray,
    variance: np.ndarray,
    residual: np.ndarray,
    chi2: np.ndarray,
    n_used: np.ndarray,
    flux: np.ndarray,
    flux_err: np.ndarray,
    background_err: np.ndarray,
    clipped: np.ndarray,
    cell: np.ndarray,
    offset: np.ndarray,
    away: np.ndarray,
    static: np.ndarray,
    columns: np.ndarray,
    weighted: np.ndarray,
    rows: np.ndarray,
    normal: np.ndarray,
    inverse: np.ndarray,
    held: np.ndarray,
    weight: np.ndarray,
    usual: np.ndarray,
    promise: np.ndarray,
    sky_err: float,
    n_groups: int,
    work: np.ndarray,
    matrices: np.ndarray,
) -> None:
    """Solve for the columns of each frame; see `gaiaflux.core.cadences.linear.fit_linear` for the arrays.

    `work` and `matrices` are room for one frame.
    """
    n_times, n_pixels = flux.shape
    n = columns.shape[1]
    data, noise, common, row = work[0], work[1], work[2], work[3]
    system, solved = matrices[0], matrices[1]
    for t in range(n_times):
        c = cell[t]
        lacking = 0
        used = 0
        for p in range(n_pixels):
            d = np.float64(flux[t, p])
            e = np.float64(flux_err[t, p])
            b = np.float64(background_err[t, p])
            counts = weight[p] > 0.0
            present = counts and clipped[t, p] == 0 and np.isfinite(d)
            used += present
            lacking += counts and not present
            expected = held[c, p]
            for k in range(static.shape[0]):
                expected += away[t, k] * static[k, p]
            data[p] = d - expected if present else 0.0
            stated = np.isfinite(e) and e > 0.0
            noise[p] = (e * e if stated else usual[p]) if present else 0.0
            # What the promised background may be off by is common to all pixels, too.
            common[p] = max(b if np.isfinite(b) else 0.0, sky_err) if present else 0.0
        n_used[t] = used
        if used == 0:
            continue
        if lacking > 0:
            for a in range(n):
                for b_ in range(a + 1):
                    system[a, b_] = normal[c, a, b_]
            for p in range(n_pixels):
                if weight[p] > 0.0 and (clipped[t, p] != 0 or not np.isfinite(flux[t, p])):
                    for a in range(n):
                        for b_ in range(a + 1):
                            system[a, b_] -= weighted[c, a, p] * columns[c, b_, p]
            for a in range(n_groups):
                if system[a, a] < LEAST_LEFT * normal[c, a, a]:
                    # Without information of its own; the row of zeros takes it out of the fit.
                    for b_ in range(n):
                        system[max(a, b_), min(a, b_)] = 0.0
            factorise(system, n, 1e-9)
            invert_factor(system, solved, n)
        else:
            for a in range(n):
                for b_ in range(n):
                    solved[a, b_] = inverse[c, a, b_]
        for a in range(n):
            if not solved[a, a] > 0.0:
                value[t, a] = 0.0
                continue
            total = 0.0
            if lacking > 0:
                for p in range(n_pixels):
                    row[p] = 0.0
                for b_ in range(n):
                    factor = solved[a, b_]
                    for p in range(n_pixels):
                        row[p] += factor * weighted[c, b_, p]
                for p in range(n_pixels):
                    total += row[p] * data[p]
            else:
                for p in range(n_pixels):
                    total += rows[c, a, p] * data[p]
            for k in range(3):
                b_ = n_groups if k == 0 else n - 3 + k
                total += solved[a, b_] * promise[b_] * offset[t, k]
            value[t, a] = total
            if a <= n_groups:
                spread = 0.0
                shared = 0.0
                if lacking > 0:
                    for p in range(n_pixels):
                        spread += row[p] * row[p] * noise[p]
                        shared += row[p] * common[p]
                else:
                    for p in range(n_pixels):
                        spread += rows[c, a, p] * rows[c, a, p] * noise[p]
                        shared += rows[c, a, p] * common[p]
                variance[t, a] = spread + shared * shared
        for a in range(n):
            factor = value[t, a]
            for p in range(n_pixels):
                data[p] -= factor * columns[c, a, p]
        total = 0.0
        for p in range(n_pixels):
            present = weight[p] > 0.0 and clipped[t, p] == 0 and np.isfinite(flux[t, p])
            total += data[p] * data[p] / noise[p] if present else 0.0
            residual[t, p] = np.float32(data[p]) if present else np.float32(np.nan)
        chi2[t] = total
        for a in range(n):
            if not solved[a, a] > 0.0:
                value[t, a] = np.nan
