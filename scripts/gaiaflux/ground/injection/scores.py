"""What a measurement of planted stars says of its completeness, bias and errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA, robust_scatter
from gaiaflux.ground.injection.planted_stars import PlantedStars, read_planted
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.export.light_curves import write_columns
from gaiaflux.model.errors import InputError
from gaiaflux.model.flags import NOT_GOOD, UNUSABLE
from gaiaflux.model.units import MAG_PER_RELATIVE

__all__ = ["InjectionScores", "score_injection", "write_scores"]

_SAME_PIX = 1.5  # a star found so near to a planted one is it
_LEAST_POINTS, _LEAST_COMMON = 5, 10
_BIN_MAG = 1.0

Columns = dict[str, tuple[np.ndarray, str, str]]


@dataclass(frozen=True)
class InjectionScores:
    """Scores of a measurement of planted stars.

    Attributes
    ----------
    bins : dict of str to (values, unit, description)
        One row per method, catalogue (told of the star or not) and magnitude.
    stars : dict of str to (values, unit, description)
        One row per method and planted star.
    """

    bins: Columns
    stars: Columns


def score_injection(original: str | Path, folder: str | Path, series: str) -> InjectionScores:
    """Compare the measurements of planted stars with their truth.

    Parameters
    ----------
    original : str or Path
        Dataset of the images without planted stars: it tells the scale of the truth.
    folder : str or Path
        Folder of `gaiaflux.ground.injection.planting.plant_stars`, where the workflow has run since.
    series : str
        Name of the series.

    Returns
    -------
    InjectionScores
        Fluxes are compared as they are after the stars that both datasets have are brought to one scale (by one number
        for the whole series), so that the two calibrations' differences of a frame count as errors.

    Raises
    ------
    InputError
        The copies have not been measured.
    """
    folder = Path(folder)
    dataset = folder / "results" / series / "dataset.h5"
    if not dataset.is_file():
        raise InputError(f"{dataset}: missing; run the workflow on the copies first")
    planted = read_planted(folder / "planted.ecsv")
    stars, bins = [], []
    with DatasetReader(original) as before, DatasetReader(dataset) as after:
        rows = _find(planted, after)
        frames = after.table("frames")
        relative = planted.relative(frames)
        usable = (frames["flags"] & UNUSABLE) == 0
        for method in after.methods:
            if method not in before.methods:
                continue
            scale = _common_scale(before, after, method, planted)
            found = [
                _score_star(after, method, int(row), planted.level[k] * scale * relative[k], relative[k], usable)
                for k, row in enumerate(rows)
            ]
            stars += [{"method": method, **_facts(planted, k), **one} for k, one in enumerate(found)]
            bins += _bins(method, planted, rows, found)
    return InjectionScores(_columns(bins, _BIN_COLUMNS), _columns(stars, _STAR_COLUMNS))


def write_scores(folder: str | Path, scores: InjectionScores) -> None:
    """Write ``injection.csv`` (per method, catalogue and magnitude) and ``injection_stars.csv`` (per star)."""
    write_columns(Path(folder) / "injection.csv", scores.bins)
    write_columns(Path(folder) / "injection_stars.csv", scores.stars)


def _find(planted: PlantedStars, source: DatasetReader) -> np.ndarray:
    """Row of each planted star in the dataset; -1 where it was not found."""
    source_id = source.array("stars/source_id")
    x, y = source.array("stars/x_ref"), source.array("stars/y_ref")
    unknown = source_id < 0
    rows = np.full(len(planted), -1)
    for k in range(len(planted)):
        if planted.known[k]:
            own = np.flatnonzero(source_id == planted.source_id[k])
        else:
            distance = np.where(unknown, np.hypot(x - planted.x_ref[k], y - planted.y_ref[k]), np.inf)
            own = np.flatnonzero(distance <= _SAME_PIX)
            own = own[np.argsort(distance[own], kind="stable")]
        if own.size:
            rows[k] = own[0]
    return rows


def _common_scale(before: DatasetReader, after: DatasetReader, method: str, planted: PlantedStars) -> float:
    """Calibrated flux in the second dataset over that in the first, of stars that both have and nobody planted."""
    first, second = (source.array("stars/source_id") for source in (before, after))
    common, old, new = np.intersect1d(first, second, return_indices=True)
    real = (common >= 0) & ~np.isin(common, planted.source_id)
    ids = [source.array("frames/frame_id").astype(str) for source in (before, after)]
    _, *columns = np.intersect1d(ids[0], ids[1], return_indices=True)
    levels = []
    for source, rows, frames in ((before, old[real], columns[0]), (after, new[real], columns[1])):
        flux, flags = (source.grid(f"{method}/{name}")[()][np.ix_(rows, frames)] for name in ("flux_cal", "flags"))
        levels.append(np.where((flags & NOT_GOOD) == 0, flux, np.nan))
    both = np.isfinite(levels[0]) & np.isfinite(levels[1])
    if both.sum() < _LEAST_COMMON:
        raise InputError(f"{method}: too few stars are common to both measurements; repeat the injection")
    sums = [np.where(both, level, 0.0).sum(axis=1) for level in levels]
    bright = (sums[0] > np.percentile(sums[0], 70)) & (sums[1] > 0)
    return float(np.median(sums[1][bright] / sums[0][bright]))


def _score_star(
    source: DatasetReader, method: str, row: int, truth: np.ndarray, relative: np.ndarray, usable: np.ndarray
) -> dict[str, Any]:
    """Numbers of one planted star; NaN where there are too few points."""
    numbers = ("bias_mag", "scatter_mag", "expected_mag", "pull", "pull_scatter", "event", "event_err")
    result: dict[str, Any] = {"found": row >= 0, "n_points": 0, "n_possible": int(usable.sum())}
    result |= {"pulls": np.zeros(0), "own_pulls": np.zeros(0), **dict.fromkeys(numbers, float("nan"))}
    if row < 0:
        return result
    flux, error, flags = (source.grid(f"{method}/{name}")[row] for name in ("flux_cal", "flux_cal_err", "flags"))
    good = usable & ((flags & NOT_GOOD) == 0) & np.isfinite(flux) & (error > 0)
    result["n_points"] = int(good.sum())
    if good.sum() < _LEAST_POINTS:
        return result
    flux, error, truth, relative = flux[good].astype(float), error[good].astype(float), truth[good], relative[good]
    weight = (truth / error) ** 2
    ratio = (weight * flux / truth).sum() / weight.sum()
    pulls = (flux - truth) / error
    own = (flux - ratio * truth) / error * np.sqrt(len(flux) / (len(flux) - 1))
    result |= {
        "bias_mag": -2.5 * np.log10(ratio) if ratio > 0 else float("nan"),
        "scatter_mag": MAG_PER_RELATIVE * robust_scatter(flux / truth),
        "expected_mag": MAG_PER_RELATIVE * float(np.median(error / truth)),
        "pull": float(np.median(pulls)),
        "pull_scatter": float(np.std(own)),
        "pulls": pulls,
        "own_pulls": own,
    }
    if np.ptp(relative) > 0:
        result["event"], result["event_err"] = _event(flux, error, truth / relative, relative)
    return result


def _event(flux: np.ndarray, error: np.ndarray, level: np.ndarray, relative: np.ndarray) -> tuple[float, float]:
    """Size of an event over the true one, with the star's level free, and its error."""
    design = np.stack([level / error, level * (relative - 1.0) / error], axis=1)
    covariance = np.linalg.pinv(design.T @ design)
    base, event = covariance @ design.T @ (flux / error)
    return float(event / base), float(np.sqrt(covariance[1, 1])) / float(abs(base))


