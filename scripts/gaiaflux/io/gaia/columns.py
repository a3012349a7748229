"""Columns with Gaia's names, as any table or server gives them, to a `SkyCatalog`.

What a table lacks gets a value and an error that says so:

- A star without proper motion gets 0 and an error of 10 mas/yr on each axis, whatever its magnitude: that is about the
  spread of proper motions of the faint field stars for which Gaia gives two parameters only.
- A star without parallax gets 0, and 1 mas is added in quadrature to its position error: most stars that are too faint
  for a Gaia parallax are farther than 1 kpc.
- Errors that a table does not state are taken as 1 mas and 1 mas/yr, twice what Gaia DR3 has at G = 20.
- Where RUWE says that the single-star model does not fit (> 1.4), both errors are multiplied by it.
- Without `ref_epoch` the positions are taken at 2016.0, as in Gaia DR3.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from gaiaflux.core.sky.sphere import directions, separation_deg
from gaiaflux.io.catalog_source import GAIA, REQUIRED_ROLES, CatalogSource
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.errors import InputError

__all__ = ["Column", "GaiaTable", "catalog_from_columns", "column_numbers", "wanted_names"]

UNKNOWN_POS_ERR_MAS = 1.0
UNKNOWN_PARALLAX_MAS = 1.0
UNSTATED_PM_ERR_MAS_YR = 1.0
UNKNOWN_PM_ERR_MAS_YR = 10.0
BAD_RUWE = 1.4
SAME_POSITION_DEG = 1.0 / 3.6e6
SAME_MAG = 0.001
# Names that other catalogues use, only to say where the missing column may be.
_OTHER_NAMES = {
    "source_id": ("source", "gaia_id", "gaia_source_id", "dr3_source_id", "starid", "star_id", "id"),
    "ra": ("ra_icrs", "raj2000", "alpha", "ra_deg", "_ra"),
    "dec": ("decl", "de_icrs", "dej2000", "delta", "dec_deg", "_de", "declination"),
    "mag": ("gmag", "gaia_mag", "gaia_g_mag", "g_mag", "mag", "g"),
}
_UNITS = {"ra": "deg", "dec": "deg"} | dict.fromkeys(("parallax", "ra_error", "dec_error", "pos_err"), "mas")
_UNITS |= dict.fromkeys(("pmra", "pmdec", "pmra_error", "pmdec_error", "pm_err"), "mas / yr")
_PLAIN = {"deg": ("deg", "degree", "degrees"), "mas": ("mas",), "mas / yr": ("mas/yr", "masyr-1", "masyr**-1")}
_PLAIN["mas / yr"] += ("mas.yr**-1", "mas.yr-1", "mas*yr**-1", "mas/year")
_HOURS = ("h", "hr", "hour", "hours", "hourangle")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    values : ndarray, shape (n_rows,)
        Numbers or text.
    missing : ndarray of bool, shape (n_rows,)
        True where the table has no value.
    unit : str
        As the table states it; empty where it states none.
    """

    values: np.ndarray
    missing: np.ndarray
    unit: str = ""


@dataclass(frozen=True)
class GaiaTable:
    """A catalogue and what had to be said of the rows that it comes from.

    Attributes
    ----------
    catalog : SkyCatalog
        Sorted by source_id.
    n_rows : int
        Rows of the table.
    n_without_position : int
        Rows left out because ra or dec is missing or impossible.
    n_repeated : int
        Rows left out because the same star stands there already.
    n_without_motion : int
        Rows of the catalogue whose proper motion is not known.
    """

    catalog: SkyCatalog
    n_rows: int
    n_without_position: int
    n_repeated: int
    n_without_motion: int


def wanted_names(names: Iterable[str], source: CatalogSource = GAIA) -> dict[str, str]:
    """Columns of a table that are used: source's name to the table's own spelling (exact if there, else any case)."""
    found: dict[str, str] = {}
    known = set(source.columns.values())
    for name in names:
        key = name.strip().lower()
        if key in known and (key not in found or name.strip() == key):
            found[key] = name
    return found


