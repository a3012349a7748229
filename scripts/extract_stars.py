"""Find the stars of each image of a batch, and measure its seeing and sky."""

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from gaiaflux.ground.frame.extraction import extract_stars
from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.io.image.frames import frame_settings, read_frame
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.settings.extract_stars import ExtractStarsSettings
from gaiaflux.model.status import OK
from gaiaflux.model.typed import typed
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

LOG = logging.getLogger(__name__)


def main(smk: "snakemake") -> None:
    """Write ``output.stars``: a frame's facts and stars, or the reason why it cannot be used."""
    reading, settings = frame_settings(smk.params.reading), typed(ExtractStarsSettings, smk.params.settings)
    with BatchWriter(smk.output.stars, kind="stars") as out:
        for entry in smk.params.frames:
            frame_id, path = entry["frame_id"], entry["path"]
            facts = {"path": path}
            arrays: dict[str, np.ndarray] = {}
            try:
                seeds = settings.source != "detect"
                wanted = {"want_error": False, "want_checksum": True, "want_seeds": seeds}
                frame = read_frame(path, frame_id, reading, entry["overrides"], **wanted)
                facts = asdict(frame.info)
                facts["ny"], facts["nx"] = facts.pop("shape")
                measured, arrays = extract_stars(frame, frame.seeds, settings)
                facts |= {"status": OK, **measured}
            except BadFrameError as reason:
                LOG.warning("%s: %s", frame_id, reason)
                facts["status"] = str(reason)
            out.add(frame_id, facts, arrays)


if __name__ == "__main__":
    run_job(main, snakemake)
