"""The user's list of stars with TIC numbers: CSV, ECSV, FITS, SQLite (and VOTable, Parquet).

Columns are found in any case and by several names each, those of the TIC among them; units are converted where the
table states them, else they are deg, mas/yr, mas and mag. Positions without ``ref_epoch`` are of 2000.0, as in the TIC.
"""

import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gaiaflux.core.sky.tess_magnitude import RELATIONS, tess_magnitudes
from gaiaflux.io.catalog_source import CatalogSource
from gaiaflux.io.gaia.columns import Column, column_numbers, wanted_names
from gaiaflux.io.gaia.table import columns_of_table
from gaiaflux.model.errors import InputError
from gaiaflux.model.tess_catalog import STATED, TessCatalog

__all__ = ["read_tess_catalog"]

_NAMES = {
    "star_id": ("starid", "ticid", "tic_id", "tic", "id"),
    "source_id": ("source_id", "gaia_source_id", "gaia_id", "gaia"),
    "pmra": ("pmra", "pm_ra"),
    "pmdec": ("pmdec", "pm_decl", "pm_dec", "pmde"),
    "parallax": ("parallax", "plx"),
    "ref_epoch": ("ref_epoch", "epoch"),
    "tmag": ("tmag", "tessmag", "tess_mag"),
    "tmag_err": ("e_tmag", "tmag_err", "tmag_error"),
    "teff": ("teff",),
    "G": ("phot_g_mean_mag", "gaiamag", "gaia_mag", "g_mag_gaia"),
    "BP": ("phot_bp_mean_mag", "gaiabp", "bpmag"),
    "RP": ("phot_rp_mean_mag", "gaiarp", "rpmag"),
    "BP_RP": ("bp_rp",),
    "J": ("jmag", "j", "j_m"),
    "Ks": ("kmag", "ksmag", "k", "ks", "k_m", "ks_m"),
    "V": ("vmag", "v", "v_mag"),
    "disposition": ("disposition",),
}
"""What a column is, and what it may be called (small letters), the best first."""
_PLACES = (
    *(("ra_j2000", "decl_j2000"), ("ra_j2000", "dec_j2000"), ("raj2000", "dej2000")),
    *(("ra", "dec"), ("ra", "decl"), ("ra_deg", "dec_deg")),
)
_IDENTIFIERS = (*_NAMES["star_id"], *_NAMES["source_id"])
_TIC = CatalogSource(
    name="tic",
    system="TESS",
    columns={name: name for names in (*_NAMES.values(), *_PLACES) for name in names},
    epoch=2000.0,
    required_roles=(),
    identifier_roles=_IDENTIFIERS,
)
_SQLITE = b"SQLite format 3\0"
_TEXTS = (".csv", ".ecsv", ".fits", ".fit", ".fts", ".vot", ".votable", ".xml", ".parquet", ".pq")
_BAD_DISPOSITIONS = ("DUPLICATE", "SPLIT", "ARTIFACT")
_NUMBER = re.compile(r"^(?:(?:TIC|GAIA\s+E?DR\d)[\s_-]*|([+-]))?(\d{1,19})(?:\.0*)?$", re.IGNORECASE)
_NOTHING = ("", "nan", "null", "none", "--", "n/a", "<na>")
_USUAL_TMAG_ERR = 0.01
_EXACT_FLOAT = 2.0**53
# One-axis errors of positions and motions [mas, mas/yr]: of Gaia's stars, and of 2MASS's.
_GAIA_ERR_MAS, _OTHER_ERR_MAS = 1.0, 100.0
_STATED_PM_ERR, _UNKNOWN_PM_ERR = 1.0, 10.0

Columns = Mapping[str, Column]


