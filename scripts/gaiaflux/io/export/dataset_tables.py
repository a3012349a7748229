"""A dataset as a few tables, for formats that know nothing of HDF5's groups."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gaiaflux.io.dataset import DatasetReader

__all__ = ["PER_STAR", "Columns", "DatasetTable", "dataset_tables", "escape_text", "unescape_text"]

Columns = dict[str, tuple[np.ndarray, str, str]]
"""Name -> (values, unit, description)."""

PER_STAR = (
    "ensemble_status",
    "recommended_radius",
    "held_out_scatter",
    "expected_scatter",
    "noise_photon",
    "noise_background",
    "noise_zero_point",
    "noise_scintillation",
    "noise_total",
    "scatter",
)
"""Arrays of a method with one value per star: where a series has as many stars as frames their shape does not tell."""
_BLOCK_VALUES = 1_000_000  # numbers of one array in memory at once


@dataclass(frozen=True)
class DatasetTable:
    """Arrays of a dataset that have their first axis in common.

    Attributes
    ----------
    name : str
        ``frames``, ``stars``, ``{method}_frames``, ``{method}_stars`` or ``{method}_lightcurves``: a row of the last is
        a star, its columns hold one value per frame, in the order of the table ``frames``. ``lightcurves``: the same of
        what belongs to no method.
    rows : int
        Their number.
    source : DatasetReader
        Where the arrays are.
    paths : dict of str to str
        Column -> place in the dataset; ``star_id`` or ``frame_id`` come first.
    block_rows : int
        Rows that fit the memory.
    """

    name: str
    rows: int
    source: DatasetReader
    paths: dict[str, str]
    block_rows: int

    def read(self, first: int = 0, last: int | None = None) -> Columns:
        """Columns of some rows, by default of all; texts as objects."""
        return {
            name: (self.source.rows(path, first, self.rows if last is None else last), *self.source.described(path))
            for name, path in self.paths.items()
        }

    def blocks(self) -> Iterator[Columns]:
        """The whole table piece by piece; one piece without rows where it has none."""
        for first in range(0, max(self.rows, 1), self.block_rows):
            yield self.read(first, min(first + self.block_rows, self.rows))


def dataset_tables(source: DatasetReader) -> list[DatasetTable]:
    """All arrays of a dataset, each of them in one table.

    Parameters
    ----------
    source : DatasetReader
        Open dataset.

    Returns
    -------
    list of DatasetTable
        Frames and stars first.

    Raises
    ------
    ValueError
        An array that belongs to neither.
    """
    shapes = {group: source.shapes(group) for group in ("frames", "stars", *source.methods)}
    n_frames, n_stars = shapes["frames"]["frame_id"][0], shapes["stars"]["star_id"][0]
    tables = [
        DatasetTable(
            group, rows, source, {name: f"{group}/{name}" for name in _first(shapes[group], key)}, max(rows, 1)
        )
        for group, key, rows in (("frames", "frame_id", n_frames), ("stars", "star_id", n_stars))
    ]
    block = max(256, _BLOCK_VALUES // max(n_frames, 1) // 256 * 256)
    if source.arrays:
        common = {"star_id": "stars/star_id", **{name: name for name in source.arrays}}
        tables.append(DatasetTable("lightcurves", n_stars, source, common, block))
    for method in source.methods:
        kinds: dict[str, dict[str, str]] = {
            "frames": {"frame_id": "frames/frame_id"},
            "stars": {"star_id": "stars/star_id"},
            "lightcurves": {"star_id": "stars/star_id"},
        }
        for name, shape in shapes[method].items():
            if shape == (n_stars, n_frames):
                kind = "lightcurves"
            elif shape[:1] == (n_frames,) and name not in PER_STAR:
                kind = "frames"
            elif shape[:1] == (n_stars,):
                kind = "stars"
            else:
                raise ValueError(f"{method}/{name} of shape {shape} belongs neither to stars nor to frames")
            kinds[kind][name] = f"{method}/{name}"
        for kind, rows, step in (
            ("frames", n_frames, max(n_frames, 1)),
            ("stars", n_stars, max(n_stars, 1)),
            ("lightcurves", n_stars, block),
        ):
            tables.append(DatasetTable(f"{method}_{kind}", rows, source, kinds[kind], step))
    return tables


def _first(names: dict[str, tuple[int, ...]], key: str) -> list[str]:
    return [key, *(name for name in names if name != key)]


def escape_text(text: str) -> str:
    """Text in printable ASCII: control characters, others than ASCII, backslashes and outer blanks as in Python."""
    inner = text.encode("unicode_escape").decode("ascii")
    body = inner.strip(" ")
    if not body:
        return inner.replace(" ", "\\x20")
    left = len(inner) - len(inner.lstrip(" "))
    return "\\x20" * left + body + "\\x20" * (len(inner) - left - len(body))


def unescape_text(text: str) -> str:
    """What `escape_text` was given."""
    return text.encode("ascii").decode("unicode_escape")
