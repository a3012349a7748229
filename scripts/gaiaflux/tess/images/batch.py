"""Preparation of the full-frame images of a batch, one by one; what happens to one does not touch the others."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.io.tess.ccd_image import read_ccd_image
from gaiaflux.io.tess.frame_batch import LostFrame, write_frame_batch
from gaiaflux.io.tess.frame_parts import FrameParts
from gaiaflux.model.errors import BadFrameError, InputError
from gaiaflux.model.image_reference import ImageReference
from gaiaflux.tess.images.frame import FrameKit, prepare_frame

__all__ = ["lose_batch", "prepare_batch"]

LOG = logging.getLogger(__name__)


def prepare_batch(
    members: Sequence[Mapping[str, Any]], reference: ImageReference, psf: SampledPsf, path: str | Path, key: str
) -> None:
    """Prepare images.

    Parameters
    ----------
    members : sequence of mapping
        frame_id, path and overrides of each image (``instead_of``: versions in whose place it stands; ``unused``: why
        it does not count).
    reference : ImageReference
    psf : SampledPsf
        Response function, in coordinates of the CCD.
    path : str or Path
        Batch to write. Frames that are ready are in a folder beside it until it is, so that a job that was killed goes
        on behind the last of them.
    key : str
        What else decides the numbers: frames that were made with another are made anew.
    """
    parts = FrameParts(f"{path}.parts", key)
    kit = FrameKit.of(reference, psf)
    ready: list[str] = []
    lost: list[LostFrame] = []
    for one in members:
        frame_id, image_path = str(one["frame_id"]), str(one["path"])
        lost += _replaced(one)
        try:
            _refuse_unused(one)
            file = _file(image_path)
            if not parts.has(frame_id, file):
                parts.add(frame_id, prepare_frame(read_ccd_image(image_path), kit), file)
        except (InputError, BadFrameError, FileNotFoundError) as reason:
            LOG.warning("%s: %s", frame_id, reason)
            lost.append(LostFrame(frame_id, image_path, str(reason)))
            continue
        ready.append(frame_id)
    write_frame_batch(path, parts, ready, lost, (reference.stamp[0], reference.stamp[2]))
    parts.remove()


def lose_batch(members: Sequence[Mapping[str, Any]], reason: str, path: str | Path) -> None:
    """Write a batch whose images are all lost for one reason.

    Parameters
    ----------
    members : sequence of mapping
        As of `prepare_batch`.
    reason : str
    path : str or Path
        Batch to write.
    """
    lost = [LostFrame(str(one["frame_id"]), str(one["path"]), reason) for one in members]
    lost += [other for one in members for other in _replaced(one)]
    LOG.warning("%d images are lost: %s", len(members), reason)
    parts = FrameParts(f"{path}.parts", reason)
    write_frame_batch(path, parts, [], lost, (0, 0))
    parts.remove()


def _refuse_unused(member: Mapping[str, Any]) -> None:
    if member["overrides"].get("unused"):
        raise InputError(str(member["overrides"]["unused"]))


def _replaced(member: Mapping[str, Any]) -> list[LostFrame]:
    """Older versions in whose place an image stands."""
    frame_id, others = str(member["frame_id"]), str(member["overrides"].get("instead_of", ""))
    reason = f"{frame_id} is of the same exposure, of the same or a newer data release, and counts in its place"
    return [LostFrame(Path(other).name, other, reason) for other in others.split(", ") if other]


def _file(path: str) -> dict[str, int]:
    """Size and time of a file: whether it is the one that a frame was made of."""
    stat = os.stat(path)
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
