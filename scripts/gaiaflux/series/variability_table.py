"""Table of all stars of a series with their light curves in numbers, the most interesting first."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gaiaflux.core.calibration.variability import (
    VariabilityIndices,
    join_indices,
    trend_correlation,
    variability_indices,
    variability_score,
)
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.model.flags import NOT_GOOD, UNUSABLE, StarFlag
from gaiaflux.series.magnitudes import catalog_magnitude, method_scale
from gaiaflux.series.method_choice import methods_of_stars

__all__ = ["rank_stars"]

_BLOCK_VALUES = 1_000_000  # numbers of one array in memory at once
_BLEND = StarFlag.NEIGHBOUR | StarFlag.BLENDED
_REACH_FWHM = 2.0  # so far a variable star's light gets into a neighbour's
_CERTAIN = 5.0  # score of a star that may be the reason of another one's
_MOST_CERTAIN = 500  # of which as many are looked at
_SHARED = 0.5  # factor for the score of a star beside a more variable one
_STAR_NAMES = ("star_id", "source_id", "ra_deg", "dec_deg", "x_ref", "y_ref", "phot_g_mean_mag", "bp_rp")

Table = dict[str, tuple[np.ndarray, str, str]]


@dataclass(frozen=True)
class _Method:
    """What one method says of n stars."""

    indices: VariabilityIndices
    n_measured: np.ndarray
    trend: np.ndarray
    saturated: np.ndarray
    spoiled: np.ndarray
    blended: np.ndarray


def rank_stars(source: DatasetReader) -> Table:
    """Variability indices of all stars, sorted by a score.

    Only good points count: calibrated ones of usable frames that no flag spoils. The score of a star is that of the
    method that is recommended for it (`gaiaflux.core.calibration.variability.variability_score`, blended stars among
    blended ones); it is halved for a star within two seeing disks of one that varies by more light and is certainly
    variable.

    Parameters
    ----------
    source : DatasetReader
        Open dataset; it is read in blocks of stars.

    Returns
    -------
    dict of str to (values, unit, description)
        Columns of one length, the highest score first; stars without a score come last, by their magnitude.
    """
    frames, stars = source.table("frames"), source.stars()
    catalog = catalog_magnitude(source)
    number = len(stars["star_id"])
    found = {method: _measure(source, method, frames) for method in source.methods}
    scores: dict[str, np.ndarray] = {}
    columns: Table = {}
    for method, facts in found.items():
        mag = method_scale(source, method).magnitude(facts.indices.level, stars["colour"])
        bright = mag if np.isfinite(mag).any() else catalog.values
        possible = int(facts.n_measured.max(initial=0))
        scores[method] = variability_score(facts.indices, bright, facts.blended, facts.trend, possible)
        columns |= _method_columns(source, method, facts, mag, scores[method])
    recommended, reasons = methods_of_stars(source)
    score, change = np.full(number, np.nan), np.zeros(number)
    for method, facts in found.items():
        own = recommended == method
        score[own], change[own] = scores[method][own], _flux_change(facts.indices)[own]
    beside = _beside_variable(stars, score, change, _REACH_FWHM * _typical(frames["fwhm_pix"]))
    score = np.where((beside >= 0) & (score > 0), _SHARED * score, score)
    order = np.lexsort((stars["star_id"], np.nan_to_num(catalog.values, nan=np.inf), -_low(score)))
    listed = dict.fromkeys((*_STAR_NAMES, catalog.column))
    head: Table = {
        "score": (score, "", "variability score: about 0 with a scatter of 1 for constant stars"),
        **{name: (source.array(f"stars/{name}"), *source.described(f"stars/{name}")) for name in listed},
        "recommended_method": (recommended, "", "method of photometry that suits the star; empty = no good point"),
        "recommended_method_reason": (reasons, "", "why it does"),
        "beside_star_id": (
            np.where(beside >= 0, stars["star_id"][np.maximum(beside, 0)] if number else beside, -1),
            "",
            "a certainly variable star within two seeing disks that changes by more light; -1 = none",
        ),
    }
    rank: Table = {"rank": (np.arange(1, number + 1), "", "1 = most interesting")}
    return rank | {name: (values[order], unit, text) for name, (values, unit, text) in (head | columns).items()}


def _low(score: np.ndarray) -> np.ndarray:
    return np.nan_to_num(score, nan=-np.inf)


def _typical(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else 0.0


def _measure(source: DatasetReader, method: str, frames: Mapping[str, np.ndarray]) -> _Method:
    """Read a method's light curves in blocks of stars and sum them up."""
    grids = [source.grid(f"{method}/{name}") for name in ("flux_cal", "flux_cal_err", "flags")]
    n_stars, n_frames = grids[0].shape
    usable = (frames["flags"] & UNUSABLE) == 0
    step = max(256, _BLOCK_VALUES // max(n_frames, 1) // 256 * 256)
    indices, parts = [], {name: [np.zeros(0)] for name in ("n_measured", "trend", "saturated", "spoiled", "blended")}
    for first in range(0, n_stars, step):
        flux, error, flags = (grid[first : first + step] for grid in grids)
        known = np.isfinite(flux) & (error > 0) & usable
        good = known & ((flags & NOT_GOOD) == 0)
        indices.append(variability_indices(flux, error, good, frames["mjd_utc"]))
        n = known.sum(axis=1)
        portion = np.maximum(n, 1)
        parts["n_measured"].append(n)
        parts["trend"].append(trend_correlation(flux, good, frames["fwhm_pix"]))
        parts["saturated"].append((known & ((flags & StarFlag.SATURATED) != 0)).sum(axis=1) / portion)
        parts["spoiled"].append((n - good.sum(axis=1)) / portion)
        parts["blended"].append(2 * (known & ((flags & _BLEND) != 0)).sum(axis=1) > n)
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    joined["n_measured"] = joined["n_measured"].astype(np.int64)
    joined["blended"] = joined["blended"].astype(bool)
    return _Method(indices=join_indices(indices), **joined)


def _method_columns(source: DatasetReader, method: str, facts: _Method, mag: np.ndarray, score: np.ndarray) -> Table:
    indices = facts.indices
    unit = source.grid(f"{method}/flux_cal").attrs["unit"]
    system = method_scale(source, method).system
    listed = (
        ("mag", mag, "mag", f"{system} of the level"),
        ("level", indices.level, unit, "median of the good points' flux_cal"),
        ("n_measured", facts.n_measured, "", "points of usable frames with a calibrated flux"),
        ("n_good", indices.n_points, "", "of these, points that no flag spoils"),
        ("scatter_mag", indices.scatter_mag, "mag", "robust scatter: 1.4826 median absolute deviations"),
        ("expected_mag", indices.expected_mag, "mag", "median of the one-sigma errors"),
        ("noise_mag", indices.noise_mag, "mag", "robust scatter from one point to the next"),
        ("chi2", indices.chi2, "", "reduced chi-squared about the weighted mean"),
        ("trimmed_chi2", indices.trimmed_chi2, "", "the same without the point that is farthest off"),
        ("von_neumann", indices.von_neumann, "", "von Neumann ratio: 2 for noise, less for slow changes"),
        ("stetson_j", indices.stetson_j, "", "Stetson's J of consecutive points: 0 for noise"),
        ("amplitude_mag", indices.amplitude_mag, "mag", "range from the 2.5th to the 97.5th percentile"),
        ("seeing_correlation", facts.trend, "", "correlation of the flux with the frames' seeing"),
        ("saturated", facts.saturated, "", "part of the points with a saturated pixel"),
        ("spoiled", facts.spoiled, "", "part of the points that a flag spoils"),
        ("blended", facts.blended, "", "more than half of the points have a neighbour's light, or are blended"),
        ("score", score, "", "variability score by this method"),
    )
    return {f"{method}_{name}": (values, unit, text) for name, values, unit, text in listed}


def _flux_change(indices: VariabilityIndices) -> np.ndarray:
    """By how much light a star varies beyond its errors, in its level's unit over 1.0857."""
    excess = np.maximum(indices.scatter_mag**2 - indices.expected_mag**2, 0.0)
    return np.nan_to_num(np.sqrt(excess) * np.abs(indices.level))


def _beside_variable(
    stars: Mapping[str, np.ndarray], score: np.ndarray, change: np.ndarray, reach: float
) -> np.ndarray:
    """Row of the nearest certainly variable star within reach that varies by more light; -1 where there is none."""
    beside, nearest = np.full(len(score), -1), np.full(len(score), reach)
    certain = np.flatnonzero(_low(score) > _CERTAIN)
    certain = certain[np.argsort(-score[certain], kind="stable")][:_MOST_CERTAIN]
    for row in certain:
        distance = np.hypot(stars["x_ref"] - stars["x_ref"][row], stars["y_ref"] - stars["y_ref"][row])
        near = (distance < nearest) & (change < change[row])
        beside[near], nearest[near] = row, distance[near]
    return beside
