"""Write the dataset of a series, or the light curves of its targets, in other formats."""

from typing import TYPE_CHECKING

from gaiaflux.series.export import export_dataset
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write the formats of ``params.settings`` into the folder ``output.export``."""
    settings = smk.params.settings
    export_dataset(
        smk.input.dataset, smk.output.export, settings["formats"], smk.params.targets, settings.get("aavso", {})
    )


if __name__ == "__main__":
    run_job(main, snakemake)
