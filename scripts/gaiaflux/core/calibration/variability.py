"""How much, and how, the flux of stars changes: indices of light curves, many stars at once."""

from dataclasses import dataclass, fields

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA, chi2_about_mean, masked_median
from gaiaflux.model.units import MAG_PER_RELATIVE

__all__ = [
    "LEAST_POINTS",
    "VariabilityIndices",
    "join_indices",
    "running_significance",
    "trend_correlation",
    "variability_indices",
    "variability_score",
]

LEAST_POINTS = 5
"""A star with fewer points has no indices."""
_NEIGHBOURS = 61  # stars of like brightness that say what is usual
_LEAST_SPREAD = 0.05  # of an index among them


@dataclass(frozen=True)
class VariabilityIndices:
    """Numbers of n light curves; NaN below 5 points but for `n_points`, `level` and `expected_mag`.

    Attributes
    ----------
    n_points : ndarray of int64, shape (n,)
        Points that were used.
    level : ndarray of float64, shape (n,)
        Median flux; NaN without a point.
    scatter_mag : ndarray of float64, shape (n,)
        1.4826 times the median absolute deviation from the median [mag, as 1.0857 times the relative deviation].
    expected_mag : ndarray of float64, shape (n,)
        Median of the errors, the same unit; NaN without a point.
    noise_mag : ndarray of float64, shape (n,)
        The same as `scatter_mag` from differences of consecutive points, over the root of 2: slow changes leave it
        alone.
    chi2 : ndarray of float64, shape (n,)
        Reduced chi-squared about the weighted mean.
    trimmed_chi2 : ndarray of float64, shape (n,)
        The same without the one point that is farthest off.
    von_neumann : ndarray of float64, shape (n,)
        Mean squared difference of consecutive points over the variance (von Neumann 1941, Ann. Math. Stat. 12, 367):
        about 2 for noise, less where the star changes slowly.
    stetson_j : ndarray of float64, shape (n,)
        Stetson's J (1996, PASP 108, 851, eq. 1) of one band from pairs of consecutive points, each pair with the
        weight exp(-time between them / median time between frames) (Fruth et al. 2012, AJ 143, 140): about 0 for noise.
    amplitude_mag : ndarray of float64, shape (n,)
        From the 2.5th to the 97.5th percentile [mag]; NaN where the lower one is not positive.
    """

    n_points: np.ndarray
    level: np.ndarray
    scatter_mag: np.ndarray
    expected_mag: np.ndarray
    noise_mag: np.ndarray
    chi2: np.ndarray
    trimmed_chi2: np.ndarray
    von_neumann: np.ndarray
    stetson_j: np.ndarray
    amplitude_mag: np.ndarray


def join_indices(parts: list[VariabilityIndices]) -> VariabilityIndices:
    """Indices of consecutive blocks of stars as one; none of them gives no star."""
    names = [field.name for field in fields(VariabilityIndices)]
    empty = {name: np.zeros(0, dtype=np.int64 if name == "n_points" else float) for name in names}
    return VariabilityIndices(
        **{name: np.concatenate([empty[name], *(getattr(p, name) for p in parts)]) for name in names}
    )


