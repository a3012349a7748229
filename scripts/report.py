"""Write the page that a person looks at first: what was measured, how well, and what was left out.

Input: dataset; pin (gaia.json), reference (reference.json), wcs (batches of refine_wcs), images (prepared full-frame
images) and batches of each method of photometry where the rule gives them.
Output: report (one HTML file without external resources).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaiaflux.report.html.page import write_report
from gaiaflux.workflow.job import batches_by_method, run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write ``output.report``."""
    pin, reference = (_record(smk.input.get(name)) for name in ("pin", "reference"))
    measured = batches_by_method(smk.input, "dataset", "pin", "reference", "wcs", "images")
    wcs, images = (smk.input.get(name, ()) for name in ("wcs", "images"))
    write_report(smk.output.report, smk.input.dataset, pin, reference, wcs, measured, images)


def _record(path: str | None) -> dict[str, Any] | None:
    return json.loads(Path(path).read_text(encoding="utf-8")) if path else None


if __name__ == "__main__":
    run_job(main, snakemake)
