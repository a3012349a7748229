"""List the stars of the reference image in the place of Gaia's, for a field without Gaia."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.ground.catalog.reference_catalog import MAGNITUDE_ZERO, catalog_of_stars
from gaiaflux.ground.catalog.star_catalog import find_reference_stars
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.io.gaia.catalog import write_catalog, write_pin
from gaiaflux.io.image.frames import frame_settings, read_frame
from gaiaflux.io.plate_solution import plate_of_record
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.model.settings.star_catalog import StarCatalogSettings
from gaiaflux.model.typed import typed
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.catalog`` and ``output.pin`` from ``input.reference`` and the reference image."""
    settings, psf = typed(StarCatalogSettings, smk.params.settings), typed(PsfSettings, smk.params.psf)
    reference = json.loads(Path(smk.input.reference).read_text(encoding="utf-8"))
    frame_id = reference["frame_id"]
    path = smk.params.paths.get(frame_id, reference["path"])
    reading, overrides = frame_settings(smk.params.reading), smk.params.overrides.get(frame_id)
    frame = read_frame(path, frame_id, reading, overrides, want_error=False, want_checksum=True)
    stars, _ = find_reference_stars(frame, settings.detection_snr, psf_options(psf))
    catalog = catalog_of_stars(stars, plate_of_record(reference), frame.info.mjd_utc, frame.info.exptime_s)
    facts = {
        "source": catalog.source,
        "frame_id": frame_id,
        "file": path,
        "file_sha256": frame.info.sha256,
        "sky_coordinates": reference["sky_coordinates"],
        "magnitude_system": catalog.system,
        "magnitudes": f"{MAGNITUDE_ZERO:g} - 2.5 log10({frame.info.unit}/s) in the reference image, not Gaia G",
        "detection_snr": settings.detection_snr,
    }
    write_catalog(smk.output.catalog, catalog, {"SOURCE": facts["source"], "FRAME": frame_id})
    write_pin(smk.output.pin, smk.output.catalog, facts)


if __name__ == "__main__":
    run_job(main, snakemake)
