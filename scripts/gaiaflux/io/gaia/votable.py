"""VOTable documents: the answers of archives, and users' tables."""

import re
import warnings
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING
from xml.parsers.expat import ExpatError

import numpy as np

from gaiaflux.io.catalog_source import GAIA, CatalogSource
from gaiaflux.io.gaia.columns import Column, wanted_names

if TYPE_CHECKING:
    from astropy.io.votable.tree import VOTableFile

__all__ = ["columns_of_votable", "is_votable", "parse_votable", "query_status"]


def is_votable(head: bytes) -> bool:
    """Whether a document that begins with these bytes is a VOTable."""
    return re.search(rb"<([A-Za-z0-9_-]+:)?VOTABLE\b", head) is not None


def parse_votable(data: bytes) -> "VOTableFile":
    """Read a VOTable document.

    Parameters
    ----------
    data : bytes
        The whole document, not compressed.

    Returns
    -------
    astropy.io.votable.tree.VOTableFile
        Its tree.

    Raises
    ------
    ValueError
        Not a VOTable, or broken off; the text says which.
    """
    from astropy.io.votable import parse
    from astropy.utils.exceptions import AstropyWarning

    head = data[:4096]
    if not is_votable(head):
        raise ValueError("an HTML page" if re.search(rb"<html|<!doctype html", head, re.I) else "not a VOTable")
    if re.search(rb"</([A-Za-z0-9_-]+:)?VOTABLE\s*>", data[-4096:]) is None:
        raise ValueError("a VOTable that is broken off")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            return parse(BytesIO(data), verify="ignore")
        # What a damaged document makes the parser raise is not of one family.
        except (ValueError, TypeError, IndexError, KeyError, EOFError, OSError, ExpatError) as error:
            raise ValueError(f"a VOTable that cannot be read ({_first_line(error)})") from error


def query_status(document: "VOTableFile") -> tuple[str, str]:
    """What the server says of its answer.

    Parameters
    ----------
    document : VOTableFile
        Tree of the answer.

    Returns
    -------
    status, text : str
        ``OK``, ``ERROR`` or ``OVERFLOW`` (the worst, wherever it stands: OVERFLOW comes after the table); empty where
        nothing is said. The text is the server's message.
    """
    pending, infos = list(document.resources), list(document.infos)
    while pending:
        resource = pending.pop()
        infos += list(resource.infos)
        infos += [info for table in resource.tables for info in table.infos]
        pending += list(resource.resources)
    said = {str(i.value).upper(): str(i.content or "").strip() for i in infos if str(i.name).upper() == "QUERY_STATUS"}
    for status in ("ERROR", "OVERFLOW", "OK"):
        if status in said:
            return status, said[status]
    return "", ""


def columns_of_votable(
    document: "VOTableFile", own_names: Mapping[str, str] | None = None, source: CatalogSource = GAIA
) -> tuple[dict[str, Column], list[str]]:
    """Columns of the first table by the names of their source.

    Parameters
    ----------
    document : VOTableFile
        Tree.
    own_names : mapping of str to str, optional
        The table's names of the source's columns, where they differ; in any case.
    source : CatalogSource, optional
        Says the names of the columns.

    Returns
    -------
    columns : dict of str to Column
        By the source's names.
    names : list of str
        All names of the table.

    Raises
    ------
    ValueError
        There is no table.
    """
    try:
        table = document.get_first_table()
    except IndexError:
        raise ValueError("a VOTable without a table") from None
    source_names = {own.lower(): name for name, own in (own_names or {}).items()}
    fields = {}
    for field in table.fields:
        name = field.name or field.ID
        fields[source_names.get(name.lower(), name)] = field
    columns = {}
    for key, name in wanted_names(fields, source).items():
        array = table.array[fields[name].ID]
        missing = np.broadcast_to(np.ma.getmaskarray(array), array.shape)
        unit = fields[name].unit
        columns[key] = Column(np.ma.getdata(array), missing, "" if unit is None else str(unit))
    return columns, list(fields)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__
