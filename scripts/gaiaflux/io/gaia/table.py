"""Tables of Gaia stars that a user brings: FITS, VOTable, ECSV, CSV and Parquet.

The ending of the name decides the format; a file that holds another one is refused and the message says which. Text
formats may be compressed by gzip (`.csv.gz`, `.ecsv.gz`, `.vot.gz`, also `.fits.gz`).
"""

import contextlib
import csv
import gzip
import itertools
import warnings
import zlib
from collections.abc import Callable
from dataclasses import replace
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gaiaflux.core.sky.sphere import directions, separation_deg, sky_of_direction
from gaiaflux.io.catalog_source import GAIA, CatalogSource
from gaiaflux.io.gaia.columns import Column, GaiaTable, catalog_from_columns, wanted_names
from gaiaflux.io.gaia.votable import columns_of_votable, is_votable, parse_votable
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.errors import InputError

if TYPE_CHECKING:
    import pyarrow
    from astropy.io import fits

__all__ = ["columns_of_table", "load_gaia_table", "read_gaia_table", "select_cone"]

Columns = tuple[dict[str, Column], list[str]]
_ENDINGS = {
    **dict.fromkeys((".fits", ".fit", ".fts"), "FITS"),
    **dict.fromkeys((".vot", ".votable", ".xml"), "VOTable"),
    ".ecsv": "ECSV",
    ".csv": "CSV",
    **dict.fromkeys((".parquet", ".pq"), "Parquet"),
}
_NO_VALUE = ("", "nan", "null", "none", "--", "n/a", "<na>")


def read_gaia_table(path: str | Path, source: CatalogSource = GAIA) -> SkyCatalog:
    """Read a table of stars, by default with Gaia's names.

    Required columns, in any case: source_id, ra, dec, phot_g_mean_mag. Used where they are there: pmra, pmdec,
    parallax, ref_epoch, phot_bp_mean_mag, phot_rp_mean_mag, bp_rp, ra_error, dec_error, pmra_error, pmdec_error, ruwe.
    What stands in for missing ones: see `gaiaflux.io.gaia.columns`.

    Parameters
    ----------
    path : str or Path
        File.
    source : CatalogSource, optional
        Says the names of the columns.

    Returns
    -------
    SkyCatalog
        Sorted by source_id; 0 <= ra < 360.

    Raises
    ------
    InputError
        The file cannot be read or used; one sentence says why.
    """
    return load_gaia_table(path, source).catalog


