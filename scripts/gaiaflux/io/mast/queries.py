"""What MAST has: stars of the TIC, sectors that see a place, target pixel files; asked by `astroquery.mast`."""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

from gaiaflux.io.mast.carrier import Carrier, Reply
from gaiaflux.io.transport import ServerFailure, Transport, shortened

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["Place", "Queries", "StoredFile", "product_url"]

# More TIC numbers than this make a request too long for some servers.
STARS_AT_ONCE = 500
_ADDRESS = "/api/v0.1/Download/file?uri=mast:TESS/product/"
_TIC, _TIC_COLUMNS = "Mast.Catalogs.Filtered.Tic.Rows", "Mast.Catalogs.Tess.Cone"
_TARGET_FILE = re.compile(r"tess\d{13}-s(\d{4})-(\d{16})-\d{4}-[a-z]_(tp|fast-tp)\.fits")
_ENDINGS = {"tpf": "tp", "fast_tpf": "fast-tp"}
# What astroquery makes of an answer of another form.
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError)


@dataclass(frozen=True, order=True)
class Place:
    """A sector, and the CCD on which something is there.

    Attributes
    ----------
    sector, camera, ccd : int
        Sectors count from 1, cameras and CCDs are 1 to 4.
    """

    sector: int
    camera: int
    ccd: int


@dataclass(frozen=True)
class StoredFile:
    """A file of an archive.

    Attributes
    ----------
    name : str
        Of the file, without a folder.
    url : str
        Where it is.
    size : int
        Bytes, as the archive says; 0 where it does not.
    """

    name: str
    url: str
    size: int = 0


def product_url(server: str, name: str) -> str:
    """Where MAST gives a file of the mission.

    Parameters
    ----------
    server : str
        Base URL of MAST.
    name : str
        Of the file.

    Returns
    -------
    str
        URL.
    """
    return f"{server}{_ADDRESS}{name}"


