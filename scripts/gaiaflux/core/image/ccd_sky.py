"""Sky of one full-frame image of TESS: a smooth mesh, and the glow in the corners of the camera's field."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gaiaflux.core.image.corner_glow import CornerGlow, axis_distance
from gaiaflux.core.image.mesh import BoxStatistics, box_statistics, fill_empty, mesh_shape, subtract_mesh
from gaiaflux.core.maths.robust import MAD_TO_SIGMA
from gaiaflux.model.errors import BadFrameError

__all__ = ["FrameSky", "SkyGrid", "measure_sky"]

SMALL_BOX = 4  # boxes a side that a small frame has at least
LEAST_BOX_PIX = 32
COARSE_ROWS = 4  # every so many rows say how steep the sky is
GLOW_TURNS = 2
LEAST_BENT = 3  # boxes of a row that know its curvature
PLANE_BOXES = 8  # around an empty one, by which it is filled


@dataclass(frozen=True)
class SkyGrid:
    """Where the sky of a CCD's frames is measured.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx) of the image: pixels that see the sky.
    camera, ccd : int
        1 to 4.
    box_pix : int
        Side of a box, about [pixel]; `SkyGrid.of` chooses.
    first_row, first_column : int
        Place of the image's first pixel on the CCD, 0-based, with the virtual columns.
    """

    shape: tuple[int, int]
    camera: int
    ccd: int
    box_pix: int = 64
    first_row: int = 0
    first_column: int = 44

    @classmethod
    def of(
        cls, shape: tuple[int, int], camera: int, ccd: int, *, first_row: int = 0, first_column: int = 44
    ) -> "SkyGrid":
        """Grid with boxes of 64 pixels, or down to 32 in frames that have less than four of these along a side.

        Parameters
        ----------
        shape : tuple of int
            (ny, nx) of the image.
        camera, ccd : int
            1 to 4.
        first_row, first_column : int
            Place of the image's first pixel on the CCD, 0-based, with the virtual columns.

        Returns
        -------
        SkyGrid
        """
        box = int(np.clip(min(shape) // SMALL_BOX, LEAST_BOX_PIX, 64))
        return cls(shape, camera, ccd, box, first_row, first_column)

    @property
    def mesh_shape(self) -> tuple[int, int]:
        """Rows and columns of boxes."""
        return mesh_shape(self.shape, self.box_pix)

    @property
    def n_rings(self) -> int:
        """Rings of the corner glow; 0 where no pixel is far enough from the axis."""
        rows = self.first_row + np.array([0.0, self.shape[0] - 1.0])
        columns = self.first_column + np.array([0.0, self.shape[1] - 1.0])
        return CornerGlow(axis_distance(self.camera, self.ccd, columns, rows[:, None])).n_rings

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Distance of pixels from the camera's axis.

        Parameters
        ----------
        x, y : ndarray, shapes that broadcast
            In the image, 0-based.

        Returns
        -------
        ndarray of float64, broadcast shape
            [pixel].
        """
        return axis_distance(self.camera, self.ccd, x + self.first_column, y + self.first_row)

    @cached_property
    def glow(self) -> CornerGlow | None:
        """Rings in the image; None where there is no ring."""
        if not self.n_rings:
            return None
        return CornerGlow(self.distance(np.arange(self.shape[1]), np.arange(self.shape[0])[:, None]))

    @cached_property
    def glowing_boxes(self) -> np.ndarray:
        """Boxes with pixels in rings, of bool, shape `mesh_shape`."""
        if self.glow is None:
            return np.zeros(self.mesh_shape, bool)
        rows, columns = (np.arange(n + 1) * size // n for n, size in zip(self.mesh_shape, self.shape, strict=True))
        across = np.logical_or.reduceat(self.glow.inside, columns[:-1], axis=1)
        return np.asarray(np.logical_or.reduceat(across, rows[:-1], axis=0))


@dataclass(frozen=True)
class FrameSky:
    """Sky of one frame: mesh plus glow.

    Attributes
    ----------
    level, level_err : ndarray of float32, shape `SkyGrid.mesh_shape`
        Sky in the middle of each box and its standard error, without the glow [image unit]; finite.
    glow, glow_err : ndarray of float32, shape (n_rings,)
        Glow in the middle of each ring, relative to the innermost one, and its standard error.
    n_used : int
        Pixels that counted.
    """

    level: np.ndarray
    level_err: np.ndarray
    glow: np.ndarray
    glow_err: np.ndarray
    n_used: int

    def subtract(self, image: np.ndarray, grid: SkyGrid) -> np.ndarray:
        """Image without its sky.

        Parameters
        ----------
        image : ndarray of float32, shape (ny, nx)
        grid : SkyGrid
            That of the measurement.

        Returns
        -------
        ndarray of float32, shape (ny, nx)
            A new image.
        """
        left = subtract_mesh(image, self.level, smooth_edges=True)
        return left if grid.glow is None else grid.glow.subtract(left, self.glow)


def measure_sky(image: np.ndarray, unusable: np.ndarray, grid: SkyGrid) -> FrameSky:
    """Sky of a frame.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Counts [electron/s]; pixels that are not finite do not count.
    unusable : ndarray of bool or uint8, shape (ny, nx)
        True or nonzero = bad, or covered by a star (`gaiaflux.core.image.star_mask`).
    grid : SkyGrid
        Kept by the caller for all frames of a CCD: it knows the pixels of the rings.

    Returns
    -------
    FrameSky
        A box with less than a quarter of usable pixels has the sky of the plane through those around it. Nothing else
        depends on what the boxes show: what is odd in one frame is found among all frames
        (`gaiaflux.core.cadences.sky_series.smooth_sky`), lest a box changes its mind from frame to frame.

    Raises
    ------
    BadFrameError
        No box has enough usable pixels, or the pixels do not vary at all.

    Notes
    -----
    The slope of the sky within a box is measured first, on few rows, and taken off: it would widen what is clipped, and
    move the mean where stars cover one side of the box. The mesh follows most of the glow; rings of what it leaves and
    the mesh of what these leave are found in turns.
    """
    flags = ((unusable != 0) | ~np.isfinite(image)).view(np.uint8)
    coarse = box_statistics(image, flags, grid.box_pix, row_step=COARSE_ROWS if grid.box_pix >= LEAST_BOX_PIX else 1)
    if not np.isfinite(coarse.level).any():
        raise BadFrameError("no clean pixels to measure the sky")
    if not (coarse.rms[np.isfinite(coarse.rms)] > 0).any():
        raise BadFrameError("all pixels have the same value")
    found = box_statistics(image, flags, grid.box_pix, slopes=_slopes(fill_empty(coarse.level), grid))
    level, error = _complete(found)
    glow, glow_err = np.zeros(grid.n_rings), np.zeros(grid.n_rings)
    rings, touched = grid.glow, grid.glowing_boxes
    if rings is not None:
        for _ in range(GLOW_TURNS):
            glow, glow_err = rings.measure(subtract_mesh(image, level, smooth_edges=True), flags)
            rest = rings.subtract(image, glow.astype(np.float32))
            again = box_statistics(rest, flags, grid.box_pix, slopes=_slopes(level, grid), wanted=touched)
            found = BoxStatistics(*(np.where(touched, new, old) for new, old in zip(again, found, strict=True)))
            level, error = _complete(found)
    return FrameSky(level, error, glow.astype(np.float32), glow_err.astype(np.float32), int(found.number.sum()))


def _slopes(level: np.ndarray, grid: SkyGrid) -> tuple[np.ndarray, np.ndarray]:
    """Slopes along x and y in the boxes [unit/pixel], of float32."""
    along = []
    for axis in (1, 0):
        n = level.shape[axis]
        slope = np.gradient(level, axis=axis) * n / grid.shape[axis] if n > 1 else np.zeros(level.shape)
        along.append(np.ascontiguousarray(slope, np.float32))
    return along[0], along[1]


def _complete(found: BoxStatistics) -> tuple[np.ndarray, np.ndarray]:
    """Level and error of all boxes."""
    known = np.isfinite(found.level) & (found.rms > 0)
    error = fill_empty(np.where(known, found.rms / np.sqrt(np.maximum(found.number, 1.0)), np.nan))
    level = np.where(known, found.level, np.nan).astype(np.float64)
    if not known.all():
        step = MAD_TO_SIGMA * float(np.median(np.abs(np.diff(fill_empty(level).ravel()))))
        level, error = _filled(level, known), np.where(known, error, np.hypot(error, step))
    middle, error = _at_middle(level, error)
    return np.ascontiguousarray(middle, np.float32), np.ascontiguousarray(error, np.float32)


def _filled(level: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Empty boxes from the plane through the known ones around them: a mean would be wrong by the sky's slope."""
    rows, columns = np.nonzero(known)
    filled = level.copy()
    for row, column in zip(*np.nonzero(~known), strict=True):
        apart = np.maximum(np.abs(rows - row), np.abs(columns - column))
        near = apart <= max(2, np.sort(apart)[min(PLANE_BOXES, len(apart)) - 1])
        terms = np.stack([np.ones(near.sum()), rows[near] - row, columns[near] - column], axis=1)
        filled[row, column] = np.linalg.lstsq(terms, level[known][near], rcond=1e-6)[0][0]
    return filled


def _at_middle(level: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sky in the middle of the boxes: their means hold 1/24 of its second differences, which costs some noise."""
    bend = np.zeros_like(level)
    for axis in (0, 1):
        if level.shape[axis] >= LEAST_BENT:
            margin = [(1, 1) if k == axis else (0, 0) for k in (0, 1)]
            bend += np.pad(np.diff(level, 2, axis=axis), margin, mode="edge")
            error = error * (1.0 + 1.0 / 12.0)
    return level - bend / 24.0, error
