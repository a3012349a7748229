"""Put the measurements of all frames of a series into one file."""

from typing import TYPE_CHECKING

from gaiaflux.ground.dataset import assemble_dataset
from gaiaflux.io.star_catalog import read_star_catalog
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.measured`` from the batches of ``input.stars``, ``.wcs``, ``.aperture``, and ``input.catalog``."""
    catalog, attrs = read_star_catalog(smk.input.catalog)
    photometry = {"aperture": list(smk.input.aperture)} if smk.input.aperture else {}
    assemble_dataset(
        smk.output.measured,
        smk.wildcards.series,
        list(smk.input.stars),
        list(smk.input.wcs),
        photometry,
        catalog,
        attrs,
    )


if __name__ == "__main__":
    run_job(main, snakemake)
