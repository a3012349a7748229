"""A TAP service on 127.0.0.1 that answers cone queries on a table, or misbehaves as told.

It reads the ADQL that it gets: table, columns, circle and magnitude limit; what it cannot read it refuses, as a real
service would. Rows are chosen with the haversine formula, independently of the code under test.
"""

import gzip
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np

DATATYPES = {"i8": "long", "f8": "double", "f4": "float"}
UNITS = {"ra": "deg", "dec": "deg", "parallax": "mas", "pmra": "mas.yr**-1", "pmdec": "mas.yr**-1"}
QUERY = re.compile(
    r"SELECT (?P<select>.+) FROM (?P<table>\S+) WHERE 1 = CONTAINS\(POINT\('ICRS', (?P<ra>\w+), (?P<dec>\w+)\), "
    r"CIRCLE\('ICRS', (?P<ra0>[-\d.]+), (?P<dec0>[-\d.]+), (?P<r>[\d.]+)\)\) AND (?P<mag>\w+) <= (?P<limit>[\d.]+)"
    r"( AND (?P=mag) > (?P<bright>[\d.]+))?"
)
NEIGHBOURS = re.compile(
    r"SELECT (?P<select>.+) FROM gaiadr3\.dr2_neighbourhood WHERE dr2_source_id IN \((?P<numbers>[\d, ]+)\)"
)


@dataclass
class Behaviour:
    """What goes wrong; nothing by default."""

    http_status: int = 0  # of every answer
    page: bytes = b""  # body of every answer, with HTTP 200
    drop: str = ""  # close the connection without an answer at: sync, async, phase, result
    cut: str = ""  # half of the body, then close: length (announced), silent (not announced)
    silent_s: float = 0.0  # wait that long before any answer
    drip_s: float = 0.0  # a byte of the result each that long
    overflow: str = ""  # flag (and half the rows), whole (only the flag)
    lose_rows: int = 0  # rows left out of the result without a word
    count_offset: int = 0
    count_text: str = ""  # body of the COUNT answer
    status_error: str = ""  # QUERY_STATUS=ERROR in a VOTable with HTTP 200
    final_phase: str = "COMPLETED"
    executing: int = 0  # polls that answer EXECUTING; -1 = all
    pending_until_run: bool = False
    raw_result: bytes = b""  # body of the result as it is
    raw_count: int = 0
    compress: bool = False
    ignore_circle: bool = False
    redirect_result: bool = False
    max_rows: int = 10**9  # hard limit of the service
    jobs_until_down: int = 10**9  # after so many jobs everything is HTTP 503
    slice_offset: int = 0  # added to COUNT(*) of the whole cone only


@dataclass
class TapServer:
    """The running service; `requests` has (method, path, form) of everything that it was asked."""

    table: np.ndarray
    table_name: str = "gaiadr3.gaia_source"
    behaviour: Behaviour = field(default_factory=Behaviour)
    names: dict = field(default_factory=dict)  # gaia name -> name in this service
    neighbours: np.ndarray | None = None  # rows of dr2_neighbourhood

    def __post_init__(self):
        self.requests = []
        self.jobs = {}
        self.stop = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = False
        self._server.block_on_close = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}/server/tap"

    def close(self):
        self.stop.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def paths(self):
        return [f"{method} {path.split('/tap/', 1)[1]}" for method, path, _ in self.requests]

    def answer(self, query, max_rows=None):
        """Body of a query's answer."""
        found = NEIGHBOURS.fullmatch(" ".join(query.split()))
        if found is not None and self.neighbours is not None:
            return self._neighbours(found)
        found = QUERY.fullmatch(" ".join(query.split()))
        if found is None or found["table"] != self.table_name:
            raise ValueError(f"cannot parse {query}")
        own = {self.names.get(name, name): name for name in self.table.dtype.names}
        chosen = np.ones(len(self.table), dtype=bool)
        if not self.behaviour.ignore_circle:
            chosen = haversine_deg(
                self.table[own[found["ra"]]], self.table[own[found["dec"]]], float(found["ra0"]), float(found["dec0"])
            ) <= float(found["r"])
        magnitude = self.table[own[found["mag"]]]
        rows = self.table[chosen & (magnitude <= float(found["limit"])) & (magnitude > float(found["bright"] or -99.0))]
        if found["select"].upper().startswith("COUNT(*)"):
            count = self.behaviour.raw_count or len(rows) + self.behaviour.count_offset
            count += 0 if found["bright"] or float(found["limit"]) < 19.5 else self.behaviour.slice_offset
            return votable(np.array([(count,)], dtype=[("n_rows", "i8")]))
        names = [own[name.strip()] for name in found["select"].split(",")]
        limit = min(self.behaviour.max_rows, 10**9 if max_rows is None else int(max_rows))
        overflow = len(rows) > limit or self.behaviour.overflow
        rows = rows[: len(rows) // 2 if self.behaviour.overflow == "flag" else limit]
        rows = rows[: len(rows) - self.behaviour.lose_rows]
        return votable(rows[names], {name: self.names.get(name, name) for name in names}, overflow=bool(overflow))

    def _neighbours(self, found):
        rows = self.neighbours[np.isin(self.neighbours["dr2_source_id"], [*map(int, found["numbers"].split(","))])]
        if found["select"].startswith("COUNT(*)"):
            return votable(np.array([(len(rows),)], dtype=[("n_rows", "i8")]))
        return votable(rows[: len(rows) - self.behaviour.lose_rows][found["select"].split(", ")])


def haversine_deg(ra, dec, ra0, dec0):
    ra, dec, ra0, dec0 = np.radians(ra), np.radians(dec), np.radians(ra0), np.radians(dec0)
    a = np.sin((dec - dec0) / 2) ** 2 + np.cos(dec) * np.cos(dec0) * np.sin((ra - ra0) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(a)))


