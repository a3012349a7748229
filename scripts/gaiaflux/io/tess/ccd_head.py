"""What name and head of a full-frame image say, read with the standard library alone.

A sector has up to 11,000 images of each CCD, and the workflow asks for all of them whenever it is parsed: the name
tells most, and of images that are alike one is opened. A damaged file keeps its place by its name.
"""

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from gaiaflux.io.tess.ccd_section import science_section
from gaiaflux.io.tess.head_cards import Cards, Stream, card_number, card_text, card_whole, open_head, read_cards

__all__ = ["CcdHead", "frame_cadence_s", "head_of_name", "read_ccd_head", "read_ccd_heads"]

# tess{start}-s{sector}-{camera}-{ccd}-{configuration}-s_ffic.fits
_SPOC = re.compile(r"tess(\d{13})-s(\d{4})-([1-4])-([1-4])-\d{4}-[a-z]_ffi", re.IGNORECASE)
# hlsp_tica_tess_ffi_s{sector}-{orbit}-{cadence}-cam{camera}-ccd{ccd}_tess_v{version}_img.fits
_TICA = re.compile(r"hlsp_tica_tess_ffi_s(\d{4})-(?:o\w+-)?(\d{8})-cam([1-4])-ccd([1-4])_tess_", re.IGNORECASE)
# First sector of each cadence of the full frames [s].
_CADENCES_S = {1: 1800, 27: 600, 56: 200}
_DAY_S = 86400.0
_FRAME_S = 2.0
_MOST_HEADERS = 4


@dataclass(frozen=True)
class CcdHead:
    """What is known of a full-frame image without its pixels.

    Attributes
    ----------
    sector, camera, ccd : int
        0 where there is none.
    cadence_s : int
        Seconds between the images; 0 where nothing says it.
    data_release : int
        -1 where there is none.
    origin : str
        ``spoc-ffi`` or ``tica-ffi``; empty for a file that is no full-frame image, as far as can be told.
    exposure : str
        Which exposure: its start as in the mission's names (year, day, time of day), or the number of its cadence in
        TICA's; empty where nothing says it.
    shape : tuple of int
        (ny, nx) of the science pixels; (0, 0) where the file was not or could not be opened.
    first_row, first_column : int
        CCD coordinates of the first of them, 0-based, with the virtual columns.
    """

    sector: int = 0
    camera: int = 0
    ccd: int = 0
    cadence_s: int = 0
    data_release: int = -1
    origin: str = ""
    exposure: str = ""
    shape: tuple[int, int] = (0, 0)
    first_row: int = 0
    first_column: int = 0

    @property
    def observation(self) -> tuple[int | str, ...]:
        """What two versions of one image have in common; empty where that is not known."""
        key = (self.origin, self.sector, self.camera, self.ccd, self.exposure)
        return key if all(key) else ()


def frame_cadence_s(sector: int) -> int:
    """Usual cadence of the full frames of a sector.

    Parameters
    ----------
    sector : int
        From 1 on.

    Returns
    -------
    int
        Seconds; 0 for no sector.
    """
    return _CADENCES_S[max(first for first in _CADENCES_S if first <= sector)] if sector > 0 else 0


def head_of_name(name: str) -> CcdHead:
    """What the name of an image says; the cadence is the sector's usual one.

    Parameters
    ----------
    name : str
        Of the file, without its folder.

    Returns
    -------
    CcdHead
        An empty one where it is not a name of the mission.
    """
    if found := _SPOC.search(name):
        start, sector, camera, ccd = found.groups()
        origin = "spoc-ffi"
    elif found := _TICA.search(name):
        sector, start, camera, ccd = found.groups()
        origin = "tica-ffi"
    else:
        return CcdHead()
    cadence_s = frame_cadence_s(int(sector))
    return CcdHead(int(sector), int(camera), int(ccd), cadence_s, origin=origin, exposure=start)


