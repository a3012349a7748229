"""What an image shows besides stars and noise, as a found star must exceed it.

Three things make peaks that are none: what the point-spread function leaves of brighter stars, structure of the sky,
and noise that is larger than stated. Each is measured on the residual image itself: the first in rings around the
bright stars, as a part of their flux; the second as smooth light beyond the noise; the third as the scatter of the
filtered image in boxes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaiaflux.core.kernels.compile import kernel
from gaiaflux.core.kernels.devices import kth_smallest
from gaiaflux.core.maths.robust import MAD_TO_SIGMA
from gaiaflux.core.psf.fluxes import Solution, stars_and_pixels, stars_per_beam
from gaiaflux.core.stars.detection import FWHM_TO_SIGMA, convolve

__all__ = ["CONFUSED", "FARTHEST_RING_FWHM", "Beyond", "FluxMap", "flux_map"]

RINGS_FWHM = np.array([0.0, 0.5, 0.8, 1.1, 1.5, 2.0, 2.6, 3.3, 4.2, 5.5, 7.5, 10.0, 14.0, 20.0, 28.0])
FARTHEST_RING_FWHM = float(RINGS_FWHM[-1])
"""So far from a star [FWHM] what it leaves is measured."""
RING_SHARE = 0.7  # quantile of the squares in a ring: a few neighbours that are not known yet do not count
RING_SQUARE = 1.0742  # that quantile of the squares of normal values
MEASURED_SNR = 100.0  # of the stars whose rings are measured
MOST_MEASURED = 60
LEAST_MEASURED = 5
LEAST_PIXELS = 8
WIDE = 2.0  # times the width of a star
TAIL = 2.0  # how much more than its scatter structure of the sky counts
CONFUSED = 0.1  # stars in the area of a beam above which blends are taken for stars
STRUCTURED = 1.15  # excess above which it is looked whether a peak is as narrow as a star
LEAST_SIGMA = 0.5  # [pixel]
LEAST_POWER = 0.3  # of the usual one, where enough pixels are good
SMALL = 0.3  # of the noise: what a star leaves below that is not added
SMOOTH_FWHM = 2.0  # sigma of the filter that takes structure of the sky from a residual
CLIP_SIGMA = 3.0
BOX_FWHM = 12.0
LEAST_BOX = 32.0  # [pixel]
LOWER = (0.05, 0.5)  # quantiles, and how far they are apart in a normal distribution
LOWER_WIDTH = 1.6449
SELDOM = 8.0  # beyond the middle of what is anywhere, in halves of its inner half
ANYWHERE = 15  # places a side at which rings are measured without a star


@dataclass(frozen=True)
class FluxMap:
    """Flux that a star at each pixel would have, and what may make it without a star.

    Attributes
    ----------
    flux : ndarray of float32, shape (ny, nx)
        Of the best star at the pixel, on the residual image without its smooth structure.
    noise : ndarray of float32, shape (ny, nx)
        One sigma of it: pixels' noise, by how much it is larger than stated, and what the brighter stars leave;
        infinite where too few pixels are good.
    leavings : ndarray of float32, shape (ny, nx)
        The last part of it alone.
    structure : ndarray of float32, shape (ny, nx)
        Smooth light that was taken off [per pixel].
    excess : ndarray of float32, shape (ny, nx)
        Scatter of the flux over its stated noise, at least 1.
    """

    flux: np.ndarray
    noise: np.ndarray
    leavings: np.ndarray
    structure: np.ndarray
    excess: np.ndarray


class Beyond(NamedTuple):
    """Stars beside the image that are not fitted, but whose halos may reach it; arrays of shape (n,)."""

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray


def flux_map(solution: Solution, fwhm: float, beyond: Beyond | None = None) -> FluxMap:
    """Measure what may be taken for stars on a residual image.

    Parameters
    ----------
    solution : Solution
        Stars that are fitted, and what they leave.
    fwhm : float
        Seeing [pixel].
    beyond : Beyond, optional
        Stars beside the image.

    Returns
    -------
    FluxMap
    """
    weight, sigma = solution.weight, max(fwhm * FWHM_TO_SIGMA, LEAST_SIGMA)
    structure = _smooth_structure(solution.residual, weight, SMOOTH_FWHM * fwhm)
    signal, power = _filtered((solution.residual - structure) * weight, weight, sigma)
    enough = power > LEAST_POWER * float(np.median(power))
    power = np.where(enough, power, np.float32(1.0))
    response = _response(solution, sigma)
    flux = np.where(enough, signal / power / np.float32(response), np.float32(0.0))
    variance = np.where(enough, np.float32(1.0 / response**2) / power, np.float32(np.inf))
    # Structure has more peaks than noise of its size; stars that are too dense to be told apart have not.
    crowding = min(stars_per_beam(*stars_and_pixels(solution), fwhm) / CONFUSED, 1.0)
    tail = 1.0 + (TAIL - 1.0) * (1.0 - crowding)
    excess = _excess(flux, variance, fwhm, tail)
    variance *= excess**2
    leavings = _leavings(variance, flux, solution, fwhm, beyond)
    if (excess > STRUCTURED).any():
        # What stands out more in a wider filter is no star.
        wide, wide_power = _filtered((solution.residual - structure) * weight, weight, WIDE * sigma)
        extended = (excess > STRUCTURED) & (wide * np.sqrt(power) > signal * np.sqrt(wide_power))
        flux = np.where(extended, np.minimum(flux, np.float32(0.0)), flux)
    return FluxMap(flux, np.sqrt(variance + leavings), np.sqrt(leavings), structure, excess)


def _filtered(signal: np.ndarray, weight: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Weighted pixels times a Gaussian around each pixel, and the variance of that by their noise."""
    # The square of a Gaussian is 1 / (4 pi sigma^2) times a Gaussian of 1 / sqrt(2) of its width.
    power = convolve(weight, sigma / np.sqrt(2.0)) / np.float32(4.0 * np.pi * sigma**2)
    return convolve(signal, sigma), power


