"""Put the measurements of all frames of a series into one file."""

from typing import TYPE_CHECKING

from gaiaflux.io.star_catalog import read_star_catalog
from gaiaflux.series.assembly import assemble_dataset
from gaiaflux.workflow.job import batches_by_method, run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.measured`` from ``input.catalog`` and batches: ``input.stars``, ``.wcs``, and of each method."""
    catalog, attrs = read_star_catalog(smk.input.catalog)
    photometry = batches_by_method(smk.input, "stars", "wcs", "catalog", "gaia", "reference")
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
