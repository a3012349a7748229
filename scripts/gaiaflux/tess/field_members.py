"""Targets of a field that were measured, and the cadences that they have: the columns of its dataset."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from gaiaflux.core.sky.spacecraft import locate_spacecraft
from gaiaflux.core.sky.timing import utc_of_tdb
from gaiaflux.io.batch_file import BatchReader
from gaiaflux.io.dataset import empty_frames
from gaiaflux.model.status import OK

__all__ = ["TARGET_COLUMNS", "FieldFrames", "Member", "find_members", "frames_of_members", "open_members"]

TARGET_COLUMNS = ("member", "path", "starid", "sector", "camera", "ccd", "tmag", "status", "remarks", "light_curves")
"""Columns of the table of targets."""
BAND = "TESS"
_CORRECTIONS = 4_000_000  # corrections of time in memory at once
_ALL_BITS = -1


@dataclass(frozen=True)
class Member:
    """A target that was measured.

    Attributes
    ----------
    name : str
        Of its file.
    batch : Path
        Where its arrays are.
    attrs : mapping
        What `gaiaflux.tess.batch.measure_targets` says of it.
    """

    name: str
    batch: Path
    attrs: Mapping[str, Any]

    @property
    def star_id(self) -> int:
        """TIC number."""
        return int(self.attrs["starid"])

    @property
    def ccd(self) -> tuple[int, int, int]:
        """Sector, camera, CCD."""
        return int(self.attrs["sector"]), int(self.attrs["camera"]), int(self.attrs["ccd"])

    @property
    def place(self) -> tuple[float, float]:
        """Column and row on the CCD [pixel, 0-based]; NaN where not known."""
        column, row = (self.attrs[axis] for axis in ("column", "row"))
        return (np.nan, np.nan) if column is None or row is None else (float(column), float(row))


@dataclass(frozen=True)
class FieldFrames:
    """Cadences of a field.

    Attributes
    ----------
    columns : dict of str to ndarray
        Columns of ``/frames``, sorted by time and name.
    places : mapping of (sector, camera, ccd) to (ndarray, ndarray)
        Numbers of the cadences of each CCD, sorted, and the frame of each.
    """

    columns: dict[str, np.ndarray]
    places: Mapping[tuple[int, int, int], tuple[np.ndarray, np.ndarray]]

    @staticmethod
    def name_of(ccd: tuple[int, int, int]) -> str:
        """How the names of the frames of a sector, camera and CCD begin."""
        sector, camera, number = ccd
        return f"s{sector:04d}-{camera}-{number}"

    def of(self, member: Member, cadenceno: np.ndarray) -> np.ndarray:
        """Frame of each cadence of a target."""
        numbers, frames = self.places[member.ccd]
        return frames[np.searchsorted(numbers, cadenceno)]


def find_members(batches: Sequence[str | Path]) -> tuple[list[Member], list[dict[str, Any]]]:
    """Targets of some batches.

    Parameters
    ----------
    batches : sequence of path
        Files of `gaiaflux.tess.batch.measure_targets`.

    Returns
    -------
    members : list of Member
        Those that were measured, by star and name; of two of one star and CCD the first name counts.
    table : list of dict
        One for each target, measured or not: `TARGET_COLUMNS`, sorted by name.
    """
    found: dict[str, Member] = {}
    rows: dict[str, dict[str, Any]] = {}
    for path in batches:
        with BatchReader(path) as batch:
            for name in batch.frame_ids:
                attrs = batch.attrs(name)
                said = "; ".join(json.loads(str(attrs.get("remarks", "[]"))))
                rows[name] = {**{key: attrs.get(key, "") for key in TARGET_COLUMNS}, "member": name, "remarks": said}
                if "cadenceno" in batch.names(name):
                    found[name] = Member(name, Path(path), attrs)
    first: dict[tuple, Member] = {}
    for name in sorted(found):
        member = found[name]
        other = first.setdefault((member.star_id, *member.ccd), member)
        if other is not member and rows[name]["status"] == OK:
            rows[name]["status"] = f"{other.name} is of the same star and sector and counts in its place"
            rows[name]["light_curves"] = ""
    members = sorted(first.values(), key=lambda one: (one.star_id, one.name))
    return members, [rows[name] for name in sorted(rows)]


def open_members(members: Iterable[Member]) -> Iterator[tuple[Member, BatchReader]]:
    """Targets with their batches, each batch opened once for its targets that follow each other."""
    for path, group in groupby(members, key=lambda one: one.batch):
        with BatchReader(path) as batch:
            for member in group:
                yield member, batch


def frames_of_members(members: Sequence[Member]) -> FieldFrames:
    """Cadences of all targets, each once.

    Parameters
    ----------
    members : sequence of Member

    Returns
    -------
    FieldFrames
        Times are those at the spacecraft; its place is solved from the corrections of all targets that state their own.
        The mission's quality of a frame is what all of its targets have in common.
    """
    if not members:
        return FieldFrames(empty_frames(0), {})
    numbers: dict[tuple[int, int, int], np.ndarray] = {}
    for _, member, batch in _by_batch(members):
        there = numbers.get(member.ccd, np.empty(0, np.int64))
        numbers[member.ccd] = np.union1d(there, batch.array(member.name, "cadenceno").astype(np.int64))
    ccds = sorted(numbers)
    starts = dict(zip(ccds, np.cumsum([0, *(len(numbers[ccd]) for ccd in ccds)]).tolist(), strict=False))
    unsorted = FieldFrames({}, {ccd: (numbers[ccd], starts[ccd] + np.arange(len(numbers[ccd]))) for ccd in ccds})
    facts = _facts(members, unsorted, sum(map(len, numbers.values())))
    where = [ccd for ccd in ccds for _ in range(len(numbers[ccd]))]
    every = np.concatenate([numbers[ccd] for ccd in ccds])
    ids = np.array([f"{FieldFrames.name_of(ccd)}-c{k:08d}" for ccd, k in zip(where, every.tolist(), strict=True)])
    mjd_utc = utc_of_tdb(facts["mjd_tdb"])
    order = np.lexsort((ids, mjd_utc))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    frames = empty_frames(len(order)) | {name: values[order] for name, values in facts.items()}
    frames["frame_id"], frames["mjd_utc"] = ids[order].astype(object), mjd_utc[order]
    frames["camera"] = np.array([f"{camera}-{ccd}" for _, camera, ccd in where], object)[order]
    frames["filter"][:], frames["unit"][:] = BAND, "electron"
    frames["time_rule"][:] = "mid-exposure of the mission's file, at the spacecraft"
    places = {ccd: (cadences, rank[at]) for ccd, (cadences, at) in unsorted.places.items()}
    made = FieldFrames(frames, places)
    frames["observer_au"] = _observer(members, made)
    return made


def _by_batch(members: Sequence[Member]) -> Iterator[tuple[int, Member, BatchReader]]:
    """Targets with their places among `members`, which decide where two say something different, not the batches."""
    places = {member.name: place for place, member in enumerate(members)}
    for member, batch in open_members(sorted(members, key=lambda one: (str(one.batch), one.name))):
        yield places[member.name], member, batch


def _facts(members: Sequence[Member], frames: FieldFrames, n_frames: int) -> dict[str, np.ndarray]:
    """What the targets say of each frame."""
    mjd = np.full(n_frames, np.nan)
    quality = np.full(n_frames, _ALL_BITS, np.int32)
    exptime = np.full(n_frames, np.nan)
    owners, flags = np.zeros(n_frames, np.int64), np.zeros(n_frames, np.uint32)
    owner, teller = np.full((2, n_frames), len(members), np.int64)
    for place, member, batch in _by_batch(members):
        at = frames.of(member, batch.array(member.name, "cadenceno"))
        quality[at] &= batch.array(member.name, "quality")
        if "frame_flags" in batch.names(member.name):
            flags[at] |= batch.array(member.name, "frame_flags")
        owners[at] += 1
        first = at[place < owner[at]]
        owner[first], exptime[first] = place, member.attrs["exptime_s"]
        # The mission's corrections are rounded, so that the targets' times are not the same to the last digit.
        times = batch.array(member.name, "mjd_tdb")
        tells = np.isfinite(times) & (place < teller[at])
        mjd[at[tells]], teller[at[tells]] = times[tells], place
    # A frame that several targets have is in several files: /stars says which.
    paths = np.array([str(member.attrs["path"]) for member in members], object)
    path = np.where(owners == 1, paths[owner], "")
    return {"mjd_tdb": mjd, "mission_quality": quality, "exptime_s": exptime, "path": path, "flags": flags}


def _observer(members: Sequence[Member], frames: FieldFrames) -> np.ndarray:
    """Place of the spacecraft from the times of those targets whose correction is their own."""
    mjd_tdb = frames.columns["mjd_tdb"]
    known = [member for member in members if member.attrs["timecorr_ra"] is not None]
    ra, dec = (np.array([m.attrs[f"timecorr_{axis}"] for m in known] or [0.0], np.float64) for axis in ("ra", "dec"))
    observer = np.full((len(mjd_tdb), 3), np.nan)
    step = max(1, _CORRECTIONS // max(len(known), 1))
    for first in range(0, len(mjd_tdb), step):
        part = mjd_tdb[first : first + step]
        table = np.full((len(ra), len(part)), np.nan)
        for row, member, batch in _by_batch(known):
            at = frames.of(member, batch.array(member.name, "cadenceno")) - first
            inside = (at >= 0) & (at < len(part))
            table[row, at[inside]] = batch.array(member.name, "timecorr")[inside]
        observer[first : first + step] = locate_spacecraft(part, ra, dec, table)
    return observer
