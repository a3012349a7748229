"""Complete settings for whoever uses the library without the workflow: checked by the same schema, same defaults."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from gaiaflux.model.typed import typed
from gaiaflux.workflow.config import check, load_schema
from gaiaflux.workflow.sections import SECTIONS

__all__ = ["complete_section", "complete_settings"]

Section = TypeVar("Section")

# The package is used from its checkout: by PYTHONPATH or an editable installation.
_SCHEMA = Path(__file__).resolve().parents[3] / "schemas" / "config.schema.yaml"


def complete_settings(config: Mapping[str, Any]) -> dict[str, Any]:
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


def complete_section(section: type[Section], **given: Any) -> Section:
    """One typed section with the defaults of the schema.

    Parameters
    ----------
    section : type
        Class of a section of the configuration (not of a series), such as `gaiaflux.model.settings.psf.PsfSettings`.
    **given
        Settings in the place of the defaults.

    Returns
    -------
    section

    Raises
    ------
    InputError
        As `complete_settings`.
    """
    place = SECTIONS[section.__module__.rpartition(".")[2]]
    keys = [key for key in place.split("/") if key != "properties"]
    config: dict[str, Any] = given
    for key in reversed(keys):
        config = {key: config}
    found = complete_settings(config)
    for key in keys:
        found = found[key]
    return typed(section, found)
