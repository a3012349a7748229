"""PSF photometry of each image of a batch: all stars of the catalogue solved together."""

import logging
from typing import TYPE_CHECKING

from gaiaflux.ground.extraction import mark_cosmic_rays
from gaiaflux.ground.psf_frame import measure_frame
from gaiaflux.ground.reference import check_fits_series
from gaiaflux.io.batchfile import BatchReader, BatchWriter
from gaiaflux.io.frames import frame_settings, read_frame
from gaiaflux.io.psf_model import read_reference_psf
from gaiaflux.io.star_catalog import read_star_catalog
from gaiaflux.io.wcscards import tan_sip_from_cards
from gaiaflux.model.errors import BadFrameError
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

LOG = logging.getLogger(__name__)


def main(smk: "snakemake") -> None:
    """Write ``output.psf``: fluxes of all stars in each frame and its PSF, or the reason why there are none."""
    reading = frame_settings(smk.params.reading)
    catalog, facts = read_star_catalog(smk.input.catalog)
    reference_psf = read_reference_psf(smk.input.catalog)
    with (
        BatchReader(smk.input.stars) as stars,
        BatchReader(smk.input.wcs) as plates,
        BatchWriter(smk.output.psf, kind="psf") as out,
    ):
        for entry in smk.params.frames:
            frame_id = entry["frame_id"]
            plate = plates.attrs(frame_id)
            if plate["status"] != "ok":
                out.add(frame_id, {"status": plate["status"]})
                continue
            try:
                found = stars.attrs(frame_id)
                check_fits_series(found, facts)
                frame = read_frame(entry["path"], frame_id, reading, entry["overrides"])
                frame = mark_cosmic_rays(frame, stars.array(frame_id, "cosmic_pixels"))
                wcs = tan_sip_from_cards(plate["wcs_header"], frame.info.shape)
                attrs, arrays = measure_frame(
                    frame, wcs, catalog, found["fwhm_pix"], smk.params.settings, reference_psf=reference_psf
                )
            except BadFrameError as reason:
                LOG.warning("%s: %s", frame_id, reason)
                out.add(frame_id, {"status": str(reason)})
            else:
                out.add(frame_id, {**attrs, "catalog_sha256": facts["catalog_sha256"]}, arrays)


if __name__ == "__main__":
    run_job(main, snakemake)
