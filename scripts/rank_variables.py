"""Write the table of all stars of a series, the most variable first."""

from typing import TYPE_CHECKING

from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.export.light_curves import write_columns
from gaiaflux.io.export.parquet import write_parquet
from gaiaflux.series.variability_table import rank_stars
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.table`` (Parquet) and ``output.csv`` from ``input.dataset``."""
    with DatasetReader(smk.input.dataset) as source:
        table = rank_stars(source)
        series = str(source.attributes()["series"])
    write_parquet(smk.output.table, table, {"series": series})
    write_columns(smk.output.csv, table)


if __name__ == "__main__":
    run_job(main, snakemake)
