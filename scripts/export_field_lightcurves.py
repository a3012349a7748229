"""Write the light curves of the targets of a batch, as measured and calibrated."""

from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.io.export.light_curves import write_rows
from gaiaflux.tess.light_curve_files import CURVE_COLUMNS, write_light_curves
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write files into ``lightcurves`` beside ``input.dataset``, and a table of them, ``output.table``."""
    folder = Path(smk.input.dataset).parent / "lightcurves"
    write_rows(smk.output.table, CURVE_COLUMNS, write_light_curves(smk.input.measured, smk.input.dataset, folder))


if __name__ == "__main__":
    run_job(main, snakemake)