def _facts(planted: PlantedStars, k: int) -> dict[str, Any]:
    names = ("source_id", "known", "kind", "mag", "x_ref", "y_ref")
    return {name: getattr(planted, name)[k] for name in names}


def _bins(method: str, planted: PlantedStars, rows: np.ndarray, found: list[dict]) -> list[dict[str, Any]]:
    low = np.floor(planted.mag / _BIN_MAG).astype(int)
    table = []
    for known in (True, False):
        for number in np.unique(low):
            own = np.flatnonzero((low == number) & (planted.known == known))
            if own.size:
                table.append(_bin(method, known, number * _BIN_MAG, [found[k] for k in own], rows[own]))
    return table


def _bin(method: str, known: bool, low: float, stars: list[Mapping], rows: np.ndarray) -> dict[str, Any]:
    measured = [star for star in stars if np.isfinite(star["bias_mag"])]
    bias = np.array([star["bias_mag"] for star in measured])
    pulls = np.concatenate([np.zeros(0), *(star["pulls"] for star in measured)])
    own = np.concatenate([np.zeros(0), *(star["own_pulls"] for star in measured)])
    events = np.array([(star["event"] - 1) / star["event_err"] for star in measured if np.isfinite(star["event"])])
    n_points = sum(star["n_points"] for star in stars)
    possible = sum(star["n_possible"] for star in stars if star["found"])
    return {
        "method": method,
        "known": known,
        "mag_low": low,
        "mag_high": low + _BIN_MAG,
        "n_stars": len(stars),
        "n_found": int((rows >= 0).sum()),
        "completeness": float((rows >= 0).mean()),
        "n_points": n_points,
        "good_points": n_points / possible if possible else float("nan"),
        "bias_mag": _median(bias),
        "bias_err_mag": float(np.std(bias, ddof=1) / np.sqrt(bias.size)) if bias.size > 1 else float("nan"),
        "scatter_mag": _median([star["scatter_mag"] for star in measured]),
        "expected_mag": _median([star["expected_mag"] for star in measured]),
        "pull": _median(pulls),
        "pull_scatter": robust_scatter(pulls),
        "pull_scatter_in_star": robust_scatter(own),
        "beyond_5_sigma": float((np.abs(own) > 5).mean()) if own.size else float("nan"),
        "n_events": len(events),
        "event_pull_scatter": MAD_TO_SIGMA * _median(np.abs(events)),
    }


