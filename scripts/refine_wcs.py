"""Match the stars of each image of a batch to Gaia at its epoch, and fit its plate solution.

Where the catalogue is that of the reference image (``input.reference``), frames without a WCS begin at its place.
"""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.ground.catalog.reference_catalog import refine_by_reference
from gaiaflux.ground.frame.plate_solution import refine_frame_wcs
from gaiaflux.io.batch_file import BatchReader, BatchWriter
from gaiaflux.io.gaia.catalog import read_catalog
from gaiaflux.io.plate_solution import plate_arrays
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.settings.refine_wcs import RefineWcsSettings
from gaiaflux.model.status import OK
from gaiaflux.model.typed import typed
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

LOG = logging.getLogger(__name__)


def main(smk: "snakemake") -> None:
    """Write ``output.wcs``: a frame's plate solution and its matched stars, or the reason why it has none."""
    catalog, settings = read_catalog(smk.input.gaia), typed(RefineWcsSettings, smk.params.settings)
    reference = json.loads(Path(smk.input.reference).read_text(encoding="utf-8")) if smk.input.reference else None
    with BatchReader(smk.input.stars) as batch, BatchWriter(smk.output.wcs, kind="wcs") as out:
        for frame_id in batch.frame_ids:
            attrs = batch.attrs(frame_id)
            if attrs["status"] != OK:
                out.add(frame_id, {"status": attrs["status"]})
                continue
            stars = batch.array(frame_id, "stars")
            try:
                if reference:
                    plate = refine_by_reference(attrs, stars, catalog, settings, reference)
                else:
                    plate = refine_frame_wcs(attrs, stars, catalog, settings)
            except BadFrameError as reason:
                LOG.warning("%s: %s", frame_id, reason)
                out.add(frame_id, {"status": str(reason)})
            else:
                arrays = {"matches": plate.matches, **plate_arrays(plate.wcs)}
                out.add(frame_id, {"status": OK, **plate.facts}, arrays)


if __name__ == "__main__":
    run_job(main, snakemake)
