"""What is written of a CCD none of whose images can be used, so that the others of the field go on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gaiaflux.io.tess.frame_batch import LostFrame
from gaiaflux.io.tess.prepared_field import StoredArray, write_prepared_field
from gaiaflux.tess.images.images_table import write_images_table

__all__ = ["write_no_images"]


def write_no_images(path: str | Path, table: str | Path, lost: Sequence[LostFrame], ccd: tuple[int, int, int]) -> None:
    """Write a prepared field without frames, and the table of its images.

    Parameters
    ----------
    path, table : str or Path
        Files to write: see `gaiaflux.tess.images.field.prepare_images`.
    lost : sequence of LostFrame
        All images.
    ccd : tuple of int
        Sector, camera, CCD.
    """
    head = dict(zip(("sector", "camera", "ccd"), ccd, strict=True))
    arrays = {"frames/mjd_tdb": StoredArray(np.zeros(0), "d", "mid-exposure at the spacecraft")}
    write_prepared_field(path, head, arrays, [])
    nothing = np.zeros(0)
    write_images_table(table, dict.fromkeys(("frame_id", "path", "cadenceno", "mjd_tdb", "flags"), nothing), lost)
