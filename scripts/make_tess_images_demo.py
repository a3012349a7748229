"""Make the full-frame images of the embedded demo: frames of a part of a CCD, catalogue, response functions, truth."""

from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.sim.tess.ccd_files import write_ccd_field
from gaiaflux.sim.tess.ccd_presets import demo_ccd
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.images``, ``output.prf`` and ``output.truth``, all in the folder of ``output.catalog``."""
    write_ccd_field(Path(smk.output.catalog).parent, demo_ccd())


if __name__ == "__main__":
    run_job(main, snakemake)
