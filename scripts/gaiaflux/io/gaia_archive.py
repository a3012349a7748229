"""Stars of a cone from the Gaia archive or one of its mirrors.

Servers are asked in turn until one gives a whole answer: the rows are as many as ``COUNT(*)`` says, and the server does
not say that it cut them. What a careless server sends from outside the cone, or fainter, is left out. A server gets its
share of the time that is left, so that one stuck job does not keep the others from being asked.
"""

import difflib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import numpy as np

from gaiaflux.core.sphere import directions, separation_deg
from gaiaflux.io.gaia_columns import REQUIRED, Column, GaiaTable, catalog_from_columns
from gaiaflux.io.tap_client import TapClient, TapFailure
from gaiaflux.io.votable import columns_of_votable
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.errors import InputError

__all__ = ["RELEASES", "SERVERS", "ArchiveError", "ConeAnswer", "Server", "cone_query", "fetch_cone"]

COLUMNS = (
    *("source_id", "ra", "dec", "ref_epoch", "ra_error", "dec_error", "pmra", "pmdec", "pmra_error", "pmdec_error"),
    *("parallax", "phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag", "ruwe"),
)
# Rounding of positions, circle and magnitudes at the servers.
EDGE_DEG = 0.001
EDGE_MAG = 0.001


class ArchiveError(InputError):
    """No server gave a usable answer; the sentence names each of them and its reason."""


@dataclass(frozen=True)
class Server:
    """A TAP service that has Gaia's table.

    Attributes
    ----------
    name : str
        For people.
    url : str
        Base URL of the service.
    tables : dict of str to str
        Table of each release, as ADQL wants it.
    columns : dict of str to str
        Names there of Gaia's columns where they differ.
    constants : dict of str to float
        Columns that the table lacks because they have one value.
    """

    name: str
    url: str
    tables: dict[str, str]
    columns: dict[str, str]
    constants: dict[str, float]


_ESA_TABLES = {"gaiadr3": "gaiadr3.gaia_source", "gaiaedr3": "gaiaedr3.gaia_source"}
_VIZIER_COLUMNS = {
    "source_id": "Source",
    "ra": "RA_ICRS",
    "dec": "DE_ICRS",
    "ra_error": "e_RA_ICRS",
    "dec_error": "e_DE_ICRS",
    "pmra": "pmRA",
    "pmdec": "pmDE",
    "pmra_error": "e_pmRA",
    "pmdec_error": "e_pmDE",
    "parallax": "Plx",
    "phot_g_mean_mag": "Gmag",
    "phot_bp_mean_mag": "BPmag",
    "phot_rp_mean_mag": "RPmag",
    "ruwe": "RUWE",
}
SERVERS = {
    server.name: server
    for server in (
        Server("esa", "https://gea.esac.esa.int/tap-server/tap", _ESA_TABLES, {}, {}),
        Server("ari", "https://gaia.ari.uni-heidelberg.de/tap", _ESA_TABLES, {}, {}),
        Server(
            "vizier",
            "https://tapvizier.cds.unistra.fr/TAPVizieR/tap",
            {"gaiadr3": '"I/355/gaiadr3"', "gaiaedr3": '"I/350/gaiaedr3"'},
            _VIZIER_COLUMNS,
            {"ref_epoch": 2016.0},  # of both releases
        ),
        Server(
            "noirlab",
            "https://datalab.noirlab.edu/tap",
            {"gaiadr3": "gaia_dr3.gaia_source", "gaiaedr3": "gaia_edr3.gaia_source"},
            {},
            {},
        ),
    )
}
_ALIASES = {"cds": "vizier", "heidelberg": "ari", "gaia": "esa"}
RELEASES = ("gaiadr3", "gaiaedr3")


@dataclass(frozen=True)
class ConeAnswer:
    """Stars of a cone and where they come from.

    Attributes
    ----------
    catalog : SkyCatalog
        Sorted by source_id.
    query : str
        ADQL that gave them.
    server : str
        URL of the service.
    failures : tuple of str
        Reasons of the servers that were asked before in vain.
    """

    catalog: SkyCatalog
    query: str
    server: str
    failures: tuple[str, ...]


