"""List the stars that are measured in every frame: Gaia, and those that only the images themselves show."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaiaflux.ground.catalog.star_catalog import combine_catalogs, complete_catalog
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.io.gaia.catalog import read_catalog
from gaiaflux.io.image.frames import frame_settings, read_frame
from gaiaflux.io.plate_solution import plate_of_record
from gaiaflux.io.star_catalog import write_star_catalog
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.frame import Frame
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.model.settings.star_catalog import StarCatalogSettings
from gaiaflux.model.typed import typed
from gaiaflux.model.wcs import TanSip
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

LOG = logging.getLogger(__name__)


def main(smk: "snakemake") -> None:
    """Write ``output.catalog`` from ``input.reference``, ``input.gaia`` and the images that the reference names."""
    settings, psf = typed(StarCatalogSettings, smk.params.settings), typed(PsfSettings, smk.params.psf)
    reference = json.loads(Path(smk.input.reference).read_text(encoding="utf-8"))
    (frame, wcs), gaia = _read(smk, reference), read_catalog(smk.input.gaia)
    others, snr = _others(smk, reference.get("stack", [])[1:]), settings.detection_snr
    found = complete_catalog(gaia, frame, wcs, detection_snr=snr, options=psf_options(psf), others=others)
    # A catalogue that the reference image has made itself lacks no star of it: what is left are its own errors.
    add, margin = settings.add_reference_stars and "magnitude_system" not in reference, reference["margin_pix"]
    catalog = combine_catalogs(gaia, found, wcs, frame.info.mjd_utc, add_reference_stars=add, margin_pix=margin)
    write_star_catalog(smk.output.catalog, catalog, reference, found.psf)


def _read(smk: "snakemake", record: Mapping[str, Any]) -> tuple[Frame, TanSip]:
    """A frame of reference.json and its plate solution."""
    frame_id, reading = record["frame_id"], frame_settings(smk.params.reading)
    path, overrides = smk.params.paths.get(frame_id, record["path"]), smk.params.overrides.get(frame_id)
    return read_frame(path, frame_id, reading, overrides, want_error=False), plate_of_record(record)


def _others(smk: "snakemake", stack: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Frame, TanSip]]:
    """The frames that are stacked on the reference image, one at a time."""
    for record in stack:
        try:
            yield _read(smk, record)
        except (BadFrameError, FileNotFoundError) as reason:
            LOG.warning("%s is left out of the stack: %s", record["frame_id"], reason)


if __name__ == "__main__":
    run_job(main, snakemake)
