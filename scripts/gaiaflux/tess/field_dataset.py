"""One dataset of all targets of a field and cadence: rows are stars, columns are cadences."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gaiaflux.io.dataset import FORMAT, FRAME_COLUMNS, SCHEMA_VERSION, STAR_COLUMNS, DatasetWriter
from gaiaflux.model.columns import Column
from gaiaflux.model.flags import FrameFlag, StarFlag
from gaiaflux.model.method import COMMON_FACTS, MEASUREMENTS, Method
from gaiaflux.model.status import OK
from gaiaflux.model.tess_catalog import TessCatalog
from gaiaflux.series.dataset_facts import dataset_facts
from gaiaflux.series.method_choice import first_method_that_measures, write_choice
from gaiaflux.series.star_summary import star_blocks
from gaiaflux.tess.field_members import FieldFrames, Member, find_members, frames_of_members, open_members
from gaiaflux.tess.scene import ZERO_POINT

__all__ = ["assemble_field"]

LOG = logging.getLogger(__name__)
FAMILY, SYSTEM = "tess", "TESS T"
_NOT_OBSERVED = -1
_AS_MEASURED = "no ensemble corrects the fluxes"
_STAR_COLUMNS = {
    "tmag": Column("f8", "mag", "TESS magnitude; NaN where unknown"),
    "tmag_err": Column("f8", "mag", "one-sigma error of tmag"),
    "tmag_source": Column("text", "", "'catalogue', or the bands of the relation that gave tmag"),
    "teff": Column("f8", "K", "effective temperature; NaN where unknown"),
    "paths": Column("text", "", "files of the star's pixels, separated by ', '"),
}
"""Columns of ``/stars`` that only fields of TESS have."""
_QUALITY = Column("i4", "", f"quality bits of the mission, unchanged; {_NOT_OBSERVED} = not observed")
_SCALES = {
    "flux_cal": Column(MEASUREMENTS["flux"].dtype, "count/s", f"flux on the series' common scale: {_AS_MEASURED}"),
    "flux_cal_err": Column(MEASUREMENTS["flux"].dtype, "count/s", "one-sigma error of flux_cal"),
}
_COPIED = {"flux_cal": "flux", "flux_cal_err": "flux_err"}
_FIELD_FACTS = {
    "family": FAMILY,
    "magnitude_system": SYSTEM,
    "catalog_magnitude": "tmag",
    "catalog_band": "T",
}
_METHOD_FACTS: dict[str, str | int | float] = {
    "magnitude_system": SYSTEM,
    "zero_point_scatter_mag": float("nan"),
    "zero_point_n_stars": 0,
    "calibration": _AS_MEASURED,
}


class _Grid(NamedTuple):
    """Datasets of the file that are filled, the array of the targets that they take, and what stands where it lacks."""

    datasets: tuple[Any, ...]
    array: str
    nothing: float


def assemble_field(
    path: str | Path,
    series: str,
    batches: Sequence[str | Path],
    catalog: TessCatalog,
    methods: Sequence[Method],
    config: Mapping[str, Any],
    catalog_sha256: str,
) -> list[dict[str, Any]]:
    """Write the dataset of a field, in memory that does not grow with the number of its targets.

    Parameters
    ----------
    path : str or Path
        File to write.
    series : str
        Its name.
    batches : sequence of path
        Files of `gaiaflux.tess.batch.measure_targets`.
    catalog : TessCatalog
        Has all stars that were measured.
    methods : sequence of Method
        Each of which every batch has.
    config : mapping
        Settings that decide the numbers, stored as JSON.
    catalog_sha256 : str
        Checksum of the catalogue's file.

    Returns
    -------
    list of dict
        One for each target, measured or not: `gaiaflux.tess.field_members.TARGET_COLUMNS`.
    """
    members, table = find_members(batches)
    frames = frames_of_members(members)
    stars = np.unique(np.array([member.star_id for member in members], np.int64))
    with DatasetWriter(path) as out:
        out.attributes({"format": FORMAT, "schema_version": SCHEMA_VERSION, "series": series, **dataset_facts(config)})
        left_out = {row["member"]: row["status"] for row in table if row["status"] != OK}
        out.attributes({"n_targets": len(table), "left_out": json.dumps(left_out), **_FIELD_FACTS})
        out.attributes({"catalog_sha256": catalog_sha256, "catalog_source": catalog.source})
        out.stars(_star_columns(stars, catalog, members), {**STAR_COLUMNS, **_STAR_COLUMNS})
        found = _write_arrays(out, methods, members, frames, stars)
        _write_frames(out, frames.columns, found)
    _say_left_out(table)
    return table


def _say_left_out(table: Sequence[Mapping[str, Any]]) -> None:
    lost = [row for row in table if row["status"] != OK]
    for row in lost:
        LOG.warning("%s: left out: %s", row["member"], row["status"])
    LOG.log(
        logging.WARNING if lost else logging.INFO,
        "%d of %d targets are in the dataset, %d left out%s",
        *(len(table) - len(lost), len(table), len(lost), ": targets.csv says why" if lost else ""),
    )


def _star_columns(stars: np.ndarray, catalog: TessCatalog, members: Sequence[Member]) -> dict[str, np.ndarray]:
    chosen = catalog[np.searchsorted(catalog.star_id, stars)]
    paths: dict[int, list[str]] = {}
    for member in members:
        paths.setdefault(member.star_id, []).append(str(member.attrs["path"]))
    unknown = np.full(len(stars), np.nan)
    return {
        **chosen.columns(),
        "mag": unknown,  # of Gaia; that of TESS has a column of its own
        "tmag": chosen.mag,
        "tmag_err": chosen.mag_err,
        "tmag_source": chosen.mag_source.astype(object),
        "paths": np.array([", ".join(paths[star]) for star in stars.tolist()], object),
        **dict.fromkeys(("x_ref", "y_ref", "mag_ref"), unknown),
        "place": np.zeros(len(stars), np.int8),
    }


def _write_arrays(
    out: DatasetWriter, methods: Sequence[Method], members: Sequence[Member], frames: FieldFrames, stars: np.ndarray
) -> dict[str, np.ndarray]:
    """Fill the arrays of stars and frames in blocks of stars; returns how many stars each method measured in a frame.

    The entry of the empty name counts stars that any method measured.
    """
    shape = (len(stars), len(frames.columns["frame_id"]))
    grids = {"": [_grid(out, {"mission_quality": _QUALITY}, shape, "quality")]}
    for method in methods:
        grids[method.name] = [
            _grid(out, {f"{method.name}/{key}": one for key, one in columns.items()}, shape, f"{method.name}_{name}")
            for name, columns in _arrays_of(method).items()
        ]
    found = {name: np.zeros(shape[1], np.int64) for name in grids}
    points = {method.name: np.zeros(shape[0], np.int64) for method in methods}
    for part in star_blocks(*shape):
        rows = {star: row for row, star in enumerate(stars[part].tolist())}
        mine = sorted((m for m in members if m.star_id in rows), key=lambda m: (str(m.batch), m.name))
        measured = np.zeros((len(rows), shape[1]), bool)
        for name, arrays in grids.items():
            for grid in arrays:
                block = _read_block(grid, mine, rows, frames)
                for dataset in grid.datasets:
                    dataset[part] = block
                if grid.array == f"{name}_flux":
                    flux = np.isfinite(block)
                    found[name] += flux.sum(axis=0)
                    points[name][part] = flux.sum(axis=1)
                    measured |= flux
        found[""] += measured.sum(axis=0)
    write_choice(out, list(points), *first_method_that_measures(np.stack(list(points.values()))))
    for method in methods:
        _write_scale(out, method.name, found[method.name], len(stars), _zero_point(members))
    return found


def _arrays_of(method: Method) -> dict[str, dict[str, Column]]:
    """Datasets that each array of a method goes to."""
    found = {name: {name: column} for name, column in {**method.arrays, **method.star_facts}.items()}
    for name, column in _SCALES.items():
        found[_COPIED[name]][name] = column
    return found


def _grid(out: DatasetWriter, columns: Mapping[str, Column], shape: tuple[int, int], array: str) -> _Grid:
    made, nothing = [], np.nan
    for name, column in columns.items():
        unit = "electron/s" if column.unit == "count/s" else column.unit
        made.append(out.grid(name, shape, column.dtype, unit, column.description))
        if column.dtype[0] != "f":
            nothing = _NOT_OBSERVED if column is _QUALITY else StarFlag.NOT_MEASURED
    return _Grid(tuple(made), array, nothing)


def _read_block(grid: _Grid, members: Sequence[Member], rows: Mapping[int, int], frames: FieldFrames) -> np.ndarray:
    """What the targets have of an array, rows are stars."""
    first = grid.datasets[0]
    block = np.full((len(rows), first.shape[1]), grid.nothing, first.dtype)
    for member, batch in open_members(members):
        if grid.array in batch.names(member.name):
            at = frames.of(member, batch.array(member.name, "cadenceno"))
            block[rows[member.star_id], at] = batch.array(member.name, grid.array)
    return block


def _zero_point(members: Sequence[Member]) -> dict[str, str | float]:
    """Nominal zero point of the targets; NaN where they are of several telescopes."""
    stated = {float(member.attrs["zero_point"]) for member in members} or {ZERO_POINT}
    if len(stated) > 1:
        return {"zero_point_mag": float("nan"), "zero_point_note": "the files are of several telescopes"}
    return {"zero_point_mag": stated.pop(), "zero_point_note": "the nominal one of the telescope"}


def _write_scale(
    out: DatasetWriter, method: str, found: np.ndarray, n_stars: int, zero_point: Mapping[str, str | float]
) -> None:
    """No frame differs from another: what the spacecraft sees passes no air."""
    n_frames = len(found)

    def texts(values: np.ndarray | list[str]) -> np.ndarray:
        return np.array(values, object)

    out.attributes({**_METHOD_FACTS, **zero_point}, method)
    out.array(f"{method}/pscale", np.ones(n_frames), "", f"scale of each frame; 1: {_AS_MEASURED}")
    out.array(f"{method}/epscale", np.zeros(n_frames), "", "one-sigma error of pscale")
    for name, values in (
        ("status", texts(np.where(found > 0, OK, "no star was measured").tolist())),
        ("n_measured", found.astype(np.int32)),
    ):
        out.array(f"{method}/{name}", values, "", COMMON_FACTS[name].description)
    text = "ok, or why the frame was not brought to the common scale"
    out.array(f"{method}/calibration_status", texts([_AS_MEASURED] * n_frames), "", text)
    text = "'used', why left out of the ensemble, or empty for no candidate"
    out.array(f"{method}/ensemble_status", texts([""] * n_stars), "", text)


def _write_frames(out: DatasetWriter, frames: dict[str, np.ndarray], found: Mapping[str, np.ndarray]) -> None:
    n_measured = found[""]
    frames["n_measured"] = n_measured
    frames["flags"] = frames["flags"] | np.where(n_measured == 0, FrameFlag.NOT_MEASURED, 0).astype(np.uint32)
    frames["status"] = np.where(n_measured == 0, "no star was measured", OK).astype(object)
    out.table("frames", frames, FRAME_COLUMNS)