def load_gaia_table(path: str | Path, source: CatalogSource = GAIA) -> GaiaTable:
    """Read a table of stars and count what was left out; otherwise like `read_gaia_table`."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"the Gaia table {path} does not exist: correct gaia_file")
    columns, names = columns_of_table(path, source)
    return catalog_from_columns(columns, names, str(path), source)


def columns_of_table(path: Path, source: CatalogSource) -> Columns:
    """Columns of a table that a source knows, by the source's names, and all names of the table.

    Parameters
    ----------
    path : Path
        File.
    source : CatalogSource
        Says the names of the columns, found in any case.

    Returns
    -------
    columns : dict of str to Column
        Numbers, or text where there is any.
    names : list of str
        As the table spells them.

    Raises
    ------
    InputError
        The file cannot be read; one sentence says why.
    """
    stated = _format_by_ending(path)
    try:
        held = _format_by_content(path)
        # Gaia's own bulk files are ECSV under the name .csv.gz
        if held != stated and (stated, held) != ("CSV", "ECSV"):
            raise InputError(
                f"{path} is named like a {stated} table but holds {_article(held)}: give it the right ending"
            )
        return _READERS[held](path, source)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read as a {stated} table ({reason}): write it again") from error


def select_cone(
    table: GaiaTable, centre_deg: tuple[float, float], radius_deg: float, magnitude_limit: float, where: str
) -> SkyCatalog:
    """Stars of a table in a cone that are not known to be too faint.

    Parameters
    ----------
    table : GaiaTable
        Table.
    centre_deg : tuple of float
        (ra, dec) of the axis [deg].
    radius_deg : float
        Half opening angle [deg].
    magnitude_limit : float
        Faintest G [mag]; a star without G is kept: somebody put it into the table.
    where : str
        File, for the message.

    Returns
    -------
    SkyCatalog
        At least one row.

    Raises
    ------
    InputError
        No star is left; the sentence says where the table is and where the field is.
    """
    catalog = table.catalog
    vectors = directions(catalog.ra_deg, catalog.dec_deg)
    inside = separation_deg(vectors, directions(*centre_deg)) <= radius_deg
    chosen = inside & ~(catalog.mag > magnitude_limit)
    if chosen.any():
        return catalog[chosen]
    field = f"the field at ra {centre_deg[0]:.4f}, dec {centre_deg[1]:.4f} deg (radius {radius_deg:.3f} deg)"
    if inside.any():
        brightest = np.nanmin(catalog.mag[inside])
        raise InputError(
            f"{where} has no star in {field} brighter than gaia.magnitude_limit = {magnitude_limit:g}: the brightest "
            f"has G = {brightest:.2f}"
        )
    ra, dec = sky_of_direction(vectors.sum(axis=0))
    reach = separation_deg(vectors, directions(ra, dec)).max()
    raise InputError(
        f"{where} has no star in {field}: its stars lie around ra {ra:.4f}, dec {dec:.4f} deg, within {reach:.3f} deg "
        "of there; give the table of this field, or correct centre_deg"
    )


def _format_by_ending(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    kind = _ENDINGS.get(Path(name).suffix)
    if kind is None or (kind == "Parquet" and name != path.name.lower()):
        raise InputError(
            f"the ending of {path} says no format: Gaia tables are FITS (.fits), VOTable (.vot), ECSV (.ecsv), CSV "
            "(.csv) or Parquet (.parquet)"
        )
    return kind


def _format_by_content(path: Path) -> str:
    with _open(path) as file:
        head = file.read(4096)
    if not head:
        raise ValueError("it is empty")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"SIMPLE  ="):
        return "FITS"
    if head.startswith(b"PAR1"):
        return "Parquet"
    if text.startswith(b"<"):
        return "VOTable" if is_votable(text) else "HTML or other XML"
    if text.startswith(b"# %ECSV"):
        return "ECSV"
    return "binary data" if b"\0" in head else "CSV"


def _article(kind: str) -> str:
    return f"a {kind} table" if kind in _READERS else kind


def _open(path: Path) -> BufferedIOBase:
    """Bytes of a file, unpacked if it is gzip by content."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")


def _from_fits(path: Path, source: CatalogSource) -> Columns:
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyUserWarning, AstropyWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        warnings.filterwarnings("error", message=".*truncated.*", category=AstropyUserWarning)
        try:
            with fits.open(path, memmap=False) as hdus:
                tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
                if not tables:
                    raise ValueError("it has no table extension")
                complete = [
                    hdu for hdu in tables if set(source.required) <= wanted_names(hdu.columns.names, source).keys()
                ]
                hdu = (complete or tables)[0]
                wanted = wanted_names(hdu.columns.names, source)
                columns = {key: _fits_column(hdu, name) for key, name in wanted.items()}
                return columns, list(hdu.columns.names)
        except (AstropyUserWarning, fits.VerifyError, TypeError, IndexError) as error:
            raise ValueError(str(error)) from error


def _fits_column(hdu: "fits.BinTableHDU", name: str) -> Column:
    values = np.asarray(hdu.data[name])
    column = hdu.columns[name]
    missing = np.zeros(values.shape, dtype=bool)
    if values.dtype.kind in "iu" and column.null not in (None, ""):
        missing = values == int(column.null) + int(column.bzero or 0)
    return Column(values.astype(values.dtype.newbyteorder("=")), missing, column.unit or "")


def _from_votable(path: Path, source: CatalogSource) -> Columns:
    with _open(path) as file:
        return columns_of_votable(parse_votable(file.read()), source=source)


def _from_ecsv(path: Path, source: CatalogSource) -> Columns:
    with _open(path) as file:
        comments = [line.decode("utf-8-sig") for line in itertools.takewhile(_is_comment, file)]
    header = _astropy_header([line.removeprefix("#").removeprefix(" ").rstrip() for line in comments[1:]])
    columns, names = _from_text(path, header.get("delimiter", " "), source)
    units, datatypes = _facts(header, "unit"), _facts(header, "datatype")
    wanted = wanted_names(names, source)
    for key, name in wanted.items():
        columns[key] = replace(columns[key], unit=units.get(name, ""))
        if key in source.identifiers and datatypes.get(name, "").startswith("float"):
            columns[key] = replace(columns[key], values=np.zeros(len(columns[key].values)))
    return columns, names


def _from_csv(path: Path, source: CatalogSource) -> Columns:
    return _from_text(path, None, source)


