"""What the head of a target file says of its target, read with the standard library alone.

The workflow asks this of every file whenever it is parsed; a file whose head cannot be read keeps its place by its
name, and what is wrong with it is said where it is measured.
"""

import math
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median

from gaiaflux.io.tess.head_cards import Cards, Stream, card_number, card_text, card_whole, open_head, read_cards

__all__ = ["USUAL_CADENCE_S", "TargetHead", "cadence_of_times", "read_head"]

# The mission's names: tess{time}-s{sector}-{TIC}-{configuration}-{s, or a for 20 s}_{fast-}tp.fits
_NAME = re.compile(r"-s(\d{4})-(\d{16})-\d{4}-([a-z])_(fast-)?tp", re.IGNORECASE)
USUAL_CADENCE_S = 120
"""Of a file whose head and name say nothing [s]."""
_FAST_CADENCE_S = 20
_ROWS = 64  # of which times are read where the head has no cadence
_DAY_S = 86400.0
_FRAME_S = 2.0  # what the camera adds up to a cadence


@dataclass(frozen=True)
class TargetHead:
    """What the head of a target file says.

    Attributes
    ----------
    starid : int
        TIC number, or Kepler's in a file of Kepler; 0 where there is none.
    sector, camera, ccd : int
        0 where there is none.
    cadence_s : int
        Seconds between the frames; 0 where neither head nor times say it.
    data_release : int
        -1 where there is none.
    tmag : float
        Magnitude in the band of TESS; NaN where there is none.
    """

    starid: int = 0
    sector: int = 0
    camera: int = 0
    ccd: int = 0
    cadence_s: int = 0
    data_release: int = -1
    tmag: float = math.nan

    @property
    def observation(self) -> tuple[int, ...]:
        """What two versions of one file have in common; empty where the head does not tell."""
        key = (self.starid, self.sector, self.camera, self.ccd, self.cadence_s)
        return key if all(key) else ()


def read_head(path: Path) -> TargetHead:
    """What the head of a target file says, and where that cannot be read, its name.

    Parameters
    ----------
    path : Path
        FITS file, gzipped or not.

    Returns
    -------
    TargetHead
    """
    named = _NAME.search(path.name)
    by_name = TargetHead()
    if named:
        cadence = _FAST_CADENCE_S if named[4] or named[3].lower() == "a" else USUAL_CADENCE_S
        by_name = TargetHead(int(named[2]), int(named[1]), cadence_s=cadence)
    try:
        with open_head(path) as stream:
            primary, table = read_cards(stream), read_cards(stream)
            both = {**table, **primary}
            stated_s = card_number(table, "TIMEDEL") * _DAY_S
            cadence_s = stated_s or cadence_of_times(_times(stream, table))
    except (OSError, EOFError, zlib.error, ValueError):
        return by_name
    return TargetHead(
        starid=card_whole(both, "TICID") or card_whole(both, "KEPLERID") or by_name.starid,
        sector=int(card_number(both, "SECTOR") or by_name.sector),
        camera=int(card_number(both, "CAMERA")),
        ccd=int(card_number(both, "CCD")),
        cadence_s=round(cadence_s) or by_name.cadence_s,
        data_release=int(card_text(both, "DATA_REL")) if card_text(both, "DATA_REL").isdigit() else -1,
        tmag=card_number(both, "TESSMAG") or math.nan,
    )


def cadence_of_times(times: Sequence[float]) -> float:
    """Usual step of times, a whole number of the camera's frames of 2 s.

    Parameters
    ----------
    times : sequence of float
        In order [d]; NaN where there is none.

    Returns
    -------
    float
        Seconds; 0 where no two times follow each other.
    """
    steps = [later - earlier for earlier, later in pairwise(times) if later > earlier]
    if not steps:
        return 0.0
    # Times of cut-outs are rounded to some seconds, so that single steps say little; frames may be missing.
    typical = median(steps)
    return _FRAME_S * round(fmean(step for step in steps if step < 1.5 * typical) * _DAY_S / _FRAME_S)


def _times(stream: Stream, table: Cards) -> list[float]:
    """The first column, which is the time [d], of the first rows; empty where it is another."""
    length, rows = int(card_number(table, "NAXIS1")), min(int(card_number(table, "NAXIS2")), _ROWS)
    if card_text(table, "TTYPE1") != "TIME" or not card_text(table, "TFORM1").endswith("D"):
        return []
    return [struct.unpack(">d", row[:8])[0] for row in (stream.read(length) for _ in range(rows)) if len(row) >= 8]
