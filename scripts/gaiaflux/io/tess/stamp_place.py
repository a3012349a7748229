"""Where a stamp lies on the sky and on its CCD, when the header may be wrong about both.

The target's own position must fall into the stamp. Where it does not, the header's reference pixel and the numbers of
its corner count for nothing: the position is the middle of the stamp, and the CCD's pixels come from the mission's
pointing, if the user gives it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gaiaflux.core.sky.focal_plane import Pointing, ccd_of_sky, seen_from, sky_of_ccd
from gaiaflux.core.sky.projection import linear_tan, sky_to_pixel
from gaiaflux.io.tess.pointing import SPACECRAFT
from gaiaflux.model.ccd_layout import FULL_FRAME
from gaiaflux.model.wcs import TanSip

__all__ = ["PlacedStamp", "StampHeader", "place_stamp"]

_CCD_MIDDLE = (1067.5, 1023.5)


@dataclass(frozen=True)
class StampHeader:
    """What a file says of its stamp.

    Attributes
    ----------
    sector, camera, ccd : int
        Where it was taken.
    sky : tuple of float
        (ra, dec) of the target at the time of observation, ICRS [deg].
    wcs : TanSip
        Stated plate solution.
    corner : tuple of int or None
        Stated column and row of the first pixel, 0-based; None where there are none.
    of_full_frame : bool
        Whether the corner must lie within `FULL_FRAME`.
    """

    sector: int
    camera: int
    ccd: int
    sky: tuple[float, float]
    wcs: TanSip
    corner: tuple[int, int] | None
    of_full_frame: bool


@dataclass(frozen=True)
class PlacedStamp:
    """Where it is taken to lie.

    Attributes
    ----------
    wcs : TanSip
        Plate solution in coordinates of the stamp.
    first_column, first_row : int
        Corner, 0-based; 0 where not known.
    known : bool
        Whether the corner is known.
    ccd_middle : tuple of float or None
        (ra, dec) of the middle of the CCD [deg]; None without a pointing.
    remarks : tuple of str
        What was wrong and what was done.
    """

    wcs: TanSip
    first_column: int
    first_row: int
    known: bool
    ccd_middle: tuple[float, float] | None
    remarks: tuple[str, ...]


def place_stamp(header: StampHeader, pointings: Mapping[tuple[int, int], Pointing] | None) -> PlacedStamp:
    """Settle where a stamp lies.

    Parameters
    ----------
    header : StampHeader
        What the file says.
    pointings : mapping of (int, int) to Pointing, optional
        By sector and camera, see `gaiaflux.io.tess.pointing.read_pointing`.

    Returns
    -------
    PlacedStamp
        Plate solution and corner, with the reasons.
    """
    ny, nx = header.wcs.shape
    camera = _camera_pointing(header, pointings or {})
    middle = sky_of_ccd(camera, header.camera, header.ccd, *_CCD_MIDDLE) if camera is not None else None
    x, y = (float(place) for place in sky_to_pixel(header.wcs, *header.sky))
    wcs, corner, remarks = header.wcs, _stated_corner(header), []
    if not (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5):
        remarks.append(
            f"the header's WCS puts the target at column {x:.1f}, row {y:.1f} of {nx} x {ny} pixels: it is taken to be "
            "in the middle, with the WCS's scale and orientation"
        )
        x, y = (nx - 1) / 2, (ny - 1) / 2
        wcs, corner = linear_tan(header.sky, (x, y), header.wcs.cd, header.wcs.shape), None
    elif corner is None:
        remarks.append("the header's corner of the stamp is not on the CCD and is not used")
    if corner is None and camera is not None:
        column, row = ccd_of_sky(camera, header.camera, header.ccd, *header.sky)
        corner = round(float(column) - x), round(float(row) - y)
        remarks.append(
            f"the CCD position (first column {corner[0] + 1}, first row {corner[1] + 1}, 1-based) is from the table of "
            "pointings, good to 2 pixels"
        )
    elif corner is None:
        remarks.append(
            f"the CCD position is not known: give a table of pointings with sector {header.sector}, camera "
            f"{header.camera}, which puts the target on CCD {header.ccd}"
        )
    first_column, first_row = corner or (0, 0)
    return PlacedStamp(wcs, first_column, first_row, corner is not None, middle, tuple(remarks))


def _camera_pointing(header: StampHeader, pointings: Mapping[tuple[int, int], Pointing]) -> Pointing | None:
    """Pointing of the stamp's camera from the line of the camera, or else of the spacecraft."""
    for camera in (header.camera, SPACECRAFT):
        stated = pointings.get((header.sector, camera))
        if stated is not None and header.of_full_frame:
            found = seen_from(stated, header.camera, header.ccd, *header.sky)
            if found is not None:
                return found
    return None


def _stated_corner(header: StampHeader) -> tuple[int, int] | None:
    if header.corner is None:
        return None
    column, row = header.corner
    (ny, nx), (rows, columns) = header.wcs.shape, FULL_FRAME
    if header.of_full_frame and not (0 <= column <= columns - nx and 0 <= row <= rows - ny):
        return None
    return header.corner
