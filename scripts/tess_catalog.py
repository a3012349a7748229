"""The catalogue of a field, settled once: read from the user's file, or found on full-frame images."""

import logging
from typing import TYPE_CHECKING

from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.io.tess.prepared_catalog import write_prepared_catalog
from gaiaflux.tess.images.found_catalog import ImageGroup, find_catalog
from gaiaflux.tess.stamp.instrument import InstrumentFiles
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

LOG = logging.getLogger(__name__)


def main(smk: "snakemake") -> None:
    """Write ``output.catalog`` from ``input.catalog``, or from the images of ``params.groups``."""
    given, targets = smk.input.get("catalog"), smk.input.get("targets")
    if given:
        catalog = read_tess_catalog(given)
    else:
        groups = [ImageGroup(tuple(ccd), candidates) for ccd, candidates in smk.params.groups]
        listed = read_tess_catalog(targets) if targets else None
        catalog = find_catalog(groups, InstrumentFiles(smk.params.prf_folder, None), listed)
    for reason, stars in catalog.left_out.items():
        LOG.warning("%d rows left out: %s", len(stars), reason)
    for remark in catalog.remarks:
        LOG.warning("%s", remark)
    write_prepared_catalog(smk.output.catalog, catalog)


if __name__ == "__main__":
    run_job(main, snakemake)
