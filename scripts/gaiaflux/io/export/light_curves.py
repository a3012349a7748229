"""Light curves of single stars as text files."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["read_ecsv", "write_columns", "write_ecsv", "write_rows", "write_tom_csv"]


def write_ecsv(path: str | Path, columns: Mapping[str, tuple[np.ndarray, str, str]], meta: Mapping[str, Any]) -> None:
    """Write a light curve as ECSV; all digits of the numbers are kept.

    Parameters
    ----------
    path : str or Path
        File to write.
    columns : mapping of str to (values, unit, description)
        Arrays of one length; a unit that astropy does not know is put into the description.
    meta : mapping
        Facts about the star and the file: texts, numbers, mappings of them.
    """
    from astropy.table import Column, Table
    from astropy.units import Unit, UnrecognizedUnit

    table = Table(meta=dict(meta))
    for name, (values, unit, description) in columns.items():
        known = Unit(unit, parse_strict="silent") if unit else None
        if isinstance(known, UnrecognizedUnit):
            known, description = None, f"{description} [{unit}]"
        values = np.asarray(values)
        values = values.astype(str) if values.dtype == object else values
        table[name] = Column(values, unit=known, description=description)
    table.write(path, format="ascii.ecsv", overwrite=True)


def read_ecsv(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Columns and meta of what `write_ecsv` wrote."""
    from astropy.table import Table

    table = Table.read(path, format="ascii.ecsv")
    return {name: np.asarray(table[name]) for name in table.colnames}, dict(table.meta)


def write_tom_csv(
    path: str | Path, mjd_utc: np.ndarray, filters: Sequence[str], mag: np.ndarray, mag_err: np.ndarray
) -> None:
    """Write magnitudes in the columns of the TOM Toolkit's photometry upload.

    Parameters
    ----------
    path : str or Path
        CSV file with the columns time (Modified Julian Date, UTC, mid-exposure), filter, magnitude, error.
    mjd_utc, mag, mag_err : ndarray, shape (n,)
        Rows in which one of them is not finite are left out.
    filters : sequence of str
        Filter of each row.
    """
    rows = [
        {"time": repr(float(t)), "filter": f, "magnitude": f"{m:.5f}", "error": f"{e:.5f}"}
        for t, f, m, e in zip(mjd_utc, filters, mag, mag_err, strict=True)
        if np.isfinite(t) and np.isfinite(m) and np.isfinite(e)
    ]
    write_rows(path, ("time", "filter", "magnitude", "error"), rows)


def write_rows(path: str | Path, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a small table as CSV with a header line."""
    with Path(path).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_columns(path: str | Path, columns: Mapping[str, tuple[np.ndarray, str, str]]) -> None:
    """Write a table of many rows as CSV for people: angles with 8 decimals, other numbers with 7 digits, NaN empty.

    Parameters
    ----------
    path : str or Path
        File to write.
    columns : mapping of str to (values, unit, description)
        Arrays of one length; the names make the header line.
    """
    texts = [_texts(name, np.asarray(values)) for name, (values, _, _) in columns.items()]
    with Path(path).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*texts, strict=True))


def _texts(name: str, values: np.ndarray) -> list[str]:
    if values.dtype.kind != "f":
        return [str(value) for value in values.tolist()]
    form = "{:.8f}" if name.endswith("_deg") else "{:.7g}"
    return [form.format(value) if value == value else "" for value in values.tolist()]
