"""A server of bytes on 127.0.0.1 that breaks off, drips, repeats itself and sends elsewhere."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

CONTENT = np.random.default_rng(3).bytes(300_000)
OTHER = CONTENT[::-1]


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request, client_address):
        """A client that goes away in mid-answer is what is tested."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Server:
    """What it is asked for by path, and what it does; `asked` has (path, headers) of every request."""

    content, other = CONTENT, OTHER

    def __init__(self):
        self.asked = []
        self.break_after = []  # bytes of a body after which the connection is closed, for one request after the other
        self.stalls = False  # does not even close it
        self.stop = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def paths(self):
        return [path for path, _ in self.asked]

    def ranges(self):
        return [headers.get("Range") for _, headers in self.asked]

    def close(self):
        self.stop.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(server):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do_GET(self):
            server.asked.append((self.path, dict(self.headers)))
            name, _, rest = self.path.strip("/").partition("/")
            try:
                getattr(self, f"_{name}")(rest)
            except OSError:  # the client is gone
                self.close_connection = True

        def do_POST(self):
            self.form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.do_GET()

        def _send(self, body, status=200, length=None, **headers):
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            if server.break_after:
                body = body[: server.break_after.pop(0)]
                self.close_connection = True
                self.wfile.write(body)
                if server.stalls:
                    server.stop.wait(30.0)
                return
            self.wfile.write(body)

        def _ranged(self, tag, content, **headers):
            wanted = self.headers.get("Range")
            if wanted is None or self.headers.get("If-Range") != tag:
                self._send(content, ETag=tag, Accept_Ranges="bytes", **headers)
                return
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            place = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self._send(content[first:], 206, Content_Range=place, ETag=tag, Accept_Ranges="bytes")

        def _file(self, rest):
            self._ranged('"a"', CONTENT)

        def _dated(self, rest):
            if self.headers.get("Range") and self.headers["If-Range"] == "Tue, 02 Jan 2024 03:04:05 GMT":
                self._ranged(self.headers["If-Range"], CONTENT)
            else:
                self._send(CONTENT, Last_Modified="Tue, 02 Jan 2024 03:04:05 GMT", ETag='W/"a"', Accept_Ranges="bytes")

        def _unmarked(self, rest):
            # Parts are offered, but nothing says of which version they are.
            content = OTHER[:-1] if rest == "changes" and len(server.asked) > 1 else CONTENT
            wanted = self.headers.get("Range")
            if wanted is None:
                self._send(content, Accept_Ranges="bytes")
                return
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self._send(content[first:], 206, Content_Range=f"bytes {first}-{len(content) - 1}/{len(content)}")

        def _plain(self, rest):
            self._send(CONTENT)

        def _changes(self, rest):
            self._ranged(*(('"a"', CONTENT) if len(server.asked) == 1 else ('"b"', OTHER)))

        def _lies(self, rest):
            if self.headers.get("Range"):
                place = f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"
                self._send(CONTENT[5:], 206, Content_Range=place, ETag='"a"')
            else:
                self._ranged('"a"', CONTENT)

        def _short(self, rest):
            self._send(CONTENT, length=len(CONTENT) + 10)
            self.close_connection = True

        def _huge(self, rest):
            self._send(b"", length=10**12)

        def _endless(self, rest):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for _ in range(int(rest or 10_000)):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(CONTENT), CONTENT))
            self.close_connection = True  # without the last chunk

        def _long(self, rest):
            self.send_response(200)
            self.send_header("Content-Length", str(40 * len(CONTENT)))
            self.end_headers()
            for _ in range(40):
                self.wfile.write(CONTENT)

        def _drop(self, rest):
            self.close_connection = True

        def _silent(self, rest):
            server.stop.wait(30.0)

        def _drip(self, rest):
            # Even of the head each byte comes alone.
            for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Long: 1\r\n" * 90 + b"\r\n":
                self.wfile.write(bytes([byte]))
                if server.stop.wait(0.02):
                    break
            self.close_connection = True

        def _busy(self, rest):
            self._send(*((b"later", 503) if len(server.asked) <= int(rest) else (CONTENT, 200)))

        def _missing(self, rest):
            self._send(b"<html><h1>Not found</h1></html>" * 1000, 404)

        def _empty(self, rest):
            self._send(b"", 204)

        def _loop(self, rest):
            self._send(b"", 302, Location="/loop")

        def _hops(self, rest):
            if rest == "0":
                self._send(CONTENT)
            else:
                self._send(b"", 307, Location=f"{int(rest) - 1}")

        def _inside(self, rest):
            # A port at which nobody listens, as servers behind a proxy state.
            self._send(b"", 301, Location="http://127.0.0.1:9/plain")

        def _away(self, rest):
            self._send(b"", 302, **({"Location": rest} if rest else {}))

        def _head(self, rest):
            self._send(str(dict(self.headers)).encode())

        def _form(self, rest):
            self._send(self.form.encode(), 303, Location="/plain")

    return Handler
