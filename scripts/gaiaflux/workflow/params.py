"""What a rule is told: the settings that decide its numbers, and no others."""

import hashlib
from collections.abc import Iterable, Mapping

from gaiaflux.model.method import Method
from gaiaflux.model.methods import PSF
from gaiaflux.workflow.chosen import chosen_methods
from gaiaflux.workflow.inputs import configured_reference, own_stars
from gaiaflux.workflow.ledger import Ledger

__all__ = [
    "candidate_overrides",
    "catalog_psf_settings",
    "dataset_settings",
    "deciding",
    "export_settings",
    "export_targets",
    "field_dataset_settings",
    "field_settings",
    "frame_entries",
    "gaia_settings",
    "method_settings",
    "reading_settings",
    "upstream_digest",
]

READING = ("header", "site", "pixel_scale_arcsec", "centre_deg", "extension", "companions")


def deciding(settings: Mapping, schema: Mapping) -> dict:
    """Settings that decide numbers.

    Parameters
    ----------
    settings : mapping
        A section of the complete configuration.
    schema : mapping
        Schema of the section.

    Returns
    -------
    dict
        Without those that the schema marks by `x-decides`: they name files, say how something is fetched or ask for
        more results.
    """
    properties = schema["properties"]
    return {key: value for key, value in settings.items() if "x-decides" not in properties[key]}


def frame_entries(ledger: Ledger, batch: str) -> list[dict]:
    """Frames of a batch as a job gets them.

    Parameters
    ----------
    ledger : Ledger
        Of the series.
    batch : str
        Name of the batch.

    Returns
    -------
    list of dict
        frame_id, path and overrides (what a sheet says in the place of the header) of each frame that is present.
    """
    return [
        {"frame_id": frame.frame_id, "path": frame.path, "overrides": dict(frame.overrides)}
        for frame in ledger.by_batch.get(batch, ())
    ]


def candidate_overrides(config: Mapping, name: str, ledger: Ledger) -> dict[str, dict]:
    """What a sheet says of the frames that can be the reference image or be stacked with it.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    name : str
        Series.
    ledger : Ledger
        Of the series.

    Returns
    -------
    dict of str to dict
        By frame; frames that it says nothing of are left out.
    """
    frames = [*configured_reference(config, name, ledger), *ledger.first_run]
    return {frame.frame_id: dict(frame.overrides) for frame in frames if frame.overrides}


def reading_settings(config: Mapping, name: str) -> dict:
    """Settings that decide how an image is read.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    name : str
        Series.

    Returns
    -------
    dict
        None for what is not configured.
    """
    return {key: config["series"][name].get(key) for key in READING}


def gaia_settings(config: Mapping, schema: Mapping, name: str) -> dict:
    """What decides which stars are in the catalogue.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    schema : mapping
        Schema of the configuration.
    name : str
        Series.

    Returns
    -------
    dict
        Nothing of the archive where the series has a file, and nothing of Gaia where its own stars are the catalogue.
    """
    if own_stars(config):
        return {"source": "reference_image"}
    left_out = ("source", "release") if "gaia_file" in config["series"][name] else ("source",)
    settings = deciding(config["gaia"], schema["properties"]["gaia"])
    return {key: value for key, value in settings.items() if key not in left_out}


def method_settings(config: Mapping, schema: Mapping, method: Method) -> dict:
    """Settings that decide what a method measures.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    schema : mapping
        Schema of the configuration.
    method : Method

    Returns
    -------
    dict
        Its section without what only asks for more files.
    """
    sections = schema["properties"]["photometry"]["properties"]
    return deciding(config["photometry"][method.section], sections[method.section])


def catalog_psf_settings(config: Mapping, schema: Mapping) -> dict:
    """Settings by which the star catalogue fits the stars of the reference image.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    schema : mapping
        Schema of the configuration.

    Returns
    -------
    dict
        Section ``photometry.psf`` where that method is chosen, its defaults where it is not; with the boxes of the sky
        in which stars are looked for.
    """
    if PSF in chosen_methods(config):
        settings = method_settings(config, schema, PSF)
    else:
        section = schema["properties"]["photometry"]["properties"][PSF.section]["properties"]
        settings = {key: one["default"] for key, one in section.items() if "x-decides" not in one}
    return {**settings, "background_box_pix": config["extract_stars"]["background_box_pix"]}


def export_settings(config: Mapping) -> dict:
    """What decides the exported files.

    Parameters
    ----------
    config : mapping
        Complete configuration.

    Returns
    -------
    dict
        formats, sorted; and the AAVSO's settings where its format is asked for.
    """
    formats = config["export"]["formats"]
    return {"formats": sorted(formats), **({"aavso": config["export"]["aavso"]} if "aavso" in formats else {})}


def export_targets(config: Mapping, name: str) -> list:
    """Targets that are exported.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    name : str
        Series.

    Returns
    -------
    list
        Empty where only whole datasets are exported; a field of TESS has none.
    """
    series = config["series"].get(name, {"targets": []})
    return series["targets"] if "aavso" in config["export"]["formats"] else []


def dataset_settings(config: Mapping, schema: Mapping, name: str) -> dict:
    """The configuration as it is written into a dataset: what decides its numbers.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    schema : mapping
        Schema of the configuration.
    name : str
        Series.

    Returns
    -------
    dict
        Of this series and of the methods that are chosen.
    """
    chosen = chosen_methods(config)
    return {
        **deciding(config, schema),
        "series": deciding(config["series"][name], schema["$defs"]["series"]),
        "gaia": gaia_settings(config, schema, name),
        "photometry": {
            "methods": [method.name for method in chosen],
            **{method.section: method_settings(config, schema, method) for method in chosen},
        },
    }


def field_settings(field: Mapping) -> dict:
    """Settings that decide what is measured in a field of TESS.

    Parameters
    ----------
    field : mapping
        Its section of the configuration.

    Returns
    -------
    dict
        Which files it has does not count: each target is measured alone.
    """
    return {"methods": list(field["methods"]), "saturated": field["saturated"]}


def field_dataset_settings(field: Mapping) -> dict:
    """Settings that decide the dataset of a field of TESS.

    Parameters
    ----------
    field : mapping
        Its section of the configuration.

    Returns
    -------
    dict
        Those of the light curves, and whether they are calibrated.
    """
    return {**field_settings(field), "ensemble": field["ensemble"]}


def upstream_digest(ledger: Ledger, codes: Iterable[tuple[str, str]], files: str | list | None) -> str:
    """Digest of what leads to a dataset, for a run after one that failed half-way.

    Parameters
    ----------
    ledger : Ledger
        Of the series.
    codes : iterable of (rule, digest)
        Code of the rules that lead to the dataset.
    files : str, list or None
        What else it is made from, as configured.

    Returns
    -------
    str
        16 hexadecimal digits; the order of frames and rules does not matter.
    """
    frames = sorted((frame.frame_id, frame.path, sorted(frame.overrides.items())) for frame in ledger.present)
    content = repr((frames, sorted(codes), files))
    return hashlib.sha256(content.encode()).hexdigest()[:16]
