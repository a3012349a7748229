"""List the files of a field, for notebooks that are given its folder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.field``: absolute paths of targets, images, catalogue, response functions and pointings."""
    folder, pointing = smk.params.prf_folder, list(smk.input.get("pointing", []))
    field = {
        "targets": [str(Path(path).resolve()) for path in smk.input.targets],
        "images": [str(Path(path).resolve()) for path in smk.input.get("images", [])],
        "catalog": str(Path(smk.input.catalog).resolve()),
        "prf": str(Path(folder).resolve()) if folder else "",
        "pointing": str(Path(pointing[0]).resolve()) if pointing else "",
    }
    Path(smk.output.field).write_text(json.dumps(field, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_job(main, snakemake)
