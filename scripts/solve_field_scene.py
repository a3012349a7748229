"""Solve for all stars of a CCD together on the mean of its prepared images."""

import logging
from contextlib import closing
from typing import TYPE_CHECKING

from gaiaflux.io.tess.prepared_catalog import read_prepared_catalog
from gaiaflux.io.tess.scene_file import write_scene
from gaiaflux.model.ccd_scene import CcdScene
from gaiaflux.model.errors import InputError
from gaiaflux.tess.images.scene import solve_scene
from gaiaflux.tess.inputs import open_prepared
from gaiaflux.tess.stamp.instrument import InstrumentFiles
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

LOG = logging.getLogger(__name__)


def main(smk: "snakemake") -> None:
    """Write ``output.scene``; one without stars where there is no image or no response function of the CCD."""
    catalog = read_prepared_catalog(smk.input.catalog)
    scene = CcdScene.none()
    try:
        with closing(open_prepared(smk.input.prepared)) as source:
            psf = InstrumentFiles(smk.params.prf_folder, None).response(source.sector, source.camera, source.ccd)
            if psf is not None:
                scene = solve_scene(source, catalog, psf)
    except (InputError, FileNotFoundError) as reason:
        LOG.warning("no scene: %s", reason)
    write_scene(smk.output.scene, scene)


if __name__ == "__main__":
    run_job(main, snakemake)
