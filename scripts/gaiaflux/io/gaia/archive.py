"""Stars of a cone from the Gaia archive or one of its mirrors.

Servers are asked in turn until one gives a whole answer: the rows are as many as ``COUNT(*)`` says, and the server does
not say that it cut them. What a careless server sends from outside the cone, or fainter, is left out. A server gets its
share of the time that is left, so that one stuck job does not keep the others from being asked.

A cone with more stars than a query may have is divided by magnitude, each part again if need be. Parts that came are
kept: the next server goes on there, and the next run, if they are kept on disk.
"""

import difflib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from gaiaflux.core.sky.sphere import directions, separation_deg
from gaiaflux.io.catalog_source import GAIA
from gaiaflux.io.gaia.columns import Column, GaiaTable, catalog_from_columns
from gaiaflux.io.gaia.store import Division, Part, PartStore, StoredPart, answer_now, join_catalogs, whole_cone
from gaiaflux.io.gaia.tap_client import TapClient
from gaiaflux.io.gaia.votable import columns_of_votable
from gaiaflux.io.transport import ServerFailure
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.errors import InputError
from gaiaflux.model.settings.gaia import GaiaSettings

__all__ = ["RELEASES", "SERVERS", "ArchiveError", "ConeAnswer", "Server", "cone_query", "fetch_cone", "server_named"]

COLUMNS = (
    *("source_id", "ra", "dec", "ref_epoch", "ra_error", "dec_error", "pmra", "pmdec", "pmra_error", "pmdec_error"),
    *("parallax", "phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag", "ruwe"),
)
# Rounding of positions, circle and magnitudes at the servers.
EDGE_DEG = 0.001
EDGE_MAG = 0.001
# Slices of magnitude: stars are about twice as many in each fainter one.
WIDEST_SLICE_MAG, NARROWEST_SLICE_MAG = 1.0, 0.01
# Two mirrors may round a star to this or the other side of an edge.
MIRRORS_DIFFER = 1e-4
# A cone for the cache reaches farther: the fields of the next series are likely to lie in it.
CACHE_MARGIN_DEG = 0.03


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
    parts : tuple of str
        Queries where one was not enough, each with its server; else empty.
    cached_utc : str
        When the archive gave the answer, if it comes from the cache; else empty.
    """

    catalog: SkyCatalog
    query: str
    server: str
    failures: tuple[str, ...]
    parts: tuple[str, ...] = ()
    cached_utc: str = ""


def fetch_cone(
    centre_deg: tuple[float, float],
    radius_deg: float,
    settings: GaiaSettings,
    parts_folder: str | Path | None = None,
    servers: Sequence[Server] | None = None,
) -> ConeAnswer:
    """Ask servers in turn for the stars of a cone.

    Parameters
    ----------
    centre_deg : tuple of float
        (ra, dec) of the axis, ICRS [deg].
    radius_deg : float
        Half opening angle [deg].
    settings : GaiaSettings
        Release, faintest magnitude, servers, and how they are asked. In its cache folder whole cones are kept, and
        looked for before any server is asked; unfinished downloads, too.
    parts_folder : str, Path or None
        Where an unfinished download is kept without a cache; removed when it is whole.
    servers : sequence of Server, optional
        Instead of those that the settings name.

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
    release, cache_folder = settings.release, settings.cache_folder
    if release not in RELEASES:
        raise InputError(f"gaia.release {release!r} is not known: use one of {', '.join(RELEASES)}")
    chosen = list(servers) if servers is not None else [server_named(name) for name in settings.servers]
    if not chosen:
        raise InputError(f"gaia.servers is empty: name at least one of {', '.join(SERVERS)}, or a URL")
    store = PartStore(cache_folder or parts_folder)
    axis = round(centre_deg[0], 8), round(centre_deg[1], 8)
    asked = Part(release, *axis, round(radius_deg, 8), None, settings.magnitude_limit)
    cached = store.covering(asked) if cache_folder else None
    if cached is not None:
        return _answer(cached, asked, (), (), cached.date_utc)
    whole = whole_cone(asked, CACHE_MARGIN_DEG) if cache_folder else asked
    end = time.monotonic() + settings.deadline_s
    failures: list[str] = []
    for position, server in enumerate(chosen):
        share = (end - time.monotonic()) / (len(chosen) - position)
        try:
            if share <= 0.0:
                raise ServerFailure("not asked, the time was over")
            with TapClient(server.url, settings.timeout_s, share) as client:
                found = _collect(client, server, whole, store, settings.rows_per_query)
                if not any(len(one.catalog) for one in found):
                    store.forget(whole)
                    raise ServerFailure("it has no star there")
        except ServerFailure as failure:
            failures.append(f"{server.name}: {failure}")
            continue
        catalog = join_catalogs([stored.catalog for stored in found]) if len(found) > 1 else found[0].catalog
        number, parts = sum(stored.number for stored in found), [f"{one.query} [{one.server}]" for one in found]
        query = _query_of(server, whole) if len(found) > 1 else found[0].query
        complete = answer_now(whole, catalog, number, query, found[-1].server)
        answer = _answer(complete, asked, tuple(failures), tuple(parts) if len(parts) > 1 else (), "")
        store.finish(complete, keep=bool(cache_folder))
        return answer
    kept = f"; {store.n_stars} stars that came are kept, the next run goes on there" if _resumes(store) else ""
    raise ArchiveError(
        f"no Gaia server gave a usable answer for the cone of {radius_deg:.4f} deg around ra {centre_deg[0]:.5f}, "
        f"dec {centre_deg[1]:.5f} ({'; '.join(failures)}{kept}): try again later, name other gaia.servers, "
        "or give a local table as gaia_file"
    )


