"""What a prepared field holds, as the objects that were put into it."""

import numpy as np

from gaiaflux.core.cadences.sky_columns import column_blocks
from gaiaflux.core.cadences.sky_response import PixelResponse
from gaiaflux.core.cadences.sky_series import SkySeries
from gaiaflux.core.image.ccd_sky import SkyGrid
from gaiaflux.io.plate_solution import plate_of_record
from gaiaflux.io.tess.prepared_field import PreparedField, StoredArray
from gaiaflux.model.wcs import TanSip
from gaiaflux.tess.images.tiles import LearntTiles
from gaiaflux.tess.stamp.stamps import Stamp

__all__ = ["in_ccd", "read_sky", "read_wcs", "response_light", "stored_response", "stored_sky"]

_SKY = {
    "level": ("electron/s", "sky in the boxes of the mesh, smoothed in time"),
    "level_err": ("electron/s", "its one-sigma error"),
    "glow": ("electron/s", "glow of the camera's corner by its distance from the axis, smoothed in time"),
    "glow_err": ("electron/s", "its one-sigma error"),
}
_RESPONSE = "response of each pixel: per sky, and per slope of the sky in x and y"


def stored_sky(sky: SkySeries) -> dict[str, StoredArray]:
    """Arrays of a prepared field that hold the sky."""
    return {f"sky/{name}": StoredArray(getattr(sky, name), *said) for name, said in _SKY.items()}


def read_sky(field: PreparedField) -> SkySeries:
    """Sky of all frames."""
    grid = SkyGrid(**{**field.head["grid"], "shape": tuple(field.head["shape"])})
    return SkySeries(grid, *(field.array(f"sky/{name}") for name in _SKY))


def stored_response(learnt: LearntTiles) -> dict[str, StoredArray]:
    """Arrays of a prepared field that hold the response to the sky."""
    at_none = "sky and slopes of each tile at which it counts as none"
    columns = "light that a column always has more than its neighbours, by blocks of rows"
    return {
        "response/terms": StoredArray(learnt.terms, "", _RESPONSE),
        "response/errors": StoredArray(learnt.errors, "", "their one-sigma errors"),
        "response/origin": StoredArray(learnt.origin, "electron/s", at_none),
        "response/columns": StoredArray(learnt.columns, "electron/s", columns),
    }


def response_light(field: PreparedField, sky: SkySeries, part: Stamp) -> np.ndarray:
    """Light of the response to the sky in a stamp, tile by tile, and of columns that always have more of it.

    Parameters
    ----------
    field : PreparedField
    sky : SkySeries
        Of the same field.
    part : tuple of int
        Rows and columns of the images.

    Returns
    -------
    ndarray of float32, shape (n_frames, n_rows, n_columns)
        [electron/s].
    """
    ny, nx = sky.grid.shape
    side = int(field.head["tile_pix"])
    pixels = (slice(part[0], part[1]), slice(part[2], part[3]))
    terms = field.array("response/terms", (slice(None), *pixels))
    always = field.array("response/columns", (slice(None), pixels[1]))[column_blocks(ny)[pixels[0]]]
    made = np.repeat(always[None].astype(np.float32), len(sky), axis=0)
    for j in range(part[0] // side, (part[1] - 1) // side + 1):
        for i in range(part[2] // side, (part[3] - 1) // side + 1):
            tile = (j * side, min((j + 1) * side, ny), i * side, min((i + 1) * side, nx))
            rows = slice(max(tile[0], part[0]) - part[0], min(tile[1], part[1]) - part[0])
            columns = slice(max(tile[2], part[2]) - part[2], min(tile[3], part[3]) - part[2])
            own = terms[:, rows, columns]
            if own.any():
                origin = field.array("response/origin", (slice(j, j + 1), slice(i, i + 1)))[0, 0]
                response = PixelResponse(own, np.zeros_like(own), origin)
                made[:, rows, columns] += response.light(*sky.plane(tile))
    return made


def read_wcs(field: PreparedField) -> TanSip:
    """Plate solution of the mean of the images, in their coordinates."""
    return plate_of_record(field.head)


def in_ccd(mode: str, parameters: np.ndarray, column: int, row: int) -> np.ndarray:
    """Movement in coordinates of the CCD.

    Parameters
    ----------
    mode : str
        One of `gaiaflux.core.cadences.motion.KERNEL_PARAMETERS`.
    parameters : ndarray, shape (n, n_parameters)
        In coordinates of the images.
    column, row : int
        Of their first pixel.

    Returns
    -------
    ndarray of float64, shape (n, n_parameters)
    """
    moved = np.array(parameters, np.float64)
    corner = np.array([column, row], np.float64)
    if mode == "euclidian":
        cos, sin = np.cos(moved[:, 2]), np.sin(moved[:, 2])
        matrix = np.stack([np.stack([cos, -sin], axis=-1), np.stack([sin, cos], axis=-1)], axis=-2)
        moved[:, :2] += corner - matrix @ corner
    elif mode == "affine":
        matrix = moved.reshape(-1, 2, 3)
        matrix[:, :, 2] += corner - matrix[:, :, :2] @ corner
        moved = matrix.reshape(-1, 6)
    return moved
