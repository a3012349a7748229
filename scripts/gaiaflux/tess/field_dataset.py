"""One dataset of all targets of a field and cadence: rows are stars, columns are cadences."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from gaiaflux.io.dataset import FORMAT, FRAME_COLUMNS, SCHEMA_VERSION, STAR_COLUMNS, DatasetWriter
from gaiaflux.model.columns import Column
from gaiaflux.model.flags import FrameFlag, StarFlag
from gaiaflux.model.method import COMMON_FACTS, Method
from gaiaflux.model.status import OK
from gaiaflux.model.tess_catalog import TessCatalog
from gaiaflux.series.dataset_facts import dataset_facts
from gaiaflux.series.method_choice import first_method_that_measures, write_choice
from gaiaflux.series.star_summary import star_blocks
from gaiaflux.tess.field_calibration import CcdStars, calibrate_method
from gaiaflux.tess.field_members import FieldFrames, Member, find_members, frames_of_members, open_members
from gaiaflux.tess.stamp.quality import POINTED_ELSEWHERE
from gaiaflux.tess.stamp.scene import ZERO_POINT

__all__ = ["Provenance", "assemble_field"]

LOG = logging.getLogger(__name__)
FAMILY, SYSTEM = "tess", "TESS T"
_NOT_OBSERVED = -1
_STAR_COLUMNS = {
    "tmag": Column("f8", "mag", "TESS magnitude; NaN where unknown"),
    "tmag_err": Column("f8", "mag", "one-sigma error of tmag"),
    "tmag_source": Column("text", "", "'catalogue', or the bands of the relation that gave tmag"),
    "teff": Column("f8", "K", "effective temperature; NaN where unknown"),
    "paths": Column("text", "", "files of the star's pixels, separated by ', '"),
    "ccd_places": Column(
        "text",
        "",
        "sector, camera and CCD as in frame_id, with column and row of the star there [pixel, 0-based], separated by "
        "', '; nan where not known",
    ),
}
"""Columns of ``/stars`` that only fields of TESS have."""
_QUALITY = Column("i4", "", f"quality bits of the mission, unchanged; {_NOT_OBSERVED} = not observed")
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
}


class Provenance(NamedTuple):
    """What a dataset says of where it is from, besides its targets.

    Attributes
    ----------
    catalog_sha256 : str
        Checksum of the catalogue's file.
    lost_images : mapping of str to str
        Full-frame images that gave no frame, and why.
    """

    catalog_sha256: str
    lost_images: Mapping[str, str] = MappingProxyType({})


class _Grid(NamedTuple):
    """Dataset of the file that is filled, the array of the targets that it takes, and what stands where it lacks."""

    dataset: Any
    array: str
    nothing: float


def assemble_field(
    path: str | Path,
    series: str,
    batches: Sequence[str | Path],
    catalog: TessCatalog,
    methods: Sequence[Method],
    config: Mapping[str, Any],
    provenance: Provenance,
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
        Settings that decide the numbers, stored as JSON: ``methods``, and ``ensemble``, whether fluxes are calibrated.
    provenance : Provenance

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
        left_out |= provenance.lost_images
        out.attributes({"n_targets": len(table), "left_out": json.dumps(left_out), **_FIELD_FACTS})
        out.attributes({"catalog_sha256": provenance.catalog_sha256, "catalog_source": catalog.source})
        columns = _star_columns(stars, catalog, members)
        out.stars(columns, {**STAR_COLUMNS, **_STAR_COLUMNS})
        found = _write_arrays(out, methods, members, frames, stars)
        ccds = _ccds(members, frames, stars)
        scales = []
        for method in methods:
            _write_facts(out, method.name, found[method.name], _zero_point(members))
            scales.append(
                calibrate_method(out, method.name, ccds, columns["tmag"], frames.columns, enabled=config["ensemble"])
            )
        _write_frames(out, frames.columns, found, np.isfinite(np.stack(scales)).any(axis=0))
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
    places: dict[int, list[str]] = {}
    for member in members:
        paths.setdefault(member.star_id, []).append(str(member.attrs["path"]))
        column, row = member.place
        places.setdefault(member.star_id, []).append(f"{FieldFrames.name_of(member.ccd)} {column:.2f} {row:.2f}")
    unknown = np.full(len(stars), np.nan)
    return {
        **chosen.columns(),
        "mag": unknown,  # of Gaia; that of TESS has a column of its own
        "tmag": chosen.mag,
        "tmag_err": chosen.mag_err,
        "tmag_source": chosen.mag_source.astype(object),
        "paths": np.array([", ".join(paths[star]) for star in stars.tolist()], object),
        "ccd_places": np.array([", ".join(sorted(places[star])) for star in stars.tolist()], object),
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
    grids = {"": [_grid(out, "mission_quality", _QUALITY, shape, "quality")]}
    for method in methods:
        grids[method.name] = [
            _grid(out, f"{method.name}/{name}", column, shape, f"{method.name}_{name}")
            for name, column in {**method.arrays, **method.star_facts}.items()
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
                grid.dataset[part] = block
                if grid.array == f"{name}_flux":
                    flux = np.isfinite(block)
                    found[name] += flux.sum(axis=0)
                    points[name][part] = flux.sum(axis=1)
                    measured |= flux
        found[""] += measured.sum(axis=0)
    write_choice(out, list(points), *first_method_that_measures(np.stack(list(points.values()))))
    return found


def _ccds(members: Sequence[Member], frames: FieldFrames, stars: np.ndarray) -> list[CcdStars]:
    """Stars and frames of each CCD in each sector."""
    found = []
    given_up = (frames.columns["mission_quality"] & POINTED_ELSEWHERE) != 0
    given_up |= (frames.columns["flags"] & FrameFlag.NO_POINTING) != 0
    for ccd, (_, columns) in sorted(frames.places.items()):
        mine = [member for member in members if member.ccd == ccd]
        rows = np.searchsorted(stars, [member.star_id for member in mine])
        x, y = np.array([member.place for member in mine], np.float64).T
        shown = np.sort(columns)
        found.append(CcdStars(FieldFrames.name_of(ccd), shown, rows, x, y, given_up[shown]))
    return found


def _grid(out: DatasetWriter, name: str, column: Column, shape: tuple[int, int], array: str) -> _Grid:
    unit = "electron/s" if column.unit == "count/s" else column.unit
    nothing = np.nan
    if column.dtype[0] != "f":
        nothing = _NOT_OBSERVED if column is _QUALITY else StarFlag.NOT_MEASURED
    return _Grid(out.grid(name, shape, column.dtype, unit, column.description), array, nothing)


def _read_block(grid: _Grid, members: Sequence[Member], rows: Mapping[int, int], frames: FieldFrames) -> np.ndarray:
    """What the targets have of an array, rows are stars."""
    block = np.full((len(rows), grid.dataset.shape[1]), grid.nothing, grid.dataset.dtype)
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


def _write_facts(out: DatasetWriter, method: str, found: np.ndarray, zero_point: Mapping[str, str | float]) -> None:
    """What a method says of itself and of each frame, without the scales."""
    out.attributes({**_METHOD_FACTS, **zero_point}, method)
    status = np.where(found > 0, OK, "no star was measured").astype(object)
    for name, values in (("status", status), ("n_measured", found.astype(np.int32))):
        out.array(f"{method}/{name}", values, "", COMMON_FACTS[name].description)


def _write_frames(
    out: DatasetWriter, frames: dict[str, np.ndarray], found: Mapping[str, np.ndarray], scaled: np.ndarray
) -> None:
    n_measured = found[""]
    frames["n_measured"] = n_measured
    nothing = n_measured == 0
    found_here = np.where(nothing, FrameFlag.NOT_MEASURED, np.where(scaled, 0, FrameFlag.NO_CALIBRATION))
    frames["flags"] = frames["flags"] | found_here.astype(np.uint32)
    frames["status"] = np.where(nothing, "no star was measured", OK).astype(object)
    out.table("frames", frames, FRAME_COLUMNS)
