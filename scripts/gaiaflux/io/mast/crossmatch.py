"""Numbers of Gaia DR2, which the TIC has, as numbers of DR3, by the archive's own crossmatch.

A source of DR3 may have the number of another one of DR2: numbers of two releases are never compared.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gaiaflux.io.gaia.archive import ArchiveError, Server, server_named
from gaiaflux.io.gaia.tap_client import TapClient
from gaiaflux.io.transport import ServerFailure
from gaiaflux.model.settings.gaia import GaiaSettings

if TYPE_CHECKING:
    from astropy.io.votable.tree import VOTableFile

__all__ = ["Crossmatch", "best_neighbours", "fetch_crossmatch"]

NUMBERS_AT_ONCE = 2000
_USUAL = ("esa", "ari")
_COLUMNS = ("dr2_source_id", "dr3_source_id", "angular_distance", "magnitude_difference")
# How far the two releases differ for one star: position [mas] at the epoch of DR3, and G [mag].
_SPREAD_MAS, _SPREAD_MAG = 100.0, 0.3
# In these units: beyond it is another star.
_FARTHEST = 5.0


@dataclass(frozen=True)
class Crossmatch:
    """Numbers of both releases.

    Attributes
    ----------
    dr2, dr3 : ndarray of int64, shape (n,)
        One star each; sorted by `dr2`. No number stands there twice.
    server : str
        URL of the service.
    failures : tuple of str
        Reasons of the servers that were asked before in vain.
    """

    dr2: np.ndarray
    dr3: np.ndarray
    server: str
    failures: tuple[str, ...]


def best_neighbours(
    dr2: np.ndarray, dr3: np.ndarray, distance_mas: np.ndarray, difference_mag: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs that are one star.

    Parameters
    ----------
    dr2, dr3 : ndarray of int64, shape (n,)
        Numbers of sources that are near each other, some several times.
    distance_mas : ndarray, shape (n,)
        Between them at the epoch of DR3 [mas].
    difference_mag : ndarray, shape (n,)
        Of their G [mag]; NaN where it is not known.

    Returns
    -------
    dr2, dr3 : ndarray of int64
        The nearest in position and brightness first, each number once; sorted by `dr2`.
    """
    unlike = np.hypot(distance_mas / _SPREAD_MAS, np.nan_to_num(difference_mag, nan=_SPREAD_MAG) / _SPREAD_MAG)
    taken: dict[int, int] = {}
    used: set[int] = set()
    for k in np.lexsort((dr3, dr2, unlike)):
        first, second = int(dr2[k]), int(dr3[k])
        if unlike[k] <= _FARTHEST and first not in taken and second not in used:
            taken[first] = second
            used.add(second)
    pairs = sorted(taken.items())
    return np.array([pair[0] for pair in pairs], np.int64), np.array([pair[1] for pair in pairs], np.int64)


def fetch_crossmatch(numbers: Sequence[int], settings: GaiaSettings) -> Crossmatch:
    """Ask servers in turn which sources of DR3 those of DR2 are.

    Parameters
    ----------
    numbers : sequence of int
        Of DR2.
    settings : GaiaSettings
        Servers and limits of time; those that have no table of both releases are not asked.

    Returns
    -------
    Crossmatch
        Without the numbers that DR3 has no source for.

    Raises
    ------
    ArchiveError
        No server gave a whole answer.
    """
    wanted = sorted(set(numbers))
    if not wanted:
        return Crossmatch(np.empty(0, np.int64), np.empty(0, np.int64), "", ())
    servers = [server for server in map(server_named, settings.servers) if _table(server)]
    servers = servers or [server_named(name) for name in _USUAL]
    end, failures = time.monotonic() + settings.deadline_s, []
    for position, server in enumerate(servers):
        share = (end - time.monotonic()) / (len(servers) - position)
        try:
            if share <= 0.0:
                raise ServerFailure("not asked, the time was over")
            with TapClient(server.url, settings.timeout_s, share) as client:
                parts = [
                    _ask(client, server, wanted[at : at + NUMBERS_AT_ONCE])
                    for at in range(0, len(wanted), NUMBERS_AT_ONCE)
                ]
        except ServerFailure as failure:
            failures.append(f"{server.name}: {failure}")
            continue
        columns = [np.concatenate([part[k] for part in parts]) for k in range(len(_COLUMNS))]
        dr2, dr3 = best_neighbours(columns[0], columns[1], columns[2], columns[3])
        return Crossmatch(dr2, dr3, server.url, tuple(failures))
    raise ArchiveError(
        f"no Gaia server told which stars of DR3 the {len(wanted)} numbers of DR2 are ({'; '.join(failures)}): try "
        "again later, or name other gaia.servers"
    )


def _table(server: Server) -> str:
    """Name of the crossmatch at a server that keeps Gaia's own schemas; else empty."""
    schema, _, table = server.tables.get("gaiadr3", "").partition(".")
    return f"{schema}.dr2_neighbourhood" if (schema, table) == ("gaiadr3", "gaia_source") else ""


def _ask(client: TapClient, server: Server, numbers: Sequence[int]) -> list[np.ndarray]:
    condition = f"FROM {_table(server)} WHERE dr2_source_id IN ({', '.join(map(str, numbers))})"
    number = client.count(f"SELECT COUNT(*) AS n_rows {condition}")
    if number == 0:
        return [np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0)]
    columns = _columns(client.rows(f"SELECT {', '.join(_COLUMNS)} {condition}", number))
    if len(columns[0]) != number:
        raise ServerFailure(f"{len(columns[0])} rows came where COUNT(*) says {number}")
    if not np.isin(columns[0], numbers).all():
        raise ServerFailure("the answer has numbers that were not asked for")
    return columns


def _columns(document: "VOTableFile") -> list[np.ndarray]:
    table = document.get_first_table()
    names = {(field.name or field.ID).lower(): field.ID for field in table.fields}
    lacking = [name for name in _COLUMNS if name not in names]
    if lacking:
        raise ServerFailure(f"the answer lacks {', '.join(lacking)}")
    columns = []
    for name in _COLUMNS:
        array = table.array[names[name]]
        whole = name.endswith("source_id")
        if whole and (array.dtype.kind not in "iu" or np.ma.getmaskarray(array).any()):
            raise ServerFailure(f"{name} is not a column of whole numbers")
        filled = np.ma.getdata(array) if whole else np.ma.filled(array.astype(float), np.nan)
        columns.append(np.asarray(filled, np.int64 if whole else np.float64))
    return columns
