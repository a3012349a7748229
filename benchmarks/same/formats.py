"""What files hold, as mappings from places to values: HDF5, FITS, ECSV, CSV, Parquet, JSON, HTML, pictures, text.

Anything that is stored twice or says how it is stored is left out, so that only values count.
"""

import base64
import contextlib
import csv
import io
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import yaml
from astropy.io import fits
from values import Lines

__all__ = ["read_file"]

# Checksums and dates of writing; copied cards of the original image are in both trees' files.
_CARDS_LEFT_OUT = frozenset({"CHECKSUM", "DATASUM", "ZHECKSUM", "ZDATASUM", "DATE", ""})
_INTEGER = re.compile(r"[-+]?\d{1,19}")
_PICTURE = re.compile(r"data:image/([\w+]+);base64,([A-Za-z0-9+/=\s]+)")
_DRAWING_NAME = re.compile(r'(?:\bid="[^"]*"|url\(#[^)]*\)|href="#[^"]*")')


def read_file(path: Path, clean: Callable[[str], str] = str) -> dict[str, object]:
    """Values of a file by place.

    Parameters
    ----------
    path : Path
        File; its ending says what it is.
    clean : callable
        Takes out of a text what differs from run to run, such as the working directory.

    Returns
    -------
    dict of str to object
        Arrays, numbers, text and `Lines`.
    """
    readers = {
        ".h5": _hdf5,
        ".npz": _npz,
        ".ecsv": _ecsv,
        ".csv": _csv,
        ".parquet": _parquet,
        ".json": _json,
        ".yaml": _yaml,
        ".html": _html,
        ".png": _png,
        ".svg": _svg,
        ".txt": _text,
    }
    reader = _fits if re.search(r"\.(fits|fit|fts)(\.gz|\.fz)?$", path.name) else readers.get(path.suffix, _bytes)
    return {place: _cleaned(value, clean) for place, value in reader(path)}


def _cleaned(value: object, clean: Callable[[str], str]) -> object:
    if isinstance(value, Lines):
        return Lines(map(clean, value))
    if isinstance(value, np.ndarray) and value.dtype.kind in "OUS":
        text = [item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in value.ravel()]
        return np.array([clean(item) for item in text], dtype=str).reshape(value.shape)
    return clean(value) if isinstance(value, str) else value


