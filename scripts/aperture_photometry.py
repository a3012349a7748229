"""Aperture photometry of each image of a batch, at the places of the stars of the catalogue."""

from typing import TYPE_CHECKING

from gaiaflux.ground.photometry.aperture import measure_frame
from gaiaflux.ground.photometry.batch import SolvedBatch, measure_batch
from gaiaflux.io.batch_file import BatchReader, BatchWriter
from gaiaflux.io.image.frames import frame_settings
from gaiaflux.io.psf_model import read_reference_psf
from gaiaflux.io.star_catalog import read_star_catalog
from gaiaflux.model.settings.aperture import ApertureSettings
from gaiaflux.model.typed import typed
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.aperture``: fluxes of all stars in each frame, or the reason why there are none."""
    settings = typed(ApertureSettings, smk.params.settings)
    catalog, facts = read_star_catalog(smk.input.catalog)
    psf = read_reference_psf(smk.input.catalog)
    with (
        BatchReader(smk.input.stars) as stars,
        BatchReader(smk.input.wcs) as plates,
        BatchWriter(smk.output.aperture, kind="aperture") as out,
    ):
        measure_batch(
            SolvedBatch(smk.params.frames, frame_settings(smk.params.reading), stars, plates),
            catalog,
            facts,
            lambda placed: measure_frame(placed, settings, float(facts["series_fwhm_arcsec"]), psf),
            out,
        )


if __name__ == "__main__":
    run_job(main, snakemake)