def catalog_from_columns(
    columns: Mapping[str, Column], names: Iterable[str], where: str, source: CatalogSource = GAIA
) -> GaiaTable:
    """Check the columns of a table and make a catalogue of them.

    Rows without a usable position are left out and counted. A source that stands in several rows is kept once where the
    rows agree (within 1 mas and 1 mmag: overlapping cones put together), else refused. Rows without `source_id` become
    -1, not in Gaia.

    Parameters
    ----------
    columns : mapping of str to Column
        By the source's names (small letters); others are ignored.
    names : iterable of str
        All names of the table, for the message.
    where : str
        File or server, for the message.
    source : CatalogSource, optional
        Says which column is what; by default Gaia.

    Returns
    -------
    GaiaTable
        Catalogue and counts.

    Raises
    ------
    InputError
        Columns missing, not numbers, identifiers that went through floating point, units that are not understood,
        sources that contradict themselves, nothing left.
    """
    _refuse_missing(columns, list(names), where, source)
    roles = {role: name for role, name in source.columns.items() if name in columns and role != "source_id"}
    table = {role: column_numbers(role, name, columns[name], where) for role, name in roles.items()}
    number = len(table["ra"])
    if number == 0:
        raise InputError(f"{where} has no rows: give a table with the stars of the field")

    def column(role: str) -> np.ndarray:
        return table[role] if role in table else np.full(number, np.nan)

    pos_err = _first_known(column("pos_err"), _both_axes(column("ra_error"), column("dec_error")), UNKNOWN_POS_ERR_MAS)
    pm_err = _first_known(column("pm_err"), _both_axes(column("pmra_error"), column("pmdec_error")), np.nan)
    has_motion = np.isfinite(column("pmra")) & np.isfinite(column("pmdec"))
    has_parallax = np.isfinite(column("parallax"))
    if "pos_err" not in table:
        pos_err = np.where(has_parallax, pos_err, np.hypot(pos_err, UNKNOWN_PARALLAX_MAS))
    ruwe = column("ruwe")
    inflation = np.where(ruwe > BAD_RUWE, ruwe, 1.0)
    pm_err = np.where(np.isfinite(pm_err), pm_err, np.where(has_motion, UNSTATED_PM_ERR_MAS_YR, UNKNOWN_PM_ERR_MAS_YR))
    colour = column("colour")
    catalog = SkyCatalog(
        source_id=_identifiers(source.columns["source_id"], columns, where),
        ra_deg=column("ra") % 360.0 % 360.0,  # twice: a tiny negative number gives 360.0 the first time
        dec_deg=column("dec"),
        ref_epoch=_epoch(column("ref_epoch"), source, where),
        pmra=np.where(has_motion, column("pmra"), 0.0),
        pmdec=np.where(has_motion, column("pmdec"), 0.0),
        parallax=np.where(has_parallax, column("parallax"), 0.0),
        pos_err=pos_err * inflation,
        pm_err=pm_err * inflation,
        mag=column("mag"),
        colour=np.where(np.isfinite(colour), colour, column("blue") - column("red")),
        system=source.system,
        source=source.name,
    )
    usable = np.isfinite(column("ra")) & (np.abs(column("ra")) <= 720.0) & (np.abs(catalog.dec_deg) <= 90.0)
    if not usable.any():
        raise InputError(f"{where} has no row with a usable ra and dec: they must be in degrees, ICRS")
    catalog, has_motion = catalog[usable], has_motion[usable]
    order = np.lexsort((catalog.dec_deg, catalog.ra_deg, catalog.source_id))
    catalog, has_motion = catalog[order], has_motion[order]
    first = _first_rows(catalog, where)
    return GaiaTable(
        catalog=catalog[first],
        n_rows=number,
        n_without_position=int(np.sum(~usable)),
        n_repeated=int(np.sum(~first)),
        n_without_motion=int(np.sum(~has_motion[first])),
    )


def _refuse_missing(columns: Mapping[str, Column], names: list[str], where: str, source: CatalogSource) -> None:
    roles = [role for role in REQUIRED_ROLES if source.columns[role] not in columns]
    if not roles:
        return
    missing = [source.columns[role] for role in roles]
    nearest = [name for name in (_nearest(role, source.columns[role], names) for role in roles) if name]
    hint = f" (nearest names there: {', '.join(nearest)})" if nearest else ""
    noun = "column" if len(missing) == 1 else "columns"
    raise InputError(
        f"{where} has no {noun} {', '.join(missing)}{hint}: name them as {source.name.capitalize()} does; "
        f"required are {', '.join(source.required)}, in degrees and magnitudes"
    )


def _nearest(role: str, key: str, names: list[str]) -> str | None:
    small = {name.strip().lower(): name.strip() for name in reversed(names)}
    for other in _OTHER_NAMES[role]:
        if other in small:
            return small[other]
    close = difflib.get_close_matches(key, small, n=1, cutoff=0.7)
    return small[close[0]] if close else None


def column_numbers(role: str, key: str, column: Column, where: str) -> np.ndarray:
    """Values as float64 in the unit of the role, NaN where missing.

    Parameters
    ----------
    role : str
        What the column is: ``ra``, ``pmdec`` ... say the unit.
    key : str
        Its name, for the messages.
    column : Column
        Numbers or text.
    where : str
        File or server, for the messages.

    Returns
    -------
    ndarray of float64, shape (n_rows,)
        [deg, mas, mas/yr, or as they stand]; NaN where missing or not finite.

    Raises
    ------
    InputError
        Text that is no number, several numbers a row, a unit that is not understood.
    """
    values = np.asarray(column.values)
    if values.ndim != 1:
        raise InputError(f"column {key} of {where} has several numbers a row: it must have one")
    if values.dtype.kind in "fiu":
        numbers = values.astype(np.float64)
    else:
        numbers = np.array([_from_text(key, v, m, where) for v, m in zip(values, column.missing, strict=True)], float)
    numbers[np.asarray(column.missing, dtype=bool) | ~np.isfinite(numbers)] = np.nan
    return numbers * _factor(role, key, column.unit, where)


