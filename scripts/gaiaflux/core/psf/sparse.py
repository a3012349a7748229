"""Kernels of the sparse normal equations of overlapping stars: their solution, and the errors of single unknowns."""

import numpy as np

from gaiaflux.core.kernels.compile import kernel

__all__ = ["conjugate_gradients", "local_errors"]


@kernel(
    "void(float64[::1], int64[::1], int64[::1], float64[::1], float64[::1], float64[::1], float64[:, ::1], float64,"
    " int64)"
)
def conjugate_gradients(
    diagonal: np.ndarray,
    start: np.ndarray,
    neighbour: np.ndarray,
    overlap: np.ndarray,
    rhs: np.ndarray,
    solution: np.ndarray,
    scratch: np.ndarray,
    tolerance: float,
    most: int,
) -> None:
    """Solve the equations by conjugate gradients with the diagonal as preconditioner.

    Parameters
    ----------
    diagonal : ndarray, shape (n,)
    start, neighbour, overlap
        As of `gaiaflux.core.psf.equations.NormalEquations`.
    rhs : ndarray, shape (n,)
    solution : ndarray, shape (n,)
        Zero on entry.
    scratch : ndarray, shape (4, n)
    tolerance : float
        Norm of the residuals at which the iteration ends, in units of the stars' own errors.
    most : int
        Iterations.
    """
    n = len(diagonal)
    r, z, p, q = scratch[0], scratch[1], scratch[2], scratch[3]
    rz = 0.0
    for k in range(n):
        r[k] = rhs[k] if diagonal[k] > 0 else 0.0
        z[k] = r[k] / diagonal[k] if diagonal[k] > 0 else 0.0
        p[k] = z[k]
        rz += r[k] * z[k]
    for _ in range(most):
        # r z is the sum of squared residuals in units of the stars' own errors.
        if rz <= tolerance * tolerance:
            break
        pq = 0.0
        for k in range(n):
            total = diagonal[k] * p[k]
            for e in range(start[k], start[k + 1]):
                total += overlap[e] * p[neighbour[e]]
            q[k] = total
            pq += p[k] * total
        if not pq > 0:
            break
        step = rz / pq
        new = 0.0
        for k in range(n):
            solution[k] += step * p[k]
            r[k] -= step * q[k]
            z[k] = r[k] / diagonal[k] if diagonal[k] > 0 else 0.0
            new += r[k] * z[k]
        ratio = new / rz
        rz = new
        for k in range(n):
            p[k] = z[k] + ratio * p[k]


@kernel(
    "void(float64[::1], int64[::1], int64[::1], float64[::1], float64[::1], float64[:, ::1], int64[::1], float64[::1])"
)
def local_errors(
    diagonal: np.ndarray,
    start: np.ndarray,
    neighbour: np.ndarray,
    overlap: np.ndarray,
    errors: np.ndarray,
    block: np.ndarray,
    member: np.ndarray,
    share: np.ndarray,
) -> None:
    """One sigma of each star, from the inverse of its block of the matrix.

    Parameters
    ----------
    diagonal : ndarray, shape (n,)
    start, neighbour, overlap
        As of `gaiaflux.core.psf.equations.NormalEquations`.
    errors : ndarray, shape (n,)
        Results; left as they are for stars without weight.
    block : ndarray, shape (m + 1, m + 1)
        Scratch space for a star and its m most influential neighbours.
    member, share : ndarray, shape (m + 1,)
        Scratch space.
    """
    most = len(member) - 1
    for k in range(len(diagonal)):
        if not diagonal[k] > 0:
            continue
        # The star comes last in its block, so that the last pivot of the Cholesky factor is its own.
        m = 0
        for e in range(start[k], start[k + 1]):
            o = neighbour[e]
            s = overlap[e] * overlap[e] / diagonal[o]
            place = m
            while place > 0 and share[place - 1] < s:
                place -= 1
            if place >= most:
                continue
            m = min(m + 1, most)
            for t in range(m - 1, place, -1):
                member[t] = member[t - 1]
                share[t] = share[t - 1]
            member[place] = o
            share[place] = s
        member[m] = k
        for a in range(m + 1):
            ka = member[a]
            for b in range(a):
                block[a, b] = 0.0
                kb = member[b]
                low, high = start[ka], start[ka + 1]
                while low < high:
                    mid = (low + high) // 2
                    if neighbour[mid] < kb:
                        low = mid + 1
                    else:
                        high = mid
                if low < start[ka + 1] and neighbour[low] == kb:
                    block[a, b] = overlap[low]
            block[a, a] = diagonal[ka]
        for a in range(m + 1):
            for b in range(a + 1):
                total = block[a, b]
                for c in range(b):
                    total -= block[a, c] * block[b, c]
                if a == b:
                    block[a, a] = np.sqrt(max(total, 1e-12 * diagonal[member[a]]))
                else:
                    block[a, b] = total / block[b, b]
        errors[k] = 1.0 / block[m, m]
