"""What is settled: chosen or fetched once, until somebody asks for something else.

Each rule that settles something has a request, which is written down once it has been met. As long as the same is asked
for and the files are there, the rule does not exist for the series.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from gaiaflux.workflow.inputs import own_stars
from gaiaflux.workflow.params import gaia_settings

__all__ = ["gaia_request", "is_met", "reference_request", "series_pattern", "unmet"]


def series_pattern(names: Collection[str]) -> str:
    """Constraint for the wildcard `series`.

    Parameters
    ----------
    names : collection of str
        Series for which a rule has to be there.

    Returns
    -------
    str
        Regular expression; it matches nothing where there are none.
    """
    return "|".join(names) or "(?!)"


def unmet(requests: Mapping[str, object], files: Collection[str]) -> list[str]:
    """Series for which a rule has to be there.

    Parameters
    ----------
    requests : mapping of str to object
        What each series asks for; None where the rule follows its inputs as any other.
    files : collection of str
        With ``{series}`` in them. The first tells what has been asked for and made, the others are what was made;
        whoever removes one of them asks anew.

    Returns
    -------
    list of str
    """
    return [
        name
        for name, request in requests.items()
        if request is None or not is_met(request, *(Path(file.format(series=name)) for file in files))
    ]


def is_met(request: object, note: Path, *files: Path) -> bool:
    """Whether what is asked for was made.

    Parameters
    ----------
    request : object
        What JSON can hold.
    note : Path
        Where the request that was met stands.
    *files : Path
        What was made.

    Returns
    -------
    bool
        Also False where the note cannot be read.
    """
    try:
        met = json.loads(note.read_text(encoding="utf-8")) == request
    except (FileNotFoundError, ValueError):
        return False
    return met and all(file.exists() for file in files)


def reference_request(config: Mapping, name: str, code: str, made_by: str | None) -> dict:
    """What decides the choice of the reference image.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    name : str
        Series.
    code : str
        Digest of the code that chooses.
    made_by : str or None
        Digest of the code that simulates the images; None for real ones.

    Returns
    -------
    dict
        With what says where the images are, where the reference image's own stars become the catalogue.
    """
    series = config["series"][name]
    plane = {key: series.get(key) for key in ("centre_deg", "pixel_scale_arcsec")}
    return {
        "reference_image": series.get("reference_image"),
        "refine_wcs": config["refine_wcs"],
        "code": code,
        "made_by": made_by,
        **({"own_stars": plane} if own_stars(config) else {}),
    }


def gaia_request(
    config: Mapping, schema: Mapping, name: str, made_by: str | None, made: Collection[str] = ()
) -> dict | None:
    """What decides the catalogue.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    schema : mapping
        Schema of the configuration.
    name : str
        Series.
    made_by : str or None
        Digest of the code that simulates the images; None for real ones.
    made : collection of str
        Tables of Gaia's stars that the workflow itself makes.

    Returns
    -------
    dict or None
        None where no image decides about the field: the rule then depends on a file, or on nothing.
    """
    series = config["series"][name]
    if "centre_deg" in series and "radius_arcmin" in series:
        return None
    return {
        "settings": gaia_settings(config, schema, name),
        "centre_deg": series.get("centre_deg"),
        "radius_arcmin": series.get("radius_arcmin"),
        "gaia_file": _state(series.get("gaia_file"), made),
        "made_by": made_by,
    }


def _state(path: str | None, made: Collection[str]) -> str | list | None:
    """Name, size and time of a table; of one that is missing, or that the workflow makes itself, the name."""
    if path is None or path in made or not Path(path).is_file():
        return path
    status = Path(path).stat()
    return [path, status.st_size, status.st_mtime_ns]
