"""Files of the light curves of a batch of targets, and which of them belong to a field."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gaiaflux.io.batch_file import BatchReader
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.model.flags import SPOILED
from gaiaflux.model.status import OK
from gaiaflux.tess.field_members import FieldFrames, Member
from gaiaflux.tess.stamp.products import write_curve
from gaiaflux.tess.stamp.target_group import KeptTarget, read_kept

__all__ = ["CURVE_COLUMNS", "remove_others", "write_light_curves"]

CURVE_COLUMNS = ("file", "member", "starid", "sector", "camera", "ccd", "method", "calibration")
"""Columns of the tables of light curves."""
_PATTERN = "tess*_lc.fits.gz"


class _Corrected:
    """Calibrated fluxes of a field by target.

    Parameters
    ----------
    source : DatasetReader
        File of `gaiaflux.tess.field_dataset.assemble_field`.
    """

    def __init__(self, source: DatasetReader) -> None:
        self._source = source
        self._rows = {int(star): row for row, star in enumerate(source.array("stars/star_id"))}
        ids = source.array("frames/frame_id")
        self._columns = {str(name): column for column, name in enumerate(ids)}
        self._status = {method: source.array(f"{method}/calibration_status") for method in source.methods}
        self._facts = {method: source.attributes(method) for method in source.methods}
        self.left_out = json.loads(str(source.attributes()["left_out"]))

    def of(self, member: Member, method: str, columns: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], str]:
        """Columns of a light curve with what the ensemble made of them, and what that says of itself."""
        prefix = FieldFrames.name_of(member.ccd)
        frames = np.array([self._columns[f"{prefix}-c{number:08d}"] for number in columns["cadenceno"].tolist()], int)
        row = self._rows[member.star_id]
        cal, error = (
            self._source.rows(f"{method}/{name}", row, row + 1)[0, frames].astype(np.float64)
            for name in ("flux_cal", "flux_cal_err")
        )
        added = {"flux_cal": cal, "flux_cal_err": error}
        as_measured = json.loads(str(self._facts[method]["ccds_as_measured"]))
        if prefix in as_measured:
            return columns | added, as_measured[prefix]
        solved = self._status[method][frames] == OK
        good = solved & np.isfinite(cal) & ((columns["flags"] & SPOILED) == 0)
        level = float(np.median(cal[good if good.any() else np.isfinite(cal)])) if np.isfinite(cal).any() else np.nan
        if level > 0:
            added |= {"flux_corr": 1e6 * (cal / level - 1.0), "flux_corr_err": 1e6 * error / level}
        n_stars = json.loads(str(self._facts[method]["ensembles"]))[prefix]["n_stars"]
        return columns | added, f"corrected by an ensemble of {n_stars} stars of the CCD"


def write_light_curves(batch: str | Path, dataset: str | Path, folder: str | Path) -> list[dict[str, Any]]:
    """Write the light curves of the targets of a batch, as measured and calibrated.

    Parameters
    ----------
    batch : str or Path
        File of `gaiaflux.tess.batch.measure_targets`.
    dataset : str or Path
        Of the field.
    folder : str or Path
        It is made.

    Returns
    -------
    list of dict
        `CURVE_COLUMNS` of each file that was written: one for each target that is in the dataset and each method that
        measured it.
    """
    written: list[dict[str, Any]] = []
    with BatchReader(batch) as source, DatasetReader(dataset) as field:
        corrected = _Corrected(field)
        for name in source.frame_ids:
            kept = None if name in corrected.left_out else read_kept(source, name)
            if kept is not None:
                member = Member(name, Path(batch), source.attrs(name))
                written += _write(kept, member, corrected, Path(folder))
    return written


def _write(kept: KeptTarget, member: Member, corrected: _Corrected, folder: Path) -> Iterable[dict[str, Any]]:
    sector, camera, ccd = member.ccd
    for method, measured in kept.columns.items():
        columns, said = corrected.of(member, method, measured)
        notes = kept.notes[method]
        remark = f"PDCSAP_FLUX, FLUX_CORR: {said}"
        notes = notes._replace(remarks=(*notes.remarks, remark))
        path = write_curve(kept.facts, columns, notes, folder, method)
        place = (member.star_id, sector, camera, ccd)
        yield dict(zip(CURVE_COLUMNS, (path.name, member.name, *place, method, said), strict=True))


def remove_others(folder: str | Path, tables: Sequence[str | Path]) -> list[dict[str, str]]:
    """Remove light curves of targets and methods that a field has no more.

    Parameters
    ----------
    folder : str or Path
        Of the light curves; it may be missing.
    tables : sequence of path
        CSV with the `CURVE_COLUMNS` of each batch.

    Returns
    -------
    list of dict
        Rows of all tables, by file.
    """
    rows: list[dict[str, str]] = []
    for path in tables:
        with Path(path).open(newline="", encoding="utf-8") as stream:
            rows += csv.DictReader(stream)
    mine = {row["file"] for row in rows}
    for path in Path(folder).glob(_PATTERN):
        if path.name not in mine:
            path.unlink()
    return sorted(rows, key=lambda row: row["file"])
