"""What folders and scripts of the archive list: full-frame images of a sector, response functions of a CCD.

Only names are taken from there, never places: what a list of names leads to is asked for at the server that is
configured.
"""

import re
from html.parser import HTMLParser
from urllib.parse import unquote

from gaiaflux.io.mast.queries import Place, StoredFile, product_url
from gaiaflux.io.transport import ServerFailure, Transport

__all__ = ["PRF_SETS", "frame_files", "prf_set", "response_files"]

PRF_SETS = {1: "start_s0001", 4: "start_s0004"}
"""Folder of a set of response functions, by the sector from which on it holds."""
# A line of 200 bytes for each image: 11,000 images of 16 CCDs.
LARGEST_LIST_BYTES = 200_000_000
_FRAME = re.compile(r"(?<![\w.-])tess\d{13}-s(\d{4})-(\d)-(\d)-\d{4}-[a-z]_ffic\.fits(?![\w.-])")
_RESPONSE = re.compile(r"tess\d{13}-prf-(\d)-(\d)-row\d{4}-col\d{4}\.fits")


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.places += [value for name, value in attrs if tag == "a" and name == "href" and value]


def prf_set(sector: int) -> str:
    """Folder of the response functions that hold in a sector."""
    return PRF_SETS[max(first for first in PRF_SETS if first <= sector)]


def frame_files(transport: Transport, scripts: str, server: str, place: Place) -> list[StoredFile]:
    """Calibrated full-frame images of a CCD in a sector, from the archive's script of that sector.

    Parameters
    ----------
    transport : Transport
        Carries the bytes.
    scripts : str
        Base URL of the scripts for whole sectors.
    server : str
        Base URL of MAST.
    place : Place
        Sector, camera and CCD.

    Returns
    -------
    list of StoredFile
        Sorted by name, that is in time; empty where the script has none of this CCD.

    Raises
    ------
    ServerFailure
        There is no such script, or it is none.
    """
    body = transport.get(f"{scripts}/tesscurl_sector_{place.sector}_ffic.sh", LARGEST_LIST_BYTES)
    text = body.decode("utf-8", "replace")
    found = {match[0]: tuple(map(int, match.groups())) for match in _FRAME.finditer(text)}
    if not found:
        raise ServerFailure(f"its list of sector {place.sector} has no full-frame images")
    wanted = (place.sector, place.camera, place.ccd)
    return [StoredFile(name, product_url(server, name)) for name in sorted(found) if found[name] == wanted]


def response_files(transport: Transport, folder: str, place: Place) -> list[StoredFile]:
    """Pixel response functions of a CCD that hold in a sector, from the list of their folder.

    Files of other names, and those of other CCDs, are left out: a folder of the archive holds some.

    Parameters
    ----------
    transport : Transport
        Carries the bytes.
    folder : str
        URL of the folder of all sets.
    place : Place
        Sector, camera and CCD.

    Returns
    -------
    list of StoredFile
        Sorted by name.

    Raises
    ------
    ServerFailure
        There is no such folder, or no such file in it.
    """
    place_there = f"{folder}/{prf_set(place.sector)}/cam{place.camera}_ccd{place.ccd}"
    links = _Links()
    links.feed(transport.get(f"{place_there}/", LARGEST_LIST_BYTES).decode("utf-8", "replace"))
    names = set()
    for link in links.places:
        name = unquote(link.split("?")[0]).rpartition("/")[2]
        found = _RESPONSE.fullmatch(name)
        if found and (int(found[1]), int(found[2])) == (place.camera, place.ccd):
            names.add(name)
    if not names:
        raise ServerFailure(f"{place_there} lists no response functions of camera {place.camera}, CCD {place.ccd}")
    return [StoredFile(name, f"{place_there}/{name}") for name in sorted(names)]
