"""Write the light curves of the targets of a series."""

from typing import TYPE_CHECKING

from gaiaflux.series.targets import export_targets
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write a light curve of each of ``params.targets`` into the folder ``output.lightcurves``."""
    export_targets(smk.input.dataset, smk.params.targets, smk.output.lightcurves)


if __name__ == "__main__":
    run_job(main, snakemake)
