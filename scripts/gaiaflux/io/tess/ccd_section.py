"""Which pixels of a full-frame image see the sky, and where on the CCD they are, as its header says.

Nothing here loads more than the standard library: the workflow asks this, too.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gaiaflux.io.image.section import section
from gaiaflux.model.ccd_layout import CCD_SHAPE, FIRST_SCIENCE_COLUMN, FULL_FRAME

__all__ = ["CcdSection", "science_section"]

# Reference pixels of the plate solutions of whole frames, the first pixel is 1: a crop has shifted them.
_REFERENCES = {"spoc-ffi": (1045.0, 1001.0), "tica-ffi": (1069.0, 1024.0)}
_OUTPUTS = "ABCD"


@dataclass(frozen=True)
class CcdSection:
    """Science pixels of a file.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx) of them; a 0 in it where the file has none.
    first_row, first_column : int
        CCD coordinates of their lower left one, 0-based, with the virtual columns.
    origin : tuple of int
        (row, column) of the CCD of the file's own first pixel; they may be negative.
    remarks : tuple of str
        What is odd about the header: sentences for the user.
    """

    shape: tuple[int, int]
    first_row: int
    first_column: int
    origin: tuple[int, int]
    remarks: tuple[str, ...] = ()

    @property
    def in_file(self) -> tuple[slice, slice]:
        """Rows and columns of the file that hold them."""
        return self.overlap(self.origin)

    def overlap(self, origin: tuple[int, int]) -> tuple[slice, slice]:
        """The same in another image of the CCD that begins at `origin` (row, column)."""
        row, column = self.first_row - origin[0], self.first_column - origin[1]
        return slice(row, row + self.shape[0]), slice(column, column + self.shape[1])


def science_section(
    shape: tuple[int, int], kind: str, number: Callable[[str], float], text: Callable[[str], str]
) -> CcdSection:
    """Find the science pixels of an image.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx) of the whole image.
    kind : str
        ``spoc-ffi`` or ``tica-ffi``.
    number, text : callable
        Value of a keyword: a number, NaN or 0 where there is none, and a text, empty where there is none.

    Returns
    -------
    CcdSection
        From ``SCCSA`` to ``SCCED`` and ``SCIROWS``, ``SCIROWE`` of the mission's pipeline, or ``SCIPIXS`` of TICA; of
        what the header does not state, as every CCD is built. A crop is placed by its physical coordinates
        (``CRPIX1P``, ``CRVAL1P``), by IRAF's ``LTV1``, or by how far the reference pixel of the plate solution has
        been shifted.
    """
    rows, columns, trimmed = _stated_science(number, text)
    origin, remarks = _origin(shape, kind, number)
    if trimmed and origin[1] == 0:
        origin = origin[0], FIRST_SCIENCE_COLUMN
    first_row, first_column = max(rows[0], origin[0]), max(columns[0], origin[1])
    ny = max(min(rows[1], origin[0] + shape[0]) - first_row, 0)
    nx = max(min(columns[1], origin[1] + shape[1]) - first_column, 0)
    return CcdSection((ny, nx), first_row, first_column, origin, remarks)


def _stated_science(
    number: Callable[[str], float], text: Callable[[str], str]
) -> tuple[tuple[int, int], tuple[int, int], bool]:
    """First and behind the last row and column that see the sky, 0-based; whether the virtual ones are cut off."""
    built = (0, CCD_SHAPE[0]), (FIRST_SCIENCE_COLUMN, FIRST_SCIENCE_COLUMN + CCD_SHAPE[1])
    stated = section(text("SCIPIXS"))
    if stated is not None:
        x1, x2, y1, y2 = stated
        # TICA can write images without the virtual columns, and then counts from the first that is left.
        return ((y1 - 1, y2), built[1], True) if x2 == CCD_SHAPE[1] else ((y1 - 1, y2), (x1 - 1, x2), False)
    starts, ends = ([number(f"SCC{end}{output}") for output in _OUTPUTS] for end in "SE")
    columns = (round(min(starts)) - 1, round(max(ends))) if all(n > 0.0 for n in (*starts, *ends)) else built[1]
    first, last = number("SCIROWS"), number("SCIROWE")
    rows = (round(first) - 1, round(last)) if first > 0.0 and last > 0.0 else built[0]
    return rows, columns, False


def _origin(
    shape: tuple[int, int], kind: str, number: Callable[[str], float]
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """(row, column) of the file's first pixel, and what is odd about it."""
    places, remarks = [], []
    for axis, size, full in ((2, shape[0], FULL_FRAME[0]), (1, shape[1], FULL_FRAME[1])):
        place, shifted = _physical(axis, number), _shifted(axis, kind, number)
        if place == 0 and shifted > 0 and size < full:
            place = shifted
            remarks.append(
                f"the header does not say which {'columns' if axis == 1 else 'rows'} were cut out: by the shift of "
                f"its plate solution's reference pixel they begin at {place + 1}"
            )
        places.append(place)
    return (places[0], places[1]), tuple(remarks)


def _physical(axis: int, number: Callable[[str], float]) -> int:
    value, pixel = number(f"CRVAL{axis}P"), number(f"CRPIX{axis}P")
    if value != 0.0 and abs(value) < 1e5 and abs(pixel) < 1e5:
        return round(value - pixel)
    shift = number(f"LTV{axis}")
    return round(-shift) if abs(shift) < 1e5 else 0


def _shifted(axis: int, kind: str, number: Callable[[str], float]) -> int:
    pixel = number(f"CRPIX{axis}")
    if not abs(pixel) < 1e5 or pixel == 0.0:
        return 0
    shift = _REFERENCES[kind][axis - 1] - pixel
    return round(shift) if abs(shift - round(shift)) < 1e-6 else 0