def read_tess_catalog(path: str | Path) -> TessCatalog:
    """Read a list of stars with TIC numbers.

    Parameters
    ----------
    path : str or Path
        File. Required: TIC number (``starid``, ``TICID``, ``ID`` ..., also as text ``TIC 123``), ``ra``, ``dec``. Used
        where they are there: pmra, pmdec, parallax, ref_epoch, Tmag and its error, Teff, Gaia's source_id and
        magnitudes, J, Ks, V, the TIC's disposition.

    Returns
    -------
    TessCatalog
        Every TIC number once (of several rows the one with most values); rows without number or position and the TIC's
        duplicates, splits and artifacts left out and counted. Missing TESS magnitudes from
        `gaiaflux.core.sky.tess_magnitude`; missing motions and parallaxes 0.

    Raises
    ------
    FileNotFoundError
        No such file.
    InputError
        The file cannot be read, a required column is missing, a number is none, nothing is left.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"the catalogue {path} does not exist: correct catalog_file")
    columns, names = _columns(path)
    roles = _roles(columns, names, path)
    ids, lost = _identifiers(columns, roles["star_id"], path)
    numbers = {
        role: column_numbers(role, name, columns[name], str(path))
        for role, name in roles.items()
        if role not in ("star_id", "source_id", "disposition")
    }
    if lost:
        raise InputError(
            f"column {roles['star_id']} of {path} holds floating-point numbers that have lost digits: write TIC "
            "numbers as whole numbers"
        )
    if not len(ids):
        raise InputError(f"{path} has no rows: give the stars of the field")
    sources, lost = _gaia(columns, roles, path, len(ids))
    remarks = ("Gaia's numbers went through floating point and are not used",) if lost else ()
    rows, left_out = _rows_to_keep(ids, numbers, _dispositions(columns, roles))
    if not len(rows):
        raise InputError(f"{path} has no usable row ({_counts(left_out)}): give TIC numbers and positions in degrees")
    numbers = {role: values[rows] for role, values in numbers.items()}
    return _catalog(ids[rows], sources[rows], numbers, left_out, remarks)


def _columns(path: Path) -> tuple[Columns, list[str]]:
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) == _SQLITE:
            return _from_sqlite(path)
    name = path.name.lower().removesuffix(".gz")
    if not name.endswith(_TEXTS):
        raise InputError(
            f"the ending of {path} says no format: catalogues are CSV (.csv), ECSV (.ecsv), FITS (.fits) or SQLite"
        )
    return columns_of_table(path, _TIC)


def _from_sqlite(path: Path) -> tuple[Columns, list[str]]:
    """Columns of the first table that has TIC numbers and positions."""
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            names: list[str] = []
            for table in sorted(tables, key=lambda name: name.lower() != "catalog"):
                names = [row[1] for row in connection.execute(f"PRAGMA table_info({_quoted(table)})")]
                wanted = wanted_names(names, _TIC)
                if any(name in wanted for name in _NAMES["star_id"]) and any(ra in wanted for ra, _ in _PLACES):
                    query = f"SELECT {', '.join(map(_quoted, wanted.values()))} FROM {_quoted(table)}"
                    cells = connection.execute(query).fetchall()
                    return _from_rows(list(wanted), cells), names
            return {}, names
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise InputError(f"{path} cannot be read as an SQLite database ({error}): write it again") from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _from_rows(names: list[str], cells: list[tuple[object, ...]]) -> Columns:
    columns = {}
    for k, name in enumerate(names):
        values = [row[k] for row in cells]
        missing = np.array([value is None for value in values], dtype=bool)
        if all(isinstance(value, int) for value in values if value is not None):
            filled = np.array([0 if value is None else value for value in values], dtype=np.int64)
        elif all(isinstance(value, int | float) for value in values if value is not None):
            filled = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        else:
            filled = np.array(["" if value is None else value for value in values], dtype=object)
        columns[name] = Column(filled, missing)
    return columns


def _roles(columns: Columns, names: list[str], path: Path) -> dict[str, str]:
    """Name of the column for each role that the table has."""
    roles = {}
    for role, known in _NAMES.items():
        found = next((name for name in known if name in columns), None)
        if found is not None:
            roles[role] = found
    place = next((place for place in _PLACES if place[0] in columns and place[1] in columns), None)
    missing = ([] if "star_id" in roles else ["starid"]) + ([] if place else ["ra, dec"])
    if missing:
        there = ", ".join(name for name in names if name.strip()) or "none"
        raise InputError(
            f"{path} has no column {' and no '.join(missing)} (it has: {there}): give TIC numbers as starid and "
            "positions as ra, dec in degrees"
        )
    assert place is not None
    return roles | {"ra": place[0], "dec": place[1]}


def _identifiers(columns: Columns, name: str, path: Path) -> tuple[np.ndarray, bool]:
    """Identifiers as int64, -1 where missing; and whether they have lost digits on the way."""
    values, missing = np.asarray(columns[name].values), np.asarray(columns[name].missing, dtype=bool)
    if values.dtype.kind in "iu":
        return np.where(missing, -1, values.astype(np.int64)), False
    if values.dtype.kind == "f":
        known = np.isfinite(values) & ~missing
        whole = np.where(known, values, -1.0)
        lost = values.dtype.itemsize < 8 or bool(np.any((whole != np.floor(whole)) | (whole >= _EXACT_FLOAT)))
        return (np.full(len(values), -1) if lost else whole).astype(np.int64), lost
    ids = np.full(len(values), -1, np.int64)
    if not missing.any() and all(type(text) is str and text.isdigit() and len(text) < 19 for text in values):
        return values.astype("U19").astype(np.int64), False  # the usual, quickly
    for k, value in enumerate(values):
        text = (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)).strip()
        if missing[k] or text.lower() in _NOTHING:
            continue
        found = _NUMBER.match(text)
        if found is None or int(found[2]) >= 2**63:
            if re.fullmatch(r"\d+(\.\d*)?[eE]\+?\d+", text):
                return np.full(len(values), -1, np.int64), True
            raise InputError(f"column {name} of {path} holds {text!r}: give whole numbers, such as 123 or TIC 123")
        ids[k] = -1 if found[1] == "-" else int(found[2])
    return ids, False


def _gaia(columns: Columns, roles: Mapping[str, str], path: Path, n: int) -> tuple[np.ndarray, bool]:
    if "source_id" not in roles:
        return np.full(n, -1, np.int64), False
    ids, lost = _identifiers(columns, roles["source_id"], path)
    # A float64 keeps 16 of Gaia's 19 digits.
    lost = lost or (np.asarray(columns[roles["source_id"]].values).dtype.kind == "f" and bool(np.any(ids > 0)))
    return np.where((ids > 0) & (not lost), ids, -1), lost


def _dispositions(columns: Columns, roles: Mapping[str, str]) -> np.ndarray | None:
    if "disposition" not in roles:
        return None
    column = columns[roles["disposition"]]
    texts = [value.decode("ascii", "replace") if isinstance(value, bytes) else str(value) for value in column.values]
    return np.array([text.strip().upper() for text in texts])


def _rows_to_keep(
    ids: np.ndarray, numbers: Mapping[str, np.ndarray], dispositions: np.ndarray | None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Rows in the order of their TIC numbers, each once; and the numbers of the others, by reason."""
    left_out: dict[str, np.ndarray] = {}
    usable = np.isfinite(numbers["ra"]) & (np.abs(numbers["ra"]) <= 720.0) & (np.abs(numbers["dec"]) <= 90.0)
    reasons = [("no TIC number", ids <= 0), ("no position", ~usable)]
    if dispositions is not None:
        for name in _BAD_DISPOSITIONS:
            reasons.append((f"disposition {name.lower()}", np.char.find(dispositions, name) >= 0))
    keep = np.ones(len(ids), dtype=bool)
    for reason, bad in reasons:
        if np.any(bad & keep):
            left_out[reason] = ids[bad & keep]
            keep &= ~bad
    rows = np.flatnonzero(keep)
    known = np.sum([np.isfinite(values[rows]) for values in numbers.values()], axis=0)
    rows = rows[np.lexsort((rows, -known, ids[rows]))]
    again = np.concatenate([[False], ids[rows][1:] == ids[rows][:-1]]) if len(rows) else np.zeros(0, dtype=bool)
    if again.any():
        left_out["repeats a TIC number"] = ids[rows][again]
    return rows[~again], left_out


