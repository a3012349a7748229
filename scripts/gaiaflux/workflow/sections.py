"""Typed sections of the configuration, made from its schema.

``python -m gaiaflux.workflow.sections`` writes the package `gaiaflux.model.settings`: a module for each section that a
rule may need alone, so that a new setting of one section is no change of the code of rules that never read it. Defaults
are not repeated there: a section is made of a checked configuration, which is complete. Settings that only ask for more
files (`x-decides: products`) may be None: a rule that does not make these files is not told them.
"""

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gaiaflux.workflow.config import load_schema

__all__ = ["SECTIONS", "section_sources"]

_ROOT = Path(__file__).resolve().parents[3]
_SCHEMA = _ROOT / "schemas" / "config.schema.yaml"
# Module -> where its section stands in the schema.
SECTIONS = {
    "gaia": "properties/gaia",
    "extract_stars": "properties/extract_stars",
    "refine_wcs": "properties/refine_wcs",
    "star_catalog": "properties/star_catalog",
    "aperture": "properties/photometry/properties/aperture",
    "psf": "properties/photometry/properties/psf",
    "calibrate": "properties/calibrate",
    "export": "properties/export",
    "companions": "$defs/series/properties/companions",
    "header": "$defs/series/properties/header",
    "site": "$defs/series/properties/site",
    "target": "$defs/target",
    "tess_download": "$defs/tess_download",
}
_TYPES = {"number": "float", "integer": "int", "string": "str", "boolean": "bool"}
_WIDTH = 120


def section_sources(schema: Mapping[str, Any]) -> dict[str, str]:
    """Source of each module of typed settings.

    Parameters
    ----------
    schema : mapping
        As from `gaiaflux.workflow.config.load_schema`.

    Returns
    -------
    dict of str to str
        Python source by the name of the module.

    Raises
    ------
    KeyError
        The schema lacks a section.
    """
    sources = {"__init__": '"""Typed sections of the configuration; made from its schema, not written by hand."""\n'}
    for name, place in SECTIONS.items():
        section = schema
        for part in place.split("/"):
            section = section[part]
        classes = list(_classes(_class_name(name), section, schema))
        head = f'"""Settings `{name}`, made from the schema by `gaiaflux.workflow.sections`; edit that instead."""'
        offered = ", ".join(f'"{text.split()[1].rstrip(":")}"' for text in sorted(classes, key=_name_of))
        head += f"\n\nfrom dataclasses import dataclass\n\n__all__ = [{offered}]\n"
        sources[name] = "\n\n".join([head, *("@dataclass(frozen=True, kw_only=True)\n" + text for text in classes)])
    return sources


def _name_of(text: str) -> str:
    return text.split()[1]


def _class_name(key: str) -> str:
    return "".join(word.capitalize() for word in key.split("_")) + "Settings"


def _resolved(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """A part of the schema with what its `$ref` says; its own words come first."""
    target: Mapping[str, Any] = {}
    if "$ref" in schema:
        target = whole
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
    return {**target, **schema}


def _classes(name: str, section: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[str]:
    """The classes of a section, those of its own sections first."""
    attributes, fields, seen = [], [], set()
    for key, raw in section["properties"].items():
        part = _resolved(raw, whole)
        if part.get("type") == "object":
            inner = _class_name(raw["$ref"].rpartition("/")[2] if "$ref" in raw else key)
            if inner not in seen:
                yield from _classes(inner, _resolved({"$ref": raw["$ref"]}, whole) if "$ref" in raw else part, whole)
            seen.add(inner)
            kind = inner
        else:
            kind = _type_of(part)
        optional = "" if _always_there(key, part, section) else " | None"
        unit = f" [{part['x-unit']}]" if "x-unit" in part else ""
        fields.append(f"    {key}: {kind}{optional}")
        attributes += [f"    {key} : {kind}{', optional' if optional else ''}".replace(" | ", " or ")]
        attributes += textwrap.wrap(
            part["description"].rstrip(".") + unit + ".", _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8
        )
    summary, *more = section.get("description", f"One of the sections `{name[:-8].lower()}`.").split(". ", 1)
    about = [summary.rstrip(".") + ".", *(["", *textwrap.wrap(more[0], _WIDTH - 4)] if more else [])]
    lines = [
        f"class {name}:",
        '    """' + "\n    ".join(about).replace("\n    \n", "\n\n"),
        "",
        "    Attributes",
        "    ----------",
        *attributes,
        '    """',
        "",
    ]
    yield "\n".join([*lines, *fields]) + "\n"


def _type_of(part: Mapping[str, Any]) -> str:
    kinds = part["type"] if isinstance(part["type"], list) else [part["type"]]
    names = []
    for kind in kinds:
        if kind == "array":
            items = part.get("items") or part["prefixItems"][0]
            names.append(f"tuple[{_TYPES[items['type']]}, ...]")
        else:
            names.append(_TYPES[kind])
    return " | ".join(names)


def _always_there(key: str, part: Mapping[str, Any], section: Mapping[str, Any]) -> bool:
    if part.get("x-decides") == "products":
        return False
    return key in section.get("required", ()) or ("default" in part and "x-default-if" not in part)


def _write() -> None:
    folder = _ROOT / "scripts" / "gaiaflux" / "model" / "settings"
    folder.mkdir(exist_ok=True)
    for name, source in section_sources(load_schema(_SCHEMA)).items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")


if __name__ == "__main__":
    _write()
