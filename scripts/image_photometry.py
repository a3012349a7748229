"""Light curves of a batch of stars in prepared full-frame images, by each method that is asked for."""

from typing import TYPE_CHECKING

from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.io.tess.prepared_catalog import read_prepared_catalog
from gaiaflux.tess.batch import TargetFiles
from gaiaflux.tess.image_targets import measure_stars
from gaiaflux.tess.stamp.instrument import InstrumentFiles
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.measured``."""
    settings = smk.params.settings
    instrument = InstrumentFiles(smk.params.prf_folder, None)
    files = TargetFiles(read_prepared_catalog(smk.input.catalog), instrument, settings["saturated"])
    with BatchWriter(smk.output.measured, kind="targets") as out:
        measure_stars(smk.params.stars, smk.input.images, files, settings["methods"], out)


if __name__ == "__main__":
    run_job(main, snakemake)
