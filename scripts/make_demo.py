"""Make the embedded demo: images of a simulated night, a Gaia-like catalogue, and the truth about both."""

from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.io.banzai_writer import write_banzai
from gaiaflux.io.fitstable import write_fits_tables
from gaiaflux.sim.field import GAIA_UNITS
from gaiaflux.sim.presets import demo
from gaiaflux.sim.series import Series
from gaiaflux.sim.truth import TRUTH_UNITS, truth_tables
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.images`` (one frame each, in their order), ``output.gaia`` and ``output.truth``."""
    paths = [Path(path) for path in smk.output.images]
    series = Series(demo(n_frames=len(paths)))
    truths = {}
    for index, path in enumerate(paths):
        made = series.frame(index)
        write_banzai(path, made.frame, header=made.header)
        truths[path.name.split(".fits")[0]] = made.truth
    write_fits_tables(smk.output.gaia, {"GAIA": series.gaia}, GAIA_UNITS)
    write_fits_tables(smk.output.truth, truth_tables(series.stars, truths), TRUTH_UNITS)


if __name__ == "__main__":
    run_job(main, snakemake)
