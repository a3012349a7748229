"""Copy each measured image of a batch, with its plate solution and its fluxes as further extensions."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.ground.annotation import TABLE_UNITS, copy_name, frame_table, plate_facts, read_arrays, table_facts
from gaiaflux.io.batch_file import BatchReader
from gaiaflux.io.image.annotated_image import PlateExtension, TableExtension, write_annotated
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip
from gaiaflux.io.plate_solution import read_plate
from gaiaflux.io.star_catalog import read_star_catalog
from gaiaflux.model.methods import methods_named
from gaiaflux.model.status import OK
from gaiaflux.workflow.job import batches_by_method, run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

LOG = logging.getLogger(__name__)


def main(smk: "snakemake") -> None:
    """Fill the folder ``output.annotated``; a frame that no method measured gets a line in the log instead."""
    folder = Path(smk.output.annotated)
    folder.mkdir(parents=True, exist_ok=True)
    catalog, facts = read_star_catalog(smk.input.catalog)
    plates = BatchReader(smk.input.wcs)
    measured = batches_by_method(smk.input, "images", "wcs", "catalog")
    paths = {method: path for method, files in measured.items() for path in files}
    batches = {method: BatchReader(path) for method, path in paths.items()}
    for entry in smk.params.frames:
        frame_id, path = entry["frame_id"], entry["path"]
        found = {method: batch.attrs(frame_id) for method, batch in batches.items()}
        attrs = {method: values for method, values in found.items() if values["status"] == OK}
        if not attrs:
            LOG.warning("%s: no copy: %s", frame_id, next(iter(found.values()))["status"])
            continue
        if {values["catalog_sha256"] for values in attrs.values()} != {facts["catalog_sha256"]}:
            raise ValueError(f"{frame_id}: measured with another star catalogue")
        by = methods_named(attrs)
        arrays = {own.name: read_arrays(own, paths[own.name], batches[own.name], frame_id) for own in by}
        radii = {name: found["radii_pix"] for name, found in arrays.items() if "radii_pix" in found}
        unit = str(next(iter(attrs.values()))["unit"])
        cards = cards_from_tan_sip(read_plate(plates, frame_id))
        rows, said = frame_table(catalog, arrays), table_facts(frame_id, unit, radii, attrs)
        write_annotated(
            path,
            folder / copy_name(frame_id, path),
            PlateExtension(cards, plate_facts(plates.attrs(frame_id))),
            TableExtension(by[0].annotation.extension, rows, TABLE_UNITS, said),
        )


if __name__ == "__main__":
    run_job(main, snakemake)
