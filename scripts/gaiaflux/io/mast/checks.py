"""Whether a file that came is all of what it should be: FITS with its checksums, and archives of cut-outs."""

import gzip
import json
import re
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits

from gaiaflux.io.atomic import replacing
from gaiaflux.io.tess.fits_file import opened
from gaiaflux.io.transport import ServerFailure, stated
from gaiaflux.model.errors import InputError

__all__ = ["check_fits", "unpacked_cutouts"]

BLOCK_BYTES = 1 << 24
_FITS, _PACKED, _ZIP = b"SIMPLE  =", b"\x1f\x8b", b"PK"
_ALL_ONES = 0xFFFFFFFF
_CUTOUT = re.compile(r"tess-s(\d{4})-\d-\d_[\w.+-]+_astrocut\.fits")
LARGEST_CUTOUT_BYTES = 2_000_000_000


def check_fits(path: Path) -> int:
    """Refuse what is not a whole FITS file.

    Parameters
    ----------
    path : Path
        File, packed by gzip or not.

    Returns
    -------
    int
        Number of its parts (HDUs) whose checksum (``CHECKSUM``, else ``DATASUM``) was there and is right.

    Raises
    ------
    ServerFailure
        Another kind of file, one that is cut off, or whose checksums are not those of its content.

    Notes
    -----
    Checksums as in the FITS standard 4.0, section 4.4.2.7 and appendix J.
    """
    with path.open("rb") as file:
        begin = file.read(1024)
    if not begin.startswith((_FITS, _PACKED)):
        raise ServerFailure(f"what came is no FITS file ({_kind_of(begin)})")
    try:
        with opened(path, "file") as hdus:
            places = [hdu.fileinfo() for hdu in hdus]
        with gzip.open(path, "rb") if begin.startswith(_PACKED) else path.open("rb") as stream:
            return sum(_is_proven(stream, place) for place in places if place)
    except (InputError, OSError, EOFError, KeyError, zlib.error) as error:
        raise ServerFailure(f"what came is cut off or damaged ({_why(error)})") from error


def unpacked_cutouts(path: Path, folder: Path, sector: int) -> list[Path]:
    """The cut-outs of an answer of TESScut.

    Parameters
    ----------
    path : Path
        Answer, an archive (zip).
    folder : Path
        Where the files come to; of the same names are replaced.
    sector : int
        That was asked for.

    Returns
    -------
    list of Path
        Sorted; at least one.

    Raises
    ------
    ServerFailure
        Another kind of answer, with what it says; one that is cut off, or has other files in it.
    """
    with path.open("rb") as file:
        begin = file.read(1024)
    if not begin.startswith(_ZIP):
        raise ServerFailure(f"TESScut gave no cut-outs ({_kind_of(begin)})")
    written = []
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            found = [_CUTOUT.fullmatch(member.filename) for member in members]
            if not members or not all(match and int(match[1]) == sector for match in found):
                names = ", ".join(member.filename for member in members[:3]) or "nothing"
                raise ServerFailure(f"TESScut gave other files than cut-outs of sector {sector}: {names}")
            if sum(member.file_size for member in members) > LARGEST_CUTOUT_BYTES:
                raise ServerFailure(f"TESScut gave more than {LARGEST_CUTOUT_BYTES / 1e9:g} GB")
            for member in members:
                target = folder / member.filename
                with replacing(target) as unpacked:
                    with archive.open(member) as source, unpacked.open("wb") as stream:
                        shutil.copyfileobj(source, stream, BLOCK_BYTES)  # with the check of its CRC
                    check_fits(unpacked)
                written.append(target)
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError) as error:
        raise ServerFailure(f"the cut-outs are cut off or damaged ({_why(error)})") from error
    return sorted(written)


def _is_proven(stream: BinaryIO | gzip.GzipFile, place: dict[str, int]) -> bool:
    """Whether a part of the file has a checksum, which is right."""
    begin, data = place["hdrLoc"], place["datLoc"]
    end = data + place["datSpan"]
    stream.seek(begin)
    header = fits.Header.fromstring(stream.read(data - begin))
    name = str(header.get("EXTNAME", "")) or "its first part"
    if str(header.get("CHECKSUM", "")).strip():
        if _sum(stream, begin, end) not in (0, _ALL_ONES):
            raise OSError(f"the checksum of {name} is wrong")
        return True
    said = str(header.get("DATASUM", "")).strip()
    if said.isdigit() and _sum(stream, data, end) != int(said):
        raise OSError(f"the checksum of the data of {name} is wrong")
    return said.isdigit()


def _sum(stream: BinaryIO | gzip.GzipFile, begin: int, end: int) -> int:
    """Sum of big-endian words of 32 bits in ones' complement."""
    stream.seek(begin)
    total, left = 0, end - begin
    while left > 0 and (block := stream.read(min(BLOCK_BYTES, left))):
        left -= len(block)
        total += int(np.frombuffer(block + b"\0" * (-len(block) % 4), ">u4").sum(dtype=np.uint64))
    while total > _ALL_ONES:
        total = (total & _ALL_ONES) + (total >> 32)
    return total


def _kind_of(begin: bytes) -> str:
    """What else it is, in a few words."""
    try:
        said = json.loads(begin)
    except ValueError:
        return stated(begin) if begin[:1] in (b"{", b"[") or b"<?xml" in begin[:64] else _page_or_bytes(begin)
    return str(said["msg"]) if isinstance(said, dict) and said.get("msg") else "JSON"


def _page_or_bytes(begin: bytes) -> str:
    return "a page for people" if re.search(rb"<html|<!doctype", begin, re.IGNORECASE) else f"it begins {begin[:12]!r}"


def _why(error: Exception) -> str:
    """Reason without the path, which is that of an unfinished file."""
    text = str(error.__cause__ or error).strip().splitlines()
    return text[0][:120] if text else "it ends too early"
