"""A server of the archive's protocol (TAP) on 127.0.0.1 that answers cone queries on a table.

It reads the ADQL that it gets: table, columns, circle and magnitude limits; what it cannot read it refuses.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np

__all__ = ["serve"]

_TABLE = "gaiadr3.gaia_source"
_DATATYPES = {"i": "long", "f": "double"}
_UNITS = {"ra": "deg", "dec": "deg", "parallax": "mas", "pmra": "mas.yr**-1", "pmdec": "mas.yr**-1"}
_QUERY = re.compile(r"SELECT (?P<select>.+) FROM (?P<table>\S+) WHERE (?P<where>.+)", re.IGNORECASE)
_CIRCLE = re.compile(r"CIRCLE\('ICRS', *(?P<ra>[-\d.]+), *(?P<dec>[-\d.]+), *(?P<r>[\d.]+)\)", re.IGNORECASE)
_LIMIT = re.compile(r"phot_g_mean_mag (?P<sign><=|>) (?P<mag>[-\d.]+)")


@contextmanager
def serve(table: np.ndarray) -> Iterator[str]:
    """Serve a table as ``gaiadr3.gaia_source``.

    Parameters
    ----------
    table : structured ndarray
        Rows with Gaia's columns; a column that is asked for and not there is empty.

    Yields
    ------
    str
        URL of the service, at a port of its own.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(table))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/tap-server/tap"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(table: np.ndarray, query: str) -> bytes:
    """Document that answers a query.

    Raises
    ------
    ValueError
        The query cannot be read.
    """
    found = _QUERY.fullmatch(" ".join(query.split()))
    circle = _CIRCLE.search(query)
    if found is None or circle is None or found["table"] != _TABLE:
        raise ValueError(f"cannot parse {query}")
    # The haversine formula, as the one under test need not have it.
    ra, dec = np.radians(table["ra"]), np.radians(table["dec"])
    ra0, dec0 = (np.radians(float(circle[name])) for name in ("ra", "dec"))
    half = np.sin((dec - dec0) / 2) ** 2 + np.cos(dec) * np.cos(dec0) * np.sin((ra - ra0) / 2) ** 2
    chosen = np.degrees(2 * np.arcsin(np.sqrt(half))) <= float(circle["r"])
    for limit in _LIMIT.finditer(found["where"]):
        magnitude = table["phot_g_mean_mag"]
        chosen &= magnitude <= float(limit["mag"]) if limit["sign"] == "<=" else magnitude > float(limit["mag"])
    rows = table[chosen]
    if found["select"].upper().startswith("COUNT(*)"):
        return _votable({"n_rows": np.array([len(rows)])})
    names = [name.strip() for name in found["select"].split(",")]
    nothing = np.full(len(rows), np.nan)
    return _votable({name: rows[name] if name in rows.dtype.names else nothing for name in names})


def _votable(columns: dict[str, np.ndarray]) -> bytes:
    """VOTable document of columns, empty cells for NaN."""
    fields = "".join(
        f'<FIELD ID="{name.upper()}" name="{name}" datatype="{_DATATYPES[values.dtype.kind]}"'
        + (f' unit="{_UNITS[name]}"' if name in _UNITS else "")
        + "/>\n"
        for name, values in columns.items()
    )
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    body = "".join("<TR>" + "".join(f"<TD>{'' if v != v else repr(v)}</TD>" for v in row) + "</TR>\n" for row in rows)
    return (
        '<?xml version="1.0"?>\n<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
        '<RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/>\n'
        f"<TABLE>\n{fields}<DATA><TABLEDATA>\n{body}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>\n"
    ).encode()


def _handler(table: np.ndarray) -> type[BaseHTTPRequestHandler]:
    jobs: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing: what was asked is in the tree's own log."""

        def do_POST(self) -> None:
            """A query, or a word to a job."""
            length = int(self.headers.get("Content-Length", 0))
            form = {key.upper(): value[0] for key, value in parse_qs(self.rfile.read(length).decode()).items()}
            self._reply(form)

        def do_GET(self) -> None:
            """A job's phase or result."""
            self._reply({})

        def _reply(self, form: dict[str, str]) -> None:
            place = urlsplit(self.path).path.partition("/tap/")[2]
            try:
                if place == "async":
                    name = f"job{len(jobs) + 1}"
                    jobs[name] = form["QUERY"]
                    self._send(303, b"", location=f"{self.path.rstrip('/')}/{name}")
                elif place.endswith("/phase"):
                    self._send(200, b"COMPLETED")
                else:
                    query = form.get("QUERY") or jobs[place.split("/")[1]]
                    self._send(200, _answer(table, query))
            except (KeyError, IndexError, ValueError) as error:
                self._send(400, str(error).encode())

        def _send(self, status: int, body: bytes, location: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-votable+xml")
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
