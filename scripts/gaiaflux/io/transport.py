"""The one way to a server: HTTP on the standard library, bounded in time, in size and in where it leads.

Every archive goes through here. The archives' own clients wait for ever on a silent server, take a body of any length
and follow wherever they are sent; here a `Transport` has one time limit for each silence and one for everything, each
answer has a limit of bytes, and a download that breaks off goes on where it broke off, if the server offers that. Bytes
come as they are (no compression is asked for, none is undone). No proxy and no cookie is used.
"""

import contextlib
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from gaiaflux.io.received import Received, ReceivedFile

__all__ = [
    "REDIRECTIONS",
    "SHORT_ANSWER_BYTES",
    "Answer",
    "ServerFailure",
    "Transport",
    "redirected",
    "shortened",
    "stated",
]

REDIRECTIONS = (301, 302, 303, 307, 308)
"""HTTP status of an answer that stands elsewhere."""
SHORT_ANSWER_BYTES = 1 << 20
BLOCK_BYTES = 1 << 16
ERROR_BYTES = 20_000
MAX_REDIRECTS = 5
# Before a GET is repeated whose connection broke, or whose server was busy; anew for each piece of a download.
PAUSES_S = (0.2, 0.8)
_BUSY = (502, 503, 504)
# Of a name of a host that cannot be one, Python says UnicodeError.
_BROKEN = (OSError, http.client.HTTPException, UnicodeError)


