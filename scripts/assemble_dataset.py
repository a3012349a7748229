"""Put the measurements of all frames of a series into one file."""

from typing import TYPE_CHECKING

from gaiaflux.io.star_catalog import read_star_catalog
from gaiaflux.series.assembly import assemble_dataset
from gaiaflux.series.method_facts import FRAME_FACTS
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.measured`` from ``input.catalog`` and batches: ``input.stars``, ``.wcs``, ``.aperture``, ``.psf``.

    A method that was not chosen has no batches.
    """
    catalog, attrs = read_star_catalog(smk.input.catalog)
    batches = {method: list(getattr(smk.input, method, ())) for method in FRAME_FACTS}
    photometry = {method: paths for method, paths in batches.items() if paths}
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
