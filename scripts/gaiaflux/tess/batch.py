"""Photometry of the targets of a batch: what the rule does around the measurement itself."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gaiaflux.core.sky.sphere import directions, separation_deg
from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.io.tess.target_head import read_head
from gaiaflux.model.cadences import TargetFile
from gaiaflux.model.errors import InputError
from gaiaflux.model.tess_catalog import TessCatalog
from gaiaflux.tess.inputs import open_target
from gaiaflux.tess.stamp.instrument import InstrumentFiles
from gaiaflux.tess.stamp.stamp_view import StampView
from gaiaflux.tess.stamp.target_group import target_group

__all__ = ["TargetFiles", "measure_targets"]

LOG = logging.getLogger(__name__)
NEAREST_ARCSEC = 21.0
"""A cut-out is of the nearest star of the catalogue, if it is within a pixel of its middle."""
OUTSIDE_PIX = 1.0
"""So far outside of its stamp a star may be."""


@dataclass(frozen=True)
class TargetFiles:
    """What the targets of a field have in common.

    Attributes
    ----------
    catalog : TessCatalog
    instrument : InstrumentFiles
        Response functions and pointings.
    saturated : str
        See `gaiaflux.tess.stamp.measurement.measure_methods`.
    """

    catalog: TessCatalog
    instrument: InstrumentFiles
    saturated: str = "aperture"


def measure_targets(
    members: Iterable[Mapping[str, Any]], files: TargetFiles, methods: Sequence[str], out: BatchWriter
) -> None:
    """Measure each target, or write down why it cannot be; what happens to one does not touch the others.

    Parameters
    ----------
    members : iterable of mapping
        frame_id (name), path and overrides (``instead_of``: versions in whose place it stands; ``only``: targets of the
        field as JSON, where the file does not tell whether its star is one of them) of each target file.
    files : TargetFiles
    methods : sequence of str
        Names of `gaiaflux.model.methods.TESS_METHODS`.
    out : BatchWriter
        Takes one group per target: its cadences, and ``{method}_{array}`` for what a method measured.
    """
    for member in members:
        name, path = str(member["frame_id"]), str(member["path"])
        try:
            attrs, arrays = _measure(path, files, methods, member["overrides"].get("only"))
        except (InputError, FileNotFoundError) as reason:
            LOG.warning("%s: %s", name, reason)
            attrs, arrays = {"status": str(reason), "path": path, **_stated(path)}, {}
        older = member["overrides"].get("instead_of")
        if older:
            remarks = json.loads(str(attrs.get("remarks", "[]")))
            attrs["remarks"] = json.dumps([*remarks, f"of a newer data release than {older}"])
        out.add(name, attrs, arrays)


def _measure(
    path: str, files: TargetFiles, methods: Sequence[str], only: str | None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    opened = open_target(path, files.catalog, files.instrument)
    file = opened.source.file
    view = StampView(opened.source, files.catalog, _star_of(file, files.catalog), opened.samples)
    _refuse_outside(view)
    if only:
        _refuse_others(view, json.loads(only))
    return target_group(view, opened.remarks, methods, path, files.saturated)


def _star_of(file: TargetFile, catalog: TessCatalog) -> int:
    """TIC number of the target of a file."""
    if file.starid:
        if file.starid not in catalog.star_id:
            reason = catalog.why_missing(file.starid)
            why = f"left out of the catalogue ({reason})" if reason else "not in the catalogue; add it"
            raise InputError(f"TIC {file.starid} of {file.path} is {why}, or leave the file out")
        return file.starid
    distance = 3600.0 * separation_deg(
        directions(catalog.ra_deg, catalog.dec_deg), directions([file.ra_deg], [file.dec_deg])[0]
    )
    row = int(np.argmin(distance))
    if distance[row] > NEAREST_ARCSEC:
        raise InputError(
            f"{file.path} is of no star: the nearest of the catalogue, TIC {catalog.star_id[row]}, is "
            f"{distance[row]:.0f} arcsec from RA_OBJ, DEC_OBJ; add the star to the catalogue"
        )
    return int(catalog.star_id[row])


def _refuse_outside(view: StampView) -> None:
    """Refuse a star that is not on the pixels of its file."""
    row, column = view.target_pos_row_stamp, view.target_pos_column_stamp
    rows, columns = view.stamp[1] - view.stamp[0], view.stamp[3] - view.stamp[2]
    if not (-OUTSIDE_PIX <= row <= rows - 1 + OUTSIDE_PIX and -OUTSIDE_PIX <= column <= columns - 1 + OUTSIDE_PIX):
        raise InputError(
            f"by the catalogue TIC {view.starid} lies at column {column:.1f}, row {row:.1f} of a stamp of {columns} x "
            f"{rows} pixels: outside of it; correct its position, or give a file of this star"
        )


def _refuse_others(view: StampView, targets: list[int] | Mapping[str, float]) -> None:
    """Refuse a star that is none of the targets of the field."""
    tmag = view.target["tmag"]
    if isinstance(targets, Mapping):
        if tmag > targets.get("tmag_max", np.inf):
            raise InputError(f"TIC {view.starid} has T = {tmag:.2f} by the catalogue, fainter than tmag_max")
    elif view.starid not in targets:
        raise InputError(f"of TIC {view.starid} by its place, which is not among the targets of the field")


def _stated(path: str) -> dict[str, Any]:
    """What the head of a file that cannot be used says of its target."""
    head = read_head(Path(path))
    stated = {name: getattr(head, name) for name in ("starid", "sector", "camera", "ccd")}
    known = {name: value for name, value in stated.items() if value}
    return known if np.isnan(head.tmag) else {**known, "tmag": head.tmag}