def _response(solution: Solution, sigma: float) -> float:
    """What the filter makes of a star of flux 1 at its middle, where it makes 1 of the filter's own form."""
    values = solution.stamps.values
    if len(values) == 0:
        return 1.0
    half = (values.shape[1] - 1) // 2
    offset = np.arange(-half, half + 1)
    # Where a star lies in its pixel changes it by a few per cent: the mean of many.
    some = slice(None, None, max(len(values) // 200, 1))
    dx = (solution.stamps.column - solution.stamps.x)[some, None, None] + offset[None, None, :]
    dy = (solution.stamps.row - solution.stamps.y)[some, None, None] + offset[None, :, None]
    filter_form = np.exp(-0.5 * (dx**2 + dy**2) / sigma**2) / (2.0 * np.pi * sigma**2)
    return float(np.mean(np.sum(filter_form * values[some], axis=(1, 2)) / np.sum(filter_form**2, axis=(1, 2))))


def _smooth_structure(residual: np.ndarray, weight: np.ndarray, wide: float) -> np.ndarray:
    """Light that changes slowly beside the stars, as far as it exceeds what noise makes of nothing."""
    with np.errstate(divide="ignore"):
        limit = np.where(weight > 0, np.float32(CLIP_SIGMA) / np.sqrt(weight), np.float32(0.0))
    clipped = np.clip(residual, -limit, limit)
    inside = convolve(weight, wide)
    inside = np.maximum(inside, np.float32(1e-6) * max(float(inside.max()), 1e-30))
    level = convolve(clipped * weight, wide) / inside
    # Variance of a mean with Gaussian weights over pixels of inverse variance w.
    noise2 = 1.0 / (4.0 * np.pi * wide**2) / inside
    step = max(int(wide), 1)
    sample, expected = level[step // 2 :: step, step // 2 :: step], noise2[step // 2 :: step, step // 2 :: step]
    excess = max(_lower_scatter(sample) ** 2 - float(np.median(expected)), 0.0)
    return (level * (excess / (excess + noise2))).astype(np.float32)


def _excess(flux: np.ndarray, variance: np.ndarray, fwhm: float, tail: float) -> np.ndarray:
    """Scatter of the filtered image over its noise in boxes, its part beyond 1 times `tail`; at least 1."""
    significance = flux / np.sqrt(variance)
    box = max(BOX_FWHM * fwhm, LEAST_BOX)
    ny, nx = flux.shape
    rows, columns = max(1, round(ny / box)), max(1, round(nx / box))
    row, column = (np.arange(ny) * rows) // ny, (np.arange(nx) * columns) // nx
    wide = np.ones((rows, columns))
    for j in range(rows):
        band = significance[np.searchsorted(row, j) : np.searchsorted(row, j, "right")]
        for i in range(columns):
            wide[j, i] = _lower_scatter(band[::2, np.searchsorted(column, i) : np.searchsorted(column, i, "right")])
    around = np.lib.stride_tricks.sliding_window_view(np.pad(wide, 1, mode="edge"), (3, 3))
    wide = np.maximum(np.median(around, axis=(2, 3)), 1.0)
    wide = np.sqrt(1.0 + tail**2 * (wide**2 - 1.0))
    return wide[row][:, column].astype(np.float32)


def _lower_scatter(values: np.ndarray) -> float:
    """Scatter of values from the lower side of their distribution: stars that are not known yet are on the other."""
    known = values[np.isfinite(values) & (values != 0)]
    if known.size < LEAST_PIXELS:
        return 0.0
    low, high = np.quantile(known, LOWER)
    return float(high - low) / LOWER_WIDTH


def _leavings(
    variance: np.ndarray, flux: np.ndarray, solution: Solution, fwhm: float, beyond: Beyond | None
) -> np.ndarray:
    """Variance that the fitted stars, and those beside the image, may leave of themselves."""
    edges = RINGS_FWHM * fwhm
    stamps, error = solution.stamps, solution.error
    ny, nx = flux.shape
    x, y, brightness = stamps.x, stamps.y, np.maximum(solution.flux, 0.0)
    if beyond is not None and len(stamps):
        x, y = np.append(x, beyond.x), np.append(y, beyond.y)
        brightness = np.append(brightness, beyond.flux)
        error = np.append(error, np.full(len(beyond.x), float(np.median(error))))
    inside = (x > 0) & (y > 0) & (x < nx - 1) & (y < ny - 1)
    bright = np.flatnonzero(brightness > MEASURED_SNR * error)
    bright = bright[np.argsort(-brightness[bright], kind="stable")[:MOST_MEASURED]]
    grid = np.meshgrid(np.linspace(0.03 * nx, 0.97 * nx, ANYWHERE), np.linspace(0.03 * ny, 0.97 * ny, ANYWHERE))
    anywhere = _squares_in_rings(flux, variance, grid[0].ravel(), grid[1].ravel(), edges)
    beside = _squares_in_rings(flux, variance, x[bright], y[bright], edges)
    # Stars that are not known yet are anywhere: what belongs to a star is more than that.
    common, upper = (_quantile(anywhere, share) for share in (0.5, 0.75))
    seldom = common + SELDOM * (upper - common)
    shares = (beside - common) / brightness[bright, None] ** 2
    usual = np.zeros(len(edges) - 1)
    # Of a star beside the image few pixels are seen, and its flux is not sure.
    whole = inside[bright]
    if np.count_nonzero(whole) >= LEAST_MEASURED:
        usual = _quantile(shares[whole], 0.5)
        # What may be noise of the rings is no misfit.
        known = np.maximum(np.isfinite(shares[whole]).sum(axis=0), 1)
        error = 1.25 * MAD_TO_SIGMA * _quantile(np.abs(shares[whole] - usual), 0.5) / np.sqrt(known)
        usual = np.maximum(usual - error, 0.0)
    own = np.tile(usual, (len(x), 1))
    own[bright] = np.where(beside > seldom, np.fmax(shares, usual), usual)
    leavings = np.zeros_like(variance)
    _add_rings(leavings, variance, x, y, brightness, own, edges, SMALL**2)
    return leavings


def _squares_in_rings(
    flux: np.ndarray, variance: np.ndarray, x: np.ndarray, y: np.ndarray, edges: np.ndarray
) -> np.ndarray:
    """Mean square of the flux beyond its noise in rings, from a quantile; NaN where a ring has few pixels."""
    squares = np.full((len(x), len(edges) - 1), np.nan)
    scratch = np.empty(int(np.pi * (edges[-1] + 2) ** 2) + 64, np.float32)
    x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
    _ring_squares(flux, variance, x, y, edges, RING_SHARE, LEAST_PIXELS, scratch, squares)
    return squares / RING_SQUARE


def _quantile(values: np.ndarray, share: float) -> np.ndarray:
    """Quantile over the rows of each column, without NaN; 0 for a column of nothing else."""
    known = np.where(np.isfinite(values).any(axis=0), values, 0.0)
    return np.nanquantile(known, share, axis=0)


@kernel(
    "void(float32[:, ::1], float32[:, ::1], float64[::1], float64[::1], float64[::1], float64, int64, float32[::1],"
    " float64[:, ::1])"
)
def _ring_squares(
    flux: np.ndarray,
    variance: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    edges: np.ndarray,
    share: float,
    least: int,
    scratch: np.ndarray,
    squares: np.ndarray,
) -> None:
    """Quantile of flux^2 less that of its noise in rings around stars; stays NaN where a ring has few pixels."""
    ny, nx = flux.shape
    for k in range(len(x)):
        for ring in range(len(edges) - 1):
            inner2, outer = edges[ring] ** 2, edges[ring + 1]
            n = 0
            noise = 0.0
            # Far rings have more pixels than a quantile needs.
            step = max(1, int(outer * outer / 1500.0))
            for j in range(max(0, int(np.ceil(y[k] - outer))), min(ny - 1, int(np.floor(y[k] + outer))) + 1):
                dy = j - y[k]
                width = np.sqrt(max(outer * outer - dy * dy, 0.0))
                for i in range(max(0, int(np.ceil(x[k] - width))), min(nx - 1, int(np.floor(x[k] + width))) + 1):
                    dx = i - x[k]
                    if dx * dx + dy * dy < inner2 or (i + j) % step != 0 or not variance[j, i] < np.inf:
                        continue
                    scratch[n] = flux[j, i] * flux[j, i]
                    noise += variance[j, i]
                    n += 1
            if n >= least:
                quantile = kth_smallest(scratch, n, min(int(share * n), n - 1))
                squares[k, ring] = quantile - RING_SQUARE * noise / n


@kernel(
    "void(float32[:, ::1], float32[:, ::1], float64[::1], float64[::1], float64[::1], float64[:, ::1], float64[::1],"
    " float64)"
)
def _add_rings(
    leavings: np.ndarray,
    variance: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    flux: np.ndarray,
    share2: np.ndarray,
    edges: np.ndarray,
    small2: float,
) -> None:
    """Add flux^2 share2(r), linear between the middles of the rings, around each star as far as it matters."""
    ny, nx = variance.shape
    n_rings = len(edges) - 1
    for k in range(len(x)):
        i0 = min(max(int(x[k] + 0.5), 0), nx - 1)
        j0 = min(max(int(y[k] + 0.5), 0), ny - 1)
        here = variance[j0, i0]
        if not here < np.inf:
            here = variance[ny // 2, nx // 2]
        f2 = flux[k] * flux[k]
        reach = 0.0
        for ring in range(n_rings):
            if f2 * share2[k, ring] > small2 * here:
                reach = edges[ring + 1]
        for j in range(max(0, int(np.ceil(y[k] - reach))), min(ny - 1, int(np.floor(y[k] + reach))) + 1):
            dy = j - y[k]
            width = np.sqrt(max(reach * reach - dy * dy, 0.0))
            for i in range(max(0, int(np.ceil(x[k] - width))), min(nx - 1, int(np.floor(x[k] + width))) + 1):
                r = np.sqrt((i - x[k]) ** 2 + dy * dy)
                ring = 0
                while ring < n_rings - 1 and r > edges[ring + 1]:
                    ring += 1
                middle = 0.5 * (edges[ring] + edges[ring + 1])
                other = min(ring + 1, n_rings - 1) if r > middle else max(ring - 1, 0)
                value = share2[k, ring]
                if other != ring:
                    beside = 0.5 * (edges[other] + edges[other + 1])
                    value += (share2[k, other] - value) * (r - middle) / (beside - middle)
                leavings[j, i] += np.float32(f2 * value)
