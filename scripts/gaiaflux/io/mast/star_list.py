"""Neighbours of a field as the table that `gaiaflux.io.tess.catalog` reads: the TIC's stars, and those of Gaia besides.

Positions of the TIC are of 2000.0, as the archive gives them; its Gaia numbers are those of DR2 and become DR3's by the
archive's crossmatch.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaiaflux.core.sky.sphere import directions, separation_deg
from gaiaflux.core.sky.tess_magnitude import tess_magnitudes
from gaiaflux.io.atomic import replacing
from gaiaflux.io.mast.crossmatch import Crossmatch
from gaiaflux.model.catalog import SkyCatalog

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["StarList", "gaia_rows", "tic_rows", "write_stars"]

_TEXTS = {"starid": "ID", "gaia_dr2": "GAIA", "disposition": "disposition"}
_NUMBERS = {
    "ra": "ra",
    "dec": "dec",
    "pmra": "pmRA",
    "pmdec": "pmDEC",
    "parallax": "plx",
    "tmag": "Tmag",
    "e_tmag": "e_Tmag",
    "teff": "Teff",
    "phot_g_mean_mag": "GAIAmag",
    "jmag": "Jmag",
    "kmag": "Kmag",
    "vmag": "Vmag",
}
COLUMNS = ("starid", "source_id", "gaia_dr2", "ref_epoch", *_NUMBERS, "bp_rp", "disposition")
_TIC_EPOCH, _GAIA_EPOCH = 2000.0, 2016.0
# A star of the TIC without a number of Gaia is the star of Gaia that is so near at the same epoch.
_SAME_DEG = 1.5 / 3600.0
_ROWS_AT_ONCE = 100

Row = dict[str, str]


@dataclass(frozen=True)
class StarList:
    """Stars as rows of a table.

    Attributes
    ----------
    rows : tuple of dict
        Texts by the names of the columns; what is not known is left out.
    versions : tuple of str
        Of the TIC, as its rows say.
    """

    rows: tuple[Row, ...]
    versions: tuple[str, ...] = ()


def tic_rows(tables: Iterable["Table"], crossmatch: Crossmatch) -> StarList:
    """Rows of the TIC, each star once.

    Parameters
    ----------
    tables : iterable of Table
        Answers of the archive, which may overlap.
    crossmatch : Crossmatch
        Their Gaia numbers in DR3.

    Returns
    -------
    StarList
        Sorted by TIC number. A star whose number DR3 does not have has none.
    """
    dr3 = dict(zip(crossmatch.dr2.tolist(), crossmatch.dr3.tolist(), strict=True))
    found: dict[int, Row] = {}
    versions: set[str] = set()
    for table in tables:
        bp_rp = _colour(table)
        for k in range(len(table)):
            row = {name: text for name, own in _TEXTS.items() if (text := _text(table, own, k))}
            row |= {name: text for name, own in _NUMBERS.items() if (text := _text(table, own, k))}
            row["ref_epoch"] = f"{_TIC_EPOCH}"
            if np.isfinite(bp_rp[k]):
                row["bp_rp"] = f"{bp_rp[k]:.6g}"
            if row.get("gaia_dr2", "").isdigit() and int(row["gaia_dr2"]) in dr3:
                row["source_id"] = str(dr3[int(row["gaia_dr2"])])
            found[int(row["starid"])] = row
            versions.add(_text(table, "version", k))
    return StarList(tuple(found[number] for number in sorted(found)), tuple(sorted(versions - {""})))


def gaia_rows(catalog: SkyCatalog, tic: StarList, tmag_max: float) -> StarList:
    """Stars of Gaia DR3 that the TIC's list lacks, with TESS magnitudes from G and BP - RP.

    Parameters
    ----------
    catalog : SkyCatalog
        Of the same cone, at 2016.0.
    tic : StarList
        Its stars; one without a number of DR3 is the star of Gaia within 1.5 arcsec.
    tmag_max : float
        Faintest TESS magnitude.

    Returns
    -------
    StarList
        Their number as stars is that of DR3: it has more digits than any of the TIC.
    """
    derived = tess_magnitudes({"G": catalog.mag, "BP_RP": catalog.colour}, len(catalog))
    known = np.array([int(row["source_id"]) for row in tic.rows if "source_id" in row], np.int64)
    lacks = ~np.isin(catalog.source_id, known) & (derived.mag <= tmag_max)
    lacks[np.flatnonzero(lacks)[_are_unnumbered(catalog[lacks], tic)]] = False
    rows = []
    for k in np.flatnonzero(lacks):
        row = {"starid": str(catalog.source_id[k]), "source_id": str(catalog.source_id[k])}
        row |= {"ref_epoch": f"{_GAIA_EPOCH}", "ra": f"{catalog.ra_deg[k]:.10f}", "dec": f"{catalog.dec_deg[k]:.10f}"}
        numbers = {"pmra": catalog.pmra[k], "pmdec": catalog.pmdec[k], "parallax": catalog.parallax[k]}
        numbers |= {"phot_g_mean_mag": catalog.mag[k], "bp_rp": catalog.colour[k]}
        numbers |= {"tmag": derived.mag[k], "e_tmag": derived.error[k]}
        rows.append(row | {name: f"{value:.7g}" for name, value in numbers.items() if np.isfinite(value)})
    return StarList(tuple(rows))


def write_stars(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Write a list of stars as CSV.

    Parameters
    ----------
    path : Path
        File to write or replace.
    rows : iterable of mapping
        Of `StarList`.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _are_unnumbered(catalog: SkyCatalog, tic: StarList) -> np.ndarray:
    """Whether each star of Gaia is a star of the TIC that has no number of Gaia."""
    rows = [row for row in tic.rows if "source_id" not in row]
    near = np.zeros(len(catalog), dtype=bool)
    if not rows or not len(catalog):
        return near
    ra, dec, pmra, pmdec = (
        np.array([float(row.get(name, 0.0)) for row in rows]) for name in ("ra", "dec", "pmra", "pmdec")
    )
    years = (_GAIA_EPOCH - _TIC_EPOCH) / 3.6e6
    places = directions(ra + pmra * years / np.cos(np.radians(dec)), dec + pmdec * years)
    stars = directions(catalog.ra_deg, catalog.dec_deg)
    for at in range(0, len(stars), _ROWS_AT_ONCE):
        apart = separation_deg(stars[at : at + _ROWS_AT_ONCE, None], places[None])
        near[at : at + _ROWS_AT_ONCE] = (apart < _SAME_DEG).any(axis=1)
    return near


def _colour(table: "Table") -> np.ndarray:
    """BP - RP, which later versions of the archive's table have; NaN where it has not."""
    if not {"gaiabp", "gaiarp"} <= set(table.colnames):
        return np.full(len(table), np.nan)
    blue, red = (np.ma.filled(np.ma.asarray(table[name]).astype(float), np.nan) for name in ("gaiabp", "gaiarp"))
    return blue - red


def _text(table: "Table", name: str, row: int) -> str:
    """A cell, with every digit; empty where the table has no value."""
    if name not in table.colnames:
        return ""
    value = table[name][row]
    if value is np.ma.masked:
        return ""
    text = str(value).strip()
    return "" if text.lower() in ("nan", "none", "--") else text
