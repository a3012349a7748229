"""Which target files a field of TESS has, and which cadence each of them is of."""

import csv
import glob
import json
import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from gaiaflux.io.tess.target_head import USUAL_CADENCE_S, TargetHead, read_head
from gaiaflux.model.errors import InputError
from gaiaflux.model.status import OK
from gaiaflux.workflow.frames import FrameFile, files_of_globs, frame_id_of
from gaiaflux.workflow.ledger import Ledger, read_ledger

__all__ = ["FIELD_SERIES", "field_of", "find_targets", "ledgers_of_field", "left_out", "prf_files", "series_of"]

FIELD_SERIES = "tess/[A-Za-z0-9_-]+/c[0-9]+"
"""Pattern of `series_of`."""


def series_of(field: str, cadence_s: int) -> str:
    """Folder of a dataset of TESS below ``results``, by which rules and ledgers name it.

    Parameters
    ----------
    field : str
        Name of the field.
    cadence_s : int
        Seconds between the frames.

    Returns
    -------
    str
    """
    return f"tess/{field}/c{cadence_s}"


def field_of(series: str) -> str:
    """Name of the field of a dataset, as of `series_of`."""
    return series.split("/")[1]


def ledgers_of_field(field: str, folder: str | Path = ".") -> dict[str, Ledger]:
    """What the last run wrote down of a field.

    Parameters
    ----------
    field : str
        Name of the field.
    folder : str or Path
        Working directory.

    Returns
    -------
    dict of str to Ledger
        By `series_of`.
    """
    results = Path(folder) / "results"
    own = results / "tess" / field
    paths = sorted([*own.glob("c*/ledger.json"), *own.glob("s*/c*/ledger.json")])
    found = {path.parent.relative_to(results).as_posix(): read_ledger(path) for path in paths}
    return {series: ledger for series, ledger in found.items() if ledger}


def left_out(series: str, folder: str | Path = ".") -> str:
    """What a run says of the targets that are not in a dataset, or of images that gave no frame.

    Parameters
    ----------
    series : str
        As of `series_of`.
    folder : str or Path
        Working directory.

    Returns
    -------
    str
        A sentence; empty where all are there.
    """
    for kind in ("targets", "images"):
        path = Path(folder, "results", series, f"{kind}.csv")
        if not path.is_file():
            continue
        with path.open(newline="", encoding="utf-8") as stream:
            status = [row["status"] for row in csv.DictReader(stream)]
        lost = sum(text != OK for text in status)
        return f"{series}: {lost} of {len(status)} {kind} left out; {path} says why" if lost else ""
    return ""


def prf_files(folder: str | None, made: Collection[str] = ()) -> list[str]:
    """Files of a folder of pixel response functions, at any depth.

    Parameters
    ----------
    folder : str or None
        As configured; None: there is none.
    made : collection of str
        Files that the workflow itself makes; they count as if they were there.

    Returns
    -------
    list of str
        Sorted.

    Raises
    ------
    InputError
        There is no such folder, or nothing in it.
    """
    if folder is None:
        return []
    there = glob.glob(f"{glob.escape(folder)}/**/*prf*.fits", recursive=True)
    coming = [path for path in made if path.startswith(f"{folder.rstrip('/')}/")]
    found = sorted({*map(os.path.normpath, there), *coming})
    if not found:
        raise InputError(
            f"no file of a pixel response function (*prf*.fits) in '{folder}'; correct prf_folder, or "
            "leave it out to measure the function in the data"
        )
    return found


def find_targets(
    name: str, field: Mapping, made: Collection[str] = (), folder: str | Path = "."
) -> dict[str, list[FrameFile]]:
    """Target files of a field, by the dataset that they belong to.

    Parameters
    ----------
    name : str
        Name of the field.
    field : mapping
        Its configuration.
    made : collection of str
        Files that the workflow itself makes; they count as if they were there.
    folder : str or Path
        Working directory.

    Returns
    -------
    dict of str to list of FrameFile
        By `series_of`, sorted by name. Of two versions of one file the newest data release counts; its `overrides` name
        the others as ``instead_of``. A file whose head does not tell whether its star is among the targets is there
        too; its `overrides` hold the targets as JSON (``only``).

    Raises
    ------
    InputError
        A pattern that matches nothing, no file at all, two files of one name, or no pixel response functions.
    """
    prf_files(field.get("prf_folder"), made)
    paths: dict[str, None] = {}
    for key in ("tpfs", "cutouts"):
        patterns = field.get(key, [])
        patterns = [patterns] if isinstance(patterns, str) else patterns
        paths.update(dict.fromkeys(files_of_globs(f"tess.{name}.{key}", patterns, made, folder)))
    if not paths:
        if field.get("ffis"):
            return {}
        raise InputError(
            f"tess.{name}: nothing to measure; give target pixel files (tpfs), cut-outs (cutouts) or full-frame images "
            "(ffis)"
        )
    heads = {path: read_head(Path(folder) / path) for path in paths}
    chosen = _newest(heads)
    found: dict[str, list[FrameFile]] = {}
    taken: dict[str, str] = {}
    for path, others in sorted(chosen.items()):
        remark = _decided_later(heads[path], field["targets"])
        if not remark and not _is_wanted(heads[path], field["targets"]):
            continue
        frame_id = frame_id_of(path)
        if frame_id in taken:
            raise InputError(
                f"tess.{name}: '{taken[frame_id]}' and '{path}' have one name and are not the same; rename one of them"
            )
        taken[frame_id] = path
        series = series_of(name, heads[path].cadence_s or USUAL_CADENCE_S)
        remark |= {"instead_of": ", ".join(others)} if others else {}
        found.setdefault(series, []).append(FrameFile(frame_id, path, remark))
    if not found:
        raise InputError(f"tess.{name}.targets: none of the {len(chosen)} files is of these targets")
    return {series: sorted(found[series], key=lambda one: one.frame_id) for series in sorted(found)}


def _newest(heads: Mapping[str, TargetHead]) -> dict[str, list[str]]:
    """Files that count, each with those in whose place it stands."""
    versions: dict[tuple, list[str]] = {}
    for path, head in sorted(heads.items(), key=lambda item: (item[1].data_release, item[0])):
        versions.setdefault(head.observation or (path,), []).append(path)
    return {paths[-1]: paths[:-1] for paths in versions.values()}


def _decided_later(head: TargetHead, targets: str | list | Mapping) -> dict[str, str]:
    """The targets, where the head does not tell whether its star is one of them."""
    if isinstance(targets, str):
        return {}
    unknown = math.isnan(head.tmag) and "tmag_max" in targets if isinstance(targets, Mapping) else not head.starid
    return {"only": json.dumps(targets)} if unknown else {}


def _is_wanted(head: TargetHead, targets: str | list | Mapping) -> bool:
    if isinstance(targets, str):
        return True
    if isinstance(targets, Mapping):
        return not head.tmag > targets.get("tmag_max", math.inf)
    return head.starid in targets
