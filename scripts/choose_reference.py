"""Choose the reference image of a series: the best frame of the first run that Gaia solves, or the configured one."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.ground.reference import frame_offsets_pix, rank_references
from gaiaflux.ground.wcs import solve_frame
from gaiaflux.io.batchfile import BatchReader
from gaiaflux.io.gaia_catalog import read_catalog
from gaiaflux.io.wcscards import cards_from_tan_sip
from gaiaflux.model.errors import BadFrameError, InputError
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

LOG = logging.getLogger(__name__)


def main(smk: "snakemake") -> None:
    """Write ``output.reference``: the frame, how it ranks, and its plate solution."""
    batches = [BatchReader(path) for path in smk.input.stars]
    where = {frame_id: batch for batch in batches for frame_id in batch.frame_ids}
    facts = {frame_id: batch.attrs(frame_id) for frame_id, batch in where.items()}
    configured = smk.params.reference_image
    ranking = [configured] if configured else rank_references(facts)
    gaia = read_catalog(smk.input.gaia)
    reasons = []
    for frame_id in ranking:
        try:
            if facts[frame_id]["status"] != "ok":
                raise BadFrameError(facts[frame_id]["status"])
            fit = solve_frame(facts[frame_id], where[frame_id].array(frame_id, "stars"), gaia, smk.params.refine_wcs)
        except BadFrameError as reason:
            LOG.warning("%s cannot be the reference: %s", frame_id, reason)
            reasons.append(f"{frame_id}: {reason}")
            continue
        break
    else:
        reasons = reasons or [f"{key}: {value['status']}" for key, value in facts.items()]
        why = "; ".join(reasons[:3]) + (" ..." if len(reasons) > 3 else "")
        raise InputError(
            f"no frame can serve as the reference image ({why}); "
            "correct the images, the header settings or the catalogue, or set reference_image"
        )
    keys = ("path", "filter", "camera", "ny", "nx", "mjd_utc", "fwhm_pix", "ellipticity", "n_stars")
    record = {"frame_id": frame_id, **{key: facts[frame_id][key] for key in keys}}
    record["chosen_by"] = "configuration" if configured else "seeing, depth and roundness of the first run"
    record["ranking"] = ranking[:10]
    record["wcs_rms_mas"], record["wcs_n_stars"] = fit.rms_mas, fit.n_stars
    record["wcs_header"] = cards_from_tan_sip(fit.wcs)
    record["margin_pix"] = frame_offsets_pix(fit.wcs, facts)
    Path(smk.output.reference).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_job(main, snakemake)
