"""Refined plate solution and photometry as extensions of an image; all other extensions keep every byte.

The file is cut into its extensions as they stand, so that nothing is decompressed, scaled or written again.
"""

import gzip
import os
import shutil
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from astropy.utils.exceptions import AstropyUserWarning

from gaiaflux.io.atomic import replacing
from gaiaflux.model.errors import BadFrameError

__all__ = ["WCS_EXTENSION", "Facts", "PlateExtension", "TableExtension", "layer_names", "write_annotated"]

WCS_EXTENSION = "GAIAFLUX_WCS"
"""Extension without pixels whose header is the refined plate solution."""

Facts = Mapping[str, tuple[str | bool | int | float, str]]
"""Header keywords: value and comment of each."""

_BLOCK = 2880
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class PlateExtension:
    """What the extension `WCS_EXTENSION` says.

    Attributes
    ----------
    cards : str
        FITS cards of the plate solution, one a line.
    facts : mapping of str to tuple
        Further keywords of its header: (value, comment). What is not finite is left out.
    """

    cards: str
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class TableExtension:
    """A table, and what its header says.

    Attributes
    ----------
    name : str
        Name of the extension.
    rows : structured ndarray, shape (n_stars,)
        Columns of numbers; 64-bit integers stay what they are.
    units : mapping of str to str
        FITS unit of a column.
    facts : mapping of str to tuple
        Further keywords of its header, as those of `PlateExtension`.
    """

    name: str
    rows: np.ndarray
    units: Mapping[str, str] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)


def layer_names(path: str | Path) -> list[str]:
    """Names of the extensions of a file, the primary one first.

    Parameters
    ----------
    path : str or Path
        FITS file, compressed or not.

    Returns
    -------
    list of str
        Capital letters; ``PRIMARY`` for a primary extension without a name, empty for others without.

    Raises
    ------
    BadFrameError
        The file is not FITS.
    """
    return [name for name, _ in _layers(_content(Path(path)), str(path))]


def write_annotated(source: str | Path, target: str | Path, plate: PlateExtension, table: TableExtension) -> None:
    """Write an image with a plate solution and a table as further extensions.

    Extensions of these names that the image has already are replaced where they stand; new ones are put at the end.

    Parameters
    ----------
    source : str or Path
        Image.
    target : str or Path
        File to write, which may be the source itself; it appears under its name only when all of it is there. A source
        compressed by gzip stays so in its own place; elsewhere the ending ``.gz`` decides.
    plate : PlateExtension
        Plate solution.
    table : TableExtension
        Measured stars.

    Raises
    ------
    BadFrameError
        The source is not FITS.
    """
    source, target = Path(source), Path(target)
    # Of a link the file that it leads to decides, and is replaced.
    target = target.resolve()
    zipped = _is_zipped(source) if target == source.resolve() else target.name.lower().endswith(".gz")
    new = {WCS_EXTENSION: _wcs_bytes(plate), table.name: _table_bytes(table)}
    content = _content(source)
    pieces: list[bytes | memoryview] = []
    written = set()
    for name, span in _layers(content, str(source)):
        if name not in new:
            piece = memoryview(content)[span]
            pieces += [piece, bytes(-len(piece) % _BLOCK)]
        elif name not in written:
            pieces.append(new[name])
            written.add(name)
    pieces += [piece for name, piece in new.items() if name not in written]
    _replace(target, pieces, zipped, source)


def _is_zipped(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == _GZIP


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if content.startswith(_GZIP) else content


def _layers(content: bytes, where: str) -> list[tuple[str, slice]]:
    """Name and place of each extension."""
    if not content.startswith(b"SIMPLE"):
        raise BadFrameError(f"{where} is not a FITS file")
    with warnings.catch_warnings():
        for category in (VerifyWarning, AstropyUserWarning):
            warnings.simplefilter("ignore", category)
        with fits.open(BytesIO(content), memmap=False, lazy_load_hdus=False, disable_image_compression=True) as hdus:
            found = []
            for hdu in hdus:
                place = hdu.fileinfo()
                found.append((hdu.name, slice(place["hdrLoc"], place["datLoc"] + place["datSpan"])))
            return found


def _wcs_bytes(plate: PlateExtension) -> bytes:
    # An image of no pixels, but of two axes as the solution has: astropy warns of a solution of more axes.
    structure = [("XTENSION", "IMAGE", "no pixels"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 0), ("NAXIS2", 0)]
    structure += [("PCOUNT", 0), ("GCOUNT", 1), ("EXTNAME", WCS_EXTENSION, "refined plate solution")]
    header = fits.Header(structure)
    header.extend(fits.Header.fromstring(plate.cards, sep="\n"))
    _add_facts(header, plate.facts)
    return header.tostring().encode("ascii")


def _table_bytes(table: TableExtension) -> bytes:
    hdu = fits.BinTableHDU(table.rows, name=table.name)
    for column in hdu.columns:
        if table.units.get(column.name):
            column.unit = table.units[column.name]
    _add_facts(hdu.header, table.facts)
    buffer = BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer)
    return buffer.getvalue()[_BLOCK:]


def _add_facts(header: fits.Header, facts: Facts) -> None:
    for keyword, (value, comment) in facts.items():
        if not isinstance(value, float) or np.isfinite(value):
            header[keyword] = (value, comment)


def _replace(target: Path, pieces: list[bytes | memoryview], zipped: bool, source: Path) -> None:
    """Write beside the target, with the source's permissions, and take its place."""
    with replacing(target) as temporary:
        with temporary.open("wb") as file:
            # Without name and time, so that the same content gives the same bytes.
            into = gzip.GzipFile("", "wb", 6, file, 0) if zipped else nullcontext(file)
            with into as stream:
                for piece in pieces:
                    stream.write(piece)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(source, temporary)