def _flat(place: str, value: object) -> Iterator[tuple[str, object]]:
    """Leaves of nested mappings and lists; text that holds JSON is opened, lists of numbers are arrays."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(f"{place}/{key}" if place else str(key), inner)
    elif isinstance(value, list | tuple) and value:
        if all(isinstance(item, int | float) for item in value):
            yield place, np.array(value)
        elif all(isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str) for item in value):
            yield from _flat(place, dict(value))
        else:
            for number, inner in enumerate(value):
                yield from _flat(f"{place}[{number}]", inner)
    else:
        yield place, str(value) if isinstance(value, Mapping | list | tuple) else value


def _hdf5(path: Path) -> Iterator[tuple[str, object]]:
    with h5py.File(path) as file:
        names = ["/"]
        file.visit(names.append)
        for name in names:
            found = file[name]
            for key, value in found.attrs.items():
                value = value.item() if isinstance(value, np.generic) else value
                yield from _flat(f"{name}@{key}", value.decode() if isinstance(value, bytes) else value)
            if not isinstance(found, h5py.Dataset):
                continue
            if h5py.check_string_dtype(found.dtype):
                yield name, np.asarray(found.asstr()[()], dtype=object)
            elif found.dtype.names:
                yield from ((f"{name} {field}", found[()][field]) for field in found.dtype.names)
            else:
                yield name, np.asarray(found[()])


def _npz(path: Path) -> Iterator[tuple[str, object]]:
    with np.load(path) as file:
        yield from ((name, file[name]) for name in file.files)


def _fits(path: Path) -> Iterator[tuple[str, object]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path, memmap=False) as hdus:
            names = [f"{hdu.name or 'HDU'}" for hdu in hdus]
            yield "extensions", Lines(names)
            for number, (name, hdu) in enumerate(zip(names, hdus, strict=True)):
                place = f"[{name}]" if names.count(name) == 1 else f"[{number} {name}]"
                yield from _cards(place, hdu)
                if isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
                    yield from _fits_table(place, hdu)
                elif hdu.data is not None:
                    yield f"{place} pixels", np.asarray(hdu.data)


def _cards(place: str, hdu: fits.hdu.base.ExtensionHDU) -> Iterator[tuple[str, object]]:
    """Value and comment of each card; all cards of one keyword (HISTORY ...) together."""
    by_keyword: dict[str, list] = {}
    for card in hdu.header.cards:
        if card.keyword not in _CARDS_LEFT_OUT:
            by_keyword.setdefault(card.keyword, []).append(card)
    for keyword, cards in by_keyword.items():
        value = cards[0].value
        plain = len(cards) == 1 and isinstance(value, bool | int | float | str)
        yield f"{place} {keyword}", value if plain else Lines(str(card.value) for card in cards)
        comment = "; ".join(card.comment for card in cards if card.comment)
        if comment:
            yield f"{place} {keyword}@comment", comment


def _fits_table(place: str, hdu: fits.BinTableHDU) -> Iterator[tuple[str, object]]:
    names = hdu.columns.names
    if names == ["group", "key", "value"]:  # the attributes of a dataset, as the FITS export has them
        for group, key, value in hdu.data:
            yield from _flat(f"{place} {group}@{key}", _said(str(value)))
        return
    for name in names:
        column = np.asarray(hdu.data[name])
        if column.dtype == object:
            lengths = [np.size(item) for item in column]
            yield f"{place} {name}@lengths", np.array(lengths)
            column = np.concatenate([np.ravel(item) for item in column]) if sum(lengths) else np.empty(0)
        yield f"{place} {name}", column


def _said(text: str) -> str:
    """Text that was written as JSON, some exports with every backslash twice."""
    for written in (text, text.replace("\\\\", "\\")):
        with contextlib.suppress(ValueError):
            return str(json.loads(written)) if text[:1] == '"' else text
    return text


def _csv(path: Path) -> Iterator[tuple[str, object]]:
    with path.open(newline="", encoding="utf-8") as stream:
        yield from _columns(list(csv.reader(stream)))


def _columns(rows: list[list[str]]) -> Iterator[tuple[str, object]]:
    header, body = (rows[0], rows[1:]) if rows else ([], [])
    yield "columns", Lines(header)
    yield "number of rows", len(body)
    body = [row for row in body if len(row) == len(header)]
    for k, name in enumerate(header):
        yield name, _values([row[k] for row in body])


def _values(cells: list[str]) -> np.ndarray:
    """Integers, numbers (empty cells are NaN) or text."""
    if cells and all(map(_INTEGER.fullmatch, cells)):
        with contextlib.suppress(OverflowError, ValueError):
            return np.array(list(map(int, cells)), dtype=np.int64)
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return np.array(cells, dtype=object)


def _ecsv(path: Path) -> Iterator[tuple[str, object]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    n_header = next((k for k, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header = yaml.safe_load("\n".join(line[2:] for line in lines[:n_header] if not line.startswith("# %")))
    for column in header.get("datatype", []):
        yield from _flat(f"@{column['name']}", {k: v for k, v in column.items() if k not in ("name", "datatype")})
    yield from _flat("@meta", dict(header.get("meta", {})))
    delimiter = header.get("delimiter", " ")
    yield from _columns(list(csv.reader(lines[n_header:], delimiter=delimiter)))


def _parquet(path: Path) -> Iterator[tuple[str, object]]:
    from pyarrow import parquet

    table = parquet.read_table(path)
    for key, value in (table.schema.metadata or {}).items():
        if key not in (b"ARROW:schema", b"pandas"):
            yield from _flat(f"@{key.decode()}", value.decode())
    yield "columns", Lines(table.column_names)
    for name in table.column_names:
        for key, value in (table.schema.field(name).metadata or {}).items():
            if not key.startswith(b"PARQUET:"):
                yield f"{name}@{key.decode()}", value.decode()
        yield name, table[name].to_numpy()


def _json(path: Path) -> Iterator[tuple[str, object]]:
    yield from _flat("", json.loads(path.read_text(encoding="utf-8")))


def _yaml(path: Path) -> Iterator[tuple[str, object]]:
    yield from _flat("", yaml.safe_load(path.read_text(encoding="utf-8")))


def _text(path: Path) -> Iterator[tuple[str, object]]:
    yield "text", Lines(path.read_text(encoding="utf-8").splitlines())


def _bytes(path: Path) -> Iterator[tuple[str, object]]:
    yield "bytes", np.frombuffer(path.read_bytes(), np.uint8)


def _png(path: Path) -> Iterator[tuple[str, object]]:
    yield "pixels", _pixels(path.read_bytes())


def _pixels(content: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGBA"))


def _svg(path: Path) -> Iterator[tuple[str, object]]:
    yield from _drawing("drawing", path.read_text(encoding="utf-8"))


def _drawing(place: str, text: str) -> Iterator[tuple[str, object]]:
    """A drawing's own text without the names of its parts, and the pixels of the pictures in it."""
    for number, (kind, content) in enumerate(_PICTURE.findall(text)):
        yield from _picture(f"{place}, picture {number + 1} in it", kind, content)
    yield place, Lines(_DRAWING_NAME.sub("", _PICTURE.sub("", text)).splitlines())


def _picture(place: str, kind: str, content: str) -> Iterator[tuple[str, object]]:
    data = base64.b64decode(content)
    if kind == "svg+xml":
        yield from _drawing(place, data.decode("utf-8"))
    else:
        yield place, _pixels(data)


class _Page(HTMLParser):
    """Text of a page, line by line, and its embedded pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.pictures: list[tuple[str, str]] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the pictures of a tag, and note where no text follows."""
        self._hidden += tag in ("style", "script")
        for _, value in attrs:
            self.pictures += _PICTURE.findall(value or "")

    def handle_endtag(self, tag: str) -> None:
        """Text follows again."""
        self._hidden -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        """Take the text."""
        text = " ".join(data.split())
        if text and not self._hidden:
            self.lines.append(text)


def _html(path: Path) -> Iterator[tuple[str, object]]:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    yield "text", Lines(page.lines)
    yield "number of pictures", len(page.pictures)
    for number, (kind, content) in enumerate(page.pictures):
        yield from _picture(f"picture {number + 1}", kind, content)
