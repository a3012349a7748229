"""List the light curves of a field and cadence, and remove those that it has no more."""

from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.io.export.light_curves import write_rows
from gaiaflux.tess.light_curve_files import CURVE_COLUMNS, remove_others
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.table`` from the ``input.tables`` of all batches, and tidy ``lightcurves`` beside it."""
    folder = Path(smk.output.table).parent / "lightcurves"
    write_rows(smk.output.table, CURVE_COLUMNS, remove_others(folder, list(smk.input.tables)))


if __name__ == "__main__":
    run_job(main, snakemake)
