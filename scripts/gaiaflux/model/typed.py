"""A mapping of settings as an object of a frozen dataclass."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

__all__ = ["typed"]

Section = TypeVar("Section")


def typed(section: type[Section], settings: Mapping[str, Any] | None) -> Section:
    """Make a typed section of a checked configuration.

    Parameters
    ----------
    section : type
        One of the frozen dataclasses of `gaiaflux.model.settings`.
    settings : mapping or None
        The section with all defaults; None and keys that are left out count as not given.

    Returns
    -------
    section
        Lists become tuples; whole numbers become float where the section says so; sections inside become objects; what
        is not given becomes None.

    Raises
    ------
    TypeError
        A key is unknown, or one that has no None is missing: the configuration was not checked.
    """
    given = dict(settings or {})
    hints = typing.get_type_hints(section)
    unknown = given.keys() - hints.keys()
    if unknown:
        raise TypeError(f"{section.__name__} has no {', '.join(sorted(unknown))}")
    missing = [name for name, hint in hints.items() if given.get(name) is None and not _may_be_none(hint)]
    if missing:
        raise TypeError(f"{section.__name__} lacks {', '.join(missing)}: settings are complete once they are checked")
    return section(**{name: _converted(hint, given.get(name)) for name, hint in hints.items()})


def _may_be_none(hint: Any) -> bool:
    return isinstance(hint, types.UnionType) and type(None) in hint.__args__


def _converted(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    kinds = hint.__args__ if isinstance(hint, types.UnionType) else (hint,)
    if isinstance(value, Mapping):
        return typed(next(kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)), value)
    if isinstance(value, list | tuple):
        of = next(typing.get_args(kind)[0] for kind in kinds if typing.get_origin(kind) is tuple)
        return tuple(_converted(of, item) for item in value)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool) and int not in kinds:
        return float(value)
    return value
