"""Photometry of the targets of a batch, by each method that is asked for."""

from typing import TYPE_CHECKING

from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.io.tess.prepared_catalog import read_prepared_catalog
from gaiaflux.tess.batch import TargetFiles, measure_targets
from gaiaflux.tess.stamp.instrument import InstrumentFiles
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.measured``."""
    files = TargetFiles(
        read_prepared_catalog(smk.input.catalog),
        InstrumentFiles(smk.params.prf_folder, next(iter(smk.input.get("pointing", [])), None)),
        smk.params.settings["saturated"],
    )
    with BatchWriter(smk.output.measured, kind="targets") as out:
        measure_targets(smk.params.members, files, smk.params.settings["methods"], out)


if __name__ == "__main__":
    run_job(main, snakemake)
