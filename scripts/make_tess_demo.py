"""Make the field of TESS of the embedded demo: target pixel files, a catalogue, and pixel response functions."""

from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.sim.tess.field import demo_field
from gaiaflux.sim.tess.files import write_field
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.targets``, ``output.catalog`` and ``output.prf``, which are all in the folder of the catalogue."""
    write_field(Path(smk.output.catalog).parent, demo_field())


if __name__ == "__main__":
    run_job(main, snakemake)
