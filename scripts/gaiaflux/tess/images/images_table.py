"""Table of the full-frame images of a CCD: a line for each file, with its frame, or why it gave none."""

import csv
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gaiaflux.io.atomic import replacing
from gaiaflux.io.tess.frame_batch import LostFrame
from gaiaflux.model.flags import FRAME_FLAGS, decode_flags
from gaiaflux.model.status import OK

__all__ = ["COLUMNS", "lost_images", "write_images_table"]

LOG = logging.getLogger(__name__)
COLUMNS = ("frame_id", "path", "cadenceno", "mjd_tdb", "flags", "status", "remarks")
_FACTS = ("path", "cadenceno", "mjd_tdb", "flags")


def write_images_table(path: str | Path, frames: Mapping[str, Any], lost: Sequence[LostFrame]) -> None:
    """Write the table, and say in the log how many images are flagged or lost.

    Parameters
    ----------
    path : str or Path
        CSV file.
    frames : mapping of str to ndarray, shape (n,)
        frame_id, path, cadenceno, mjd_tdb and flags (`gaiaflux.model.flags.FrameFlag`) of the frames.
    lost : sequence of LostFrame
        Images that gave none.
    """
    rows: list[tuple] = []
    counts: Counter[str] = Counter()
    for k, name in enumerate(frames["frame_id"]):
        flags = decode_flags(int(frames["flags"][k]), FRAME_FLAGS)
        counts.update(flags)
        rows.append((name, *(frames[key][k] for key in _FACTS), OK, ", ".join(flags)))
    for flag, count in sorted(counts.items()):
        LOG.warning("%d of %d frames flagged: %s", count, len(rows), flag)
    rows += [(one.frame_id, one.path, "", "", "", one.reason, "") for one in lost]
    rows.sort(key=lambda row: (row[0], row[1]))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    if lost:
        LOG.warning("%d of %d images gave no frame: %s says why", len(lost), len(rows), path)


def lost_images(path: str | Path) -> dict[str, str]:
    """Reasons of the images of a table that gave no frame.

    Parameters
    ----------
    path : str or Path
        File of `write_images_table`.

    Returns
    -------
    dict of str to str
        By frame identifier.
    """
    with open(path, newline="", encoding="utf-8") as stream:
        return {row["frame_id"]: row["status"] for row in csv.DictReader(stream) if row["status"] != OK}
