"""Forced photometry of the frames of a batch: what both methods do around the measurement itself."""

import logging
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from gaiaflux.ground.catalog.reference import check_fits_series
from gaiaflux.ground.frame.extraction import mark_cosmic_rays
from gaiaflux.io.batch_file import BatchReader, BatchWriter
from gaiaflux.io.image.frames import FrameSettings, read_frame
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.frame import Frame
from gaiaflux.model.wcs import TanSip

__all__ = ["measure_batch"]

LOG = logging.getLogger(__name__)

Measured = tuple[dict[str, str | bool | int | float], dict[str, np.ndarray]]


def measure_batch(
    frames: Iterable[Mapping[str, object]],
    reading: FrameSettings,
    stars: BatchReader,
    plates: BatchReader,
    catalog_facts: Mapping[str, object],
    measure: Callable[[Frame, TanSip, float], Measured],
    out: BatchWriter,
) -> None:
    """Measure each frame, or write down why it cannot be.

    Parameters
    ----------
    frames : iterable of mapping
        frame_id, path and overrides of each frame.
    reading : FrameSettings
        How images are read.
    stars, plates : BatchReader
        What extract_stars and refine_wcs wrote of the frames.
    catalog_facts : mapping
        Facts of the star catalogue: its checksum, and filter and shape of the reference image.
    measure : callable
        Measures a frame with its plate solution and its seeing [pixel]; raises BadFrameError with the reason.
    out : BatchWriter
        Takes one group per frame.
    """
    for entry in frames:
        frame_id = entry["frame_id"]
        plate = plates.attrs(frame_id)
        if plate["status"] != "ok":
            out.add(frame_id, {"status": plate["status"]})
            continue
        try:
            found = stars.attrs(frame_id)
            check_fits_series(found, catalog_facts)
            frame = read_frame(entry["path"], frame_id, reading, entry["overrides"])
            frame = mark_cosmic_rays(frame, stars.array(frame_id, "cosmic_pixels"))
            wcs = tan_sip_from_cards(plate["wcs_header"], frame.info.shape)
            attrs, arrays = measure(frame, wcs, found["fwhm_pix"])
        except BadFrameError as reason:
            LOG.warning("%s: %s", frame_id, reason)
            out.add(frame_id, {"status": str(reason)})
        else:
            out.add(frame_id, {**attrs, "catalog_sha256": catalog_facts["catalog_sha256"]}, arrays)
