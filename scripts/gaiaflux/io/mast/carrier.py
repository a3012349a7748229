"""What carries the requests that astroquery builds: our transport, in place of its session of `requests`.

astroquery's own connection has no limit of time for a silent server and none of size, and asks without a pause while a
query is under way.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from gaiaflux.io.transport import ServerFailure, Transport, stated

__all__ = ["Carrier", "Reply"]

LARGEST_ANSWER_BYTES = 500_000_000
FIRST_PAUSE_S, PAUSE_GROWTH, LONGEST_PAUSE_S = 0.2, 1.5, 10.0


@dataclass(frozen=True)
class Reply:
    """As much of a `requests.Response` as astroquery asks for; bad answers never become one.

    Attributes
    ----------
    body : bytes
        JSON.
    content : object
        What it says.
    status_code : int
        HTTP status.
    """

    body: bytes
    content: Any
    status_code: int = 200

    def json(self) -> Any:
        """What the body says."""
        return self.content

    def raise_for_status(self) -> None:
        """Nothing: the status is good."""


class Carrier:
    """The session of a class of `astroquery.mast`; `answers` has every reply.

    Parameters
    ----------
    transport : Transport
        Carries the bytes.
    """

    def __init__(self, transport: Transport) -> None:
        self.headers = {"User-Agent": "gaiaflux"}
        self.answers: list[Reply] = []
        self._transport = transport
        self._pause = FIRST_PAUSE_S

    def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        data: str | Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
        **others: Any,
    ) -> Reply:
        """Answer to a query; queries of MAST are forms.

        Parameters
        ----------
        method : str
            ``POST`` or ``GET``.
        url : str
            Place.
        params : mapping, optional
            Query of the place.
        data : str, mapping or sequence of pairs, optional
            Form, encoded already where it is a text.
        **others
            Of no effect: times and sizes are limited by the transport.

        Returns
        -------
        Reply

        Raises
        ------
        ServerFailure
            No good answer, or one that is not JSON.
        """
        place = f"{url}?{urlencode(params, doseq=True)}" if params else url
        if method == "GET":
            body = self._transport.get(place, LARGEST_ANSWER_BYTES)
        else:
            form = data if isinstance(data, str) else urlencode(data or {}, doseq=True)
            answer = self._transport.post(place, form, LARGEST_ANSWER_BYTES)
            if answer.status != 200:
                raise ServerFailure(answer.reason)
            body = answer.body
        try:
            reply = Reply(body, json.loads(body))
        except ValueError:
            text = stated(body)
            raise ServerFailure(f"the answer is no JSON ({text or 'a page for people'})") from None
        self._wait(reply.content)
        self.answers.append(reply)
        return reply

    def _wait(self, content: Any) -> None:
        """Pause where astroquery will ask again."""
        if not (isinstance(content, Mapping) and content.get("status") == "EXECUTING"):
            self._pause = FIRST_PAUSE_S
            return
        if self._pause >= self._transport.remaining_s:
            raise ServerFailure("the query is still under way when the time is over")
        time.sleep(self._pause)
        self._pause = min(PAUSE_GROWTH * self._pause, LONGEST_PAUSE_S)
