"""Complete settings for whoever uses the library without the workflow: checked by the same schema, same defaults."""

from collections.abc import Mapping
from pathlib import Path

from gaiaflux.workflow.config import check, load_schema

__all__ = ["complete_settings"]

# The package is used from its checkout: by PYTHONPATH or an editable installation.
_SCHEMA = Path(__file__).resolve().parents[3] / "schemas" / "config.schema.yaml"


def complete_settings(config: Mapping[str, object]) -> dict[str, object]:
    """Configuration with all defaults, also where it names no series.

    Parameters
    ----------
    config : mapping
        Any part of a configuration of the workflow.

    Returns
    -------
    dict
        New configuration; without ``series`` if the given one has none.

    Raises
    ------
    InputError
        One line for each problem, as the workflow says it.
    """
    schema = load_schema(_SCHEMA)
    if config.get("series"):
        return check(config, schema)
    source = (config.get("gaia") or {}).get("source")
    series = {"images": "*.fits", **({"gaia_file": "gaia.fits"} if source == "file" else {})}
    complete = check({**config, "series": {"none": series}}, schema)
    del complete["series"]
    return complete
