"""Put the targets of a field and cadence together into one dataset."""

from typing import TYPE_CHECKING

from gaiaflux.io.checksum import file_sha256
from gaiaflux.io.export.light_curves import write_rows
from gaiaflux.io.tess.prepared_catalog import read_prepared_catalog
from gaiaflux.model.methods import TESS_METHODS, methods_named
from gaiaflux.series.frames_table import write_frames_csv
from gaiaflux.tess.field_dataset import Provenance, assemble_field
from gaiaflux.tess.field_members import TARGET_COLUMNS
from gaiaflux.tess.images.images_table import lost_images
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.dataset``, and the tables ``output.frames`` and ``output.targets``."""
    catalog = read_prepared_catalog(smk.input.catalog)
    settings = smk.params.settings
    methods = methods_named(settings["methods"], TESS_METHODS)
    lost = {name: why for path in smk.input.get("images", []) for name, why in lost_images(path).items()}
    provenance = Provenance(file_sha256(smk.input.catalog), lost)
    batches = list(smk.input.measured)
    table = assemble_field(smk.output.dataset, smk.wildcards.series, batches, catalog, methods, settings, provenance)
    write_frames_csv(smk.output.dataset, smk.output.frames)
    write_rows(smk.output.targets, TARGET_COLUMNS, table)


if __name__ == "__main__":
    run_job(main, snakemake)
