"""Light curves of the targets that a user names."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gaiaflux.core.sky.timing import StarMotion, barycentric_jd_tdb
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.export.light_curves import write_ecsv, write_rows, write_tom_csv
from gaiaflux.model.errors import InputError
from gaiaflux.model.flags import NOT_GOOD
from gaiaflux.model.methods import method_named, methods_named
from gaiaflux.model.settings.target import TargetSettings
from gaiaflux.model.status import OK
from gaiaflux.series.magnitudes import magnitudes_of_star, method_scale, scale_facts
from gaiaflux.series.method_choice import methods_of_stars

__all__ = [
    "MATCH_RADIUS_ARCSEC",
    "MATCH_RADIUS_PIX",
    "TARGET_TABLE",
    "Match",
    "export_targets",
    "match_target",
    "match_targets",
]

MATCH_RADIUS_ARCSEC = 2.0
"""A position means the nearest star within this distance."""
MATCH_RADIUS_PIX = 2.0
"""The same for a position on the reference image."""
TARGET_TABLE = "_targets.csv"
"""File in the folder of the light curves that says for each target which star it is, or why it has no light curve."""

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Match:
    """The star that a target is.

    Attributes
    ----------
    row : int
        Row of the dataset; -1 where there is no star.
    distance : float
        From the given position to the star; 0 for a target given by its number.
    unit : str
        Of the distance: ``arcsec`` or ``pixel``; empty for a target given by its number.
    status : str
        ``ok``, or why there is no star.
    """

    row: int
    distance: float
    unit: str
    status: str


def match_target(target: TargetSettings, stars: Columns, mid_mjd: float, shape: tuple[int, int] | None) -> Match:
    """Find the star of a target.

    Parameters
    ----------
    target : TargetSettings
        A sky position is compared with the stars at J2000, at their reference epoch and in the middle of the series,
        since a catalogue of the user may be of any.
    stars : mapping of str to ndarray
        Columns of ``/stars``.
    mid_mjd : float
        Middle of the series, Modified Julian Date.
    shape : tuple of int or None
        (ny, nx) of the reference image; None where unknown.

    Returns
    -------
    Match
        With `row` -1 where the position is in the field but has no star.

    Raises
    ------
    InputError
        A number that no star has, a position outside of the field, or neither.
    """
    name = target.name
    for key, number in (("source_id", target.source_id), ("star_id", target.star_id)):
        if number is not None:
            rows = np.flatnonzero(stars[key] == number)
            if rows.size == 0:
                raise InputError(
                    f"target {name}: no star of this series has {key} {number}; correct it, or give ra_deg and dec_deg"
                )
            return Match(int(rows[0]), 0.0, "", OK)
    if target.x_pix is not None and target.y_pix is not None:
        x, y = target.x_pix, target.y_pix
        distance = np.hypot(stars["x_ref"] - x, stars["y_ref"] - y)
        unit, limit, where = "pixel", MATCH_RADIUS_PIX, f"x_pix {x:g}, y_pix {y:g}"
    elif target.ra_deg is not None and target.dec_deg is not None:
        ra, dec = target.ra_deg, target.dec_deg
        distance = _separation_arcsec(stars, ra, dec, mid_mjd)
        x, y = _to_reference(stars, ra, dec)
        unit, limit, where = "arcsec", MATCH_RADIUS_ARCSEC, f"ra_deg {ra:g}, dec_deg {dec:g}"
    else:
        raise InputError(f"target {name}: give source_id, star_id, ra_deg and dec_deg, or x_pix and y_pix")
    known = np.where(np.isfinite(distance), distance, np.inf)
    row = int(np.argmin(known)) if known.size else -1
    if row >= 0 and known[row] <= limit:
        return Match(row, float(known[row]), unit, OK)
    if shape is not None and not (np.isnan(x) or _is_inside(x, y, shape)):
        place = f" (column {x:.0f}, row {y:.0f} of {shape[1]} x {shape[0]})" if np.isfinite(x) else ""
        raise InputError(
            f"target {name}: {where} is outside of the reference image{place}; "
            "correct the position or remove the target"
        )
    nearest = f"; the nearest is star_id {stars['star_id'][row]} at {known[row]:.1f} {unit}" if row >= 0 else ""
    return Match(-1, float("nan"), unit, f"no star within {limit:g} {unit} of {where}{nearest}")


def _is_inside(x: float, y: float, shape: tuple[int, int]) -> bool:
    return -0.5 <= x < shape[1] - 0.5 and -0.5 <= y < shape[0] - 0.5


def _separation_arcsec(stars: Columns, ra: float, dec: float, mid_mjd: float) -> np.ndarray:
    """Distance to each star, the least of three epochs [arcsec]."""
    best = np.full(len(stars["ra_deg"]), np.inf)
    mid = 2000.0 + (mid_mjd - 51544.5) / 365.25 if np.isfinite(mid_mjd) else 2016.0
    for epoch in (2000.0, stars["ref_epoch"], mid):
        years = epoch - stars["ref_epoch"]
        south = np.deg2rad(stars["dec_deg"])
        north = stars["dec_deg"] + np.nan_to_num(stars["pmdec"]) * years / 3.6e6
        east = stars["ra_deg"] + np.nan_to_num(stars["pmra"]) * years / 3.6e6 / np.maximum(np.cos(south), 1e-6)
        # Haversine: exact for the small distances that matter.
        half = np.sin(np.deg2rad(north - dec) / 2) ** 2
        half += np.cos(np.deg2rad(north)) * np.cos(np.deg2rad(dec)) * np.sin(np.deg2rad(east - ra) / 2) ** 2
        best = np.fmin(best, 2 * np.rad2deg(np.arcsin(np.sqrt(np.clip(half, 0, 1)))) * 3600.0)
    return best


def _to_reference(stars: Columns, ra: float, dec: float) -> tuple[float, float]:
    """Place on the reference image by a linear fit of the stars'; NaN with fewer than 3 stars, infinite if far away.

    Good to some pixels, for a position to be called inside or outside of the image.
    """
    known = np.isfinite(stars["x_ref"]) & np.isfinite(stars["y_ref"])
    if known.sum() < 3:
        return float("nan"), float("nan")
    ra0, dec0 = np.deg2rad(stars["ra_deg"][known][0]), np.deg2rad(stars["dec_deg"][known][0])

    def plane(ra_deg: np.ndarray, dec_deg: np.ndarray) -> np.ndarray:
        a, d = np.deg2rad(ra_deg) - ra0, np.deg2rad(dec_deg)
        depth = np.sin(dec0) * np.sin(d) + np.cos(dec0) * np.cos(d) * np.cos(a)
        depth = np.where(depth > 0.1, depth, np.nan)
        north = (np.cos(dec0) * np.sin(d) - np.sin(dec0) * np.cos(d) * np.cos(a)) / depth
        return np.stack([np.ones_like(depth), np.cos(d) * np.sin(a) / depth, north], axis=-1)

    here = plane(np.array([ra]), np.array([dec]))
    if not np.isfinite(here).all():
        return float("inf"), float("inf")
    design = plane(stars["ra_deg"][known], stars["dec_deg"][known])
    fit, *_ = np.linalg.lstsq(design, np.stack([stars["x_ref"][known], stars["y_ref"][known]], axis=-1), rcond=None)
    x, y = (here @ fit)[0]
    return float(x), float(y)


def match_targets(source: DatasetReader, targets: Sequence[TargetSettings]) -> list[Match]:
    """Find the star of each target of a series.

    Parameters
    ----------
    source : DatasetReader
        Dataset.
    targets : sequence of TargetSettings

    Returns
    -------
    list of Match
        In the order of the targets.

    Raises
    ------
    InputError
        A target that cannot be in this series.
    """
    stars = source.stars()
    columns = {name: source.array(f"frames/{name}") for name in ("frame_id", "mjd_utc", "nx", "ny")}
    reference = np.flatnonzero(columns["frame_id"] == source.attributes().get("reference_frame_id"))
    shape = (int(columns["ny"][reference[0]]), int(columns["nx"][reference[0]])) if reference.size else None
    times = columns["mjd_utc"][np.isfinite(columns["mjd_utc"])]
    mid = float(np.median(times)) if times.size else float("nan")
    return [match_target(target, stars, mid, shape) for target in targets]


def export_targets(dataset: str | Path, targets: Sequence[TargetSettings], folder: str | Path) -> None:
    """Write ``{name}.ecsv`` and ``{name}.csv`` of each target, and a table of the targets.

    The first has all methods of photometry, the second the one that the dataset recommends for the star; the first and
    the table say which, and why.

    Parameters
    ----------
    dataset : str or Path
        Dataset of the series.
    targets : sequence of TargetSettings
    folder : str or Path
        Where to write; it is made. `TARGET_TABLE` lists every target, also one without a star.

    Raises
    ------
    InputError
        A target that cannot be in this series; nothing is written then.
    """
    folder = Path(folder)
    with DatasetReader(dataset) as source:
        frames, stars = source.table("frames"), source.stars()
        matches = match_targets(source, targets)
        folder.mkdir(parents=True, exist_ok=True)
        methods, reasons = methods_of_stars(source)
        rows = []
        for target, match in zip(targets, matches, strict=True):
            row = {"name": target.name, "status": match.status}
            if match.row >= 0:
                recommended = {"method": methods[match.row], "method_reason": reasons[match.row]}
                _write_target(folder, target.name, match, recommended, source, frames, stars)
                row |= {key: stars[key][match.row].item() for key in ("star_id", "source_id", "ra_deg", "dec_deg")}
                row |= {"distance": f"{match.distance:.3f}", "distance_unit": match.unit, **recommended}
            rows.append(row)
    names = ("name", "status", "star_id", "source_id", "ra_deg", "dec_deg", "distance", "distance_unit")
    write_rows(folder / TARGET_TABLE, (*names, "method", "method_reason"), rows)


def _write_target(
    folder: Path,
    name: str,
    match: Match,
    recommended: Mapping[str, str],
    source: DatasetReader,
    frames: Columns,
    stars: Columns,
) -> None:
    """Write the files of one target."""
    star = {key: stars[key][match.row].item() for key in stars}
    motion = StarMotion(star["pmra"], star["pmdec"], star["parallax"], star["ref_epoch"])
    bjd = barycentric_jd_tdb(frames["mjd_tdb"], frames["observer_au"], star["ra_deg"], star["dec_deg"], motion)
    columns = {
        "frame_id": (frames["frame_id"], "", "name of the frame"),
        "mjd_utc": (frames["mjd_utc"], "d", "mid-exposure at the observatory, Modified Julian Date, UTC"),
        "bjd_tdb": (bjd, "d", "mid-exposure at the barycentre of the solar system for this star, Julian Date, TDB"),
        "exptime_s": (frames["exptime_s"], "s", "exposure time"),
        "frame_flags": (frames["flags"], "", "bits of the frame flags"),
    }
    attributes = source.attributes()
    meta = {
        "target": name,
        "series": attributes["series"],
        **{key: star[key] for key in ("star_id", "source_id", "ra_deg", "dec_deg", "ref_epoch", "pmra", "pmdec")},
        "match_distance": match.distance,
        "match_distance_unit": match.unit,
        "filters": sorted(set(frames["filter"]) - {""}),
        "versions": json.loads(str(attributes["versions"])),
        "catalog_sha256": attributes["catalog_sha256"],
        "sky_coordinates": attributes.get("sky_coordinates", "Gaia"),
        "methods": {},
    }
    magnitudes = {}
    for method in (method.name for method in methods_named(source.methods)):
        added, facts, magnitudes[method] = _method_columns(source, method, match.row, star["colour"])
        columns |= added
        meta["methods"][method] = facts
        meta.setdefault("magnitude_system", facts["magnitude_system"])
    meta |= {f"recommended_{key}": text for key, text in recommended.items()}
    write_ecsv(folder / f"{name}.ecsv", columns, meta)
    mag, mag_err = magnitudes.get(recommended["method"], (np.full(len(bjd), np.nan), np.full(len(bjd), np.nan)))
    write_tom_csv(folder / f"{name}.csv", frames["mjd_utc"], frames["filter"].tolist(), mag, mag_err)


def _method_columns(
    source: DatasetReader, method: str, row: int, colour: float
) -> tuple[dict, dict, tuple[np.ndarray, np.ndarray]]:
    """Columns and facts of one method, and its magnitudes with their errors."""
    values = {
        key: source.grid(f"{method}/{key}")[row] for key in ("flux", "flux_err", "flux_cal", "flux_cal_err", "flags")
    }
    attributes = source.attributes(method)
    flux, error = values["flux_cal"].astype(float), values["flux_cal_err"].astype(float)
    scale = method_scale(source, method)
    mag, mag_err = magnitudes_of_star(scale, flux, error, colour)
    unit = source.grid(f"{method}/flux").attrs["unit"]
    columns = {
        f"{method}_flux": (values["flux_cal"], unit, "flux on the common scale of the series"),
        f"{method}_flux_err": (values["flux_cal_err"], unit, f"one-sigma error of {method}_flux"),
        f"{method}_flux_raw": (values["flux"], unit, "flux as measured"),
        f"{method}_mag": (mag, "mag", f"{scale.system} from {method}_flux; NaN where the flux is not positive"),
        f"{method}_mag_err": (mag_err, "mag", f"one-sigma error of {method}_mag, without that of the zero point"),
        f"{method}_flags": (values["flags"], "", "bits of the star flags"),
    }
    declared = method_named(method)
    further = {name: f"{name}_cal" for name, _ in declared.calibrated[1:]}
    further |= {f"{error}": f"{name}_cal_err" for name, error in declared.calibrated[1:]}
    for key, array in (further | {name: name for name in declared.in_light_curves}).items():
        grid = source.grid(f"{method}/{array}")
        columns[f"{method}_{key}"] = (grid[row], grid.attrs["unit"], grid.attrs["description"])
    facts = {
        **scale_facts(scale, colour),
        "calibration": attributes["calibration"],
        "ensemble": source.grid(f"{method}/ensemble_status").asstr()[row] or "not a candidate",
    }
    if f"{method}/radii_pix" in source:
        radius = int(source.grid(f"{method}/recommended_radius")[row])
        radii = source.grid(f"{method}/radii_pix")[:, radius]
        known = np.isfinite(radii)
        facts["radius_index"] = radius
        facts["median_radius_pix"] = float(np.median(radii[known])) if known.any() else float("nan")
    good = np.isfinite(flux) & (error > 0) & ((values["flags"] & NOT_GOOD) == 0)
    facts["n_good"] = int(good.sum())
    return columns, facts, (mag, mag_err)
