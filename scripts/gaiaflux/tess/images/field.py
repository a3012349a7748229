"""All prepared images of a CCD together: sky smoothed in time, motion, the pixels' response, mean image, flags."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gaiaflux.core.cadences.frame_events import frame_events
from gaiaflux.core.cadences.frame_motion import FrameMotion, solve_motion
from gaiaflux.core.cadences.motion import KERNEL_PARAMETERS
from gaiaflux.core.cadences.motion_terms import StarPlaces
from gaiaflux.core.cadences.shared_quality import shared_quality
from gaiaflux.core.cadences.sky_excess import excess_flags
from gaiaflux.core.cadences.sky_series import SkySeries, smooth_sky
from gaiaflux.core.sky.projection import pixel_to_sky
from gaiaflux.core.sky.sphere import directions, sky_of_direction
from gaiaflux.core.sky.timing import earth_position_au, light_time_d
from gaiaflux.io.plate_solution import plate_record
from gaiaflux.io.tess.frame_batch import TILE_PIX
from gaiaflux.io.tess.prepared_field import StoredArray, write_prepared_field
from gaiaflux.model.flags import FrameFlag
from gaiaflux.model.image_reference import ImageReference
from gaiaflux.model.prepared_frame import FRAME_FACTS
from gaiaflux.model.wcs import TanSip
from gaiaflux.tess.images.frame import sky_grid
from gaiaflux.tess.images.images_table import write_images_table
from gaiaflux.tess.images.joined import JoinedFrames
from gaiaflux.tess.images.mean_plate import mean_plate
from gaiaflux.tess.images.stored import stored_response, stored_sky
from gaiaflux.tess.images.tiles import TellingFrames, learn_tiles
from gaiaflux.tess.stamp.quality import DEFAULT_BAD

__all__ = ["TargetQuality", "prepare_images"]

LOG = logging.getLogger(__name__)
MODE = "affine"
"""How the images of a CCD move."""
_DAY_S = 86400.0
_NOT_USED = FrameFlag.NO_LIGHT | FrameFlag.SMEARED


class TargetQuality(NamedTuple):
    """Quality bits of a target pixel file of the same CCD.

    Attributes
    ----------
    mjd_tdb : ndarray of float64, shape (m,)
        At the spacecraft [d].
    quality : ndarray of int, shape (m,)
    """

    mjd_tdb: np.ndarray
    quality: np.ndarray


def prepare_images(
    path: str | Path,
    table: str | Path,
    frames: JoinedFrames,
    reference: ImageReference,
    targets: Sequence[TargetQuality],
) -> None:
    """Write the prepared field of a CCD.

    Parameters
    ----------
    path, table : str or Path
        File to write, and CSV with a line for each image: its frame, or why it gave none.
    frames : JoinedFrames
        At least one.
    reference : ImageReference
    targets : sequence of TargetQuality
        Of target pixel files of the CCD, in any number.
    """
    facts = _times(frames.facts, reference)
    facts["mission_quality"] = facts["quality"]
    facts["quality"] = facts["quality"].astype(np.int32)
    for target in targets:
        facts["quality"] |= shared_quality(
            facts["mjd_tdb"], reference.cadence_s / _DAY_S, target.mjd_tdb, target.quality
        )
    flags = facts["flags"].astype(np.uint32)
    lit = (flags & FrameFlag.NO_LIGHT) == 0
    sound = lit & ((facts["quality"] & DEFAULT_BAD) == 0)
    motion = _motion(frames, reference, sound)
    flags |= np.where(motion.lost & lit, FrameFlag.NO_POINTING, 0).astype(np.uint32)
    events = frame_events(motion, frames.places["spread"], frames.places["spread_err"], sound)
    flags |= np.where(events.smeared & lit, FrameFlag.SMEARED, 0).astype(np.uint32)
    good = sound & ((flags & _NOT_USED) == 0)
    sky = _sky(frames, reference, facts["mjd_tdb"], lit)
    telling = TellingFrames(good, _averaged(good, lit, facts["quality"]))
    learnt = learn_tiles(frames, sky, motion, telling, facts["mjd_tdb"], ~reference.starry)
    jumps = excess_flags(learnt.excess, good)
    flags |= np.where(jumps.any(axis=(1, 2)), FrameFlag.BACKGROUND_EXCESS, 0).astype(np.uint32)
    facts["flags"] = flags
    described = {**FRAME_FACTS, "mission_quality": ("", "bits of the mission, without those of target pixel files")}
    arrays = {f"frames/{name}": StoredArray(values, *described[name]) for name, values in facts.items()}
    arrays["frames/frame_id"] = StoredArray(frames.frame_id, "", "name of each frame")
    arrays |= stored_sky(sky) | stored_response(learnt)
    arrays["motion/parameters"] = StoredArray(
        motion.parameters, "", f"{MODE} movement of each frame; NaN where unknown"
    )
    arrays["motion/error"] = StoredArray(motion.centre_error, "pixel", "one-sigma error in the middle, x and y")
    arrays["motion/rms"] = StoredArray(motion.rms, "pixel", "scatter of the stars along an axis")
    arrays["motion/n_used"] = StoredArray(motion.n_used, "", "stars that count")
    arrays["mean_image"] = StoredArray(
        learnt.mean_image, "electron/s", "mean of the good frames of quality 0, without the sky"
    )
    arrays["sky_pixels"] = StoredArray(~reference.starry, "", "pixels that tell the sky")
    arrays["sky_excess"] = StoredArray(jumps, "", "tiles in which the background jumps, by frame")
    write_prepared_field(path, _head(frames, reference, facts, mean_plate(reference, motion)), arrays, frames.batches)
    write_images_table(table, {"frame_id": frames.frame_id, **facts}, frames.lost)


def _averaged(good: np.ndarray, lit: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """Frames of the mean image: good ones of quality 0; where there are none, all good ones, else all with light."""
    quiet = good & (quality == 0)
    if quiet.any():
        return quiet
    rest = "those without a disqualifying bit" if good.any() else "all that have light"
    LOG.warning("no good image has quality 0: the mean image is of %s", rest)
    return good if good.any() else lit


def _times(facts: dict[str, np.ndarray], reference: ImageReference) -> dict[str, Any]:
    """Facts with a light time for every frame, all for one direction: that of most files, or the images' middle."""
    known = np.isfinite(facts["timecorr_d"]) & np.isfinite(facts["timecorr_ra"])
    if known.any():
        places = directions(facts["timecorr_ra"][known], facts["timecorr_dec"][known])
        ra, dec = sky_of_direction(np.median(places, axis=0))
    else:
        ny, nx = reference.shape
        ra, dec = (float(np.squeeze(v)) for v in pixel_to_sky(reference.wcs, (nx - 1) / 2, (ny - 1) / 2))
    mjd = facts["mjd_tdb"]
    from_earth = light_time_d(mjd, earth_position_au(mjd), ra, dec)
    place = {"timecorr_ra": np.full(len(mjd), ra), "timecorr_dec": np.full(len(mjd), dec)}
    return {**facts, **place, "timecorr_d": np.where(known, facts["timecorr_d"], from_earth)}