def variability_indices(flux: np.ndarray, error: np.ndarray, use: np.ndarray, mjd: np.ndarray) -> VariabilityIndices:
    """Indices of light curves.

    Parameters
    ----------
    flux, error : ndarray, shape (n, m)
        Calibrated fluxes of n stars in m frames and their one-sigma errors.
    use : ndarray of bool, shape (n, m)
        Points that count; those whose flux, error or time is not finite, or whose error is not positive, never do.
    mjd : ndarray, shape (m,)
        Times of the frames, ascending but for NaN [d].

    Returns
    -------
    VariabilityIndices
        One number per star.
    """
    flux, error, mjd = (np.asarray(values, dtype=float) for values in (flux, error, mjd))
    use = use & np.isfinite(flux) & (error > 0) & np.isfinite(error) & np.isfinite(mjd)
    short = ((0, 0), (0, max(0, 2 - len(mjd))))  # so that there are pairs
    flux, error, use = np.pad(flux, short), np.pad(error, short), np.pad(use, short)
    mjd = np.pad(mjd, short[1], constant_values=np.nan)
    # The used points of each star first, in order of time.
    order = np.argsort(~use, axis=1, kind="stable")
    x, sigma, use = (np.take_along_axis(values, order, axis=1) for values in (flux, error, use))
    time = mjd[order]
    x, sigma = np.where(use, x, 0.0), np.where(use, sigma, np.inf)
    n = use.sum(axis=1)
    level = masked_median(x, use, 1)
    expected = masked_median(np.where(use, sigma, 0.0), use, 1)
    scale = np.where(level > 0, level, np.nan) / MAG_PER_RELATIVE
    deviation = masked_median(np.abs(np.where(use, x - level[:, None], 0.0)), use, 1)
    enough = n >= LEAST_POINTS
    freedom = np.maximum(n, LEAST_POINTS)

    pair = use[:, 1:]
    step = np.where(pair, x[:, 1:] - x[:, :-1], 0.0)
    chi2, pull = chi2_about_mean(x, sigma)
    farthest = np.abs(np.where(use, x - level[:, None], 0.0) / sigma).argmax(axis=1)
    rest = sigma.copy()
    rest[np.arange(len(rest)), farthest] = np.inf
    mean = x.sum(axis=1) / np.maximum(n, 1)
    variance = (np.where(use, x - mean[:, None], 0.0) ** 2).sum(axis=1) / (freedom - 1)
    neumann = (step**2).sum(axis=1) / (freedom - 1) / np.where(variance > 0, variance, np.nan)
    low, high = _percentiles(x, use, n, (2.5, 97.5))
    with_range = enough & (low > 0)
    amplitude = 2.5 * np.log10(np.where(with_range, high, 1.0) / np.where(with_range, low, 1.0))
    noise = MAD_TO_SIGMA / np.sqrt(2.0) * masked_median(np.abs(step), pair, 1)
    return VariabilityIndices(
        n_points=n.astype(np.int64),
        level=level,
        scatter_mag=np.where(enough, MAD_TO_SIGMA * deviation / scale, np.nan),
        expected_mag=expected / scale,
        noise_mag=np.where(enough, noise / scale, np.nan),
        chi2=np.where(enough, chi2 / (freedom - 1), np.nan),
        trimmed_chi2=np.where(enough, chi2_about_mean(x, rest)[0] / (freedom - 2), np.nan),
        von_neumann=np.where(enough, neumann, np.nan),
        stetson_j=np.where(enough, _stetson_j(pull, pair, time, n, mjd), np.nan),
        amplitude_mag=np.where(with_range, amplitude, np.nan),
    )


def _stetson_j(pull: np.ndarray, pair: np.ndarray, time: np.ndarray, n: np.ndarray, mjd: np.ndarray) -> np.ndarray:
    """Weighted mean of the signed roots of products of consecutive residuals."""
    product = pull[:, 1:] * pull[:, :-1] * (n / np.maximum(n - 1, 1))[:, None]
    gaps = np.diff(mjd[np.isfinite(mjd)])
    typical = float(np.median(gaps)) if gaps.size else 0.0
    gap = np.where(pair, time[:, 1:] - time[:, :-1], 0.0)
    weight = np.where(pair, np.exp(-gap / typical) if typical > 0 else 1.0, 0.0)
    total = weight.sum(axis=1)
    return (weight * np.sign(product) * np.sqrt(np.abs(product))).sum(axis=1) / np.where(total > 0, total, np.nan)


def _percentiles(x: np.ndarray, use: np.ndarray, n: np.ndarray, percent: tuple[float, ...]) -> tuple[np.ndarray, ...]:
    """Percentiles of the used points of each row, with linear interpolation; 0 where there is none."""
    ordered = np.sort(np.where(use, x, np.inf), axis=1)
    found = []
    for value in percent:
        place = value / 100.0 * np.maximum(n - 1, 0)
        below = np.floor(place).astype(np.int64)
        ends = [
            np.take_along_axis(ordered, np.minimum(k, np.maximum(n - 1, 0))[:, None], axis=1)[:, 0]
            for k in (below, below + 1)
        ]
        some = n > 0
        first, second = (np.where(some, end, 0.0) for end in ends)
        found.append(first + (place - below) * (second - first))
    return tuple(found)