def fetch_cone(
    centre_deg: tuple[float, float],
    radius_deg: float,
    magnitude_limit: float,
    *,
    release: str,
    servers: Sequence[str | Server],
    timeout_s: float,
    deadline_s: float,
) -> ConeAnswer:
    """Ask servers in turn for the stars of a cone.

    Parameters
    ----------
    centre_deg : tuple of float
        (ra, dec) of the axis, ICRS [deg].
    radius_deg : float
        Half opening angle [deg].
    magnitude_limit : float
        Faintest G [mag].
    release : str
        ``gaiadr3`` or ``gaiaedr3``.
    servers : sequence of str or Server
        Names (``esa``, ``ari``, ``vizier``, ``noirlab``) or URLs of TAP services with the tables of the Gaia archive.
    timeout_s : float
        Longest silence of a server [s].
    deadline_s : float
        Time for everything [s].

    Returns
    -------
    ConeAnswer
        At least one star.

    Raises
    ------
    ArchiveError
        No server gave a usable answer.
    InputError
        Unknown server or release.
    """
    if release not in RELEASES:
        raise InputError(f"gaia.release {release!r} is not known: use one of {', '.join(RELEASES)}")
    chosen = [server if isinstance(server, Server) else _server(server) for server in servers]
    if not chosen:
        raise InputError(f"gaia.servers is empty: name at least one of {', '.join(SERVERS)}, or a URL")
    end = time.monotonic() + deadline_s
    failures: list[str] = []
    for position, server in enumerate(chosen):
        share = (end - time.monotonic()) / (len(chosen) - position)
        try:
            if share <= 0.0:
                raise TapFailure("not asked, the time was over")
            query = cone_query(server, release, centre_deg, radius_deg, magnitude_limit)
            with TapClient(server.url, timeout_s, share) as client:
                catalog = _ask(client, server, query, centre_deg, radius_deg, magnitude_limit)
        except TapFailure as failure:
            failures.append(f"{server.name}: {failure}")
            continue
        return ConeAnswer(catalog, query, server.url, tuple(failures))
    raise ArchiveError(
        f"no Gaia server gave a usable answer for the cone of {radius_deg:.4f} deg around ra {centre_deg[0]:.5f}, "
        f"dec {centre_deg[1]:.5f} ({'; '.join(failures)}): try again later, name other gaia.servers, "
        "or give a local table as gaia_file"
    )


def cone_query(
    server: Server,
    release: str,
    centre_deg: tuple[float, float],
    radius_deg: float,
    magnitude_limit: float,
    select: str | None = None,
) -> str:
    """ADQL for a cone at a server; `select` replaces the list of columns."""
    if select is None:
        select = ", ".join(_name(server, key) for key in COLUMNS if key not in server.constants)
    ra, dec = (_name(server, key) for key in ("ra", "dec"))
    circle = f"CIRCLE('ICRS', {centre_deg[0]:.8f}, {centre_deg[1]:.8f}, {radius_deg:.8f})"
    return (
        f"SELECT {select} FROM {server.tables[release]} WHERE 1 = CONTAINS(POINT('ICRS', {ra}, {dec}), {circle}) "
        f"AND {_name(server, 'phot_g_mean_mag')} <= {magnitude_limit:.4f}"
    )


def _ask(
    client: TapClient,
    server: Server,
    query: str,
    centre_deg: tuple[float, float],
    radius_deg: float,
    magnitude_limit: float,
) -> SkyCatalog:
    number = client.count("SELECT COUNT(*) AS n_rows FROM" + query.partition(" FROM")[2])
    if number == 0:
        raise TapFailure("it has no star there")
    document = client.rows(query, number)
    columns, names = columns_of_votable(document, server.columns)
    rows = len(document.get_first_table().array)
    if rows != number:
        raise TapFailure(f"{rows} rows came where COUNT(*) says {number}")
    columns |= {key: Column(np.full(rows, value), np.zeros(rows, bool)) for key, value in server.constants.items()}
    lacking = [key for key in REQUIRED if key not in columns]
    if lacking:
        raise TapFailure(f"the answer lacks {', '.join(lacking)}")
    try:
        table: GaiaTable = catalog_from_columns(columns, names, "the answer")
    except InputError as error:
        raise TapFailure(str(error)) from error
    catalog = table.catalog
    away = separation_deg(directions(catalog.ra_deg, catalog.dec_deg), directions(*centre_deg))
    asked = (away < radius_deg + EDGE_DEG) & (catalog.phot_g_mean_mag < magnitude_limit + EDGE_MAG)
    if len(catalog) != number:
        raise TapFailure(f"{number - len(catalog)} of {number} rows have no position or stand there twice")
    if not asked.any():
        raise TapFailure("none of its rows lies in the cone")
    return catalog[asked]


def _server(text: str) -> Server:
    """Server of a name or URL; a URL of a known host keeps that server's table and names."""
    name = text.strip().lower()
    name = _ALIASES.get(name, name)
    if name in SERVERS:
        return SERVERS[name]
    if "://" not in text:
        near = difflib.get_close_matches(name, [*SERVERS, *_ALIASES], n=1)
        hint = f", did you mean {near[0]}" if near else ""
        raise InputError(
            f"gaia.servers has {text!r}{hint}: use {', '.join(SERVERS)} or a URL such as {SERVERS['esa'].url}"
        )
    url = text.strip().rstrip("/").removesuffix("/sync").removesuffix("/async")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"gaia.servers has {text!r}: a URL of a TAP service begins with https:// and a host")
    same = (server for server in SERVERS.values() if urlsplit(server.url).hostname == parts.hostname)
    return replace(next(same, SERVERS["esa"]), name=parts.netloc, url=url)


def _name(server: Server, key: str) -> str:
    return server.columns.get(key, key)
