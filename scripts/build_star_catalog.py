"""List the stars that are measured in every frame: Gaia, and those that only the reference image shows."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.ground.star_catalog import combine_catalogs, find_reference_stars
from gaiaflux.io.frames import frame_settings, read_frame
from gaiaflux.io.gaia_catalog import read_catalog
from gaiaflux.io.star_catalog import write_star_catalog
from gaiaflux.io.wcscards import tan_sip_from_cards
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.catalog`` from ``input.reference``, ``input.gaia`` and the reference image."""
    settings = smk.params.settings
    reference = json.loads(Path(smk.input.reference).read_text(encoding="utf-8"))
    frame_id = reference["frame_id"]
    reading = frame_settings(smk.params.reading)
    path = smk.params.paths.get(frame_id, reference["path"])
    frame = read_frame(path, frame_id, reading, smk.params.overrides.get(frame_id), want_error=False)
    stars, fwhm_pix = find_reference_stars(frame, settings["detection_snr"], settings["background_box_pix"])
    catalog = combine_catalogs(
        read_catalog(smk.input.gaia),
        stars,
        tan_sip_from_cards(reference["wcs_header"], frame.info.shape),
        frame.info.mjd_utc,
        fwhm_pix=fwhm_pix,
        add_reference_stars=settings["add_reference_stars"],
        margin_pix=reference["margin_pix"],
    )
    write_star_catalog(smk.output.catalog, catalog, reference)


if __name__ == "__main__":
    run_job(main, snakemake)
