"""Stars of Gaia in the field of a series, from a local table or from the archive, and where they come from.

Input: gaia_file (optional), stars (batches of extract_stars; where the field is not configured).
Output: catalog (gaia.fits), pin (gaia.json: query or file, release, date, checksums).
Parameters: settings (section gaia), centre_deg, radius_arcmin (None: from the images).
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gaiaflux.ground.catalog.footprint import series_footprint
from gaiaflux.io.checksum import file_sha256
from gaiaflux.io.gaia.archive import fetch_cone
from gaiaflux.io.gaia.catalog import write_catalog, write_pin
from gaiaflux.io.gaia.table import load_gaia_table, select_cone
from gaiaflux.model.errors import InputError
from gaiaflux.model.settings.gaia import GaiaSettings
from gaiaflux.model.typed import typed
from gaiaflux.workflow.job import run_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(smk: "snakemake") -> None:
    """Write the catalogue and its pin."""
    settings, facts = typed(GaiaSettings, smk.params.settings), dict[str, Any](field="configured")
    centre, radius = smk.params.centre_deg, smk.params.radius_arcmin
    if centre is None or radius is None:
        field = series_footprint(smk.input.stars, settings.margin_arcmin, centre)
        facts["field"] = f"{field.n_frames} images, {field.n_elsewhere} elsewhere, {field.n_unknown} unknown"
        centre, radius = field.centre_deg, 60.0 * field.radius_deg if radius is None else radius
    centre, radius_deg, limit = (float(centre[0]), float(centre[1])), radius / 60.0, settings.magnitude_limit
    facts |= {"centre_deg": centre, "radius_deg": radius_deg, "magnitude_limit": limit}
    path = getattr(smk.input, "gaia_file", None)
    if path:
        table = load_gaia_table(path)
        catalog = select_cone(table, centre, radius_deg, limit, str(path))
        facts |= {"source": "file", "query": None, "server": None, "release": None, "file": str(path)}
        facts |= {"file_sha256": file_sha256(path), "file_rows": table.n_rows, "file_rows_repeated": table.n_repeated}
        facts |= {"file_rows_without_position": table.n_without_position}
    elif settings.source == "file":
        raise InputError(
            "gaia.source is file, but the series has no gaia_file: name the table, or set gaia.source: tap"
        )
    else:
        answer = fetch_cone(centre, radius_deg, settings, f"{smk.output.catalog}.parts")
        catalog = answer.catalog
        facts |= {"source": "tap", "query": answer.query, "server": answer.server, "release": settings.release}
        facts |= {"failures": answer.failures, "queries": answer.parts}
        if answer.cached_utc:
            facts |= {"cache_folder": str(settings.cache_folder), "cached_utc": answer.cached_utc}
    facts["date_utc"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_catalog(smk.output.catalog, catalog, {"SOURCE": facts["source"], "MAGLIM": limit, "RADIUS": radius_deg})
    write_pin(smk.output.pin, smk.output.catalog, facts)


if __name__ == "__main__":
    run_job(main, snakemake)