def read_ccd_head(path: Path) -> CcdHead:
    """What name and head of an image say.

    Parameters
    ----------
    path : Path
        FITS file, gzipped or not.

    Returns
    -------
    CcdHead
        The head wins, but for the exposure; what it does not state, and all of a file whose head cannot be read, is
        from the name.
    """
    named = head_of_name(path.name)
    try:
        with open_head(path) as stream:
            return _stated(*_headers(stream), named)
    except (OSError, EOFError, zlib.error, ValueError):
        return named


def read_ccd_heads(paths: Iterable[Path]) -> dict[Path, CcdHead]:
    """The same of many images, opening one of those that are alike.

    Parameters
    ----------
    paths : iterable of Path
        FITS files, gzipped or not.

    Returns
    -------
    dict of Path to CcdHead
        In the order given. Files of one folder, origin, sector, camera, CCD and size (if not gzipped) count as alike;
        those that do not have a name of the mission are opened each.
    """
    heads: dict[Path, CcdHead] = {}
    opened: dict[tuple, CcdHead] = {}
    for path in paths:
        named = head_of_name(path.name)
        alike = (path.parent, named.origin, named.sector, named.camera, named.ccd, _size(path))
        if not named.origin:
            heads[path] = read_ccd_head(path)
        elif alike in opened:
            heads[path] = replace(opened[alike], exposure=named.exposure)
        else:
            heads[path] = read_ccd_head(path)
            if all(heads[path].shape):
                opened[alike] = heads[path]
    return heads


def _size(path: Path) -> int:
    """Bytes; -1 of a file whose size says nothing, or that is not there."""
    try:
        return -1 if path.suffix.lower() == ".gz" else path.stat().st_size
    except OSError:
        return -1


def _headers(stream: Stream) -> tuple[Cards, Cards]:
    """Header of the file and that of its image, which may be the same."""
    primary = cards = read_cards(stream)
    for _ in range(_MOST_HEADERS):
        if card_whole(cards, "NAXIS") == 2 and card_text(cards, "XTENSION") in ("", "IMAGE"):
            return primary, cards
        if card_whole(cards, "NAXIS"):
            raise ValueError("no image comes first")
        cards = read_cards(stream)
    raise ValueError("no image among the first extensions")


def _stated(primary: Cards, image: Cards, named: CcdHead) -> CcdHead:
    both = {**primary, **image}
    tica = primary is image and any(key in image for key in ("TICAVER", "CAMNUM"))
    origin = "tica-ffi" if tica else "spoc-ffi"
    camera, ccd = (card_whole(both, key) for key in (("CAMNUM", "CCDNUM") if tica else ("CAMERA", "CCD")))
    if not (camera and ccd) or "TICID" in primary:
        return named
    section = science_section(
        (card_whole(image, "NAXIS2"), card_whole(image, "NAXIS1")),
        origin,
        lambda key: card_number(both, key),
        lambda key: card_text(both, key),
    )
    sector = card_whole(both, "SECTOR") or named.sector
    return CcdHead(
        sector=sector,
        camera=camera,
        ccd=ccd,
        cadence_s=_cadence_s(both, tica=tica) or frame_cadence_s(sector),
        data_release=card_whole(both, "DATA_REL", -1),
        origin=origin,
        exposure=named.exposure or _exposure(primary, tica=tica),
        shape=section.shape,
        first_row=section.first_row,
        first_column=section.first_column,
    )


def _cadence_s(cards: Cards, *, tica: bool) -> int:
    """Stated cadence, 0 where there is none."""
    if tica:
        return round(card_number(cards, "INT_TIME"))
    return round(card_number(cards, "TIMEDEL") * _DAY_S) or round(card_number(cards, "NUM_FRM") * _FRAME_S)


def _exposure(primary: Cards, *, tica: bool) -> str:
    """The exposure as the mission would name it."""
    if tica:
        number = card_whole(primary, "CADENCE")
        return f"{number:08d}" if number else ""
    try:
        start = datetime.fromisoformat(card_text(primary, "DATE-OBS").removesuffix("Z"))
    except ValueError:
        return ""
    return f"{start:%Y%j%H%M%S}"
