"""What the report needs of the prepared full-frame images of a CCD."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gaiaflux.core.cadences.motion import kernel_offsets
from gaiaflux.core.image.ccd_sky import FrameSky, SkyGrid
from gaiaflux.core.image.star_mask import SATURATION
from gaiaflux.io.tess.prepared_field import PreparedField
from gaiaflux.model.flags import FRAME_FLAGS, FrameFlag
from gaiaflux.report.series import SeriesSummary

__all__ = ["CcdSummary", "FrameRow", "PlacedStars", "read_ccd", "stars_on_ccd"]

FRAMES_OF_STRIP = 8
MOST_PIXELS = 512  # along a side of what is drawn


@dataclass(frozen=True)
class FrameRow:
    """A kind of frames: name of the flag, how many frames have it, what it means."""

    flag: str
    count: int
    meaning: str


class PlacedStars(NamedTuple):
    """Stars of a dataset on a CCD: rows of the dataset, column and row on the CCD [pixel, 0-based]."""

    stars: np.ndarray
    column: np.ndarray
    row: np.ndarray


@dataclass(frozen=True)
class CcdSummary:
    """Prepared images of a CCD at one cadence; n frames in the order of time.

    Attributes
    ----------
    name : str
        Of sector, camera and CCD, as frames and places of stars have it.
    cadence_s : float
    corner : tuple of int
        Column and row of the CCD of the first pixel, 0-based.
    step : int
        Pixels of the images for each that is kept.
    mean_image : ndarray of float32, shape (ny, nx)
        Mean of the good frames without the sky, every `step`-th pixel [electron/s].
    starry : ndarray of bool, shape (ny, nx)
        Pixels that do not tell the sky, as stars light them.
    mjd_tdb, sky, smoothed : ndarray of float64, shape (n,)
        Time [d], median of the sky's mesh, and of the same smoothed in time [electron/s]; NaN where not known.
    shown : ndarray of int
        Frames of the film strip.
    strip : ndarray of float32, shape (n_shown, ny, nx)
        Their sky, smoothed in time, as `mean_image` [electron/s].
    shift, shift_err : ndarray of float64, shape (n, 2)
        Movement of the images' middle in x and y and its one-sigma error [pixel]; NaN where not known.
    flags : ndarray of uint32, shape (n,)
        Bits of `gaiaflux.model.flags.FrameFlag`.
    given_up : ndarray of bool, shape (n,)
        Frames with any bit of the mission.
    remarks : tuple of str
        What the preparation found odd.
    """

    name: str
    cadence_s: float
    corner: tuple[int, int]
    step: int
    mean_image: np.ndarray
    starry: np.ndarray
    mjd_tdb: np.ndarray
    sky: np.ndarray
    smoothed: np.ndarray
    shown: np.ndarray
    strip: np.ndarray
    shift: np.ndarray
    shift_err: np.ndarray
    flags: np.ndarray
    given_up: np.ndarray
    remarks: tuple[str, ...]

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """First and last column, first and last row of the picture on the CCD [pixel]."""
        ny, nx = (self.step * n for n in self.mean_image.shape)
        return self.corner[0] - 0.5, self.corner[0] + nx - 0.5, self.corner[1] - 0.5, self.corner[1] + ny - 0.5

    @property
    def saturated(self) -> np.ndarray:
        """Pixels that are full in the mean image, shape (ny, nx)."""
        known = self.sky[np.isfinite(self.sky)]
        return np.asarray(self.mean_image + (np.median(known) if known.size else 0.0) >= SATURATION)

    def flag_rows(self) -> list[FrameRow]:
        """Flags that occur, with their frames."""
        found = [(flag, int(np.count_nonzero(self.flags & flag.bit))) for flag in FRAME_FLAGS]
        rows = [FrameRow(flag.name, count, flag.description) for flag, count in found if count]
        n = int(np.count_nonzero(self.given_up))
        return [*rows, FrameRow("the mission's", n, "any bit in the mission's quality of the frame")] if n else rows


def read_ccd(path: str | Path) -> CcdSummary | None:
    """Read and sum up prepared images, with at most some 512 pixels along a side.

    Parameters
    ----------
    path : str or Path
        File of `gaiaflux.io.tess.prepared_field.write_prepared_field`; the frames' pixels are not read.

    Returns
    -------
    CcdSummary or None
        None where no image gave a frame: the dataset says why of each.
    """
    with PreparedField(path) as field:
        if not field.n_frames:
            return None
        head = field.head
        shape = (int(head["shape"][0]), int(head["shape"][1]))
        step = -(-max(shape) // MOST_PIXELS)
        part = (slice(None, None, step), slice(None, None, step))
        flags, sky = field.array("frames/flags"), field.array("frames/sky").astype(np.float64)
        level = field.array("sky/level")
        lit = ((flags & FrameFlag.NO_LIGHT) == 0) & np.isfinite(level).all(axis=(1, 2))
        shown = _shown(sky, lit)
        middle = np.array([[(shape[1] - 1) / 2, (shape[0] - 1) / 2]])
        return CcdSummary(
            name=f"s{head['sector']:04d}-{head['camera']}-{head['ccd']}",
            cadence_s=float(head["cadence_s"]),
            corner=(int(head["corner"][1]), int(head["corner"][0])),
            step=step,
            mean_image=field.array("mean_image", part),
            starry=~field.array("sky_pixels", part).astype(bool),
            mjd_tdb=field.array("frames/mjd_tdb"),
            sky=np.where(lit, sky, np.nan),
            smoothed=np.where(lit, np.median(level, axis=(1, 2)), np.nan),
            shown=shown,
            strip=np.stack([_sky_image(field, level[k], int(k))[part] for k in shown])
            if shown.size
            else np.zeros((0, 1, 1), np.float32),
            shift=kernel_offsets(head["motion"]["mode"], field.array("motion/parameters"), middle)[:, 0],
            shift_err=field.array("motion/error"),
            flags=flags,
            given_up=field.array("frames/quality") != 0,
            remarks=tuple(head["remarks"]),
        )


def _shown(sky: np.ndarray, lit: np.ndarray) -> np.ndarray:
    """Some frames, evenly in time, and the one with the brightest sky."""
    rows = np.flatnonzero(lit)
    if not rows.size:
        return rows
    some = rows[np.unique(np.linspace(0, rows.size - 1, FRAMES_OF_STRIP - 1).round().astype(int))]
    return np.union1d(some, rows[np.argmax(np.nan_to_num(sky[rows]))])


def _sky_image(field: PreparedField, level: np.ndarray, k: int) -> np.ndarray:
    """Sky of a frame in all pixels."""
    grid = SkyGrid(**{**field.head["grid"], "shape": tuple(field.head["shape"])})
    glow, one = field.array("sky/glow", (slice(k, k + 1),))[0], np.zeros(0, np.float32)
    sky = FrameSky(level, np.zeros_like(level), glow, one, 0)
    return -sky.subtract(np.zeros(grid.shape, np.float32), grid)


def stars_on_ccd(series: SeriesSummary, name: str) -> PlacedStars:
    """Stars of a dataset that a CCD shows.

    Parameters
    ----------
    series : SeriesSummary
        Of a field; stars say their places on CCDs.
    name : str
        As `CcdSummary.name`.

    Returns
    -------
    PlacedStars
    """
    found = []
    for k, text in enumerate(series.stars["ccd_places"]):
        for place in str(text).split(", "):
            ccd, *xy = place.split(" ")
            if ccd == name:
                found.append((k, float(xy[0]), float(xy[1])))
    rows, column, row = np.array(found, np.float64).reshape(-1, 3).T
    return PlacedStars(rows.astype(np.int64), column, row)
