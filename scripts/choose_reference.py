"""Choose the reference image of a series: the best frame of the first run that Gaia solves, or the configured one.

Where the reference image is the catalogue itself (no ``input.gaia``), the best frame by its own stars.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.ground.catalog.reference import choose_reference
from gaiaflux.ground.catalog.reference_catalog import plane_of_reference
from gaiaflux.ground.frame.plate_solution import solve_frame
from gaiaflux.io.batch_file import BatchReader
from gaiaflux.io.catalog_source import REFERENCE_IMAGE
from gaiaflux.io.gaia.catalog import read_catalog
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.settings.refine_wcs import RefineWcsSettings
from gaiaflux.model.typed import typed
from gaiaflux.model.wcs import TanSip
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

LOG = logging.getLogger(__name__)


def main(smk: "snakemake") -> None:
    """Write ``output.reference``: the frame, how it ranks, and its plate solution."""
    settings = typed(RefineWcsSettings, smk.params.refine_wcs)
    batches = [BatchReader(path) for path in smk.input.stars]
    where = {frame_id: batch for batch in batches for frame_id in batch.frame_ids}
    facts = {frame_id: batch.attrs(frame_id) for frame_id, batch in where.items()}
    own_stars = not smk.input.gaia

    def by_itself(frame_id: str) -> tuple[TanSip, dict[str, str]]:
        wcs, origin = plane_of_reference({**facts[frame_id], "frame_id": frame_id})
        return wcs, {"sky_coordinates": origin, "magnitude_system": REFERENCE_IMAGE.system}

    def by(catalog: SkyCatalog) -> Callable[[str], tuple[TanSip, dict[str, float]]]:
        def solve(frame_id: str) -> tuple[TanSip, dict[str, float]]:
            stars = where[frame_id].array(frame_id, "stars")
            fit = solve_frame(facts[frame_id], stars, catalog, settings)
            return fit.wcs, {"wcs_rms_mas": fit.rms_mas, "wcs_n_stars": fit.n_stars}

        return solve

    place = by_itself if own_stars else by(read_catalog(smk.input.gaia))
    record, refused = choose_reference(facts, smk.params.reference_image, place, as_catalogue=own_stars)
    for frame_id, reason in refused.items():
        LOG.warning("%s cannot be the reference: %s", frame_id, reason)
    Path(smk.output.reference).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_job(main, snakemake)