class ServerFailure(Exception):
    """A server gave no usable answer; the text is the reason, without the server's name."""


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes
    ----------
    url : str
        Where it came from.
    status : int
        HTTP status.
    location : str
        Where to go on, as the server says it; empty where it says nothing.
    body : bytes
        Content; of an error its beginning.
    """

    url: str
    status: int
    location: str
    body: bytes

    @property
    def reason(self) -> str:
        """Status and what the body says."""
        text = stated(self.body)
        return f"HTTP {self.status}: {text}" if text else f"HTTP {self.status}"


class Transport:
    """Asks servers, within a time limit for each silence and one for everything.

    Used as a context manager: when the time is over, whatever is under way is cut, even an answer that drips.

    Parameters
    ----------
    timeout_s : float
        Longest silence of a server [s].
    deadline_s : float
        Time for everything [s].
    """

    def __init__(self, timeout_s: float, deadline_s: float) -> None:
        self._timeout_s = timeout_s
        self._deadline_s = deadline_s
        self._end = time.monotonic() + deadline_s
        # Apart from the connection: that drops its socket as soon as the server says that it will close it.
        self._socket: socket.socket | None = None
        self._expired = threading.Event()
        self._watchdog = threading.Timer(deadline_s, self._cut)
        self._watchdog.daemon = True

    def __enter__(self) -> "Transport":
        self._watchdog.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.cancel()
        self._watchdog.join()

    @property
    def remaining_s(self) -> float:
        """Time that is left [s]."""
        return self._end - time.monotonic()

    def get(self, url: str, limit: int = SHORT_ANSWER_BYTES) -> bytes:
        """Body of a good answer, redirections followed.

        A connection that breaks is made again, and the download goes on there if the server has the same content still
        and sends parts of it. A server that says nothing is not asked again.

        Parameters
        ----------
        url : str
            Place.
        limit : int
            Most bytes that are taken.

        Returns
        -------
        bytes
            The whole body.

        Raises
        ------
        ServerFailure
            No good answer within the limits.
        """
        return self._whole(url, limit, Received())

    def fetch(self, url: str, path: Path, limit: int) -> ReceivedFile:
        """Body of a good answer in a file, as `get` would give it; nothing of it is held in memory.

        What an earlier run left of the same place is gone on with. The file is not looked at: who asked for it says
        whether it is good, and gives it its name (`ReceivedFile.keep_as`) or takes it away (`ReceivedFile.drop`).

        Parameters
        ----------
        url : str
            Place.
        path : Path
            File of what is not whole yet, or not yet checked; it stays where the download breaks off.
        limit : int
            Most bytes that are taken.

        Returns
        -------
        ReceivedFile
            Closed; all bytes are in the file.

        Raises
        ------
        ServerFailure
            No good answer within the limits.
        """
        with ReceivedFile(path, url) as download:
            if not download.is_whole:
                self._whole(url, limit, download)
        return download

    def _whole(self, url: str, limit: int, download: Received) -> bytes:
        pauses = list(PAUSES_S)
        while True:
            before = download.size
            try:
                answer = self._followed(url, limit, download)
            except _BROKEN as error:
                progress = download.size > before
                if progress and download.resumes:
                    pauses = list(PAUSES_S)
                if not (_may_pass(error, progress) and pauses and pauses[0] < self.remaining_s):
                    raise ServerFailure(self._reason(error)) from error
            else:
                if answer.status == 200:
                    return answer.body
                if not (answer.status in _BUSY and pauses and pauses[0] < self.remaining_s):
                    raise ServerFailure(answer.reason)
            time.sleep(pauses.pop(0))

    def post(self, url: str, form: str, limit: int = SHORT_ANSWER_BYTES) -> Answer:
        """Answer to a form, whatever its status; asked once, and a redirection is not followed.

        Parameters
        ----------
        url : str
            Place.
        form : str
            Parameters, encoded as in a URL.
        limit : int
            Most bytes that are taken.

        Returns
        -------
        Answer

        Raises
        ------
        ServerFailure
            No answer within the limits.
        """
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            with self._exchange("POST", url, headers, form) as response:
                return self._received(url, response, limit, Received())
        except _BROKEN as error:
            raise ServerFailure(self._reason(error)) from error

    def _followed(self, url: str, limit: int, download: Received) -> Answer:
        for _ in range(MAX_REDIRECTS + 1):
            with self._exchange("GET", url, download.rest()) as response:
                answer = self._received(url, response, limit, download)
            if answer.status not in REDIRECTIONS:
                return answer
            url = redirected(url, answer.location)
        raise ServerFailure(f"redirected more than {MAX_REDIRECTS} times")

    @contextlib.contextmanager
    def _exchange(
        self, method: str, url: str, headers: dict[str, str], form: str | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """One request over a connection of its own."""
        remaining = self.remaining_s
        if remaining <= 0.0:
            raise TimeoutError
        parts = _web_address(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=min(self._timeout_s, remaining))
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (
            f"?{quote(parts.query, safe='/?%:@!$&()*+,;=~')}" if parts.query else ""
        )
        try:
            connection.connect()
            self._socket = connection.sock
            if self._expired.is_set():
                raise TimeoutError
            connection.request(method, target, form, {"User-Agent": "gaiaflux", "Accept": "*/*", **headers})
            with contextlib.closing(connection.getresponse()) as response:
                yield response
        finally:
            self._socket = None
            connection.close()

    def _received(self, url: str, response: http.client.HTTPResponse, limit: int, download: Received) -> Answer:
        location = response.headers.get("Location") or ""
        part = response.headers.get("Content-Range", "")
        if response.status == 206 and download.rest() and download.continues(part):
            status = 200
        elif download.rest() and response.status in (206, 416):
            download.forget()
            raise http.client.IncompleteRead(b"")
        elif 200 <= response.status < 300:
            status = response.status
            download.begin(dict(response.headers.items()), response.length)
        else:
            return Answer(url, response.status, location, response.read(ERROR_BYTES))
        self._receive(response, limit, download)
        return Answer(url, status, location, download.whole())

    def _receive(self, response: http.client.HTTPResponse, limit: int, download: Received) -> None:
        # `read` would drop what had come when the rest does not, and what `read1` leaves of `length` is not told alike
        # by all versions of Python.
        end = None if response.length is None else download.size + response.length
        most = limit + 1 if end is None else end
        if end is None or end <= limit:
            while download.size < most and (block := response.read1(min(BLOCK_BYTES, most - download.size))):
                download.write(block)
        if max(download.size, end or 0) > limit:
            raise ServerFailure(f"the answer is longer than {limit / 1e6:.3g} MB")
        if self._expired.is_set():
            raise TimeoutError
        if end is not None and download.size < end:
            raise http.client.IncompleteRead(b"", end - download.size)

    def _reason(self, error: Exception) -> str:
        if self._expired.is_set() or self.remaining_s <= 0.0:
            return f"not done after {self._deadline_s:.3g} s"
        if isinstance(error, TimeoutError):
            return f"no answer for {self._timeout_s:.3g} s"
        if isinstance(error, ConnectionRefusedError):
            return "connection refused"
        if isinstance(error, socket.gaierror | UnicodeError):
            return "the host's name is not known here"
        if isinstance(error, ssl.SSLError):
            return f"no secure connection ({error.reason or error})"
        if isinstance(error, http.client.HTTPException | ConnectionError):
            return "the connection was closed in mid-answer"
        return shortened(str(error)) or type(error).__name__

    def _cut(self) -> None:
        self._expired.set()
        if (under_way := self._socket) is not None:
            with contextlib.suppress(OSError):  # closed meanwhile
                under_way.shutdown(socket.SHUT_RDWR)


def redirected(url: str, location: str) -> str:
    """Where a redirection leads.

    Parameters
    ----------
    url : str
        What was asked for.
    location : str
        What the server answered, absolute or not. On the same host scheme and port stay as they were reached: servers
        behind a proxy state what nobody can reach.

    Returns
    -------
    str
        URL.

    Raises
    ------
    ServerFailure
        It leads nowhere, or away from the scheme: what was asked for by https is not fetched without it.
    """
    if not location:
        raise ServerFailure("a redirection without a place")
    try:
        joined = urljoin(url, location)
    except ValueError:
        raise ServerFailure(f"redirected to {shortened(location)!r}, which is no address") from None
    here, there = _web_address(url), _web_address(joined)
    if there.hostname == here.hostname and (here.scheme == "https" or there.scheme == "http"):
        there = there._replace(scheme=here.scheme, netloc=here.netloc)
    if there.scheme != here.scheme:
        raise ServerFailure(f"redirected from {here.scheme} to {shortened(there.geturl())}, which is not followed")
    return there.geturl()


def stated(document: bytes) -> str:
    """What a server's error document says, in a few words; empty for a page that is made for people."""
    text = document[:ERROR_BYTES].decode("utf-8", "replace")
    status = re.search(r"<INFO[^>]*QUERY_STATUS[^>]*>(.*?)</INFO>", text, re.DOTALL | re.IGNORECASE)
    if status is None and re.search(r"<html|<!doctype html", text, re.IGNORECASE):
        return ""
    return shortened(re.sub(r"<!\[CDATA\[|\]\]>|<[^>]*>", " ", status[1] if status else text))


def shortened(text: str) -> str:
    """Text on one line, of 160 characters at most."""
    words = " ".join(text.split())
    return words if len(words) <= 160 else words[:157] + "..."


def _web_address(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # brackets or a port that are none
        host, port = "", None
    if not host or re.search(r"[\x00-\x20\x7f]", host) or port == 0 or parts.scheme not in ("http", "https"):
        raise ServerFailure(f"{shortened(url)!r} is no address of the web")
    return parts


def _may_pass(error: Exception, progress: bool) -> bool:
    """Whether it may go well the next time: the connection broke; a server may be silent after some bytes only."""
    if isinstance(error, TimeoutError):
        return progress
    return isinstance(error, http.client.HTTPException | ConnectionError) and not isinstance(
        error, ConnectionRefusedError
    )
