"""Kernel of the fit of many frames with places."""

import numpy as np

from gaiaflux.core.cadences.linear_kernels import LEAST_LEFT, factorise, invert_factor
from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.psf.stamp_light import add_star_light

__all__ = ["fit_places"]


@device
def _model(
    light: np.ndarray,
    columns: np.ndarray,
    value: np.ndarray,
    samples: np.ndarray,
    over: int,
    middle: int,
    m: int,
) -> None:
    """Light of each star and what the image changes by with its place, at the places of `value`."""
    n_stars = samples.shape[0]
    n, n_pixels = columns.shape
    nx = light.shape[2]
    for a in range(n - 1):
        for p in range(n_pixels):
            light[a, p // nx, p % nx] = 0.0
    for k in range(n_stars):
        x, y = value[n_stars + k], value[2 * n_stars + k]
        add_star_light(light[k], light[n_stars + k], light[2 * n_stars + k], samples[k], over, middle, m, x, y, 1.0)
    for a in range(n - 1):
        factor = 1.0 if a < n_stars else value[a % n_stars]
        for j in range(light.shape[1]):
            for i in range(nx):
                columns[a, j * nx + i] = factor * light[a, j, i]
    for p in range(n_pixels):
        columns[n - 1, p] = 1.0


@kernel(
    "void(float64[:, ::1], float64[:, ::1], float64[::1], int64[::1], uint8[::1], float32[:, ::1], float32[:, ::1],"
    " uint8[:, ::1], float64[:, :, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1],"
    " float64[::1], float64[::1], float64[::1], float64[::1], float64[:, ::1], int64, int64, int64, float64,"
    " float64[::1], float64, float64, int64, float64[:, :, ::1], float64[:, ::1], float64[:, :, ::1],"
    " float64[:, ::1])",
    fastmath={"contract", "reassoc"},
)
def fit_places(
    values: np.ndarray,
    error: np.ndarray,
    chi2: np.ndarray,
    n_used: np.ndarray,
    settled: np.ndarray,
    flux: np.ndarray,
    flux_err: np.ndarray,
    clipped: np.ndarray,
    held: np.ndarray,
    where: np.ndarray,
    away: np.ndarray,
    static: np.ndarray,
    promised: np.ndarray,
    weight: np.ndarray,
    relative: np.ndarray,
    sky_promise: np.ndarray,
    sky_level: np.ndarray,
    samples: np.ndarray,
    over: int,
    middle: int,
    m: int,
    own: float,
    shared: np.ndarray,
    longest_step: float,
    small: float,
    iterations: int,
    light: np.ndarray,
    work: np.ndarray,
    matrices: np.ndarray,
    vectors: np.ndarray,
) -> None:
    """Gauss-Newton for each frame from `values`: light of the stars, their x, their y, background.

    The inverse variance of the promised places is, in x and in y, `own` on the diagonal minus the frame's `shared`
    everywhere. `where` says which row of the light of held stars a frame takes, and how far in x and y it is from it.
    """
    n_times, n_pixels = flux.shape
    n_stars = samples.shape[0]
    n = values.shape[1]
    columns, data, counts = work[:n], work[n], work[n + 1]
    weighted = work[n + 2]
    system, inverse = matrices[0], matrices[1]
    right, step = vectors[0], vectors[1]
    for t in range(n_times):
        used = 0
        c = int(where[t, 0])
        for p in range(n_pixels):
            d = np.float64(flux[t, p])
            present = weight[p] > 0.0 and clipped[t, p] == 0 and np.isfinite(d)
            counts[p] = weight[p] if present else 0.0
            expected = held[c, 0, p] + where[t, 1] * held[c, 1, p] + where[t, 2] * held[c, 2, p]
            for k in range(static.shape[0]):
                expected += away[t, k] * static[k, p]
            data[p] = d - expected if present else 0.0
            used += present
        n_used[t] = used
        if used == 0:
            continue
        value = values[t]
        ended = False
        for _ in range(iterations):
            _model(light, columns, value, samples, over, middle, m)
            for a in range(n):
                right[a] = 0.0
            for p in range(n_pixels):
                left = data[p] - value[n - 1]
                for k in range(n_stars):
                    left -= value[k] * columns[k, p]
                weighted[p] = left * counts[p]
            for a in range(n):
                total = 0.0
                for p in range(n_pixels):
                    total += columns[a, p] * weighted[p]
                right[a] = total
            for a in range(n):
                for p in range(n_pixels):
                    weighted[p] = columns[a, p] * counts[p]
                for b in range(a + 1):
                    total = 0.0
                    for p in range(n_pixels):
                        total += weighted[p] * columns[b, p]
                    system[a, b] = total
            for axis in range(2):
                first = n_stars * (1 + axis)
                total = 0.0
                for k in range(n_stars):
                    total += value[first + k] - promised[t, axis * n_stars + k]
                for k in range(n_stars):
                    far = value[first + k] - promised[t, axis * n_stars + k]
                    right[first + k] -= own * far - shared[t] * total
                    system[first + k, first + k] += own
                    for q in range(k + 1):
                        system[first + k, first + q] -= shared[t]
            right[n - 1] -= sky_promise[t] * (value[n - 1] - sky_level[t])
            system[n - 1, n - 1] += sky_promise[t]
            factorise(system, n, 1e-12)
            # Forward and back.
            for i in range(n):
                total = right[i]
                for k in range(i):
                    total -= system[i, k] * step[k]
                step[i] = total / system[i, i] if system[i, i] > 0.0 else 0.0
            for back in range(n):
                i = n - 1 - back
                total = step[i]
                for k in range(i + 1, n):
                    total -= system[k, i] * step[k]
                step[i] = total / system[i, i] if system[i, i] > 0.0 else 0.0
            longest = 0.0
            for i in range(n_stars, n - 1):
                longest = max(longest, abs(step[i]))
            if not longest < 1e6:
                break
            short = longest_step / longest if longest > longest_step else 1.0
            for i in range(n):
                value[i] += short * step[i]
            if longest < small:
                ended = True
                break
        if not ended:
            continue
        settled[t] = 1
        invert_factor(system, inverse, n)
        total = 0.0
        for p in range(n_pixels):
            left = data[p] - value[n - 1]
            for k in range(n_stars):
                # To first order at the last places.
                left -= value[k] * columns[k, p] + step[n_stars + k] * columns[n_stars + k, p]
                left -= step[2 * n_stars + k] * columns[2 * n_stars + k, p]
            e = np.float64(flux_err[t, p])
            if counts[p] > 0.0:
                total += left * left / (e * e) if np.isfinite(e) and e > 0.0 else left * left * counts[p]
        chi2[t] = total
        for k in range(n_stars):
            information = 0.0
            whole = 0.0
            for p in range(n_pixels):
                information += columns[k, p] * columns[k, p] * counts[p]
                whole += columns[k, p] * columns[k, p] * weight[p]
            # The promised places hold much better than they are promised to: only noise makes the error.
            promise = 0.0
            for axis in range(2):
                first = n_stars * (1 + axis)
                total = 0.0
                for a in range(n_stars):
                    total += inverse[k, first + a]
                    promise += own * inverse[k, first + a] * inverse[k, first + a]
                promise -= shared[t] * total * total
            if inverse[k, k] > promise and information > LEAST_LEFT * whole:
                error[t, k] = np.sqrt(inverse[k, k] - promise) * relative[t]
            else:
                value[k] = np.nan
