"""A dataset as one FITS file of binary tables, written piece by piece."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.units import Unit, UnrecognizedUnit

from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.export.dataset_tables import Columns, DatasetTable, dataset_tables, escape_text, unescape_text

__all__ = ["read_fits_export", "write_fits_export"]

_BLOCK = 2880
# FITS has no half precision and no signed bytes: the next larger type is stored, and TDTYPn says what they were.
_STORED = {"float16": "float32", "int8": "int16", "bool": "bool"}
_CODES = {"uint8": "B", "int16": "I", "int32": "J", "uint32": "J", "int64": "K", "float32": "E", "float64": "D"}
# Unsigned integers are stored as signed ones with an offset.
_UINT32_ZERO = 2**31
_ATTRIBUTES = "ATTRIBUTES"


def write_fits_export(source: DatasetReader, path: str | Path) -> None:
    """Write all tables and attributes of a dataset.

    Parameters
    ----------
    source : DatasetReader
        Open dataset; it is read in blocks of stars.
    path : str or Path
        File to write.

    Notes
    -----
    One binary table per table of `dataset_tables`, named in upper case, with TUNITn (TGUNIn for a unit that the
    standard does not know, such as electron/s) and, as TCOMMn, the description.
    Texts are in printable ASCII (`escape_text`). Attributes are in a table of their own, values as JSON.
    """
    with Path(path).open("wb") as stream:
        primary = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)])
        primary["ORIGIN"] = ("gaiaflux", "tables of a dataset")
        stream.write(primary.tostring().encode("ascii"))
        for table in dataset_tables(source):
            widths = _widths(table)
            first = next(table.blocks())
            header, dtype = _describe(table.name.upper(), first, widths, table.rows)
            stream.write(header.tostring().encode("ascii"))
            written = 0
            for columns in table.blocks():
                written += stream.write(_rows(columns, dtype).tobytes())
            stream.write(b"\0" * (-written % _BLOCK))
        _write_attributes(stream, source)


def _write_attributes(stream: BinaryIO, source: DatasetReader) -> None:
    rows = [
        (group, key, json.dumps(value))
        for group in ("/", *source.methods)
        for key, value in source.attributes(group).items()
    ]
    names = ("group", "key", "value")
    columns = {name: (np.array([row[k] for row in rows], dtype=object), "", "") for k, name in enumerate(names)}
    widths = {name: _width(values) for name, (values, _, _) in columns.items()}
    header, dtype = _describe(_ATTRIBUTES, columns, widths, len(rows))
    stream.write(header.tostring().encode("ascii"))
    data = _rows(columns, dtype).tobytes()
    stream.write(data + b"\0" * (-len(data) % _BLOCK))


def _widths(table: DatasetTable) -> dict[str, int]:
    """Characters of each text column."""
    texts = [name for name, (values, _, _) in table.read(0, 0).items() if values.dtype == object]
    return {name: _width(table.source.array(table.paths[name])) for name in texts}


def _width(values: np.ndarray) -> int:
    return max([1, *(len(escape_text(text)) for text in values)])


def _describe(name: str, columns: Columns, widths: Mapping[str, int], rows: int) -> tuple[fits.Header, np.dtype]:
    """Header of a table, and the layout of its rows."""
    fields: list[tuple] = []
    cards: list[tuple[str, str | int]] = []
    for number, (key, (values, unit, description)) in enumerate(columns.items(), 1):
        if values.dtype == object:
            fields.append((key, f"S{widths[key]}"))
            form, kind = f"{widths[key]}A", "text"
        else:
            kind = values.dtype.name
            stored = _STORED.get(kind, kind)
            count = int(np.prod(values.shape[1:], dtype=int))
            form = f"{'' if values.ndim == 1 else count}{'L' if stored == 'bool' else _CODES[stored]}"
            base = {"bool": "S1", "uint32": ">i4"}.get(stored) or np.dtype(stored).newbyteorder(">")
            fields.append((key, base, values.shape[1:]))
            if stored == "uint32":
                cards += [(f"TZERO{number}", _UINT32_ZERO), (f"TSCAL{number}", 1)]
        cards += [(f"TTYPE{number}", key), (f"TFORM{number}", form), (f"TDTYP{number}", kind)]
        if unit and _is_fits_unit(unit):
            cards.append((f"TUNIT{number}", unit))
        elif unit:
            # Not among the units of the standard (electron): readers would complain about TUNIT.
            cards.append((f"TGUNI{number}", unit))
        cards += [(f"TCOMM{number}", description)] if description else []
        if values.ndim > 2:
            cards.append((f"TDIM{number}", str(values.shape[:0:-1]).replace(" ", "")))
    dtype = np.dtype(fields)
    header = fits.Header([("XTENSION", "BINTABLE"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", dtype.itemsize)])
    for key, value in [("NAXIS2", rows), ("PCOUNT", 0), ("GCOUNT", 1), ("TFIELDS", len(fields)), ("EXTNAME", name)]:
        header[key] = value
    for key, value in cards:
        header[key] = value
    return header, dtype


def _is_fits_unit(unit: str) -> bool:
    return not isinstance(Unit(unit, format="fits", parse_strict="silent"), UnrecognizedUnit)


def _rows(columns: Columns, dtype: np.dtype) -> np.ndarray:
    """Rows as FITS stores them."""
    count = len(next(iter(columns.values()))[0])
    rows = np.zeros(count, dtype=dtype)
    for key, (values, _, _) in columns.items():
        if values.dtype == object:
            rows[key] = [escape_text(text).encode("ascii") for text in values]
        elif values.dtype == bool:
            rows[key] = np.where(values, b"T", b"F")
        elif values.dtype == np.uint32:
            rows[key] = values.astype(np.int64) - _UINT32_ZERO
        else:
            rows[key] = values
    return rows


def read_fits_export(path: str | Path) -> tuple[dict[str, Columns], dict[str, dict[str, Any]]]:
    """Tables and attributes of what `write_fits_export` wrote.

    Parameters
    ----------
    path : str or Path
        FITS file.

    Returns
    -------
    tables : dict of str to columns
        By the names of `dataset_tables`; values in their first types.
    attributes : dict of str to dict
        Of the file (``/``) and of each method.
    """
    tables: dict[str, Columns] = {}
    attributes: dict[str, dict] = {}
    with fits.open(path) as hdus:
        for hdu in hdus[1:]:
            columns: Columns = {}
            for number, name in enumerate(hdu.columns.names, 1):
                kind, values = hdu.header[f"TDTYP{number}"], hdu.data[name]
                if kind == "text":
                    values = np.array([unescape_text(str(text)) for text in values], dtype=object)
                else:
                    values = np.asarray(values).astype(kind)
                    if hdu.header[f"TFORM{number}"][:-1] == "1":
                        values = values.reshape(len(values), *_dimensions(hdu.header.get(f"TDIM{number}", "(1)")))
                unit = str(hdu.header.get(f"TUNIT{number}", hdu.header.get(f"TGUNI{number}", "")))
                text = str(hdu.header.get(f"TCOMM{number}", ""))
                columns[name] = (values, unit, text)
            if hdu.name == _ATTRIBUTES:
                for group, key, value in zip(*(values for values, _, _ in columns.values()), strict=True):
                    attributes.setdefault(group, {})[key] = json.loads(value)
            else:
                tables[hdu.name.lower()] = columns
    return tables, attributes


def _dimensions(tdim: str) -> tuple[int, ...]:
    return tuple(int(text) for text in tdim.strip("()").split(","))[::-1]
