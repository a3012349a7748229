"""FITS files of the mission, packed by gzip or not, and what their headers say; no warning of astropy leaves here."""

import gzip
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from astropy.utils.exceptions import AstropyUserWarning

from gaiaflux.model.errors import InputError

__all__ = ["Headers", "column_of", "float_of", "int_of", "opened", "text_of"]

_UNREADABLE = (OSError, EOFError, ValueError, TypeError, IndexError, zlib.error, fits.VerifyError, AstropyUserWarning)
_PACKED = b"\x1f\x8b"
_EXTENSION = b"XTENSION"

Headers = tuple[fits.Header, ...]
"""Headers of a file, the first with a value counts."""


@contextmanager
def opened(path: str | Path, what: str) -> Iterator[fits.HDUList]:
    """Open a FITS file that is there as a whole.

    Parameters
    ----------
    path : str or Path
        File; gzip is told by its content.
    what : str
        What it should be, for the messages: ``target pixel file``.

    Yields
    ------
    astropy.io.fits.HDUList
        With all headers read. Of a file that is not packed the data are mapped: copy what is to outlive the block.

    Raises
    ------
    FileNotFoundError
        No such file.
    InputError
        Not FITS, cut off or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"the {what} {path} does not exist: correct its name, or fetch it")
    with warnings.catch_warnings():
        # Odd cards do no harm here; a file that is too short does.
        warnings.simplefilter("ignore", VerifyWarning)
        warnings.filterwarnings("error", message=".*truncated.*", category=AstropyUserWarning)
        with ExitStack() as stack:
            try:
                stream = stack.enter_context(_stream(path))
                hdus = stack.enter_context(fits.open(stream, memmap=not isinstance(stream, BytesIO)))
                _refuse_too_short(hdus, stream)
            except _UNREADABLE as error:
                reason = (str(error).strip().splitlines() or ["it ends too early"])[0]
                raise InputError(
                    f"the {what} {path} cannot be read ({reason}): it is cut off, damaged or no FITS file; fetch it "
                    "again"
                ) from error
            yield hdus


def _stream(path: Path) -> BinaryIO:
    """The file, or what is in it where it is packed."""
    with path.open("rb") as file:
        packed = file.read(2) == _PACKED
    return BytesIO(gzip.decompress(path.read_bytes())) if packed else path.open("rb")


def _refuse_too_short(hdus: fits.HDUList, stream: BinaryIO) -> None:
    len(hdus)  # reads the headers; astropy warns where data are missing
    last = hdus[-1].fileinfo()
    if last is None:
        return
    end = last["datLoc"] + last["datSpan"]
    if end > stream.seek(0, SEEK_END):
        raise ValueError("it ends too early")
    stream.seek(end)
    # Of a header that is cut off astropy makes no extension, and says nothing.
    if stream.read(len(_EXTENSION)) == _EXTENSION:
        raise ValueError("it ends in the header of an extension")


def column_of(hdu: fits.BinTableHDU, name: str) -> np.ndarray | None:
    """A column of a table as it is stored; None where there is none of this name (in any case)."""
    for column in hdu.columns.names:
        if column.upper() == name:
            return np.asarray(hdu.data[column])
    return None


def float_of(headers: Headers, keyword: str, default: float = np.nan) -> float:
    """Number that the first header with a usable value states; `default` where none does."""
    for header in headers:
        value = _value(header, keyword)
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if np.isfinite(number):
            return number
    return default


def int_of(headers: Headers, keyword: str, default: int = 0) -> int:
    """Whole number that the first header with a usable value states; `default` where none does."""
    for header in headers:
        value = _value(header, keyword)
        if isinstance(value, bool):
            continue
        try:
            return int(str(value)) if isinstance(value, str) else int(value)
        except (TypeError, ValueError, OverflowError):
            continue
    return default


def text_of(headers: Headers, keyword: str) -> str:
    """Text that the first header with one states; empty where none does."""
    for header in headers:
        value = _value(header, keyword)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""


def _value(header: fits.Header, keyword: str) -> Any:
    value = header.get(keyword)
    return None if isinstance(value, fits.card.Undefined) else value
