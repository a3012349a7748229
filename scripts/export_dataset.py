"""Write the dataset of a series, or the light curves of its targets, in other formats."""

from typing import TYPE_CHECKING

from gaiaflux.model.settings.export import ExportSettings
from gaiaflux.model.settings.target import TargetSettings
from gaiaflux.model.typed import typed
from gaiaflux.series.export import export_dataset
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write the formats of ``params.settings`` into the folder ``output.export``."""
    settings = typed(ExportSettings, smk.params.settings)
    targets = [typed(TargetSettings, target) for target in smk.params.targets]
    export_dataset(smk.input.dataset, smk.output.export, settings, targets)


if __name__ == "__main__":
    run_job(main, snakemake)
