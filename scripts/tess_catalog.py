"""Read the catalogue of a field once: magnitudes complete, rows that repeat a star left out."""

import logging
from typing import TYPE_CHECKING

from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.io.tess.prepared_catalog import write_prepared_catalog
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

LOG = logging.getLogger(__name__)


def main(smk: "snakemake") -> None:
    """Write ``output.catalog`` from ``input.catalog``."""
    catalog = read_tess_catalog(smk.input.catalog)
    for reason, stars in catalog.left_out.items():
        LOG.warning("%d rows left out: %s", len(stars), reason)
    for remark in catalog.remarks:
        LOG.warning("%s", remark)
    write_prepared_catalog(smk.output.catalog, catalog)


if __name__ == "__main__":
    run_job(main, snakemake)
