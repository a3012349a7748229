"""Which frame is in which batch: remembered from run to run, only ever appended to.

A new frame joins the last batch while that has room, else it opens a new one; so a full batch is never computed again,
in whatever order the images arrive.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from gaiaflux.io.atomic import replacing
from gaiaflux.model.errors import InputError
from gaiaflux.workflow.frames import FrameFile

__all__ = ["Ledger", "LedgerFrame", "read_ledger", "update_ledger", "write_ledger"]

FORMAT_VERSION = 1


@dataclass(frozen=True)
class LedgerFrame(FrameFile):
    """A frame and its place.

    Attributes
    ----------
    batch : str
        Name of its batch, for ever.
    present : bool
        Whether the image was there when the last run started.
    """

    batch: str = ""
    present: bool = True


@dataclass(frozen=True)
class Ledger:
    """Frames of a series in the order of their arrival.

    Attributes
    ----------
    frames : tuple of LedgerFrame
        All that ever were there.
    n_first_run : int
        How many of them the first run had.
    code : mapping of str to str
        Digest of the code of each rule in the last run.
    """

    frames: tuple[LedgerFrame, ...] = ()
    n_first_run: int = 0
    code: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def by_batch(self) -> dict[str, tuple[LedgerFrame, ...]]:
        """Frames that are present, by batch; a batch whose frames are all gone is there and empty."""
        batches: dict[str, list[LedgerFrame]] = {}
        for frame in self.frames:
            members = batches.setdefault(frame.batch, [])
            if frame.present:
                members.append(frame)
        return {batch: tuple(members) for batch, members in batches.items()}

    @property
    def present(self) -> list[LedgerFrame]:
        """Frames whose image is there."""
        return [frame for frame in self.frames if frame.present]

    @property
    def batches(self) -> list[str]:
        """Names of the batches that have frames."""
        return [batch for batch, members in self.by_batch.items() if members]

    @property
    def first_run(self) -> tuple[LedgerFrame, ...]:
        """Frames of the first run, whether they are still present or not."""
        return self.frames[: self.n_first_run]

    @property
    def first_batches(self) -> list[str]:
        """Names of the batches that the first run had; the same for ever."""
        return list(dict.fromkeys(frame.batch for frame in self.first_run))


def read_ledger(path: str | Path) -> Ledger | None:
    """Read the ledger of a series.

    Parameters
    ----------
    path : str or Path
        JSON file.

    Returns
    -------
    Ledger or None
        None where the file does not exist.

    Raises
    ------
    InputError
        The file cannot be understood.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        content = json.loads(text)
        if content["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format version {content['format_version']}, not {FORMAT_VERSION}")
        frames = tuple(LedgerFrame(**frame) for frame in content["frames"])
        return Ledger(frames, int(content["n_first_run"]), dict(content["code"]))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: not a ledger that can be read ({error}); restore it, or delete it to put the frames into batches "
            "anew"
        ) from None


def update_ledger(ledger: Ledger | None, found: Sequence[FrameFile], frames_per_batch: int) -> Ledger:
    """Ledger with the frames that are there now.

    Parameters
    ----------
    ledger : Ledger or None
        Of the last run; None before the first.
    found : sequence of FrameFile
        Images that are there, in the order in which new ones get their places.
    frames_per_batch : int
        Room of a batch; counts for the new frames only.

    Returns
    -------
    Ledger
        Every old frame in its place, absent or present; the new ones after them.
    """
    old = ledger.frames if ledger else ()
    there = {frame.frame_id: frame for frame in found}
    frames = [_seen(frame, there.pop(frame.frame_id, None)) for frame in old]
    number = int(frames[-1].batch) if frames else 1
    taken = sum(frame.batch == frames[-1].batch for frame in frames) if frames else 0
    for frame in there.values():
        if taken >= frames_per_batch:
            number, taken = number + 1, 0
        frames.append(LedgerFrame(frame.frame_id, frame.path, frame.overrides, batch=f"{number:04d}"))
        taken += 1
    return Ledger(tuple(frames), ledger.n_first_run if ledger else len(frames), ledger.code if ledger else {})


def write_ledger(path: str | Path, ledger: Ledger, code: Mapping[str, str]) -> None:
    """Write the ledger of a series; a reader sees the old one or the new one, never a part.

    Parameters
    ----------
    path : str or Path
        JSON file; its folder is made.
    ledger : Ledger
        What to write.
    code : mapping of str to str
        Digests of the code in this run.
    """
    content = {
        "format_version": FORMAT_VERSION,
        "n_first_run": ledger.n_first_run,
        "code": dict(sorted(code.items())),
        "frames": [asdict(frame) for frame in ledger.frames],
    }
    with replacing(path) as temporary:
        temporary.write_text(_one_frame_a_line(content), encoding="utf-8")


def _seen(frame: LedgerFrame, now: FrameFile | None) -> LedgerFrame:
    if now is None:
        return replace(frame, present=False)
    return replace(frame, path=now.path, overrides=dict(now.overrides), present=True)


def _one_frame_a_line(content: Mapping) -> str:
    head = json.dumps({key: value for key, value in content.items() if key != "frames"}, indent=1)
    lines = ",\n".join(json.dumps(frame) for frame in content["frames"])
    return f'{head.removesuffix(chr(10) + "}")},\n "frames": [\n{lines}\n]}}\n'