def _resumes(store: PartStore) -> bool:
    return store.lasting and store.n_stars > 0


def _answer(
    stored: StoredPart, asked: Part, failures: tuple[str, ...], parts: tuple[str, ...], cached_utc: str
) -> ConeAnswer:
    """The stars that were asked for, of an answer that may hold more."""
    catalog = stored.catalog
    if stored.part != asked:
        away = separation_deg(directions(catalog.ra_deg, catalog.dec_deg), directions(asked.ra_deg, asked.dec_deg))
        catalog = catalog[(away <= asked.radius_deg) & (catalog.mag <= asked.faint)]
        if len(catalog) == 0:
            raise ArchiveError(
                f"no star of Gaia brighter than G = {asked.faint:g} lies within {asked.radius_deg:.4f} deg of ra "
                f"{asked.ra_deg:.5f}, dec {asked.dec_deg:.5f}: enlarge the field or raise gaia.magnitude_limit"
            )
    return ConeAnswer(catalog, stored.query, stored.server, failures, parts, cached_utc)


def _collect(client: TapClient, server: Server, part: Part, store: PartStore, rows_per_query: int) -> list[StoredPart]:
    """All stars of a part, divided where they are too many; what is stored already is not asked for again."""
    stored = store.load(part)
    if stored is not None:
        return [stored]
    division = store.split(part)
    if division is None:
        query = _query_of(server, part)
        number = client.count("SELECT COUNT(*) AS n_rows FROM" + query.partition(" FROM")[2])
        if number <= rows_per_query:
            stored = answer_now(part, _ask(client, server, query, part, number), number, query, server.url)
            store.save(stored)
            return [stored]
        division = Division(part, _boundary(part, number), number, server.url)
        store.save_split(division)
    halves = replace(part, faint=division.boundary), replace(part, bright=division.boundary)
    found = [one for half in halves for one in _collect(client, server, half, store, rows_per_query)]
    total, number = sum(one.number for one in found), division.number
    servers = {division.server, *(one.server for one in found)}
    if abs(total - number) > (0 if len(servers) == 1 else 5 + MIRRORS_DIFFER * number):
        store.forget(part)
        raise ServerFailure(f"{total} rows came in parts where COUNT(*) says {number}")
    return found


def _boundary(part: Part, number: int) -> float:
    width = WIDEST_SLICE_MAG if part.bright is None else min(WIDEST_SLICE_MAG, 0.5 * (part.faint - part.bright))
    if width < NARROWEST_SLICE_MAG:
        raise ServerFailure(f"{number} stars of G = {part.faint:.2f} are too many for gaia.rows_per_query")
    return round(part.faint - width, 4)


def _query_of(server: Server, part: Part) -> str:
    query = cone_query(server, part.release, (part.ra_deg, part.dec_deg), part.radius_deg, part.faint)
    return query if part.bright is None else f"{query} AND {_name(server, 'phot_g_mean_mag')} > {part.bright:.4f}"


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


def _ask(client: TapClient, server: Server, query: str, part: Part, number: int) -> SkyCatalog:
    if number == 0:
        return _no_stars(part.release)
    document = client.rows(query, number)
    columns, names = columns_of_votable(document, server.columns)
    rows = len(document.get_first_table().array)
    if rows != number:
        raise ServerFailure(f"{rows} rows came where COUNT(*) says {number}")
    columns |= {key: Column(np.full(rows, value), np.zeros(rows, bool)) for key, value in server.constants.items()}
    lacking = [key for key in GAIA.required if key not in columns]
    if lacking:
        raise ServerFailure(f"the answer lacks {', '.join(lacking)}")
    try:
        table: GaiaTable = catalog_from_columns(columns, names, "the answer")
    except InputError as error:
        raise ServerFailure(str(error)) from error
    catalog = table.catalog
    centre = directions(part.ra_deg, part.dec_deg)
    away = separation_deg(directions(catalog.ra_deg, catalog.dec_deg), centre)
    asked = (away < part.radius_deg + EDGE_DEG) & (catalog.mag < part.faint + EDGE_MAG)
    if len(catalog) != number:
        raise ServerFailure(f"{number - len(catalog)} of {number} rows have no position or stand there twice")
    if not asked.any():
        raise ServerFailure("none of its rows lies in the cone")
    return replace(catalog[asked], source=part.release)


def _no_stars(release: str) -> SkyCatalog:
    columns = {name: np.empty(0, np.int64 if name == "source_id" else float) for name in SkyCatalog.column_names()}
    return SkyCatalog(**columns, source=release, system=GAIA.system)


def server_named(text: str) -> Server:
    """Server of a name or URL.

    Parameters
    ----------
    text : str
        As configured. A URL of a known host keeps that server's table and names.

    Returns
    -------
    Server

    Raises
    ------
    InputError
        Neither a known name nor a URL.
    """
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
