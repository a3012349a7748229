"""Settle what the images of a CCD have in common: plate solution, pixels of stars, stars that tell the motion."""

from typing import TYPE_CHECKING

from gaiaflux.io.tess.image_reference import write_image_reference
from gaiaflux.io.tess.prepared_catalog import read_prepared_catalog
from gaiaflux.tess.images.reference import settled_reference
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.reference`` from the candidates among the first images, ``params.candidates``."""
    catalog = read_prepared_catalog(smk.input.catalog)
    sector, camera, ccd = smk.params.ccd
    candidates = [(str(name), str(path)) for name, path in smk.params.candidates]
    write_image_reference(smk.output.reference, settled_reference(candidates, (sector, camera, ccd), catalog))


if __name__ == "__main__":
    run_job(main, snakemake)
