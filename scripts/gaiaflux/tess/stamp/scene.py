"""From a stamp and a catalogue to the arrays that the fits take."""

import numpy as np

from gaiaflux.core.cadences.frames import StampFrames
from gaiaflux.core.cadences.motion import measured_shifts
from gaiaflux.core.cadences.scene import SceneStars
from gaiaflux.core.sky.epoch import position_error_mas
from gaiaflux.model.flags import FrameFlag
from gaiaflux.tess.stamp.pixel_source import ZERO_POINT, PixelSource
from gaiaflux.tess.stamp.placed_stars import PlacedStars
from gaiaflux.tess.stamp.quality import DEFAULT_BAD
from gaiaflux.tess.stamp.stamps import Stamp

__all__ = ["ZERO_POINT", "catalog_stars", "expected_flux", "frames_of_stamp", "stars_of_stamp"]

PIXEL_MAS = 21.1e3
"""Pixel on the sky [mas]."""
REACH_PIX = 12.0
"""Stars farther outside of a stamp put no light into it [pixel]."""
UNSOUND = FrameFlag.NO_LIGHT | FrameFlag.SMEARED
"""Frames with these flags say nothing of what is usual."""
_PLATE_ERR_PIX = 0.02  # of the mission's plate solution from star to star


def expected_flux(mag: np.ndarray, zero_point: float) -> np.ndarray:
    """Flux of stars of magnitudes in the band of the camera [electron/s]; NaN stays."""
    return 10.0 ** (-0.4 * (np.asarray(mag, np.float64) - zero_point))


def frames_of_stamp(source: PixelSource, stamp: Stamp) -> StampFrames:
    """Frames of a stamp.

    Parameters
    ----------
    source : PixelSource
    stamp : Stamp

    Returns
    -------
    StampFrames
        Good are those of quality 0 with a pointing; where there are none, those without a bit of `DEFAULT_BAD`; else
        all.
    """
    arrays = (source.images(stamp), source.errors(stamp), source.background_errors(stamp))
    flux, error, background = (np.ascontiguousarray(values, np.float32) for values in arrays)
    shifts = measured_shifts(source.pos_corr, source.time)
    seen = np.isfinite(flux).any(axis=(1, 2)) & ((source.frame_flags & UNSOUND) == 0)
    choices = ((source.quality == 0) & shifts.known, source.quality == 0, (source.quality & DEFAULT_BAD) == 0)
    good = np.asarray(next((choice & seen for choice in choices if (choice & seen).any()), seen))
    return StampFrames(flux, error, background, good, shifts.shift)


def stars_of_stamp(
    placed: PlacedStars, starid: int, source: PixelSource, stamp: Stamp
) -> tuple[SceneStars, np.ndarray, bool]:
    """Stars whose light may reach a stamp, the target first.

    Parameters
    ----------
    placed : PlacedStars
        Of several numbers of one source of Gaia one counts.
    starid : int
        Target.
    source : PixelSource
    stamp : Stamp

    Returns
    -------
    stars : SceneStars
        As the scene of the source has them; those that it lacks as the catalogue has them, moved with the others.
    rows : ndarray of int64
        Their rows in the catalogue.
    solved : bool
        Whether the scene of the source has the target.
    """
    stars, rows = catalog_stars(placed, source, stamp, starid)
    scene = source.scene
    at = np.full(len(rows), -1) if scene is None else scene.rows_of(placed.catalog.star_id[rows])
    if scene is None or at[0] < 0:
        return stars, rows, False
    known = at >= 0
    at = np.where(known, at, 0)
    x, y = scene.x[at] - stamp[2], scene.y[at] - stamp[0]
    moved_x, moved_y = (float(np.median(away[known])) for away in (x - stars.x, y - stars.y))
    made = SceneStars(
        x=np.where(known, x, stars.x + moved_x),
        y=np.where(known, y, stars.y + moved_y),
        flux=np.where(known, scene.flux[at], stars.flux),
        flux_err=np.where(known, scene.flux_err[at], stars.flux_err),
        position_err=np.where(known, scene.position_err[at], stars.position_err),
    )
    return made, rows, True


def catalog_stars(
    placed: PlacedStars, source: PixelSource, stamp: Stamp, starid: int | None = None
) -> tuple[SceneStars, np.ndarray]:
    """Stars whose light may reach a stamp, as the catalogue has them.

    Parameters
    ----------
    placed : PlacedStars
    source : PixelSource
    stamp : Stamp
    starid : int, optional
        Target, which is put first; all as of `stars_of_stamp`.

    Returns
    -------
    stars : SceneStars
    rows : ndarray of int64
        Their rows in the catalogue.
    """
    y, x = placed.row - stamp[0], placed.column - stamp[2]
    rows = np.flatnonzero(placed.within(stamp, REACH_PIX - 0.5) | (placed.catalog.star_id == starid))
    rows = rows[placed.catalog[rows].one_per_source(starid)]
    rows = rows[np.argsort(placed.catalog.star_id[rows] != starid, kind="stable")]
    catalog = placed.catalog[rows]
    flux = expected_flux(catalog.mag, source.zero_point)
    place_err = np.nan_to_num(position_error_mas(catalog, placed.epoch), nan=0.0) / PIXEL_MAS
    stars = SceneStars(
        x=x[rows],
        y=y[rows],
        flux=flux,
        flux_err=flux * np.nan_to_num(catalog.mag_err, nan=0.5) * 0.4 * np.log(10.0),
        position_err=np.hypot(place_err, _PLATE_ERR_PIX),
    )
    return stars, rows