def votable(rows, names=None, overflow=False):
    """VOTable document of a structured array, XML rows, empty cells for NaN."""
    names = names or {name: name for name in rows.dtype.names}
    fields = "".join(
        f'<FIELD ID="{names[n].upper()}_{k}" name="{names[n]}" datatype="{DATATYPES[rows.dtype[n].str[1:]]}"'
        + (f' unit="{UNITS[n]}"' if n in UNITS else "")
        + "/>\n"
        for k, n in enumerate(rows.dtype.names)
    )
    body = "".join(
        "<TR>" + "".join(f"<TD>{'' if v != v else repr(v)}</TD>" for v in row) + "</TR>\n" for row in rows.tolist()
    )
    tail = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>' if overflow else ""
    return (
        '<?xml version="1.0"?>\n<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
        '<RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/>\n'
        f"<TABLE>\n{fields}<DATA><TABLEDATA>\n{body}</TABLEDATA></DATA></TABLE>{tail}</RESOURCE></VOTABLE>\n"
    ).encode()


def error_document(text):
    return (
        '<?xml version="1.0"?>\n<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE '
        f'type="results"><INFO name="QUERY_STATUS" value="ERROR">{text}</INFO></RESOURCE></VOTABLE>'
    ).encode()


def _handler(server):
    behaviour = server.behaviour

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do_POST(self):
            length = int(self.headers.get("Content-Length", 0))
            form = {k.upper(): v[0] for k, v in parse_qs(self.rfile.read(length).decode()).items()}
            self._handle("POST", form)

        def do_GET(self):
            self._handle("GET", {})

        def _handle(self, method, form):
            path = urlsplit(self.path).path
            server.requests.append((method, path, form))
            place = path.removeprefix("/server/tap/")
            kind = next((k for k in ("phase", "result", "error") if place.endswith(k)), place.split("/")[0])
            if behaviour.silent_s:
                server.stop.wait(behaviour.silent_s)
            if behaviour.drop == kind:
                self.close_connection = True
                return
            if len(server.jobs) >= behaviour.jobs_until_down and kind in ("sync", "async"):
                self._send(503, error_document("going down for maintenance"))
            elif behaviour.http_status:
                self._send(behaviour.http_status, error_document("the service is down"))
            elif behaviour.page:
                self._send(200, behaviour.page, "text/html")
            else:
                getattr(self, f"_{kind}", self._unknown)(method, place, form)

        def _unknown(self, method, place, form):
            self._send(404, b"<html>no such place</html>", "text/html")

        def _sync(self, method, place, form):
            if behaviour.count_text:
                self._send(200, behaviour.count_text.encode())
            elif behaviour.status_error:
                self._send(200, error_document(behaviour.status_error))
            else:
                self._query(form)

        def _query(self, form):
            try:
                self._send(200, server.answer(form["QUERY"], form.get("MAXREC")))
            except ValueError as error:
                self._send(400, error_document(str(error).replace("<", "&lt;")))

        def _async(self, method, place, form):
            job = f"{len(server.jobs) + 1}O"
            server.jobs[job] = {"form": form, "polls": 0, "run": not behaviour.pending_until_run}
            # A host that cannot be reached, as real services behind a proxy state.
            self._send(303, b"", location=f"http://inside.invalid:8080/server/tap/async/{job}")

        def _phase(self, method, place, form):
            job = server.jobs[place.split("/")[1]]
            if method == "POST":
                job["run"] = job["run"] or form.get("PHASE") == "RUN"
                self._send(200, b"")
                return
            job["polls"] += 1
            if not job["run"]:
                phase = "PENDING"
            elif behaviour.executing < 0 or job["polls"] <= behaviour.executing:
                phase = "EXECUTING"
            else:
                phase = behaviour.final_phase
            self._send(200, phase.encode(), "text/plain")

        def _error(self, method, place, form):
            self._send(200, error_document("disk quota of the service exceeded"))

        def _result(self, method, place, form):
            if behaviour.redirect_result and "moved" not in place:
                self._send(303, b"", location=f"http://127.0.0.1/{self.path.replace('/results/', '/moved/')}")
                return
            job = server.jobs[place.split("/")[1]]
            if behaviour.raw_result:
                self._send(200, behaviour.raw_result, result=True)
                return
            body = server.answer(job["form"]["QUERY"], job["form"].get("MAXREC"))
            self._send(200, gzip.compress(body) if behaviour.compress else body, result=True)

        def _send(self, status, body, kind="application/x-votable+xml", location="", result=False):
            announced = not (result and behaviour.cut == "silent")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if location:
                self.send_header("Location", location)
            if announced:
                self.send_header("Content-Length", str(len(body)))
            else:
                self.send_header("Connection", "close")
            self.end_headers()
            try:
                if result and behaviour.drip_s:
                    for byte in body:
                        self.wfile.write(bytes([byte]))
                        if server.stop.wait(behaviour.drip_s):
                            break
                    self.close_connection = True
                elif result and behaviour.cut:
                    self.wfile.write(body[: len(body) // 2])
                    self.close_connection = True
                else:
                    self.wfile.write(body)
            except OSError:  # the client is gone
                self.close_connection = True

    return Handler
