"""One conversation with a TAP server: a count, and the rows of a query as a job.

astroquery (`astroquery.utils.tap`) writes the request that makes a job and knows where its phase stands;
`gaiaflux.io.transport` carries the bytes, within limits of time and size. What astroquery would do beyond that is done
here by IVOA UWS 1.1, TAP 1.1 and DALI 1.1: its synchronous jobs add ``TOP 2000`` to the query, its waiting has no end,
it cannot stop a job that runs, and it takes a result that the server has cut for the whole one.
"""

import contextlib
import time
import zlib
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from gaiaflux.io.gaia.votable import parse_votable, query_status
from gaiaflux.io.transport import (
    REDIRECTIONS,
    SHORT_ANSWER_BYTES,
    ServerFailure,
    Transport,
    redirected,
    shortened,
    stated,
)

if TYPE_CHECKING:
    from astropy.io.votable.tree import VOTableFile
    from astroquery.utils.tap.model.job import Job

__all__ = ["TapClient"]

# Generous: a row of 16 numbers takes about 700 bytes as XML.
ROW_BYTES = 2000
FIRST_PAUSE_S, PAUSE_GROWTH, LONGEST_PAUSE_S = 0.1, 1.5, 5.0
# Part of the time that is kept for telling the server to stop a job that takes too long.
ABORT_SHARE = 0.05
_RUNNING = ("PENDING", "QUEUED", "EXECUTING", "RUN", "SUSPENDED", "HELD", "UNKNOWN")
_ENDED = ("COMPLETED", "ERROR", "ABORTED", "ARCHIVED")


class TapClient:
    """Asks one server, within a time limit for each answer and one for everything.

    Used as a context manager, see `Transport`.

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
        self._deadline_s = deadline_s
        self._transport = Transport(timeout_s, deadline_s)

    def __enter__(self) -> "TapClient":
        self._transport.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.__exit__(kind, error, trace)

    def count(self, query: str) -> int:
        """Number that a ``SELECT COUNT(*)`` query gives, asked synchronously.

        Parameters
        ----------
        query : str
            ADQL.

        Returns
        -------
        int

        Raises
        ------
        ServerFailure
            No usable answer.
        """
        form = urlencode({"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "votable", "QUERY": query})
        answer = self._transport.post(f"{self._url}/sync", form)
        if answer.status in REDIRECTIONS:
            body = self._transport.get(redirected(answer.url, answer.location))
        elif answer.status == 200:
            body = answer.body
        else:
            raise ServerFailure(answer.reason)
        table = _document(_unpacked(body, SHORT_ANSWER_BYTES)).get_first_table()
        if len(table.array) != 1 or len(table.fields) != 1 or table.array.dtype[0].kind not in "iuf":
            raise ServerFailure("the answer to COUNT(*) is not one number")
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
        ServerFailure
            No usable answer, or one that the server has cut.
        """
        # Loading them takes half a second, which a run with a local table need not spend.
        from astroquery.utils.tap.core import Tap

        from gaiaflux.io.gaia.tap_carrier import Carrier

        tap = Tap(url=self._url, connhandler=Carrier(self._url, self._transport))
        job = tap.launch_job_async(query, output_format="votable", background=True, maxrec=number + 1)
        place = f"{self._url}/async/{job.jobid}"
        self._wait(job, place)
        limit = SHORT_ANSWER_BYTES + ROW_BYTES * number
        return _document(_unpacked(self._transport.get(f"{place}/results/result", limit), limit))

    def _wait(self, job: "Job", place: str) -> None:
        pause = FIRST_PAUSE_S
        asked_to_run = False
        while True:
            phase = job.get_phase(update=True).strip().upper()
            if phase not in _RUNNING + _ENDED:
                raise ServerFailure(f"the job has no phase (the answer is {phase[:40]!r})")
            if phase in _ENDED:
                break
            if self._transport.remaining_s - pause < ABORT_SHARE * self._deadline_s:
                # Courtesy: whether it works or not, we are gone.
                with contextlib.suppress(ServerFailure):
                    self._transport.post(f"{place}/phase", "PHASE=ABORT")
                raise ServerFailure(f"the job is still {phase} after {self._deadline_s:.3g} s")
            if phase == "PENDING" and not asked_to_run:
                self._transport.post(f"{place}/phase", "PHASE=RUN")
                asked_to_run = True
            time.sleep(pause)
            pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE_S)
        if phase != "COMPLETED":
            raise ServerFailure(f"the job ended in phase {phase}{self._job_error(place)}")

    def _job_error(self, place: str) -> str:
        try:
            text = stated(self._transport.get(f"{place}/error"))
        except ServerFailure:  # the phase is reason enough
            return ""
        return f": {text}" if text else ""


def _unpacked(body: bytes, limit: int) -> bytes:
    """Some servers send files of gzip whatever they are asked for."""
    if not body.startswith(b"\x1f\x8b"):
        return body
    unpacker = zlib.decompressobj(31)
    try:
        body = unpacker.decompress(body, limit)
    except zlib.error:
        raise ServerFailure("the answer is not the gzip file that it begins like") from None
    if not unpacker.eof:
        raise ServerFailure("the compressed answer is broken off or too long")
    return body


def _document(body: bytes) -> "VOTableFile":
    try:
        document = parse_votable(body)
    except ValueError as error:
        raise ServerFailure(f"the answer is {error}") from error
    status, text = query_status(document)
    if status == "OVERFLOW":
        raise ServerFailure("the server cut the result (OVERFLOW)")
    if status == "ERROR":
        raise ServerFailure(f"the server refused the query: {shortened(text) or 'no reason given'}")
    if not any(True for _ in document.iter_tables()):
        raise ServerFailure("the answer has no table")
    return document