def _astropy_header(lines: list[str]) -> dict[str, Any]:
    """What the YAML says that astropy writes into ECSV and Parquet."""
    from astropy.table.meta import YamlParseError, get_header_from_yaml

    try:
        return get_header_from_yaml(lines)
    except YamlParseError as error:
        raise ValueError(f"its header is not the YAML of an ECSV table: {error}") from error


def _facts(header: dict[str, Any], what: str) -> dict[str, str]:
    return {column["name"]: str(column[what]) for column in header.get("datatype", []) if column.get(what)}


def _is_comment(line: bytes) -> bool:
    return line.removeprefix(b"\xef\xbb\xbf").startswith(b"#") or not line.strip()


def _from_text(path: Path, delimiter: str | None, source: CatalogSource) -> Columns:
    """Columns of delimited text as text; pyarrow is strict about the number of fields in a row."""
    import pyarrow
    from pyarrow import csv as arrow_csv

    with _open(path) as file:
        header = next((line for line in file if not _is_comment(line)), b"").decode("utf-8-sig")
        if delimiter is None:
            delimiter = next((mark for mark in ",;\t" if mark in header), ",")
        names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter, skipinitialspace=True), [])]
        positions = {key: str(names.index(name)) for key, name in wanted_names(names, source).items()}
        body = file.read()
    if not body.strip() or not positions:
        return {key: Column(np.empty(0, dtype=object), np.empty(0, dtype=bool)) for key in positions}, names
    table = arrow_csv.read_csv(
        pyarrow.BufferReader(body),
        read_options=arrow_csv.ReadOptions(column_names=[str(k) for k in range(len(names))], use_threads=False),
        parse_options=arrow_csv.ParseOptions(delimiter=delimiter),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=list(positions.values()), column_types=dict.fromkeys(positions.values(), pyarrow.string())
        ),
    )
    return {key: _text_column(table.column(k), key in source.identifiers) for key, k in positions.items()}, names


def _text_column(text: "pyarrow.ChunkedArray", is_identifier: bool) -> Column:
    import pyarrow
    from pyarrow import compute

    text = compute.utf8_trim_whitespace(text)
    gone = compute.is_in(compute.utf8_lower(text), value_set=pyarrow.array(_NO_VALUE))
    text = compute.if_else(gone, pyarrow.scalar(None, pyarrow.string()), text)
    if not is_identifier:  # never through floating point
        with contextlib.suppress(pyarrow.ArrowInvalid):  # the text is then told to the user
            text = compute.cast(text, pyarrow.float64())
    return _arrow_column(text, "")


def _from_parquet(path: Path, source: CatalogSource) -> Columns:
    from pyarrow import parquet

    # A stream of ours, so that the file is closed whatever happens.
    with path.open("rb") as file, parquet.ParquetFile(file) as table_file:
        schema = table_file.schema_arrow
        wanted = wanted_names(schema.names, source)
        # astropy writes the mask of a column as a column of its own
        masks = {name: f"{name}.mask" for name in wanted.values() if f"{name}.mask" in schema.names}
        table = table_file.read(columns=[*wanted.values(), *masks.values()])
    yaml = (schema.metadata or {}).get(b"table_meta_yaml", b"").decode("utf-8")
    units = _facts(_astropy_header(yaml.splitlines()), "unit") if yaml else {}
    columns = {key: _arrow_column(table.column(name), units.get(name, "")) for key, name in wanted.items()}
    for key, name in wanted.items():
        if name in masks:
            masked = np.array(table.column(masks[name]).to_pylist(), dtype=bool)
            columns[key] = replace(columns[key], missing=columns[key].missing | masked)
    return columns, list(schema.names)


def _arrow_column(array: "pyarrow.ChunkedArray", unit: str) -> Column:
    import pyarrow
    from pyarrow import compute

    missing = array.is_null().to_numpy()
    if pyarrow.types.is_integer(array.type):
        values = compute.fill_null(array, pyarrow.scalar(0, array.type)).to_numpy()
    elif pyarrow.types.is_floating(array.type):
        values = array.to_numpy()
    else:
        values = np.array(array.to_pylist(), dtype=object)
    return Column(values, missing, unit)


_READERS: dict[str, Callable[[Path, CatalogSource], Columns]] = {
    "FITS": _from_fits,
    "VOTable": _from_votable,
    "ECSV": _from_ecsv,
    "CSV": _from_csv,
    "Parquet": _from_parquet,
}
