"""What is learnt from the whole time of each tile of the images: response to the sky, mean image, jumps of the sky."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaiaflux.core.cadences.frame_motion import FrameMotion
from gaiaflux.core.cadences.motion import kernel_offsets, measured_shifts
from gaiaflux.core.cadences.sky_columns import column_blocks, column_light
from gaiaflux.core.cadences.sky_excess import sky_excess
from gaiaflux.core.cadences.sky_response import fit_response
from gaiaflux.core.cadences.sky_series import SkySeries
from gaiaflux.core.maths.robust import MAD_TO_SIGMA, finite_mean
from gaiaflux.io.tess.frame_batch import TILE_PIX
from gaiaflux.io.tess.prepared_field import FramePixels
from gaiaflux.tess.images.joined import JoinedFrames

__all__ = ["LearntTiles", "TellingFrames", "learn_tiles"]

_BLOCK_BYTES = 1 << 25
_STEPS = 100  # differences between frames that tell a pixel's noise


class TellingFrames(NamedTuple):
    """Which frames tell what of a tile.

    Attributes
    ----------
    response : ndarray of bool, shape (n_frames,)
        Those from which the response to the sky is learnt.
    mean : ndarray of bool, shape (n_frames,)
        Those of the mean image.
    """

    response: np.ndarray
    mean: np.ndarray


@dataclass
class LearntTiles:
    """What was learnt.

    Attributes
    ----------
    terms, errors : ndarray of float32, shape (3, ny, nx)
        Response of each pixel to the sky and its slopes (`PixelResponse`).
    origin : ndarray of float64, shape (n_tile_rows, n_tile_columns, 3)
        Sky and slopes of each tile at which it counts as none.
    columns : ndarray of float32, shape (n_blocks, nx)
        Light that columns always have more than their neighbours, as of `column_light` [electron/s].
    mean_image : ndarray of float32, shape (ny, nx)
        Mean of frames without sky and response [electron/s]; NaN where none of them has a number.
    excess : ndarray of float32, shape (n_frames, n_tile_rows, n_tile_columns)
        Light of each tile over the mean image [electron/s]; NaN without any.
    """

    terms: np.ndarray
    errors: np.ndarray
    origin: np.ndarray
    columns: np.ndarray
    mean_image: np.ndarray
    excess: np.ndarray


def learn_tiles(
    frames: JoinedFrames,
    sky: SkySeries,
    motion: FrameMotion,
    telling: TellingFrames,
    mjd: np.ndarray,
    sky_pixels: np.ndarray,
) -> LearntTiles:
    """Go through the images tile by tile, in memory that is bounded by a block of tiles.

    Parameters
    ----------
    frames : JoinedFrames
    sky : SkySeries
    motion : FrameMotion
    telling : TellingFrames
    mjd : ndarray, shape (n_frames,)
        Their times [d].
    sky_pixels : ndarray of bool, shape (ny, nx)
        Pixels that tell the sky.

    Returns
    -------
    LearntTiles
    """
    n, (ny, nx) = len(frames), sky.grid.shape
    tiles = (-(-ny // TILE_PIX), -(-nx // TILE_PIX))
    made = LearntTiles(
        terms=np.zeros((3, ny, nx), np.float32),
        errors=np.zeros((3, ny, nx), np.float32),
        origin=np.zeros((*tiles, 3)),
        columns=np.zeros((0, nx), np.float32),
        mean_image=np.full((ny, nx), np.nan, np.float32),
        excess=np.full((n, *tiles), np.nan, np.float32),
    )
    with FramePixels(frames.batches, n) as pixels:
        for rows, columns in _blocks(n, ny, nx):
            raw = pixels.read("images", rows, columns)
            for tile in _tiles(columns):
                inside = slice(tile.start - columns.start, tile.stop - columns.start)
                _learn(made, raw[:, :, inside], (rows, tile), (sky, motion), telling, mjd)
    made.columns = column_light(made.mean_image, sky_pixels)
    made.mean_image -= made.columns[column_blocks(ny)]
    return made


def _blocks(n: int, ny: int, nx: int) -> Iterator[tuple[slice, slice]]:
    """Rows of tiles, cut where they would be too much at once."""
    wide = max(TILE_PIX, _BLOCK_BYTES // (4 * n * TILE_PIX) // TILE_PIX * TILE_PIX)
    for first in range(0, ny, TILE_PIX):
        for left in range(0, nx, wide):
            yield slice(first, min(first + TILE_PIX, ny)), slice(left, min(left + wide, nx))


def _tiles(columns: slice) -> Iterator[slice]:
    for left in range(columns.start, columns.stop, TILE_PIX):
        yield slice(left, min(left + TILE_PIX, columns.stop))


def _learn(
    made: LearntTiles,
    raw: np.ndarray,
    tile: tuple[slice, slice],
    known: tuple[SkySeries, FrameMotion],
    telling: TellingFrames,
    mjd: np.ndarray,
) -> None:
    (sky, motion), (rows, columns), good = known, tile, telling.response
    stamp = (rows.start, rows.stop, columns.start, columns.stop)
    residual = raw - sky.values(stamp)
    level, slopes = sky.plane(stamp)
    middle = np.array([[(columns.start + columns.stop - 1) / 2, (rows.start + rows.stop - 1) / 2]])
    shift = measured_shifts(kernel_offsets(motion.mode, motion.parameters, middle)[:, 0], mjd).shift
    response = fit_response(residual, level, slopes, shift, _variance(residual, good), good)
    residual -= response.light(level, slopes)
    made.terms[:, rows, columns] = response.terms
    made.errors[:, rows, columns] = response.errors
    place = (rows.start // TILE_PIX, columns.start // TILE_PIX)
    made.origin[place] = response.origin
    mean = finite_mean(residual[telling.mean])
    made.mean_image[rows, columns] = mean
    # A quarter of the pixels tells the sky of a tile as well.
    made.excess[:, *place] = sky_excess(residual[:, ::2, ::2], mean[::2, ::2])


def _variance(residual: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Variance of each pixel from the steps between frames, which sky and stars hardly change, shape (ny, nx)."""
    steps = np.diff(residual[good], axis=0)
    steps = steps[:: max(1, len(steps) // _STEPS)]
    if not len(steps):
        return np.ones(residual.shape[1:])
    usual = np.median(np.abs(np.nan_to_num(steps)), axis=0)
    variance = 0.5 * (MAD_TO_SIGMA * usual.astype(np.float64)) ** 2
    return np.where(variance > 0, variance, np.inf)
