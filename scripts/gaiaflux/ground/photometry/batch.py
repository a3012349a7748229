"""Forced photometry of the frames of a batch: what all methods do around the measurement itself."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gaiaflux.ground.catalog.reference import check_fits_series
from gaiaflux.ground.frame.extraction import mark_spoiled_pixels
from gaiaflux.ground.frame.star_places import place_stars
from gaiaflux.ground.photometry.unseen import flag_unseen
from gaiaflux.io.batch_file import BatchReader, BatchWriter
from gaiaflux.io.image.frames import FrameSettings, read_frame
from gaiaflux.io.plate_solution import read_plate
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.measurement import FrameResult, PlacedFrame
from gaiaflux.model.status import OK

__all__ = ["SolvedBatch", "measure_batch"]

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class SolvedBatch:
    """Frames of a batch and what is known of them before the photometry.

    Attributes
    ----------
    frames : iterable of mapping
        frame_id, path and overrides of each frame.
    reading : FrameSettings
        How images are read.
    stars, plates : BatchReader
        What extract_stars and refine_wcs wrote of the frames.
    """

    frames: Iterable[Mapping[str, Any]]
    reading: FrameSettings
    stars: BatchReader
    plates: BatchReader


def measure_batch(
    batch: SolvedBatch,
    catalog: StarCatalog,
    catalog_facts: Mapping[str, Any],
    measure: Callable[[PlacedFrame], FrameResult],
    out: BatchWriter,
) -> None:
    """Measure each frame, or write down why it cannot be.

    Parameters
    ----------
    batch : SolvedBatch
        Frames.
    catalog : StarCatalog
        Stars of the series.
    catalog_facts : mapping
        Facts of the star catalogue: its checksum, and filter and shape of the reference image.
    measure : callable
        Measures the stars in a frame; raises BadFrameError with the reason.
    out : BatchWriter
        Takes one group per frame.

    Raises
    ------
    ValueError
        The method gives a number of rows that is not that of the stars.
    """
    for entry in batch.frames:
        frame_id = str(entry["frame_id"])
        plate = batch.plates.attrs(frame_id)
        if plate["status"] != OK:
            out.add(frame_id, {"status": plate["status"]})
            continue
        try:
            result = measure(_place(batch, entry, catalog, catalog_facts))
        except BadFrameError as reason:
            LOG.warning("%s: %s", frame_id, reason)
            out.add(frame_id, {"status": str(reason)})
            continue
        if result.n_stars != len(catalog):
            raise ValueError(f"{frame_id}: {result.n_stars} rows for {len(catalog)} stars")
        flag_unseen(result, catalog, catalog_facts)
        out.add(frame_id, {**result.attrs, "catalog_sha256": catalog_facts["catalog_sha256"]}, result.arrays)


def _place(
    batch: SolvedBatch, entry: Mapping[str, Any], catalog: StarCatalog, catalog_facts: Mapping[str, Any]
) -> PlacedFrame:
    """Read a frame of the series and place the stars in it."""
    frame_id = str(entry["frame_id"])
    found = batch.stars.attrs(frame_id)
    check_fits_series(found, catalog_facts)
    frame = read_frame(entry["path"], frame_id, batch.reading, entry["overrides"])
    hits, trail = (batch.stars.array(frame_id, name) for name in ("cosmic_pixels", "trail_pixels"))
    frame = mark_spoiled_pixels(frame, hits, trail)
    return place_stars(frame, read_plate(batch.plates, frame_id), catalog, float(found["fwhm_pix"]))
