"""Which images a series has: from globs, or from a sheet."""

import csv
import glob
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from gaiaflux.model.errors import InputError
from gaiaflux.workflow.config import complete_and_check

__all__ = ["FrameFile", "find_frames", "frame_id_of"]

FITS_ENDING = re.compile(r"\.(fits|fit|fts)(\.(gz|fz))?$", re.IGNORECASE)


@dataclass(frozen=True)
class FrameFile:
    """One image of a series.

    Attributes
    ----------
    frame_id : str
        Unique in the series.
    path : str
        As configured: relative to the working directory, or absolute.
    overrides : dict
        What a sheet says instead of the header; keys are columns of ``frames.schema.yaml``.
    """

    frame_id: str
    path: str
    overrides: Mapping[str, str | float] = field(default_factory=dict)


def frame_id_of(path: str) -> str:
    """Base name of a file without its FITS endings.

    Parameters
    ----------
    path : str
        File name.

    Returns
    -------
    str
        Identifier of the frame; empty where the file's name has no FITS ending.
    """
    name = os.path.basename(path)
    ending = FITS_ENDING.search(name)
    return name[: ending.start()] if ending else ""


def find_frames(
    name: str, series: Mapping, row_schema: Mapping, made: Collection[str] = (), folder: str | Path = "."
) -> list[FrameFile]:
    """Images of a series, sorted by frame identifier.

    Parameters
    ----------
    name : str
        Name of the series, for messages.
    series : mapping
        Its configuration, with either `images` or `frames`.
    row_schema : mapping
        Schema of a sheet's row.
    made : collection of str
        Files that the workflow itself makes; they count as if they were there.
    folder : str or Path
        Working directory.

    Returns
    -------
    list of FrameFile
        At least one.

    Raises
    ------
    InputError
        Nothing found, a sheet that cannot be used, or two images with one identifier.
    """
    if "frames" in series:
        frames = _from_sheet(f"series.{name}.frames", series["frames"], row_schema, made, Path(folder))
    else:
        patterns = [series["images"]] if isinstance(series["images"], str) else series["images"]
        frames = [
            FrameFile(frame_id_of(path), path)
            for path in files_of_globs(f"series.{name}.images", patterns, made, folder)
        ]
    braced = next((frame.path for frame in frames if set(frame.path) & set("{}")), None)
    if braced:
        raise InputError(f"series.{name}: '{braced}' has a brace in its name, which no rule can take; rename it")
    _refuse_duplicates(name, frames)
    return sorted(frames, key=lambda frame: frame.frame_id)


def files_of_globs(key: str, patterns: Iterable[str], made: Collection[str], folder: str | Path) -> list[str]:
    paths: dict[str, None] = {}
    for pattern in patterns:
        there = glob.glob(pattern, root_dir=folder, recursive=True)
        coming = [path for path in made if fnmatchcase(path, os.path.normpath(pattern))]
        images = {os.path.normpath(path) for path in (*there, *coming) if frame_id_of(path)}
        if not images:
            remark = f"{len(there)} other files were skipped" if there else "nothing is there"
            raise InputError(
                f"{key}: no image matches '{pattern}' ({remark}); correct the pattern (relative paths start at the "
                "working directory; images end in .fits, .fit or .fts, and then .gz or .fz)"
            )
        paths.update(dict.fromkeys(sorted(images)))
    return list(paths)


def _from_sheet(key: str, sheet: str, row_schema: Mapping, made: Collection[str], folder: Path) -> list[FrameFile]:
    try:
        with open(folder / sheet, encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{key}: the sheet '{sheet}' cannot be read ({error})") from None
    if not rows:
        raise InputError(f"{key}: the sheet '{sheet}' has no rows")
    problems, frames = [], []
    for number, row in enumerate(rows, start=2):
        values = {column: _cell(column, text, row_schema) for column, text in row.items() if column and text}
        if None in row:
            problems.append(f"{key}: {sheet}, line {number}: more cells than the first line has columns")
        complete, found = complete_and_check(values, row_schema)
        path = os.path.normpath(str(values.get("path", "")))
        if not found and path not in made and not (folder / path).is_file():
            found = [f"path: there is no file '{path}' (relative paths start at the working directory)"]
        if not found and not (complete.get("frame_id") or frame_id_of(path)):
            found = [f"frame_id: missing, and '{path}' does not end like a FITS file"]
        problems += [f"{key}: {sheet}, line {number}: {sentence}" for sentence in found]
        if not problems:
            overrides = {column: value for column, value in complete.items() if column not in ("path", "frame_id")}
            frames.append(FrameFile(complete.get("frame_id") or frame_id_of(path), path, overrides))
    if problems:
        more = [f"{key}: {sheet}: {len(problems) - 10} more problems"] if len(problems) > 10 else []
        raise InputError("\n".join(problems[:10] + more))
    return frames


def _cell(column: str, text: str, row_schema: Mapping) -> str | float:
    text = text.strip()
    if row_schema["properties"].get(column, {}).get("type") == "number":
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _refuse_duplicates(name: str, frames: Iterable[FrameFile]) -> None:
    first: dict[str, str] = {}
    problems = []
    for frame in frames:
        other = first.setdefault(frame.frame_id, frame.path)
        if other != frame.path:
            problems.append(
                f"series.{name}: '{other}' and '{frame.path}' both have the frame_id '{frame.frame_id}'; "
                f"name the images in a sheet (series.{name}.frames) or narrow the pattern"
            )
    if problems:
        more = (
            [f"series.{name}: {len(problems) - 10} more pairs of images share a frame_id"] if len(problems) > 10 else []
        )
        raise InputError("\n".join(problems[:10] + more))
