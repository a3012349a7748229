"""Check a configuration against its schema, fill in the defaults, and say in plain sentences what is wrong.

The schema is JSON Schema 2020-12; the part of it that is used here is: type, enum, pattern, bounds, lengths, items,
prefixItems, properties, required, additionalProperties, propertyNames, dependentRequired, ``anyOf`` (of something that
is not empty), ``oneOf`` and ``not`` of `required`, local ``$ref``, and default.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gaiaflux.model.errors import InputError
from gaiaflux.model.nearest import nearest
from gaiaflux.workflow.constraints import further_problems

__all__ = ["check", "load_schema"]

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
TYPES = {
    "object": "a mapping of keys",
    "array": "a list",
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}


def load_schema(path: str | Path) -> dict:
    """Read a schema file.

    Parameters
    ----------
    path : str or Path
        YAML file.

    Returns
    -------
    dict
        The schema.
    """
    import yaml

    return yaml.load(Path(path).read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def check(config: Mapping, schema: Mapping) -> dict:
    """Check a configuration and complete it.

    A key without a value counts as not given. Keys come out in the order of the schema and numbers in the type that the
    schema asks for, so that two ways of writing the same settings give the same result.

    Parameters
    ----------
    config : mapping
        As read from YAML.
    schema : mapping
        As `load_schema` returns it.

    Returns
    -------
    dict
        New configuration with all defaults; `config` is not changed.

    Raises
    ------
    InputError
        One line for each problem: path of the key, what is wrong, what is allowed.
    """
    complete, problems = complete_and_check(config, schema)
    if not problems:
        problems = further_problems(complete)
    if problems:
        raise InputError("\n".join(problems))
    return complete


def complete_and_check(value: Any, schema: Mapping, path: str = "") -> tuple[Any, list[str]]:
    """Completed value and the problems that the schema alone finds.

    Parameters
    ----------
    value : object
        Anything that YAML can hold.
    schema : mapping
        Schema of the value.
    path : str
        Path of the key for the sentences; empty for the whole.

    Returns
    -------
    complete : object
        Value with defaults; of no use where there are problems.
    problems : list of str
        One sentence each.
    """
    walker = _Walker(schema)
    return walker.walk(value, schema, path), walker.problems


class _Walker:
    def __init__(self, root: Mapping) -> None:
        self._root = root
        self.problems: list[str] = []

    def walk(self, value: Any, schema: Mapping, path: str) -> Any:
        """Completed value; problems are collected."""
        schema = self._resolve(schema)
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        value = _from_text(value, types)
        kind = next((name for name in types if _is_a(value, name)), None)
        if types and kind is None:
            allowed = " or ".join(TYPES[name] for name in types)
            unit = f" ({schema['x-unit']})" if "x-unit" in schema else ""
            self._say(path, f"must be {allowed}{unit}, not {_shown(value)}{_type_hint(types)}")
            return value
        if "enum" in schema and value not in schema["enum"]:
            choices = ", ".join(map(str, schema["enum"]))
            remark = nearest(str(value), map(str, schema["enum"])) if len(schema["enum"]) > 1 else ""
            remark = f"; {remark}" if remark.startswith("did") else ""
            self._say(path, f"{_shown(value)} is not one of: {choices}{remark}")
            return value
        if kind == "object":
            return self._walk_object(value, schema, path)
        if kind == "array":
            return self._walk_array(value, schema, path)
        if kind in ("number", "integer"):
            self._check_number(value, schema, path)
            return int(value) if kind == "integer" else float(value)
        if kind == "string":
            self._check_text(value, schema, path)
        return value

    def _resolve(self, schema: Mapping) -> Mapping:
        if "$ref" not in schema:
            return schema
        target = self._root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return {**self._resolve(target), **{key: value for key, value in schema.items() if key != "$ref"}}

    def _say(self, path: str, sentence: str) -> None:
        self.problems.append(f"{path}: {sentence}" if path else sentence)

    def _walk_object(self, value: Mapping, schema: Mapping, path: str) -> dict:
        properties = schema.get("properties", {})
        further = schema.get("additionalProperties", False)
        given = {}
        for key, item in value.items():
            if not isinstance(key, str):
                self._say(path, f"the key {key} is read as {_shown(key)}: put it in quotes")
            elif key in properties:
                if item is not None:
                    given[key] = item
            elif further is False:
                self._say(_join(path, key), f"unknown key; {nearest(key, properties, 'known keys')}")
            else:
                self._check_text(key, schema.get("propertyNames", {}), _join(path, key))
                given[key] = item
        if len(value) < schema.get("minProperties", 0):
            self._say(path, "empty; give at least one entry")
        self._check_keys(given, schema, path)
        complete = {}
        for key, item_schema in properties.items():
            if key in given:
                complete[key] = self.walk(given[key], item_schema, _join(path, key))
            elif "default" in item_schema and _default_applies(item_schema, given):
                complete[key] = self.walk(item_schema["default"], item_schema, _join(path, key))
        for key in sorted(given.keys() - properties.keys()):
            complete[key] = self.walk(given[key], further, _join(path, key))
        return complete

    def _check_keys(self, given: Mapping, schema: Mapping, path: str) -> None:
        for key in schema.get("required", []):
            if key not in given:
                self._say(_join(path, key), "missing")
        enough = [clause["required"] for clause in schema.get("anyOf", [])]
        if enough and not any(all(given.get(key) for key in keys) for keys in enough):
            self._say(path, f"missing; give at least one of: {'; '.join(' and '.join(keys) for keys in enough)}")
        groups = [group["required"] for group in schema.get("oneOf", [])]
        touched = [group for group in groups if any(key in given for key in group)]
        if groups and len(touched) != 1:
            choices = "; ".join(" and ".join(group) for group in groups)
            found = (
                f", not {' and '.join(key for group in touched for key in group if key in given)}" if touched else ""
            )
            self._say(path, f"give exactly one of: {choices}{found}")
        elif touched and not all(key in given for key in touched[0]):
            absent = [key for key in touched[0] if key not in given]
            self._say(_join(path, absent[0]), f"missing; it belongs to {' and '.join(set(touched[0]) - set(absent))}")
        for clause in schema.get("allOf", []):
            keys = clause["not"]["required"]
            if all(key in given for key in keys):
                self._say(path, f"give one of {' and '.join(keys)}, not both")
        for key, others in schema.get("dependentRequired", {}).items():
            absent = [other for other in others if other not in given]
            # What the keys of one way exclude or lack has been said above.
            said = groups and (len(touched) != 1 or set(absent) <= set(touched[0]))
            if key in given and absent and not said:
                self._say(_join(path, key), f"goes only together with {' and '.join(absent)}")

    def _walk_array(self, value: list, schema: Mapping, path: str) -> list:
        length, low, high = len(value), schema.get("minItems", 0), schema.get("maxItems", math.inf)
        if not low <= length <= high:
            wanted = f"{low}" if low == high else f"at least {low}" if length < low else f"at most {high}"
            self._say(path, f"has {length} entries where {wanted} are needed")
            return value
        first = schema.get("prefixItems", [])
        complete = [
            self.walk(
                item, first[number] if number < len(first) else schema.get("items", {}), _entry(path, number, item)
            )
            for number, item in enumerate(value)
        ]
        if schema.get("uniqueItems") and any(item in complete[:number] for number, item in enumerate(complete)):
            self._say(path, "has an entry twice")
        return complete

    def _check_number(self, value: float, schema: Mapping, path: str) -> None:
        low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
        above = schema.get("exclusiveMinimum", -math.inf)
        if math.isfinite(value) and low <= value <= high and value > above:
            return
        if math.isfinite(low) and math.isfinite(high):
            allowed = f"{low} to {high}"
        elif math.isfinite(above):
            allowed = f"greater than {above}"
        else:
            allowed = f"{low} or more" if math.isfinite(low) else f"{high} or less" if math.isfinite(high) else "finite"
        self._say(path, f"{value} is outside of the allowed range: {allowed}{_unit(schema)}")

    def _check_text(self, value: str, schema: Mapping, path: str) -> None:
        if len(value) < schema.get("minLength", 0):
            self._say(path, "is empty")
        elif "pattern" in schema and not re.search(schema["pattern"], value):
            self._say(path, f"{_shown(value)} is not allowed here: {schema.get('description', schema['pattern'])}")


def _is_a(value: Any, name: str) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "object": isinstance(value, Mapping),
        "array": isinstance(value, list | tuple),
        "string": isinstance(value, str),
        "number": number,
        "integer": number and (isinstance(value, int) or value.is_integer()),
        "boolean": isinstance(value, bool),
    }[name]


def _default_applies(schema: Mapping, given: Mapping) -> bool:
    condition = schema.get("x-default-if", {})
    return condition.get("without") not in given and ("with" not in condition or condition["with"] in given)


def _from_text(value: Any, types: list[str]) -> Any:
    """Numbers and truth values that come as text: from `--config`, or as 1e-3, which is not a number in YAML."""
    if isinstance(value, str):
        if NUMBER.fullmatch(value) and {"number", "integer"} & set(types):
            return int(value) if value.lstrip("+-").isdigit() else float(value)
        if "boolean" in types and value.lower() in ("true", "false"):
            return value.lower() == "true"
    return value


def _type_hint(types: list[str]) -> str:
    return " (put it in quotes)" if types == ["string"] else ""


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, Mapping):
        return "a mapping of keys"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return f"the number {value}" if isinstance(value, int | float) else str(value)


def _unit(schema: Mapping) -> str:
    return f" {schema['x-unit']}" if "x-unit" in schema else ""


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else str(key)


def _entry(path: str, number: int, item: object) -> str:
    name = item.get("name") if isinstance(item, Mapping) else None
    return f"{path}, entry {number + 1} ({name})" if isinstance(name, str) else f"{path}, entry {number + 1}"
