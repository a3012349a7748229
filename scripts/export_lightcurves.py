"""Write the light curves of the targets of a series."""

from typing import TYPE_CHECKING

from gaiaflux.model.settings.target import TargetSettings
from gaiaflux.model.typed import typed
from gaiaflux.series.targets import export_targets
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write a light curve of each of ``params.targets`` into the folder ``output.lightcurves``."""
    targets = [typed(TargetSettings, target) for target in smk.params.targets]
    export_targets(smk.input.dataset, targets, smk.output.lightcurves)


if __name__ == "__main__":
    run_job(main, snakemake)
