"""What fields of TESS get from the archive: what is asked for, whether it has come, and which files a field then has.

A field that waits for its download is no field of this run: the run is asked for the download's manifest alone, and
the next run measures. So what is not there yet need not be known when the rules are parsed.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from gaiaflux.workflow.download_checks import KEYS, brought_keys
from gaiaflux.workflow.params import deciding

__all__ = [
    "MANIFEST",
    "Downloads",
    "download_request",
    "lacking_files",
    "split_downloads",
    "what_came",
]

FOLDER = "downloads/tess/{field}"
MANIFEST = f"{FOLDER}/manifest.json"
"""What came, where `field` is the field's name."""

_GLOBS = ("tpfs", "cutouts", "ffis")

Downloads = dict[str, dict]
"""Section of each field that waits for its download, by name."""


def download_request(field: Mapping, schema: Mapping) -> dict:
    """What decides the files of a field.

    Parameters
    ----------
    field : mapping
        Its section of the complete configuration.
    schema : mapping
        Schema of the configuration.

    Returns
    -------
    dict
        Servers, limits of time and the cache do not count.
    """
    return deciding(field["download"], schema["$defs"]["tess_download"])


def split_downloads(config: Mapping, schema: Mapping, folder: str | Path = ".") -> tuple[dict, Downloads]:
    """Fields that can be measured, and those that wait.

    Parameters
    ----------
    config : mapping
        Complete configuration; not changed.
    schema : mapping
        Schema of the configuration.
    folder : str or Path
        Working directory.

    Returns
    -------
    config : dict
        Without the fields that wait; the others have the files that came where they name none themselves.
    waiting : dict of str to dict
        Section of each field that waits, by name.
    """
    ready, waiting = {}, {}
    for name, field in config["tess"].items():
        if "download" not in field:
            ready[name] = field
        elif _is_met(name, download_request(field, schema), folder):
            ready[name] = {**field, **_files_of(name, field)}
        else:
            waiting[name] = field
    return {**config, "tess": ready}, waiting


def lacking_files(name: str, folder: str | Path = ".") -> list[str]:
    """Files that came and are not there any more, or not as long as they were.

    Parameters
    ----------
    name : str
        Of the field.
    folder : str or Path
        Working directory.

    Returns
    -------
    list of str
        Below the field's folder, sorted; empty where nothing came yet.
    """
    manifest = _manifest(name, folder)
    home = Path(folder, FOLDER.format(field=name))
    files = manifest.get("files", []) if manifest else []
    return sorted(entry["file"] for entry in files if _length(home / entry["file"]) != entry["size"])


def what_came(waiting: Downloads, schema: Mapping, folder: str | Path = ".") -> str:
    """What a run says of the downloads that it has made.

    Parameters
    ----------
    waiting : dict of str to dict
        Fields that waited when it began, as of `split_downloads`.
    schema : mapping
        Schema of the configuration.
    folder : str or Path
        Working directory.

    Returns
    -------
    str
        One sentence; empty where nothing came.
    """
    came = {}
    for name, field in waiting.items():
        manifest = _manifest(name, folder)
        if manifest is not None and _is_met(name, download_request(field, schema), folder):
            came[name] = manifest["files"]
    if not came:
        return ""
    number, names = sum(map(len, came.values())), ", ".join(f"tess.{name}" for name in came)
    return f"{number} files came from the archive for {names}: run again to measure"


def _is_met(name: str, request: Mapping, folder: str | Path) -> bool:
    manifest = _manifest(name, folder)
    return manifest is not None and manifest.get("request") == request and not lacking_files(name, folder)


def _manifest(name: str, folder: str | Path) -> dict | None:
    """What came; None where there is no manifest, or it cannot be read."""
    try:
        found = json.loads(Path(folder, MANIFEST.format(field=name)).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("files"), list) else None


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _files_of(name: str, field: Mapping) -> dict:
    """What the field does not name itself."""
    home, products = FOLDER.format(field=name), field["download"]["products"]
    filled: dict[str, str | list[str]] = {}
    for key in brought_keys(field) - {*field}:
        places = [f"{home}/{place}" for product, place in KEYS[key].items() if product in products]
        filled[key] = places if key in _GLOBS else places[0]
    return filled
