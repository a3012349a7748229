"""Make the embedded demo: two simulated series, a sparse and a crowded one, with Gaia-like catalogues and the truth."""

from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.io.fits_table import write_fits_tables
from gaiaflux.io.image.banzai_writer import write_banzai
from gaiaflux.sim.field import GAIA_UNITS
from gaiaflux.sim.presets import demo, demo_crowded
from gaiaflux.sim.series import Series
from gaiaflux.sim.truth import TRUTH_UNITS, truth_tables
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write for each series ``output.images`` (one frame each, in their order), ``output.gaia``, ``output.truth``."""
    images = [Path(path) for path in smk.output.images]
    for preset, gaia, truth in zip((demo, demo_crowded), smk.output.gaia, smk.output.truth, strict=True):
        paths = [path for path in images if path.parent == Path(gaia).parent / "images"]
        series = Series(preset(n_frames=len(paths)))
        truths = {}
        for index, path in enumerate(paths):
            made = series.frame(index)
            write_banzai(path, made.frame, header=made.header)
            truths[path.name.split(".fits")[0]] = made.truth
        write_fits_tables(gaia, {"GAIA": series.gaia}, GAIA_UNITS)
        write_fits_tables(truth, truth_tables(series.stars, truths), TRUTH_UNITS)


if __name__ == "__main__":
    run_job(main, snakemake)
