"""Put the prepared frames of a CCD together: sky in time, motion, response of the pixels, mean image, flags."""

from typing import TYPE_CHECKING

from gaiaflux.io.tess.frame_batch import read_frame_batch
from gaiaflux.io.tess.image_reference import read_image_reference
from gaiaflux.model.image_reference import NoReference
from gaiaflux.tess.images.field import prepare_images
from gaiaflux.tess.images.joined import join_frames
from gaiaflux.tess.images.none_left import write_no_images
from gaiaflux.tess.images.target_quality import quality_of_targets
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.prepared`` and ``output.images``."""
    reference = read_image_reference(smk.input.reference)
    batches = [read_frame_batch(path) for path in smk.input.frames]
    if isinstance(reference, NoReference):
        lost = [one for batch in batches for one in batch.lost]
        write_no_images(smk.output.prepared, smk.output.images, lost, reference.place)
        return
    frames = join_frames(batches, reference)
    if not len(frames):
        write_no_images(smk.output.prepared, smk.output.images, frames.lost, reference.place)
        return
    targets = quality_of_targets(smk.input.get("targets", []), reference.place)
    prepare_images(smk.output.prepared, smk.output.images, frames, reference, targets)


if __name__ == "__main__":
    run_job(main, snakemake)
