"""One conversation with a TAP server, over astroquery's connection.

astroquery's own `launch_job` and `launch_job_async` are not used: they wait for ever on a silent server or a stuck
job, add ``TOP 2000`` to a query and take a result that the server has cut for the whole one. Its `TapConn` does the
requests; time limits, the steps of the job (IVOA UWS 1.1) and the checks of the answers (IVOA TAP 1.1, DALI 1.1) are
here.
"""

import contextlib
import http.client
import re
import socket
import ssl
import threading
import time
import zlib
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin, urlsplit

from gaiaflux.io.gaia.votable import parse_votable, query_status

if TYPE_CHECKING:
    from astropy.io.votable.tree import VOTableFile

__all__ = ["TapClient", "TapFailure"]

BLOCK_BYTES = 1 << 20
SHORT_ANSWER_BYTES = 1 << 20
# Generous: a row of 16 numbers takes about 700 bytes as XML.
ROW_BYTES = 2000
MAX_REDIRECTS = 5
FIRST_PAUSE_S, PAUSE_GROWTH, LONGEST_PAUSE_S = 0.1, 1.5, 5.0
# Part of the time that is kept for telling the server to stop a job that takes too long.
ABORT_SHARE = 0.05
_RUNNING = ("PENDING", "QUEUED", "EXECUTING", "RUN", "SUSPENDED", "HELD", "UNKNOWN")
_ENDED = ("COMPLETED", "ERROR", "ABORTED", "ARCHIVED")


class TapFailure(Exception):
    """The server gave no usable answer; the text is the reason, without the server's name."""