def trend_correlation(flux: np.ndarray, use: np.ndarray, trend: np.ndarray) -> np.ndarray:
    """Correlation of light curves with a property of the frames, such as the seeing.

    Parameters
    ----------
    flux : ndarray, shape (n, m)
        Fluxes of n stars in m frames.
    use : ndarray of bool, shape (n, m)
        Points that count; those that are not finite never do.
    trend : ndarray, shape (m,)
        The property; a frame whose property is NaN does not count.

    Returns
    -------
    ndarray of float64, shape (n,)
        Pearson's correlation coefficient; NaN below 5 points, and where flux or property do not change.
    """
    trend = np.asarray(trend, dtype=float)
    use = use & np.isfinite(flux) & np.isfinite(trend)
    n = np.maximum(use.sum(axis=1, keepdims=True), 1)
    x, y = np.where(use, flux, 0.0).astype(float), np.where(use, trend, 0.0)
    x, y = (np.where(use, v - v.sum(axis=1, keepdims=True) / n, 0.0) for v in (x, y))
    product = (x**2).sum(axis=1) * (y**2).sum(axis=1)
    known = (use.sum(axis=1) >= LEAST_POINTS) & (product > 0)
    return np.where(known, (x * y).sum(axis=1) / np.sqrt(np.where(known, product, 1.0)), np.nan)


def running_significance(
    index: np.ndarray, brightness: np.ndarray, *, least_usual: float = -np.inf, least_spread: float = _LEAST_SPREAD
) -> np.ndarray:
    """How far an index of a star is above what is usual for stars of its brightness.

    Parameters
    ----------
    index : ndarray, shape (n,)
        Index; NaN where unknown.
    brightness : ndarray, shape (n,)
        Magnitude or any number that orders the stars; NaN where unknown.
    least_usual : float
        What is usual counts at least this.
    least_spread : float
        The spread counts at least this.

    Returns
    -------
    ndarray of float64, shape (n,)
        (index - running median) / (1.4826 running median absolute deviation) over 61 neighbours in brightness; NaN
        where index or brightness is.
    """
    found = np.full(len(index), np.nan)
    rows = np.flatnonzero(np.isfinite(index) & np.isfinite(brightness))
    if not rows.size:
        return found
    rows = rows[np.argsort(brightness[rows], kind="stable")]
    values = index[rows]
    width = min(_NEIGHBOURS, rows.size)
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    usual = np.median(windows, axis=1)
    spread = MAD_TO_SIGMA * np.median(np.abs(windows - usual[:, None]), axis=1)
    place = np.clip(np.arange(rows.size) - width // 2, 0, usual.size - 1)
    found[rows] = (values - np.maximum(usual, least_usual)[place]) / np.maximum(spread, least_spread)[place]
    return found


def variability_score(
    indices: VariabilityIndices, brightness: np.ndarray, groups: np.ndarray, trend: np.ndarray, n_possible: int
) -> np.ndarray:
    """One number that puts the most certainly variable stars first.

    Three significances among stars of like brightness and of the same group: of the root of the reduced chi-squared
    without its farthest point (logarithm), of Stetson's J, and of the von Neumann ratio (negative logarithm). Their
    median counts, so that two of three have to agree: a few bad points raise the first alone. It is multiplied by the
    part of the variance that does not follow the seeing, and by the root of the part of the frames that have a point.

    Parameters
    ----------
    indices : VariabilityIndices
        Of n stars.
    brightness : ndarray, shape (n,)
        Magnitude; NaN where unknown.
    groups : ndarray, shape (n,)
        Stars of one group are compared with each other: blended stars with blended stars.
    trend : ndarray, shape (n,)
        Correlation with the seeing, see `trend_correlation`; NaN counts as none.
    n_possible : int
        Points that a star can have.

    Returns
    -------
    ndarray of float64, shape (n,)
        About 0 with a scatter of 1 for constant stars; NaN where an index is not known.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        chi = 0.5 * np.log(indices.trimmed_chi2)
        smooth = -np.log(indices.von_neumann)
    parts = np.full((3, len(chi)), np.nan)
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        for k, (values, least) in enumerate(((chi, 0.0), (indices.stetson_j, 0.0), (smooth, -np.log(2.0)))):
            parts[k, own] = running_significance(values[own], brightness[own], least_usual=least)
    score = np.median(parts, axis=0)
    n = indices.n_points
    # The correlation of few points is large by chance.
    explained = 1.0 - (1.0 - np.nan_to_num(trend) ** 2) * (n - 1) / np.maximum(n - 2, 1)
    part = 1.0 - np.clip(explained, 0.0, 1.0)
    return score * np.where(score > 0, part * np.sqrt(n / max(n_possible, 1)), 1.0)