def _median(values: np.ndarray | list[float]) -> float:
    return float(np.median(values)) if len(values) else float("nan")


_BIN_COLUMNS = {
    "method": ("", "method of photometry"),
    "known": ("", "whether the catalogue had the stars; else they had to be found on the reference image"),
    "mag_low": ("mag", "magnitudes from, on the scale of Gaia G"),
    "mag_high": ("mag", "magnitudes to"),
    "n_stars": ("", "planted stars"),
    "n_found": ("", "of these, in the catalogue of the series"),
    "completeness": ("", "part of the planted stars that is in the catalogue of the series"),
    "n_points": ("", "good points: calibrated, and spoiled by no flag"),
    "good_points": ("", "part of the usable frames with a good point, of stars that were found"),
    "bias_mag": ("mag", "median over the stars of measured - true magnitude"),
    "bias_err_mag": ("mag", "its one-sigma error, from the scatter of the stars"),
    "scatter_mag": ("mag", "median over the stars of the robust scatter of their points about the truth"),
    "expected_mag": ("mag", "median over the stars of their predicted error"),
    "pull": ("sigma", "median of (measured - true flux) / error"),
    "pull_scatter": ("sigma", "robust scatter of the same: 1 = the errors hold"),
    "pull_scatter_in_star": ("sigma", "the same with each star's own mean taken off, as light curves are used"),
    "beyond_5_sigma": ("", "part of these beyond five sigma"),
    "n_events": ("", "transits and microlensing events that were measured"),
    "event_pull_scatter": ("sigma", "robust scatter of (measured / true size of the event - 1) / error"),
}
_STAR_COLUMNS = {
    "method": ("", "method of photometry"),
    "source_id": ("", "number of the planted star"),
    "known": ("", "whether the catalogue had the star"),
    "kind": ("", "constant, transit or microlensing"),
    "mag": ("mag", "magnitude on the scale of Gaia G"),
    "x_ref": ("pixel", "column on the reference image"),
    "y_ref": ("pixel", "row on the reference image"),
    "found": ("", "whether the star is in the catalogue of the series"),
    "n_points": ("", "good points"),
    "bias_mag": ("mag", "measured - true magnitude, weighted mean of the points"),
    "scatter_mag": ("mag", "robust scatter of the points about the truth"),
    "expected_mag": ("mag", "median of the predicted errors"),
    "pull": ("sigma", "median of (measured - true flux) / error"),
    "pull_scatter": ("sigma", "standard deviation of the same with the star's own mean taken off"),
    "event": ("", "size of the event over the true one; NaN for a constant star"),
    "event_err": ("", "its one-sigma error"),
}


def _columns(rows: list[dict[str, Any]], schema: Mapping[str, tuple[str, str]]) -> Columns:
    columns = {}
    for name, (unit, text) in schema.items():
        values = [row[name] for row in rows]
        kind = object if values and isinstance(values[0], str) else None
        columns[name] = (np.array(values, dtype=kind), unit, text)
    return columns