def _from_text(key: str, value: object, missing: bool, where: str) -> float:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    if missing or text.strip().lower() in ("", "nan", "null", "none", "--", "<na>"):
        return np.nan
    try:
        return float(text)
    except ValueError:
        raise InputError(f"column {key} of {where} holds {text.strip()!r}: it must hold decimal numbers") from None


def _factor(role: str, key: str, unit: str, where: str) -> float:
    """Multiplier from the stated unit to the role's; 1 where none is stated or the role has no such unit."""
    goal = _UNITS.get(role)
    # Old answers of the Gaia archive write "Angular Velocity[mas/year]".
    text = re.sub(r"^.*\[(.*)\]$", r"\1", unit.strip().strip("'"))
    if goal is None or not text or text.lower().replace(" ", "") in _PLAIN[goal]:
        return 1.0
    if role == "ra" and text.lower() in _HOURS:
        return 15.0
    from astropy import units

    try:
        return float(units.Unit(text).to(goal))
    except (ValueError, TypeError):
        raise InputError(f"unit {unit!r} of column {key} of {where} is not understood: give it in {goal}") from None


def _identifiers(key: str, columns: Mapping[str, Column], where: str) -> np.ndarray:
    """Identifiers as int64, never through floating point; -1 where missing."""
    column = columns[key]
    values, missing = np.asarray(column.values), np.asarray(column.missing, dtype=bool)
    if values.ndim != 1:
        raise InputError(f"column {key} of {where} has several numbers a row: it must have one")
    if values.dtype.kind == "f":
        raise InputError(
            f"column {key} of {where} holds floating-point numbers, which keep 16 of Gaia's 19 digits, so that "
            "stars can no longer be told apart: write the table again with 64-bit integers or text"
        )
    if values.dtype.kind == "u" and np.any(values[~missing] > np.uint64(2**63 - 1)):
        raise InputError(f"column {key} of {where} holds numbers of 2^63 and more: Gaia has no such identifiers")
    if values.dtype.kind in "iu":
        ids = np.where(missing, values.dtype.type(0), values).astype(np.int64)
    else:
        ids = np.array([_identifier(key, v, m, where) for v, m in zip(values, missing, strict=True)], dtype=np.int64)
    ids[missing] = -1
    if np.any(ids < -1):
        raise InputError(f"column {key} of {where} holds {ids.min()}: identifiers are positive (-1 = not in Gaia)")
    return ids


def _identifier(key: str, value: object, missing: bool, where: str) -> int:
    text = (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)).strip()
    if missing or text.lower() in ("", "null", "none", "--", "<na>"):
        return -1
    if re.fullmatch(r"[+-]?\d{1,19}", text) is None or int(text) >= 2**63:
        raise InputError(
            f"column {key} of {where} holds {text!r}, which is not a whole 64-bit number (one with a point or an "
            "exponent has lost its last digits): write the identifiers as whole numbers"
        )
    return int(text)


def _both_axes(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Root mean square of the errors of two axes; of one where the other is missing or not positive."""
    squares = np.stack([first, second]) ** 2
    known = squares > 0.0
    number = known.sum(axis=0)
    total = np.where(known, squares, 0.0).sum(axis=0)
    return np.where(number > 0, np.sqrt(total / np.maximum(number, 1)), np.nan)


def _first_known(first: np.ndarray, second: np.ndarray, default: float) -> np.ndarray:
    value = np.where(first > 0.0, first, second)
    return np.where(np.isfinite(value), value, default)


def _epoch(epoch: np.ndarray, source: CatalogSource, where: str) -> np.ndarray:
    epoch = np.where(np.isfinite(epoch), epoch, source.epoch)
    if np.any((epoch < 1900.0) | (epoch > 2100.0)):
        raise InputError(f"column {source.columns['ref_epoch']} of {where} must hold Julian years such as 2016.0")
    return epoch


def _first_rows(catalog: SkyCatalog, where: str) -> np.ndarray:
    """Rows to keep of a catalogue sorted by source_id: the first of each source, and all that Gaia lacks."""
    ids = catalog.source_id
    starts = np.concatenate([[True], ids[1:] != ids[:-1]])
    keep = starts | (ids < 0)
    begin = np.maximum.accumulate(np.where(starts, np.arange(len(ids)), 0))[~keep]
    vectors = directions(catalog.ra_deg, catalog.dec_deg)
    apart = separation_deg(vectors[~keep], vectors[begin]) > SAME_POSITION_DEG
    mag, other_mag = catalog.mag[~keep], catalog.mag[begin]
    differs = apart | (np.abs(mag - other_mag) > SAME_MAG) | (np.isnan(mag) != np.isnan(other_mag))
    if differs.any():
        raise InputError(
            f"source_id {ids[~keep][differs][0]} stands in several rows of {where} with different positions or "
            "magnitudes: keep one row per star"
        )
    return keep
