"""Choose each star's aperture, and bring all frames of a series to one photometric scale."""

from typing import TYPE_CHECKING

from gaiaflux.model.settings.calibrate import CalibrateSettings
from gaiaflux.model.typed import typed
from gaiaflux.series.calibration import calibrate_dataset, write_frames_csv
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.dataset`` and its table of frames, ``output.frames``, from ``input.measured``."""
    settings = typed(CalibrateSettings, smk.params.settings)
    calibrate_dataset(smk.input.measured, smk.output.dataset, settings, smk.params.config)
    write_frames_csv(smk.output.dataset, smk.output.frames)


if __name__ == "__main__":
    run_job(main, snakemake)
