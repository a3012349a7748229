"""Kernels of the places of many stars in one frame: which shift they share roughly, and the place of each."""

import numpy as np

from gaiaflux.core.cadences.linear_kernels import factorise, invert_factor
from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.kernels.devices import kth_smallest
from gaiaflux.core.psf.stamp_light import add_star_light

__all__ = ["fit_centroids", "vote_shifts"]

FARTHEST_IN_STAMP = 1.5
"""Stamps stay where they are while the stars move in them up to this far: a place depends on them a little [pixel]."""


@device
def _load(
    data: np.ndarray,
    weight: np.ndarray,
    image: np.ndarray,
    variance: np.ndarray,
    per_light: float,
    constant: float,
    bad: np.ndarray,
    column: int,
    row: int,
    half: int,
) -> int:
    """Pixels around (column, row) and their inverse variances, 0 where a pixel does not count; how many do."""
    ny, nx = image.shape
    used = 0
    p = 0
    for j in range(row - half, row + half + 1):
        for i in range(column - half, column + half + 1):
            data[p] = 0.0
            weight[p] = 0.0
            if 0 <= j < ny and 0 <= i < nx:
                d = np.float64(image[j, i])
                v = np.float64(variance[j, i]) if variance.shape[0] else per_light * max(d, 0.0) + constant
                if np.isfinite(d) and v > 0.0 and np.isfinite(v) and not (bad.shape[0] and bad[j, i]):
                    data[p] = d
                    weight[p] = 1.0 / v
                    used += 1
            p += 1
    return used


@kernel(
    "void(float64[:, ::1], float32[:, ::1], float32[:, ::1], float64, float64, uint8[:, ::1], float64[:, ::1],"
    " float64[:, ::1], int64, int64, int64, float64[:, :, ::1], float64[:, ::1], float64[:, ::1])",
    fastmath={"contract", "reassoc"},
)
def vote_shifts(
    score: np.ndarray,
    image: np.ndarray,
    variance: np.ndarray,
    per_light: float,
    constant: float,
    bad: np.ndarray,
    place: np.ndarray,
    samples: np.ndarray,
    over: int,
    middle: int,
    m: int,
    light: np.ndarray,
    flat: np.ndarray,
    work: np.ndarray,
) -> None:
    """Add up, for shifts of whole pixels, how much the pixels around each star look like it (correlation, 0 to 1).

    `score` has odd sides, its middle is no shift; `flat` is `light` with one axis for the pixels.
    """
    reach = (score.shape[0] - 1) // 2
    size = light.shape[1]
    half = (size - 1) // 2
    data, weight = work[0], work[1]
    n_pixels = size * size
    for k in range(len(place)):
        column, row = int(np.floor(place[k, 0] + 0.5)), int(np.floor(place[k, 1] + 0.5))
        for p in range(n_pixels):
            flat[0, p] = 0.0
        at_x, at_y = place[k, 0] - column + half, place[k, 1] - row + half
        add_star_light(light[0], light[1], light[2], samples[k], over, middle, m, at_x, at_y, 1.0)
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                used = _load(data, weight, image, variance, per_light, constant, bad, column + right, row + down, half)
                if 3 * used < n_pixels:
                    continue
                sum_d, sum_p = 0.0, 0.0
                for p in range(n_pixels):
                    if weight[p] > 0.0:
                        sum_d += data[p]
                        sum_p += flat[0, p]
                mean_d, mean_p = sum_d / used, sum_p / used
                dd, pp, dp = 0.0, 0.0, 0.0
                for p in range(n_pixels):
                    if weight[p] > 0.0:
                        a, b = data[p] - mean_d, flat[0, p] - mean_p
                        dd += a * a
                        pp += b * b
                        dp += a * b
                if dp > 0.0:
                    score[down + reach, right + reach] += dp / np.sqrt(dd * pp)