def _motion(frames: JoinedFrames, reference: ImageReference, sound: np.ndarray) -> FrameMotion:
    measured = (frames.places[name] for name in ("x", "y", "x_err", "y_err"))
    motion = solve_motion(
        StarPlaces(reference.x[reference.tells], reference.y[reference.tells], *measured), MODE, sound
    )
    LOG.info(
        "motion of %d frames from %d stars, error %.4f pixel; %d frames without",
        *(len(frames), len(reference.tells), _usual(motion.centre_error), int(motion.lost.sum())),
    )
    return motion


def _usual(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _sky(frames: JoinedFrames, reference: ImageReference, mjd: np.ndarray, lit: np.ndarray) -> SkySeries:
    cadence_d = reference.cadence_s / _DAY_S
    level, level_err = smooth_sky(frames.sky["level"], frames.sky["level_err"], mjd, lit, cadence_d)
    glow, glow_err = frames.sky["glow"], frames.sky["glow_err"]
    if glow.shape[1]:
        smoothed = smooth_sky(glow[:, None], glow_err[:, None], mjd, lit, cadence_d)
        glow, glow_err = (values[:, 0] for values in smoothed)
    return SkySeries(sky_grid(reference), level, level_err, glow, glow_err)


def _head(frames: JoinedFrames, reference: ImageReference, facts: dict[str, np.ndarray], wcs: TanSip) -> dict[str, Any]:
    grid = sky_grid(reference)
    first_row, _, first_column, _ = reference.stamp
    remarks = [*reference.remarks, *frames.remarks]
    if frames.lost:
        remarks.append(f"{len(frames.lost)} images gave no frame: images.csv says why")
    if not np.isfinite(frames.facts["timecorr_d"]).all():
        remarks.append(
            "the images state no light time: times are those seen from the Earth's centre, up to a second off"
        )
    return {
        **{name: getattr(reference, name) for name in ("sector", "camera", "ccd", "cadence_s")},
        "corner": (first_row, first_column),
        "shape": reference.shape,
        "reference": reference.frame_id,
        "jyear": reference.jyear,
        "wcs": plate_record(wcs),
        "origin": str(facts["origin"][0]),
        "procver": str(facts["procver"][-1]),
        "data_release": int(facts["data_release"].max()),
        "timecorr_place": (float(facts["timecorr_ra"][0]), float(facts["timecorr_dec"][0])),
        "detector": asdict(reference.detector),
        "cosmic_rays": asdict(reference.cosmic_rays),
        "grid": {name: getattr(grid, name) for name in ("camera", "ccd", "box_pix", "first_row", "first_column")},
        "motion": {"mode": MODE, "n_parameters": KERNEL_PARAMETERS[MODE], "stars": len(reference.tells)},
        "tile_pix": TILE_PIX,
        "remarks": remarks,
    }
