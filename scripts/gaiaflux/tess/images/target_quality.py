"""Quality bits of the target pixel files of a CCD, for the images of the CCD."""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gaiaflux.core.sky.spacecraft import spacecraft_mjd_tdb
from gaiaflux.io.tess.target_head import read_head
from gaiaflux.io.tess.target_pixels import read_target_pixels
from gaiaflux.model.errors import InputError
from gaiaflux.tess.images.field import TargetQuality

__all__ = ["quality_of_targets"]

LOG = logging.getLogger(__name__)


def quality_of_targets(paths: Iterable[str | Path], ccd: tuple[int, int, int]) -> list[TargetQuality]:
    """Read the quality bits of target pixel files.

    Parameters
    ----------
    paths : iterable of path
        Of any CCDs; a file that cannot be read is passed over, with a warning.
    ccd : tuple of int
        Sector, camera and CCD of the files that count.

    Returns
    -------
    list of TargetQuality
    """
    found = []
    for path in paths:
        head = read_head(Path(path))
        if (head.sector, head.camera, head.ccd) != ccd:
            continue
        try:
            series = read_target_pixels(path).series
        except (InputError, FileNotFoundError) as reason:
            LOG.warning("%s tells no quality for the images: %s", path, reason)
            continue
        mjd = spacecraft_mjd_tdb(series.time, np.nan_to_num(series.timecorr))
        found.append(TargetQuality(mjd, series.quality))
    return found
