"""Prepare the full-frame images of a batch: errors, sky, places of stars; their pixels by tile and time."""

from typing import TYPE_CHECKING

from gaiaflux.io.checksum import file_sha256
from gaiaflux.io.tess.image_reference import read_image_reference
from gaiaflux.model.image_reference import NoReference
from gaiaflux.tess.images.batch import lose_batch, prepare_batch
from gaiaflux.tess.images.nominal import response_or_nominal
from gaiaflux.tess.stamp.instrument import InstrumentFiles
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.frames``."""
    reference = read_image_reference(smk.input.reference)
    if isinstance(reference, NoReference):
        lose_batch(smk.params.members, reference.reason, smk.output.frames)
        return
    psf = response_or_nominal(InstrumentFiles(smk.params.prf_folder, None), reference)
    key = f"{smk.params.code} {file_sha256(smk.input.reference)} {smk.params.prf_folder}"
    prepare_batch(smk.params.members, reference, psf, smk.output.frames, key)


if __name__ == "__main__":
    run_job(main, snakemake)
