"""Subtract the measured stars from each image of a batch: pictures of what is left, and images."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.ground.frame.extraction import mark_spoiled_pixels
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.ground.photometry.psf import subtract_stars
from gaiaflux.io.batch_file import BatchReader
from gaiaflux.io.image.frames import frame_settings, read_frame
from gaiaflux.io.image.subtracted_image import write_subtracted
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip
from gaiaflux.io.plate_solution import read_plate
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.model.status import OK
from gaiaflux.model.typed import typed
from gaiaflux.report.figures.residuals import save_residual_picture
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

LOG = logging.getLogger(__name__)


def main(smk: "snakemake") -> None:
    """Fill the folder ``output.residuals``; a frame that was not measured gets a line in the log instead."""
    folder = Path(smk.output.residuals)
    folder.mkdir(parents=True, exist_ok=True)
    reading = frame_settings(smk.params.reading)
    options = psf_options(typed(PsfSettings, smk.params.settings))
    with BatchReader(smk.input.stars) as stars, BatchReader(smk.input.wcs) as plates, BatchReader(smk.input.psf) as psf:
        for entry in smk.params.frames:
            frame_id, attrs = entry["frame_id"], psf.attrs(entry["frame_id"])
            if attrs["status"] != OK:
                LOG.warning("%s: not measured: %s", frame_id, attrs["status"])
                continue
            frame = read_frame(entry["path"], frame_id, reading, entry["overrides"])
            hits, trail = (stars.array(frame_id, name) for name in ("cosmic_pixels", "trail_pixels"))
            frame = mark_spoiled_pixels(frame, hits, trail)
            arrays = {name: psf.array(frame_id, name) for name in psf.names(frame_id)}
            subtracted, residual, sigma = subtract_stars(frame, arrays, options)
            if smk.params.pictures:
                save_residual_picture(folder / f"{frame_id}.png", frame, residual, sigma, attrs, arrays)
            if smk.params.images:
                facts = {
                    "BUNIT": (frame.info.unit, "unit of the pixels"),
                    "FRAMEID": (frame_id, "name of the frame"),
                    "FILTER": (frame.info.filter, "filter"),
                    "EXPTIME": (frame.info.exptime_s, "[s] exposure time"),
                    "MJDMID": (frame.info.mjd_utc, "[d] mid-exposure at the observatory, UTC"),
                }
                cards = cards_from_tan_sip(read_plate(plates, frame_id))
                write_subtracted(folder / f"{frame_id}_subtracted.fits", subtracted, cards, facts)


if __name__ == "__main__":
    run_job(main, snakemake)
