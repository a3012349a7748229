"""A dataset as ECSV files, one for each of its tables; for small series, since text is large and slow."""

from pathlib import Path
from typing import Any

import numpy as np

from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.export.dataset_tables import Columns, dataset_tables, escape_text, unescape_text
from gaiaflux.model.errors import InputError

__all__ = ["MOST_VALUES", "read_ecsv_export", "write_ecsv_export"]

MOST_VALUES = 20_000_000
"""A dataset with more numbers is refused: use FITS or Parquet."""
_KIND = "gaiaflux_unit"


def write_ecsv_export(source: DatasetReader, folder: str | Path) -> None:
    """Write each table of a dataset.

    Parameters
    ----------
    source : DatasetReader
        Open dataset.
    folder : str or Path
        Gets ``{table}.ecsv``; it is made. The attributes are in the meta of each file. Texts are in printable ASCII
        (`escape_text`).

    Raises
    ------
    InputError
        The dataset is too large for text.
    """
    from astropy.table import Column, Table

    tables = dataset_tables(source)
    for table in tables:
        number = sum(int(np.prod(source.grid(path).shape, dtype=np.int64)) for path in table.paths.values())
        if number > MOST_VALUES:
            raise InputError(
                f"{table.name} has {number} values, too many for ECSV (at most {MOST_VALUES}); export fits or parquet"
            )
    Path(folder).mkdir(parents=True, exist_ok=True)
    attributes = {group: source.attributes(group) for group in ("/", *source.methods)}
    for table in tables:
        made = Table(meta={"attributes": attributes})
        for name, (values, unit, description) in table.read().items():
            if values.dtype == object:
                values = np.array([escape_text(text) for text in values], dtype=str)
            # astropy would write its own spelling of the unit.
            made[name] = Column(values, unit=_known_unit(unit), description=description, meta={_KIND: unit})
        made.write(Path(folder) / f"{table.name}.ecsv", format="ascii.ecsv", overwrite=True)


def _known_unit(unit: str) -> str | None:
    from astropy.units import Unit, UnrecognizedUnit

    return None if not unit or isinstance(Unit(unit, parse_strict="silent"), UnrecognizedUnit) else unit


def read_ecsv_export(folder: str | Path) -> tuple[dict[str, Columns], dict[str, dict[str, Any]]]:
    """Tables and attributes of what `write_ecsv_export` wrote.

    Parameters
    ----------
    folder : str or Path
        Folder of the files.

    Returns
    -------
    tables : dict of str to columns
        By the names of `dataset_tables`.
    attributes : dict of str to dict
        Of the file (``/``) and of each method.
    """
    from astropy.table import Table

    tables, attributes = {}, {}
    for path in sorted(Path(folder).glob("*.ecsv")):
        made = Table.read(path, format="ascii.ecsv")
        columns: Columns = {}
        for name in made.colnames:
            values = made[name]
            if values.dtype.kind == "U":
                # An empty text comes back masked.
                texts = values.filled("") if hasattr(values, "filled") else values
                found = np.array([unescape_text(str(text)) for text in texts], dtype=object)
            else:
                found = np.asarray(values)
            columns[name] = (found, values.meta[_KIND], values.description or "")
        tables[path.stem] = columns
        attributes = {group: dict(facts) for group, facts in made.meta["attributes"].items()}
    return tables, attributes
