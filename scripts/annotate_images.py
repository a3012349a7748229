"""Copy each measured image of a batch, with its plate solution and its fluxes as further extensions."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.ground.annotation import TABLE_UNITS, copy_name, frame_table, plate_facts, table_facts
from gaiaflux.io.annotated_image import write_annotated
from gaiaflux.io.batchfile import BatchReader
from gaiaflux.io.star_catalog import read_star_catalog
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

LOG = logging.getLogger(__name__)
ARRAYS = ("x", "y", "flux", "flux_err", "flags")


def main(smk: "snakemake") -> None:
    """Fill the folder ``output.annotated``; a frame that was not measured gets a line in the log instead."""
    folder = Path(smk.output.annotated)
    folder.mkdir(parents=True, exist_ok=True)
    catalog, facts = read_star_catalog(smk.input.catalog)
    with BatchReader(smk.input.wcs) as plates, BatchReader(smk.input.aperture) as measured:
        for entry in smk.params.frames:
            frame_id, path = entry["frame_id"], entry["path"]
            attrs = measured.attrs(frame_id)
            if attrs["status"] != "ok":
                LOG.warning("%s: no copy: %s", frame_id, attrs["status"])
                continue
            if attrs["catalog_sha256"] != facts["catalog_sha256"]:
                raise ValueError(f"{frame_id}: measured with another star catalogue")
            plate = plates.attrs(frame_id)
            write_annotated(
                path,
                folder / copy_name(frame_id, path),
                plate["wcs_header"],
                frame_table(catalog, {name: measured.array(frame_id, name) for name in ARRAYS}),
                wcs_facts=plate_facts(plate),
                table_facts=table_facts(frame_id, attrs["unit"], measured.array(frame_id, "radii_pix")),
                units=TABLE_UNITS,
            )


if __name__ == "__main__":
    run_job(main, snakemake)