def _counts(left_out: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{len(ids)} with {reason}" for reason, ids in left_out.items()) or "none"


def _catalog(
    ids: np.ndarray,
    sources: np.ndarray,
    numbers: Mapping[str, np.ndarray],
    left_out: Mapping[str, np.ndarray],
    remarks: tuple[str, ...],
) -> TessCatalog:
    n = len(ids)

    def column(role: str, default: float = np.nan) -> np.ndarray:
        values = numbers.get(role, np.full(n, np.nan))
        return np.where(np.isfinite(values), values, default)

    def magnitude(role: str) -> np.ndarray:
        # No star has exactly 0: that is a masked value that somebody filled.
        values = column(role)
        return np.where((values != 0.0) & (values > -5.0) & (values < 30.0), values, np.nan)

    colour = column("BP_RP")
    colour = np.where(np.isfinite(colour), colour, magnitude("BP") - magnitude("RP"))
    bands = {role: magnitude(role) for role in ("G", "J", "Ks", "V")} | {"BP_RP": colour}
    derived, stated = tess_magnitudes(bands, n), magnitude("tmag")
    has_tmag = np.isfinite(stated)
    stated_err = np.where(column("tmag_err") > 0.0, column("tmag_err"), _USUAL_TMAG_ERR)
    labels = np.array([*(relation.name for relation in RELATIONS), ""])[derived.relation]  # `NONE` is the last
    epoch = column("ref_epoch", _TIC.epoch)
    moves = np.isfinite(column("pmra")) & np.isfinite(column("pmdec"))
    return TessCatalog(
        source_id=sources,
        ra_deg=column("ra") % 360.0 % 360.0,
        dec_deg=column("dec"),
        ref_epoch=np.where((epoch > 1900.0) & (epoch < 2100.0), epoch, _TIC.epoch),
        pmra=np.where(moves, column("pmra"), 0.0),
        pmdec=np.where(moves, column("pmdec"), 0.0),
        parallax=column("parallax", 0.0),
        pos_err=np.where(sources >= 0, _GAIA_ERR_MAS, _OTHER_ERR_MAS),
        pm_err=np.where(moves, _STATED_PM_ERR, _UNKNOWN_PM_ERR),
        mag=np.where(has_tmag, stated, derived.mag),
        colour=colour,
        star_id=ids,
        mag_err=np.where(has_tmag, stated_err, derived.error),
        mag_source=np.where(has_tmag, STATED, labels),
        teff=column("teff"),
        system=_TIC.system,
        source=_TIC.name,
        left_out=left_out,
        remarks=remarks,
    )
