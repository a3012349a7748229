"""Choose each star's aperture, and bring all frames of a series to one photometric scale."""

import logging
import sys
from typing import TYPE_CHECKING

from gaiaflux.io.dataset import DatasetReader
from gaiaflux.model.settings.calibrate import CalibrateSettings
from gaiaflux.model.typed import typed
from gaiaflux.series.calibration import calibrate_dataset
from gaiaflux.series.frames_table import write_frames_csv
from gaiaflux.series.response import response_sentences
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

LOG = logging.getLogger(__name__)


def main(smk: "snakemake") -> None:
    """Write ``output.dataset`` and its table of frames, ``output.frames``, from ``input.measured``."""
    settings = typed(CalibrateSettings, smk.params.settings)
    calibrate_dataset(smk.input.measured, smk.output.dataset, settings, smk.params.config)
    write_frames_csv(smk.output.dataset, smk.output.frames)
    with DatasetReader(smk.output.dataset) as dataset:
        for method in dataset.methods:
            for sentence in response_sentences(dataset.attributes(method)):
                LOG.warning("%s: %s", method, sentence)
                sys.stderr.write(f"{smk.wildcards.series}, {method}: {sentence}\n")


if __name__ == "__main__":
    run_job(main, snakemake)
