"""The transport against a server on 127.0.0.1 that breaks off, drips, repeats itself and sends elsewhere."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from gaiaflux.io import transport
from gaiaflux.io.transport import ServerFailure, Transport, redirected

CONTENT = np.random.default_rng(3).bytes(300_000)
OTHER = CONTENT[::-1]


class Server:
    """What it is asked for by path, and what it does; `asked` has (path, headers) of every request."""

    def __init__(self):
        self.asked = []
        self.break_after = []  # bytes of a body after which the connection is closed, for one request after the other
        self.stalls = False  # does not even close it
        self.stop = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = False
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


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(transport, "PAUSES_S", (0.01, 0.01))


def get(url, timeout_s=5.0, deadline_s=20.0, **options):
    with Transport(timeout_s, deadline_s) as carrier:
        return carrier.get(url, **{"limit": 10**6, **options})


def failure(url, **options):
    with pytest.raises(ServerFailure) as caught:
        get(url, **options)
    return str(caught.value)


def test_a_body_as_it_is(server):
    assert get(f"{server.url}/file") == CONTENT
    assert b"identity" in get(f"{server.url}/head")
    assert server.ranges() == [None, None]


def test_no_proxy_is_used(server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert get(f"{server.url}/file") == CONTENT


@pytest.mark.parametrize("place", ["file", "dated"])
def test_a_broken_download_goes_on_where_it_broke(server, quick, place):
    # More breaks than attempts: each brings the download on.
    server.break_after = [100_000, 50_000, 0, 1, 70_000]
    assert get(f"{server.url}/{place}") == CONTENT
    assert server.ranges() == [None, *(f"bytes={n}-" for n in (100_000, 150_000, 150_000, 150_001, 220_001))]


def test_a_download_that_does_not_come_on_is_given_up(server, quick):
    server.break_after = [100_000] + [0] * 20
    assert failure(f"{server.url}/file") == "the connection was closed in mid-answer"
    assert len(server.asked) == 3


@pytest.mark.parametrize(("place", "content"), [("plain", CONTENT), ("changes", OTHER), ("lies", CONTENT)])
def test_what_cannot_go_on_begins_anew(server, quick, place, content):
    server.break_after = [100_000]
    assert get(f"{server.url}/{place}") == content
    assert [None, "bytes=100000-"][place != "plain"] == server.ranges()[1]


def test_a_stalled_download_goes_on(server, quick):
    server.break_after, server.stalls = [1000], True
    assert get(f"{server.url}/file", timeout_s=0.3) == CONTENT
    assert server.ranges() == [None, "bytes=1000-"]


@pytest.mark.parametrize("place", ["short", "drop", "endless/2"])
def test_truncated_bodies_are_refused(server, quick, place):
    assert failure(f"{server.url}/{place}") == "the connection was closed in mid-answer"
    assert len(server.asked) == 3


@pytest.mark.parametrize("place", ["huge", "endless", "file"])
def test_oversize(server, place):
    assert failure(f"{server.url}/{place}", limit=299_999) == "the answer is longer than 0.3 MB"
    assert len(server.asked) == 1


def test_the_limit_itself_is_allowed(server, quick):
    server.break_after = [200_000]
    assert get(f"{server.url}/file", limit=300_000) == CONTENT


def test_a_resumed_download_keeps_to_the_limit(server):
    with Transport(5.0, 20.0) as carrier:
        download = transport._Download(bytearray(250_000), '"a"', None)
        with pytest.raises(ServerFailure, match="longer than"):
            carrier._followed(f"{server.url}/file", 299_999, download)


def test_silence_and_deadline(server):
    begin = time.monotonic()
    assert failure(f"{server.url}/silent", timeout_s=0.3) == "no answer for 0.3 s"
    assert failure(f"{server.url}/silent", deadline_s=0.3) == "not done after 0.3 s"
    assert failure(f"{server.url}/drip", timeout_s=5.0, deadline_s=0.5) == "not done after 0.5 s"
    assert time.monotonic() - begin < 10.0
    assert len(server.asked) == 3


def test_the_deadline_is_one_for_everything(server, quick):
    with Transport(5.0, 0.4) as carrier:
        assert carrier.get(f"{server.url}/plain", 10**6) == CONTENT
        time.sleep(0.5)
        with pytest.raises(ServerFailure, match=r"not done after 0\.4 s"):
            carrier.get(f"{server.url}/plain", 10**6)
    assert server.paths() == ["/plain"]


def test_no_pause_beyond_the_deadline(server, monkeypatch):
    monkeypatch.setattr(transport, "PAUSES_S", (30.0,))
    begin = time.monotonic()
    assert failure(f"{server.url}/drop", deadline_s=5.0) == "the connection was closed in mid-answer"
    assert time.monotonic() - begin < 4.0


def test_busy_and_bad_answers(server, quick):
    assert get(f"{server.url}/busy/2") == CONTENT
    server.asked.clear()
    assert failure(f"{server.url}/busy/9") == "HTTP 503: later"
    assert len(server.asked) == 3
    server.asked.clear()
    assert failure(f"{server.url}/missing") == "HTTP 404"
    assert failure(f"{server.url}/empty") == "HTTP 204"
    assert len(server.asked) == 2


def test_redirections(server):
    assert get(f"{server.url}/hops/5") == CONTENT
    assert server.paths() == [f"/hops/{n}" for n in (5, 4, 3, 2, 1, 0)]
    assert get(f"{server.url}/inside") == CONTENT
    assert failure(f"{server.url}/hops/6") == "redirected more than 5 times"
    server.asked.clear()
    assert failure(f"{server.url}/loop") == "redirected more than 5 times"
    assert len(server.asked) == 6
    assert failure(f"{server.url}/away") == "a redirection without a place"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("https://example.org/a", "redirected from http to https://example.org/a, which is not followed"),
        ("ftp://example.org/a", "'ftp://example.org/a' is no address of the web"),
        ("file:///etc/hosts", "'file:///etc/hosts' is no address of the web"),
        ("http://a:b/x", "'http://a:b/x' is no address of the web"),
    ],
)
def test_no_redirection_leaves_the_scheme(server, target, reason):
    assert failure(f"{server.url}/away/{target}") == reason
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("url", "location", "there"),
    [
        ("https://a.org/x/y", "z?q=1", "https://a.org/x/z?q=1"),
        ("https://a.org/x", "https://b.org:444/z", "https://b.org:444/z"),
        ("https://a.org:8443/x", "http://a.org:8080/z", "https://a.org:8443/z"),
        ("http://a.org:81/x", "http://A.org/z", "http://a.org:81/z"),
        ("https://a.org/x", "http://b.org/z", None),
        ("http://a.org/x", "https://b.org/z", None),
        ("http://a.org/x", "https://a.org/z", None),
        ("https://a.org/x", "ftp://a.org/z", None),
        ("https://a.org/x", "https://a.org:99999/z", None),
        ("https://a.org/x", "https://[/z", None),
    ],
)
def test_where_a_redirection_leads(url, location, there):
    if there is None:
        with pytest.raises(ServerFailure, match=r"redirected from|no address"):
            redirected(url, location)
    else:
        assert redirected(url, location) == there


@pytest.mark.parametrize(
    "url", ["file:///etc/hosts", "127.0.0.1/x", "http://", "http://a b/", "http://a:b/", "http://["]
)
def test_what_is_no_address(url):
    assert "no address" in failure(url)


def test_hosts_that_are_not_there(server):
    server.close()
    assert failure(f"{server.url}/file") == "connection refused"
    assert failure(f"http://{'a' * 70}.invalid/") == "the host's name is not known here"


def test_odd_characters_in_a_place(server):
    assert failure(f"{server.url}/missing/a b/é%20?q=a b&r=[1]") == "HTTP 404"
    assert server.paths() == ["/missing/a%20b/%C3%A9%20?q=a%20b&r=%5B1%5D"]


def test_a_form_is_sent_once_and_not_followed(server, quick):
    with Transport(5.0, 20.0) as carrier:
        answer = carrier.post(f"{server.url}/form", "a=1&b=%20")
        assert (answer.status, answer.location, answer.body) == (303, "/plain", b"a=1&b=%20")
        with pytest.raises(ServerFailure, match="closed in mid-answer"):
            carrier.post(f"{server.url}/drop", "a=1")
        assert carrier.post(f"{server.url}/busy/9", "a=1").reason == "HTTP 503: later"
    assert server.paths() == ["/form", "/drop", "/busy/9"]


def test_no_thread_and_no_connection_is_left(server):
    before = set(threading.enumerate())
    assert get(f"{server.url}/file") == CONTENT
    failure(f"{server.url}/missing")
    assert not [t for t in set(threading.enumerate()) - before if "process_request" not in t.name]
