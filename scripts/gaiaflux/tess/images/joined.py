"""Frames of all batches of a CCD put in the order of their times, each exposure once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaiaflux.io.tess.frame_batch import FrameBatch, LostFrame
from gaiaflux.io.tess.prepared_field import BatchRows
from gaiaflux.model.errors import InputError
from gaiaflux.model.flags import FrameFlag
from gaiaflux.model.image_reference import ImageReference
from gaiaflux.model.prepared_frame import CENTROIDS, FRAME_FACTS

__all__ = ["JoinedFrames", "join_frames"]


@dataclass(frozen=True)
class JoinedFrames:
    """Frames of a CCD by time.

    Attributes
    ----------
    frame_id : ndarray of str, shape (n,)
    facts : dict of str to ndarray, shape (n,)
        `FRAME_FACTS`.
    sky : dict of str to ndarray, shape (n, ...)
        Arrays of `gaiaflux.core.image.ccd_sky.FrameSky`.
    places : dict of str to ndarray of float64, shape (n, n_stars)
        `CENTROIDS` of the stars of the reference; NaN where one was not found.
    batches : list of BatchRows
        Where their pixels are.
    lost : list of LostFrame
        Files that gave no frame, and frames of an exposure that is there already.
    remarks : list of str
        What is odd about images, each sentence once with the number of images that it is said of.
    """

    frame_id: np.ndarray
    facts: dict[str, np.ndarray]
    sky: dict[str, np.ndarray]
    places: dict[str, np.ndarray]
    batches: list[BatchRows]
    lost: list[LostFrame]
    remarks: list[str]

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frame_id)


def join_frames(batches: Sequence[FrameBatch], reference: ImageReference) -> JoinedFrames:
    """Join the frames of batches.

    Parameters
    ----------
    batches : sequence of FrameBatch
    reference : ImageReference

    Returns
    -------
    JoinedFrames
        Of two frames of one cadence that with light, of the newer data release, or of the first name, counts.

    Raises
    ------
    InputError
        A batch was prepared with another reference.
    """
    filled = [batch for batch in batches if batch.frame_id]
    for batch in filled:
        _refuse_other(batch, reference)
    frame_id = np.array([name for batch in filled for name in batch.frame_id], object)
    facts = {
        name: np.concatenate([np.asarray(batch.facts[name]) for batch in filled]) if filled else np.zeros(0)
        for name in FRAME_FACTS
    }
    lost = [one for batch in batches for one in batch.lost]
    order = _once(frame_id, facts, lost)
    position = np.full(len(frame_id), -1, np.int64)
    position[order] = np.arange(len(order))
    ends = np.cumsum([len(batch.frame_id) for batch in filled], dtype=np.int64)
    rows = np.split(position, ends[:-1]) if filled else []
    tables = [table for batch in filled for table in batch.centroids]
    places = {name: np.full((len(order), len(reference.tells)), np.nan) for name in CENTROIDS}
    for row, old in enumerate(order):
        for name in CENTROIDS:
            places[name][row] = getattr(tables[old], name)
    return JoinedFrames(
        frame_id=frame_id[order].astype(str),
        facts={name: values[order] for name, values in facts.items()},
        sky={
            name: np.concatenate([batch.sky[name] for batch in filled])[order]
            for name in (filled[0].sky if filled else ())
        },
        places=places,
        batches=[BatchRows(batch.path, mine) for batch, mine in zip(filled, rows, strict=True)],
        lost=lost,
        remarks=_counted([remark for batch in filled for said in batch.remarks for remark in said]),
    )


def _refuse_other(batch: FrameBatch, reference: ImageReference) -> None:
    corner = (reference.stamp[0], reference.stamp[2])
    stars = reference.star_id[reference.tells]
    same = (batch.corner, batch.shape) == (corner, reference.shape)
    if not (same and all(np.array_equal(table.star_id, stars) for table in batch.centroids)):
        raise InputError(
            f"{batch.path} was made with another reference than {reference.frame_id}: delete it, and run the workflow "
            "again"
        )


def _once(frame_id: np.ndarray, facts: dict[str, np.ndarray], lost: list[LostFrame]) -> np.ndarray:
    """Rows by time, each cadence once; the others are added to the lost ones."""
    best: dict[int, int] = {}
    dark = (facts["flags"].astype(np.int64) & FrameFlag.NO_LIGHT) != 0
    for row in np.lexsort((frame_id.astype(str), -facts["data_release"], dark)) if len(frame_id) else ():
        first = best.setdefault(int(facts["cadenceno"][row]), int(row))
        if first != row:
            reason = f"{frame_id[first]} is of the same cadence {facts['cadenceno'][row]} and counts in its place"
            lost.append(LostFrame(str(frame_id[row]), str(facts["path"][row]), reason))
    rows = np.array(sorted(best.values()), np.int64)
    return rows[np.argsort(facts["mjd_tdb"][rows], kind="stable")] if len(rows) else rows


def _counted(remarks: Sequence[str]) -> list[str]:
    counts: dict[str, int] = {}
    for remark in remarks:
        counts[remark] = counts.get(remark, 0) + 1
    return [f"{number} image{'s' if number > 1 else ''}: {remark}" for remark, number in counts.items()]
