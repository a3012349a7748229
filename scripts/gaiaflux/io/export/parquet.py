"""Tables as Parquet files; units and descriptions are in the metadata of the columns."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.export.dataset_tables import dataset_tables

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ParquetStream", "read_parquet", "write_parquet", "write_parquet_export"]

Columns = Mapping[str, tuple[np.ndarray, str, str]]


def _arrow(values: np.ndarray) -> "pa.Array":
    import pyarrow as pa

    if values.dtype == object:
        return pa.array(values.tolist(), pa.string())
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    for size in values.shape[:0:-1]:
        flat = pa.FixedSizeListArray.from_arrays(flat, size)
    return flat


class ParquetStream:
    """Write a table in pieces; each piece becomes a row group.

    Parameters
    ----------
    path : str or Path
        File to write.
    meta : mapping of str to str
        Metadata of the table.
    dictionaries : sequence of str
        Text columns whose values repeat.
    """

    def __init__(
        self, path: str | Path, meta: Mapping[str, str] | None = None, dictionaries: tuple[str, ...] = ()
    ) -> None:
        self._path, self._meta, self._dictionaries = Path(path), dict(meta or {}), dictionaries
        self._writer: Any = None

    def write(self, columns: Columns) -> None:
        """Append rows.

        Parameters
        ----------
        columns : mapping of str to (values, unit, description)
            Arrays of one length, texts as objects; the same names and types in every piece. A column of more
            dimensions becomes lists of fixed size. NaN stays NaN.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        arrays, fields = [], []
        for name, (values, unit, description) in columns.items():
            array = _arrow(np.asarray(values))
            meta = {"unit": unit, "description": description}
            fields.append(pa.field(name, array.type, nullable=False, metadata=meta))
            arrays.append(array)
        schema = pa.schema(fields, metadata=self._meta)
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._path, schema, compression="zstd", use_dictionary=list(self._dictionaries)
            )
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

    def __enter__(self) -> "ParquetStream":
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()


def write_parquet(path: str | Path, columns: Columns, meta: Mapping[str, str] | None = None) -> None:
    """Write a whole table; see `ParquetStream.write`."""
    with ParquetStream(path, meta) as stream:
        stream.write(columns)


def read_parquet(path: str | Path) -> tuple[dict[str, tuple[np.ndarray, str, str]], dict[str, str]]:
    """Columns and metadata of what `write_parquet` or `ParquetStream` wrote.

    Parameters
    ----------
    path : str or Path
        Parquet file.

    Returns
    -------
    columns : dict of str to (values, unit, description)
        Texts as arrays of str objects.
    meta : dict of str to str
        Metadata of the table.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns = {}
    for field in table.schema:
        meta = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        columns[field.name] = (_numpy(table[field.name]), meta.get("unit", ""), meta.get("description", ""))
    return columns, {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}


def _numpy(column: "pa.ChunkedArray") -> np.ndarray:
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
        return np.array(column.to_pylist(), dtype=object)
    shape: list[int] = []
    kind = column.type
    while pa.types.is_fixed_size_list(kind):
        shape.append(kind.list_size)
        kind = kind.value_type
    values = np.concatenate([np.zeros(0, kind.to_pandas_dtype()), *_flat(column)])
    return values.astype(kind.to_pandas_dtype()).reshape(len(column), *shape)


def _flat(column: "pa.ChunkedArray") -> Iterator[np.ndarray]:
    import pyarrow as pa

    for chunk in column.chunks:
        while pa.types.is_fixed_size_list(chunk.type):
            chunk = chunk.flatten()
        yield chunk.to_numpy(zero_copy_only=False)


def write_parquet_export(source: DatasetReader, folder: str | Path) -> None:
    """Write each table of a dataset.

    Parameters
    ----------
    source : DatasetReader
        Open dataset; it is read in blocks of stars.
    folder : str or Path
        Gets ``{table}.parquet``; it is made. ``lightcurves`` and ``{method}_lightcurves`` have one row per star and
        frame, with star_id and frame_id, sorted by both's order in the dataset; a row group holds whole stars. The
        attributes are in the metadata ``attributes`` of each file, as JSON.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    attributes = {group: source.attributes(group) for group in ("/", *source.methods)}
    frame_id = source.array("frames/frame_id")
    for table in dataset_tables(source):
        long = table.name.endswith("lightcurves")
        with ParquetStream(
            Path(folder) / f"{table.name}.parquet",
            {"attributes": json.dumps(attributes)},
            ("frame_id",) if long else (),
        ) as stream:
            for columns in table.blocks():
                stream.write(_one_row_per_point(columns, frame_id) if long else columns)


def _one_row_per_point(columns: dict[str, tuple[np.ndarray, str, str]], frame_id: np.ndarray) -> Columns:
    star_id, unit, description = columns["star_id"]
    return {
        "star_id": (np.repeat(star_id, len(frame_id)), unit, description),
        "frame_id": (np.tile(frame_id, len(star_id)), "", "name of the frame"),
        **{
            name: (values.reshape(-1), unit, text)
            for name, (values, unit, text) in columns.items()
            if name != "star_id"
        },
    }
