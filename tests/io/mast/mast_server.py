"""MAST on 127.0.0.1: its portal, its files, TESScut and the folders of the archive; or what goes wrong with them.

Its tables have the form of the real answers that astroquery keeps for its own tests, whose rows are filled anew; the
cut-outs are the real ones. It reads filters and positions of a query, and refuses what it cannot read.
"""

import copy
import json
import re
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import astroquery.mast
import numpy as np

DATA = Path(astroquery.mast.__file__).parent / "tests" / "data"
REAL_CUTOUT = "tess-s0001-4-3_107.27_-70.0_5x5_astrocut.fits"
PAGE = b"<!DOCTYPE html><html><body>down for maintenance</body></html>"
PLACES = {
    "/api/v0/invoke": "invoke",
    "/portal/Mashup/Mashup.asmx/columnsconfig": "columns",
    "/api/v0.1/Download/file": "file",
    "/tesscut/api/v0.1/sector": "sector",
    "/tesscut/api/v0.1/astrocut": "astrocut",
}


def real(name):
    """A real answer."""
    return json.loads((DATA / name).read_text())


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request, client_address):
        """A client that goes away in mid-answer is what is tested."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@dataclass
class Behaviour:
    """What goes wrong at a kind of place: invoke, columns, file, sector, astrocut, script, prf; nothing by default."""

    at: str = ""
    how: str = ""  # 500, busy, silence, drip, cut, page, longer, shorter, elsewhere, moved, drop, raw
    times: int = 10**9  # how often it goes wrong
    only: str = ""  # in the place or the request
    raw: bytes = b""
    ranges: bool = True
    marks: bool = True  # ETag and Last-Modified
    executing: int = 0  # answers that the query is under way
    lose_rows: int = 0
    page_size: int = 0


@dataclass
class MastServer:
    """The running service; `asked` has (kind, place or request, headers) of everything."""

    stars: list = field(default_factory=list)
    sectors: list = field(default_factory=list)  # (sector, camera, ccd)
    files: dict = field(default_factory=dict)  # name -> bytes
    sizes: dict = field(default_factory=dict)  # name -> what the list of products says instead
    prf: dict = field(default_factory=dict)  # path below the folder -> bytes
    cutout: bytes = (DATA / "astrocut_107.27_-70.0_5x5.zip").read_bytes()
    behaviour: Behaviour = field(default_factory=Behaviour)

    def __post_init__(self):
        self.asked = []
        self.stop = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def kinds(self):
        return [kind for kind, _, _ in self.asked]

    def places(self, kind):
        return [place for own, place, _ in self.asked if own == kind]

    def close(self):
        self.stop.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def invoke(self, request):
        """Rows of a query and the fields of its answer."""
        service, params = request["service"], request["params"]
        filters = {one["paramName"]: one["values"] for one in params.get("filters", [])}
        if service.startswith("Mast.Catalogs.Filtered.Tic"):
            chosen = self.stars
            if ".Position" in service:
                ra, dec, radius = params["ra"], params["dec"], params["radius"]
                chosen = [row for row in chosen if apart_deg(row["ra"], row["dec"], ra, dec) <= radius]
            for name, values in filters.items():
                chosen = [row for row in chosen if _passes(row[name], values)]
            return chosen, real("tic.json")["fields"]
        if service == "Mast.Caom.Filtered":
            return _chosen(self._observations(), filters), real("caom.json")["fields"]
        if service == "Mast.Caom.Products":
            wanted = params["obsid"].split(",")
            return [row for row in self._products() if str(row["obsID"]) in wanted], real("products.json")["fields"]
        raise ValueError(f"no service {service}")

    def _observations(self):
        form = real("caom.json")["data"][0]
        names = sorted(name for name in self.files if "p.fits" in name)
        common = {"obs_collection": "TESS", "dataproduct_type": "timeseries", "project": "TESS"}
        return [
            form | common | {"target_name": str(int(name.split("-")[2])), "obs_id": name[:-8], "obsid": 60000 + k}
            for k, name in enumerate(names)
        ]

    def _products(self):
        form = real("products.json")["data"][0]
        rows = []
        for observation in self._observations():
            start = observation["obs_id"][:40]
            for name in sorted(self.files):
                if name.startswith(start):
                    rows.append(
                        form
                        | {"obsID": observation["obsid"], "productFilename": name, "obs_id": observation["obs_id"]}
                        | {"dataURI": f"mast:TESS/product/{name}", "size": self.sizes.get(name, len(self.files[name]))}
                    )
        return rows


def tic_row(number, ra, dec, tmag, gaia=None, **columns):
    """A row of the TIC in the form of the real ones."""
    row = copy.deepcopy(real("tic.json")["data"][0])
    return row | {"ID": number, "ra": ra, "dec": dec, "Tmag": tmag, "GAIA": gaia, "version": "20190415"} | columns


def apart_deg(ra, dec, ra0, dec0):
    ra, dec, ra0, dec0 = np.radians([ra, dec, ra0, dec0])
    half = np.sin((dec - dec0) / 2) ** 2 + np.cos(dec) * np.cos(dec0) * np.sin((ra - ra0) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(half)))


def _passes(value, values):
    if values and isinstance(values[0], dict):
        return value is not None and values[0]["min"] <= value <= values[0]["max"]
    return str(value) in values


def _chosen(rows, filters):
    return [row for row in rows if all(_passes(row[name], values) for name, values in filters.items())]


def _handler(server):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do_POST(self):
            self.form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._answer()

        def do_GET(self):
            self.form = {}
            self._answer()

        def _answer(self):
            place = urlsplit(self.path)
            kind = PLACES.get(place.path) or place.path.split("/")[1]
            said = self.form.get("request", [self.path])[0]
            server.asked.append((kind, said, dict(self.headers)))
            fault = server.behaviour
            self.how = ""
            if fault.at == kind and fault.times > 0 and fault.only in said:
                fault.times -= 1
                self.how = fault.how
            try:
                if not self._goes_wrong():
                    getattr(self, f"_{kind}", self._missing)(place)
            except OSError:  # the client is gone
                self.close_connection = True

        def _goes_wrong(self):
            """What goes wrong before there is anything to send."""
            if self.how == "500":
                self._send(b"the service is down", 500)
            elif self.how == "busy":
                self._send(b"later", 503)
            elif self.how == "silence":
                server.stop.wait(30.0)
            elif self.how == "drop":
                self.close_connection = True
            elif self.how == "page":
                self._send(PAGE)
            elif self.how == "raw":
                self._send(server.behaviour.raw)
            elif self.how == "elsewhere":
                self._send(b"", 302, Location="https://example.org/login")
            elif self.how == "moved":
                self._send(b"", 302, Location=f"{self.path}{'&' if '?' in self.path else '?'}moved=1")
            else:
                return False
            return True

        def _send(self, body, status=200, **headers):
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), value)
            length = len(body) + {"longer": 10, "shorter": -10}.get(self.how, 0)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.how == "drip":
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    if server.stop.wait(0.05):
                        break
                self.close_connection = True
                return
            self.close_connection = self.how in ("longer", "shorter", "cut")
            self.wfile.write(body[: len(body) // 2] if self.how == "cut" else body[: max(0, length)])

        def _missing(self, place):
            self._send(b"<html>no such place</html>", 404)

        def _json(self, content):
            self._send(json.dumps(content).encode(), Content_Type="application/json")

        def _columns(self, place):
            name = self.form["colConfigId"][0]
            self._json(real("ticcolumns.json" if ".Tess." in name else "columnsconfig.json"))

        def _invoke(self, place):
            request = json.loads(self.form["request"][0])
            if request["service"] == "Mast.Catalogs.All.Tic":
                self._json(real("ticcolumns_filtered.json"))
                return
            if server.behaviour.executing > 0:
                server.behaviour.executing -= 1
                self._json({"status": "EXECUTING", "msg": "", "data": []})
                return
            try:
                rows, fields = server.invoke(request)
            except (ValueError, KeyError) as error:
                self._json({"status": "ERROR", "msg": f"cannot read the query: {error}", "data": [], "fields": []})
                return
            size, page = server.behaviour.page_size or request["pagesize"], request["page"]
            some = rows[(page - 1) * size : page * size]
            paging = {"page": page, "pageSize": size, "pagesFiltered": max(1, -(-len(rows) // size))}
            paging |= {"rows": len(some), "rowsFiltered": len(rows), "rowsTotal": len(rows)}
            some = some[: len(some) - server.behaviour.lose_rows]
            self._json({"status": "COMPLETE", "msg": "", "data": some, "fields": fields, "paging": paging})

        def _sector(self, place):
            form = real("tess_sector.json")["results"][0]
            rows = [
                form | {"sectorName": f"tess-s{s:04d}-{c}-{d}", "sector": f"{s:04d}", "camera": str(c), "ccd": str(d)}
                for s, c, d in server.sectors
            ]
            self._json({"results": rows})

        def _astrocut(self, place):
            # Made when it is asked for: neither a mark nor parts.
            self._send(server.cutout)

        def _file(self, place):
            name = re.fullmatch(r"mast:TESS/product/(.+)", parse_qs(place.query)["uri"][0])[1]
            self._sent_file(server.files.get(name))

        def _scripts(self, place):
            sector = int(re.fullmatch(r"/scripts/tesscurl_sector_(\d+)_ffic\.sh", place.path)[1])
            names = [name for name in server.files if f"-s{sector:04d}-" in name and name.endswith("_ffic.fits")]
            if not names:
                self._missing(place)
                return
            line = "curl -C - -L -o {0} https://mast.stsci.edu/api/v0.1/Download/file/?uri=mast:TESS/product/{0}"
            self._send("\n".join(["#!/bin/sh", *map(line.format, names)]).encode())

        def _prf(self, place):
            path = place.path.removeprefix("/prf/")
            if not path.endswith("/"):
                self._sent_file(server.prf.get(path))
                return
            names = [name.removeprefix(path) for name in server.prf if name.startswith(path)]
            head = '<html><h1>Index</h1><a href="?C=N;O=D">Name</a><a href="/missions/tess/">Parent Directory</a>'
            links = "".join(f'<tr><td><a href="{name}">{name}</a></td></tr>' for name in names)
            self._send(f"{head}{links}</html>".encode()) if names else self._missing(place)

        def _sent_file(self, content):
            if content is None:
                self._send(PAGE, 404)
                return
            headers = {"ETag": f'"{hash(content):x}"'} if server.behaviour.marks else {}
            headers |= {"Accept_Ranges": "bytes"} if server.behaviour.ranges else {}
            wanted = self.headers.get("Range") if server.behaviour.ranges else None
            if wanted is None or self.headers.get("If-Range", headers.get("ETag")) != headers.get("ETag"):
                self._send(content, **headers)
                return
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            place = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self._send(content[first:], 206, Content_Range=place, **headers)

    return Handler