class TapClient:
    """Asks one server, within a time limit for each answer and one for everything.

    Used as a context manager: when the time is over, whatever is under way is cut, even an answer that drips.

    Parameters
    ----------
    url : str
        Base URL of the service, without ``/sync``.
    timeout_s : float
        Longest silence of the server [s].
    deadline_s : float
        Time for the whole conversation [s].
    """

    def __init__(self, url: str, timeout_s: float, deadline_s: float) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._deadline_s = deadline_s
        self._end = time.monotonic() + deadline_s
        self._connections: list[http.client.HTTPConnection] = []
        # Apart from the connections: these drop their socket as soon as the server says that it will close it.
        self._sockets: list[socket.socket] = []
        self._expired = threading.Event()
        self._watchdog = threading.Timer(deadline_s, self._cut)
        self._watchdog.daemon = True

    def __enter__(self) -> "TapClient":
        self._watchdog.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.cancel()
        self._watchdog.join()
        self._close()

    def count(self, query: str) -> int:
        """Number that a ``SELECT COUNT(*)`` query gives, asked synchronously.

        Raises
        ------
        TapFailure
            No usable answer.
        """
        parameters = {"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "votable", "QUERY": query}
        table = self._document(self._answer("sync", parameters)).get_first_table()
        if len(table.array) != 1 or len(table.fields) != 1 or table.array.dtype[0].kind not in "iuf":
            raise TapFailure("the answer to COUNT(*) is not one number")
        return int(table.array[0][0])

    def rows(self, query: str, number: int) -> "VOTableFile":
        """Answer to a query, asked as an asynchronous job.

        Parameters
        ----------
        query : str
            ADQL.
        number : int
            Rows that are expected. The server may send one more, so that its own default limit does not cut the answer.

        Returns
        -------
        VOTableFile
            Tree of the answer; its rows are not counted here.

        Raises
        ------
        TapFailure
            No usable answer, or one that the server has cut.
        """
        job = self._start_job(query, number + 1)
        self._wait(job)
        return self._document(self._answer(f"{job}/results/result", limit=SHORT_ANSWER_BYTES + ROW_BYTES * number))

    def _start_job(self, query: str, max_rows: int) -> str:
        parameters = {"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "votable", "QUERY": query}
        parameters |= {"MAXREC": str(max_rows), "PHASE": "RUN"}
        status, headers, body = self._request("async", parameters)
        location = headers.get("Location")
        if location and urlsplit(location).path.endswith("/async"):
            raise TapFailure(f"the service has moved to {location}")
        if status not in (201, 302, 303) or not location:
            raise TapFailure(_http_reason(status, body) if status >= 400 else f"no job was made (HTTP {status})")
        # The place is made of the identifier alone: servers behind a proxy state hosts that cannot be reached.
        return f"async/{urlsplit(location).path.rstrip('/').rsplit('/', 1)[-1]}"

    def _wait(self, job: str) -> None:
        pause = FIRST_PAUSE_S
        asked_to_run = False
        while True:
            phase = self._answer(f"{job}/phase").decode("utf-8", "replace").strip().upper()
            if phase not in _RUNNING + _ENDED:
                raise TapFailure(f"the job has no phase (the answer is {phase[:40]!r})")
            if phase in _ENDED:
                break
            if self._remaining() - pause < ABORT_SHARE * self._deadline_s:
                self._abort(job)
                raise TapFailure(f"the job is still {phase} after {self._deadline_s:.3g} s")
            if phase == "PENDING" and not asked_to_run:
                self._request(f"{job}/phase", {"PHASE": "RUN"})
                asked_to_run = True
            time.sleep(pause)
            pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE_S)
        if phase != "COMPLETED":
            raise TapFailure(f"the job ended in phase {phase}{self._job_error(job)}")

    def _job_error(self, job: str) -> str:
        try:
            text = _message(self._answer(f"{job}/error"))
        except TapFailure:  # the phase is reason enough
            return ""
        return f": {text}" if text else ""

    def _abort(self, job: str) -> None:
        # Courtesy: whether it works or not, we are gone.
        with contextlib.suppress(TapFailure):
            self._request(f"{job}/phase", {"PHASE": "ABORT"})

    def _document(self, body: bytes) -> "VOTableFile":
        try:
            document = parse_votable(body)
        except ValueError as error:
            raise TapFailure(f"the answer is {error}") from error
        status, text = query_status(document)
        if status == "OVERFLOW":
            raise TapFailure("the server cut the result (OVERFLOW)")
        if status == "ERROR":
            raise TapFailure(f"the server refused the query: {_short(text) or 'no reason given'}")
        if not any(True for _ in document.iter_tables()):
            raise TapFailure("the answer has no table")
        return document

    def _answer(self, place: str, parameters: dict[str, str] | None = None, limit: int = SHORT_ANSWER_BYTES) -> bytes:
        """Body of a good answer, redirections followed, unpacked."""
        status, headers, body = self._request(place, parameters, limit)
        for _ in range(MAX_REDIRECTS):
            if status not in (301, 302, 303, 307, 308):
                break
            place = self._redirected(place, headers.get("Location"))
            status, headers, body = self._request(place, None, limit)
        if status != 200:
            raise TapFailure(_http_reason(status, body))
        if not body.startswith(b"\x1f\x8b"):
            return body
        unpacker = zlib.decompressobj(31)
        try:
            body = unpacker.decompress(body, limit)
        except zlib.error:
            raise TapFailure("the answer is not the gzip file that it begins like") from None
        if not unpacker.eof:
            raise TapFailure("the compressed answer is broken off or too long")
        return body

    def _redirected(self, place: str, location: str | None) -> str:
        if not location:
            raise TapFailure("a redirection without a place")
        base = urlsplit(self._url)
        target = urlsplit(urljoin(f"{self._url}/{place}", location))
        if target.hostname == base.hostname:  # scheme and port as we reached it, see _start_job
            target = target._replace(scheme=base.scheme, netloc=base.netloc)
        return target.geturl()

    def _request(
        self, place: str, parameters: dict[str, str] | None = None, limit: int = SHORT_ANSWER_BYTES
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """One request (POST if there are parameters): status, headers, body; `place` is below the service or a URL."""
        from astroquery.utils.tap.conn.tapconn import TapConn

        url = urlsplit(place if "://" in place else f"{self._url}/{place}")
        secure = url.scheme == "https"
        port = url.port or (443 if secure else 80)
        connection = TapConn(
            secure, url.hostname, port=port, sslport=port, connhandler=_Opener(self, url.hostname, port)
        )
        path = url.path.lstrip("/") + (f"?{url.query}" if url.query else "")
        try:
            if parameters is None:
                response = connection.execute_tapget(path)
            else:
                response = connection.execute_tappost(path, urlencode(parameters))
            with contextlib.closing(response):
                return response.status, response.headers, self._read(response, limit)
        except (OSError, http.client.HTTPException) as error:
            raise TapFailure(self._reason(error)) from error
        finally:
            self._close()

    def _read(self, response: http.client.HTTPResponse, limit: int) -> bytes:
        blocks, size = [], 0
        while block := response.read(BLOCK_BYTES):
            blocks.append(block)
            size += len(block)
            if size > limit:
                raise TapFailure(f"the answer is longer than {limit / 1e6:.0f} MB")
        if response.length:  # bytes that were announced and did not come
            raise http.client.IncompleteRead(b"", response.length)
        if self._expired.is_set():
            raise TimeoutError
        return b"".join(blocks)

    def _reason(self, error: Exception) -> str:
        if self._expired.is_set() or self._remaining() <= 0.0:
            return f"not done after {self._deadline_s:.3g} s"
        if isinstance(error, TimeoutError):
            return f"no answer for {self._timeout_s:.3g} s"
        if isinstance(error, ConnectionRefusedError):
            return "connection refused"
        if isinstance(error, socket.gaierror):
            return "the host's name is not known here"
        if isinstance(error, ssl.SSLError):
            return f"no secure connection ({error.reason or error})"
        if isinstance(error, http.client.HTTPException | ConnectionError):
            return "the connection was closed in mid-answer"
        return _short(str(error)) or type(error).__name__

    def _remaining(self) -> float:
        return self._end - time.monotonic()

    def _open(self, secure: bool, host: str, port: int) -> http.client.HTTPConnection:
        remaining = self._remaining()
        if remaining <= 0.0:
            raise TimeoutError
        connection = (_SecureConnection if secure else _Connection)(host, port, timeout=min(self._timeout_s, remaining))
        connection.opened = self._sockets
        self._connections.append(connection)
        return connection

    def _close(self) -> None:
        while self._connections:
            self._connections.pop().close()
        self._sockets.clear()

    def _cut(self) -> None:
        self._expired.set()
        for opened in list(self._sockets):
            with contextlib.suppress(OSError):  # closed meanwhile
                opened.shutdown(socket.SHUT_RDWR)


class _Connection(http.client.HTTPConnection):
    opened: list[socket.socket]

    def connect(self) -> None:
        """Open the socket and tell the client of it."""
        super().connect()
        self.opened.append(self.sock)


class _SecureConnection(http.client.HTTPSConnection):
    opened: list[socket.socket]

    def connect(self) -> None:
        """Open the socket and tell the client of it."""
        super().connect()
        self.opened.append(self.sock)


class _Opener:
    """What astroquery's `TapConn` asks for connections: ours have a time limit and are closed at the end."""

    def __init__(self, client: TapClient, host: str, port: int) -> None:
        self._client, self._host, self._port = client, host, port

    def get_connection(
        self, *, ishttps: bool = False, cookie: str | None = None, verbose: bool = False
    ) -> http.client.HTTPConnection:
        """A new connection, not opened yet."""
        return self._client._open(ishttps, self._host, self._port)

    def get_connection_secure(self, verbose: bool = False) -> http.client.HTTPConnection:
        """A new secure connection, not opened yet."""
        return self._client._open(True, self._host, self._port)


def _http_reason(status: int, body: bytes) -> str:
    text = _message(body)
    return f"HTTP {status}: {text}" if text else f"HTTP {status}"


def _message(body: bytes) -> str:
    """What a server's error document says, in a few words; empty for a page."""
    text = body[:20000].decode("utf-8", "replace")
    stated = re.search(r"<INFO[^>]*QUERY_STATUS[^>]*>(.*?)</INFO>", text, re.DOTALL | re.IGNORECASE)
    if stated is None and re.search(r"<html|<!doctype html", text, re.IGNORECASE):
        return ""
    return _short(re.sub(r"<!\[CDATA\[|\]\]>|<[^>]*>", " ", stated[1] if stated else text))


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 160 else words[:157] + "..."
