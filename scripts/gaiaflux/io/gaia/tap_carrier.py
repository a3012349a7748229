"""What carries the requests that astroquery builds: our transport, in place of astroquery's own connection."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from astroquery.utils.tap.conn.tapconn import TapConn

from gaiaflux.io.transport import ServerFailure, Transport

__all__ = ["Carrier", "Response"]


@dataclass(frozen=True)
class Response:
    """As much of an `http.client.HTTPResponse` as astroquery asks for."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    reason: str = ""

    def getheaders(self) -> list[tuple[str, str]]:
        """Names and values."""
        return list(self.headers)

    def read(self) -> bytes:
        """The whole body."""
        return self.body


class Carrier(TapConn):
    """The `connhandler` of `astroquery.utils.tap.Tap`, for the making of jobs and for what is read of them.

    Bad answers never reach astroquery, which prints some and loses the reason of others.

    Parameters
    ----------
    url : str
        Base URL of the service.
    transport : Transport
        Carries the bytes.
    """

    def __init__(self, url: str, transport: Transport) -> None:
        super().__init__(False, urlsplit(url).hostname)
        self._url, self._transport = url, transport

    def execute_tapget(self, subcontext: str, *, verbose: bool = False) -> Response:
        """A good answer, redirections followed.

        Parameters
        ----------
        subcontext : str
            Place below the service's.
        verbose : bool
            Of no effect.

        Returns
        -------
        Response

        Raises
        ------
        ServerFailure
            There is none.
        """
        return Response(200, body=self._transport.get(f"{self._url}/{subcontext}"))

    def execute_tappost(self, subcontext: str, data: str, content_type: str = "", *, verbose: bool = False) -> Response:
        """The place of the job that was made.

        Parameters
        ----------
        subcontext : str
            Place below the service's.
        data : str
            Form.
        content_type : str
            Of no effect: a form is one.
        verbose : bool
            Of no effect.

        Returns
        -------
        Response

        Raises
        ------
        ServerFailure
            None was made.
        """
        answer = self._transport.post(f"{self._url}/{subcontext}", data)
        place = re.split(r"[?#]", answer.location)[0].rstrip("/")
        if place.endswith(f"/{subcontext}"):
            raise ServerFailure(f"the service has moved to {answer.location}")
        if answer.status not in (201, 302, 303) or not place:
            raise ServerFailure(answer.reason if answer.status >= 400 else f"no job was made (HTTP {answer.status})")
        # Of this astroquery takes the job's name alone: servers behind a proxy state hosts that cannot be reached.
        return Response(303, (("Location", place),))
