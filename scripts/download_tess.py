"""Files of a field of TESS from the archive: images, neighbours and response functions, and where they come from.

Output: manifest (what was asked for, and of each file that came its place, size, checksum and date).
Parameters: settings (section download of the field), gaia (section gaia), request (what decides the files), lacking
(files that came before and are gone; they only make the rule run again).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from gaiaflux.io.atomic import replacing
from gaiaflux.io.mast.field import fetch_field
from gaiaflux.model.settings.gaia import GaiaSettings
from gaiaflux.model.settings.tess_download import TessDownloadSettings
from gaiaflux.model.typed import typed
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Fetch what is asked for and write the manifest beside it."""
    manifest = Path(smk.output.manifest)
    settings, gaia = typed(TessDownloadSettings, smk.params.settings), typed(GaiaSettings, smk.params.gaia)
    found = fetch_field(settings, gaia, manifest.parent)
    with replacing(manifest) as temporary:
        text = json.dumps({"request": smk.params.request, **found}, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_job(main, snakemake)