class Queries:
    """Questions to MAST, all within the limits of one transport.

    Parameters
    ----------
    transport : Transport
        Carries the bytes.
    server, tesscut : str
        Base URLs of MAST and of TESScut.
    """

    def __init__(self, transport: Transport, server: str, tesscut: str) -> None:
        # Here alone: it takes a second to load, and nothing else of the workflow needs it.
        from astroquery.mast import CatalogsClass, ObservationsClass, TesscutClass

        self._server, self._carrier = server, Carrier(transport)
        self._catalogs, self._observations, self._cutouts = CatalogsClass(), ObservationsClass(), TesscutClass()
        for client in (self._catalogs, self._observations, self._cutouts):
            portal, service = client._portal_api_connection, client._service_api_connection
            for connection in (client, portal, service):
                connection._session = self._carrier
            portal._column_configs = {}
            portal.MAST_REQUEST_URL = f"{server}/api/v0/invoke"
            portal.COLUMNS_CONFIG_URL = f"{server}/portal/Mashup/Mashup.asmx/columnsconfig"
            # astroquery's limit counts from the first request on and is told apart from no other; ours holds.
            portal.TIMEOUT = service.TIMEOUT = float("inf")
        self._cutouts._service_api_connection.REQUEST_URL = f"{tesscut}/api/v0.1/"

    def stars(self, numbers: Sequence[int]) -> "Table":
        """Rows of the TIC of some stars.

        Parameters
        ----------
        numbers : sequence of int
            TIC numbers.

        Returns
        -------
        Table
            Columns of the TIC, one row for each star that it has.

        Raises
        ------
        ServerFailure
            No whole answer.
        """
        from astropy.table import vstack

        # astroquery takes the column ID for a range of numbers; a list of them is asked for by a filter of ours.
        ask = self._catalogs._portal_api_connection.service_request_async
        tables = []
        for at in range(0, len(numbers), STARS_AT_ONCE):
            some = [*map(str, numbers[at : at + STARS_AT_ONCE])]
            params = {"columns": "*", "filters": [{"paramName": "ID", "values": some}]}
            tables.append(self._table(self._catalogs, ask, _TIC, params, fetch_name=_TIC_COLUMNS))
        return vstack(tables, metadata_conflicts="silent") if len(tables) > 1 else tables[0]

    def stars_around(self, centre_deg: tuple[float, float], radius_deg: float, tmag_max: float) -> "Table":
        """Rows of the TIC of a cone.

        Parameters
        ----------
        centre_deg : tuple of float
            (ra, dec), ICRS [deg].
        radius_deg : float
            Half opening angle [deg].
        tmag_max : float
            Faintest TESS magnitude.

        Returns
        -------
        Table
            Columns of the TIC.

        Raises
        ------
        ServerFailure
            No whole answer.
        """
        from astropy.coordinates import SkyCoord

        return self._table(
            self._catalogs,
            self._catalogs.query_criteria_async,
            catalog="Tic",
            coordinates=SkyCoord(*centre_deg, unit="deg"),
            radius=radius_deg,
            Tmag=[-10.0, tmag_max],
        )

    def places(self, centre_deg: tuple[float, float]) -> list[Place]:
        """Sectors that have seen a position, and where.

        Parameters
        ----------
        centre_deg : tuple of float
            (ra, dec), ICRS [deg].

        Returns
        -------
        list of Place
            Sorted; empty where none has.

        Raises
        ------
        ServerFailure
            No usable answer.
        """
        from astropy.coordinates import SkyCoord

        table = self._asked(self._cutouts.get_sectors, coordinates=SkyCoord(*centre_deg, unit="deg"))
        rows = zip(table["sector"], table["camera"], table["ccd"], strict=True)
        return sorted({Place(int(sector), int(camera), int(ccd)) for sector, camera, ccd in rows})

    def target_files(self, numbers: Sequence[int], sectors: Sequence[int], kind: str) -> list[StoredFile]:
        """Target pixel files of some stars.

        Parameters
        ----------
        numbers : sequence of int
            TIC numbers.
        sectors : sequence of int
            Those of interest; empty for all.
        kind : str
            ``tpf`` (120 s) or ``fast_tpf`` (20 s).

        Returns
        -------
        list of StoredFile
            Sorted by name; empty where the archive has none.

        Raises
        ------
        ServerFailure
            No whole answer.
        """
        criteria = {"obs_collection": "TESS", "dataproduct_type": "timeseries", "target_name": [*map(str, numbers)]}
        observed = self._table(self._observations, self._observations.query_criteria_async, **criteria)
        identifiers = sorted({str(value) for value in observed["obsid"]}) if len(observed) else []
        if not identifiers:
            return []
        products = self._table(self._observations, self._observations.get_product_list_async, identifiers)
        found = {}
        for row in products:
            name = str(row["productFilename"])
            parts = _TARGET_FILE.fullmatch(name)
            if parts is None or parts[3] != _ENDINGS[kind]:
                continue
            if int(parts[2]) in numbers and (not sectors or int(parts[1]) in sectors):
                found[name] = StoredFile(name, product_url(self._server, name), _size(row["size"]))
        return [found[name] for name in sorted(found)]

    def _table(self, client: Any, ask: Callable[..., list[Reply]], *arguments: Any, **criteria: Any) -> "Table":
        """Rows of all pages of an answer, as many as it says."""
        replies = self._asked(ask, *arguments, **criteria)
        announced, number = None, 0
        for reply in replies:
            said = reply.content
            if not isinstance(said, dict) or said.get("status") != "COMPLETE" or "data" not in said:
                text = str(said.get("msg") or said.get("status") or "") if isinstance(said, dict) else ""
                raise ServerFailure(f"the query failed: {shortened(text) or 'no reason given'}")
            number += len(said["data"])
            announced = (said.get("paging") or {}).get("rowsFiltered", announced)
        if announced is not None and number != announced:
            raise ServerFailure(f"{number} rows came where the server counts {announced}")
        return self._asked(client._portal_api_connection._parse_result, replies)

    def _asked(self, ask: Callable[..., Any], *arguments: Any, **criteria: Any) -> Any:
        """What a function of astroquery gives; where it cannot read an answer, one reason."""
        from astroquery.exceptions import InvalidQueryError, RemoteServiceError

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty answer is seen by its rows
            try:
                return ask(*arguments, **criteria)
            except (RemoteServiceError, InvalidQueryError, *_UNREADABLE) as error:
                said = shortened(f"{type(error).__name__}: {error}")
                raise ServerFailure(f"the answer is not what MAST answers ({said})") from error


def _size(value: Any) -> int:
    """Bytes that a list of files states; 0 where it states none."""
    return max(0, int(value)) if isinstance(value, Integral) else 0