@kernel(
    "void(float64[:, ::1], int64[::1], float32[:, ::1], float32[:, ::1], float64, float64, uint8[:, ::1],"
    " float64[:, ::1], float64[::1], float64[:, :, :, ::1], float64[:, ::1], int64, int64, int64, float64[::1], int64,"
    " int64, float64[:, :, ::1], float64[:, ::1], float64[:, ::1], float64[:, :, ::1], float64[:, ::1])",
    fastmath={"contract", "reassoc"},
)
def fit_centroids(
    result: np.ndarray,
    n_used: np.ndarray,
    image: np.ndarray,
    variance: np.ndarray,
    per_light: float,
    constant: float,
    bad: np.ndarray,
    place: np.ndarray,
    shift: np.ndarray,
    neighbours: np.ndarray,
    samples: np.ndarray,
    over: int,
    middle: int,
    m: int,
    limits: np.ndarray,
    iterations: int,
    most_clipped: int,
    light: np.ndarray,
    flat: np.ndarray,
    work: np.ndarray,
    matrices: np.ndarray,
    vectors: np.ndarray,
) -> None:
    """Gauss-Newton for the place of each star, from its expected place plus a shift that all have.

    `shift` holds that shift, and the one that stamps are cut out at, to whole pixels, unless a star is far from there.
    At a place, light and sky are linear: columns are the star, its derivatives with x and y, with the logarithm of its
    width, a constant, and a plane where there is room in `light` (7 columns, else 5). `flat` is `light` with one axis
    for the pixels. `result` gets x, y, their errors, light, change of the logarithm of the width, its error, and
    chi2; NaN where it fails.
    """
    n, size = light.shape[0], light.shape[1]
    half = (size - 1) // 2
    n_pixels = size * size
    farthest, longest, small, clip, misfit, least = (
        limits[0],
        limits[1],
        limits[2],
        limits[3],
        limits[4],
        limits[5],
    )
    anywhere = limits[6]
    data, weight, left, weighted, ordered = work[0], work[1], work[2], work[3], work[4]
    system, inverse = matrices[0], matrices[1]
    right, step = vectors[0], vectors[1]
    for j in range(size):
        for i in range(size):
            light[4, j, i] = 1.0
            if n > 5:
                light[5, j, i] = float(i - half)
                light[6, j, i] = float(j - half)
    for k in range(len(place)):
        for a in range(result.shape[1]):
            result[k, a] = np.nan
        n_used[k] = 0
        away_x, away_y = int(np.floor(shift[2] + 0.5)), int(np.floor(shift[3] + 0.5))
        # A second time more carefully: around where the first ended, or without the worst pixel from the beginning.
        for attempt in range(2):
            column = int(np.floor(place[k, 0] + 0.5)) + away_x
            row = int(np.floor(place[k, 1] + 0.5)) + away_y
            used = _load(data, weight, image, variance, per_light, constant, bad, column, row, half)
            x, y = place[k, 0] + shift[0], place[k, 1] + shift[1]
            clipped = 0
            settled = False
            chi2 = 0.0
            for turn in range(iterations):
                if used < n + 4:
                    break
                for a in range(3):
                    for p in range(n_pixels):
                        flat[a, p] = 0.0
                at_x, at_y = x - column + half, y - row + half
                add_star_light(light[0], light[1], light[2], samples[k], over, middle, m, at_x, at_y, 1.0)
                for j in range(size):
                    for i in range(size):
                        light[3, j, i] = (
                            (i - at_x) * light[1, j, i] + (j - at_y) * light[2, j, i] - 2.0 * light[0, j, i]
                        )
                for p in range(n_pixels):
                    left[p] = data[p]
                if len(neighbours):
                    ahead_x, ahead_y = x - place[k, 0] - away_x, y - place[k, 1] - away_y
                    for j in range(size):
                        for i in range(size):
                            left[j * size + i] -= (
                                neighbours[k, 0, j, i]
                                + ahead_x * neighbours[k, 1, j, i]
                                + ahead_y * neighbours[k, 2, j, i]
                            )
                for a in range(n):
                    total = 0.0
                    for p in range(n_pixels):
                        weighted[p] = flat[a, p] * weight[p]
                        total += weighted[p] * left[p]
                    right[a] = total
                    for b in range(a + 1):
                        total = 0.0
                        for p in range(n_pixels):
                            total += weighted[p] * flat[b, p]
                        system[a, b] = total
                factorise(system, n, 1e-12)
                for i in range(n):
                    total = right[i]
                    for b in range(i):
                        total -= system[i, b] * step[b]
                    step[i] = total / system[i, i] if system[i, i] > 0.0 else 0.0
                for back in range(n):
                    i = n - 1 - back
                    total = step[i]
                    for b in range(i + 1, n):
                        total -= system[b, i] * step[b]
                    step[i] = total / system[i, i] if system[i, i] > 0.0 else 0.0
                flux = step[0]
                if not flux > 0.0:
                    break
                step_x, step_y = step[1] / flux, step[2] / flux
                far = max(abs(step_x), abs(step_y))
                if not far < 1e6:
                    break
                near = far < small
                if near or (attempt == 1 and turn == 0 and clipped < most_clipped):
                    # What is left, beside noise and what the function may be wrong by; the worst pixel.
                    worst, worst_size, count = -1, 0.0, 0
                    chi2, judged = 0.0, 0.0
                    for p in range(n_pixels):
                        for a in range(n):
                            left[p] -= step[a] * flat[a, p]
                        if weight[p] > 0.0:
                            chi2 += left[p] * left[p] * weight[p]
                            wrong, other = misfit * flux * flat[0, p], anywhere * flux
                            size_now = abs(left[p]) / np.sqrt(1.0 / weight[p] + wrong * wrong + other * other)
                            judged += size_now * size_now
                            ordered[count] = size_now
                            count += 1
                            if size_now > worst_size:
                                worst, worst_size = p, size_now
                    usual = max(1.4826 * kth_smallest(ordered, count, count // 2), 1.0)
                    remove = worst_size > clip * usual
                    if not remove and judged > 3.0 * used and clipped < most_clipped:
                        # The fit follows a pixel near the star's middle: is there one without which all is well?
                        invert_factor(system, inverse, n)
                        most = 0.0
                        for p in range(n_pixels):
                            follows = 0.0
                            for a in range(n):
                                for b in range(n):
                                    follows += flat[a, p] * inverse[a, b] * flat[b, p]
                            drop = left[p] * left[p] * weight[p] / max(1.0 - follows * weight[p], 0.01)
                            if drop > most:
                                worst, most = p, drop
                        remove = most > 0.5 * chi2
                    if remove and clipped < most_clipped:
                        weight[worst] = 0.0
                        clipped += 1
                        used -= 1
                        continue
                if near:
                    settled = True
                short = longest / far if far > longest else 1.0
                x += short * step_x
                y += short * step_y
                if settled:
                    break
                if max(abs(x - place[k, 0]), abs(y - place[k, 1])) > farthest + 1.0:
                    break
            if settled and np.hypot(x - place[k, 0], y - place[k, 1]) > farthest:
                settled = False
            if settled:
                # Part of what the pixels differ by that is the star's.
                s0, s1, s2 = 0.0, 0.0, 0.0
                for p in range(n_pixels):
                    s0 += weight[p]
                    s1 += weight[p] * data[p]
                for p in range(n_pixels):
                    apart = data[p] - s1 / s0
                    s2 += weight[p] * apart * apart
                settled = chi2 < (1.0 - least) * s2
            if settled:
                off_x, off_y = x - column, y - row
                if attempt == 1 or max(abs(off_x), abs(off_y)) < FARTHEST_IN_STAMP:
                    invert_factor(system, inverse, n)
                    result[k, 0] = x
                    result[k, 1] = y
                    result[k, 2] = np.sqrt(inverse[1, 1]) / flux
                    result[k, 3] = np.sqrt(inverse[2, 2]) / flux
                    result[k, 4] = flux
                    result[k, 5] = step[3] / flux
                    result[k, 6] = np.sqrt(inverse[3, 3]) / flux
                    result[k, 7] = chi2
                    n_used[k] = used
                    break
                away_x += int(np.floor(off_x + 0.5))
                away_y += int(np.floor(off_y + 0.5))
