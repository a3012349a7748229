"""Comparison of what two files hold: each is a mapping from places (datasets, columns, cards ...) to values."""

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Finding", "Lines", "compare_mappings", "text_difference"]

# Last parts of places whose values are of the moment or the machine.
IGNORED = frozenset({"created_utc", "date_utc", "cached_utc", "versions"})
# Last parts of places that say how values are stored, not what they are.
STORAGE = frozenset({"schema_version", "format_version", "BITPIX", "NAXIS1", "BZERO", "BSCALE", "PCOUNT", "THEAP"})
_STORAGE_CARD = re.compile(r"(TFORM|TZERO|TSCAL|TNULL|ZNAME|ZVAL)\d+$")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
# Where the error of a value stands: beside it, under one of these names.
_ERROR_NAMES = ("{}_err", "{}_error", "e{}", "err_{}", "e_{}")
_SHOWN_LINES = 4


@dataclass(frozen=True)
class Finding:
    """One difference, or a remark: another type of the same values.

    Attributes
    ----------
    place, text : str
        Where, and what differs.
    remark : bool
        Whether only the way of storing differs.
    errors : float
        Largest difference in units of the error that stands beside the values; NaN without one.
    """

    place: str
    text: str
    remark: bool = False
    errors: float = math.nan


class Lines(tuple):
    """Lines of a text, which are compared as ``diff`` does."""

    __slots__ = ()


def compare_mappings(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[Finding]:
    """Differences of two mappings from places to values.

    Parameters
    ----------
    old, new : mapping of str to object
        Values are arrays, numbers, text, `Lines` or None. The last part of a place is what follows its last ``/``,
        ``@`` or blank.

    Yields
    ------
    Finding
        In the order of the old one's places; those that only the new one has come last.
    """
    for place, value in old.items():
        if _ignored(place, old, new):
            continue
        if place not in new:
            yield Finding(place, f"missing now (it was {_shown(value)})")
            continue
        storage = _last(place) in STORAGE or bool(_STORAGE_CARD.match(_last(place)))
        for found in _compare(place, value, new[place], _error_of(place, old)):
            yield replace(found, remark=found.remark or storage)
    for place, value in new.items():
        if place not in old and not _ignored(place, new, old):
            yield Finding(place, f"new (it is {_shown(value)})")


def text_difference(old: str, new: str) -> str:
    """What differs between two texts; of texts that differ in numbers alone, by how much.

    Parameters
    ----------
    old, new : str
        Texts.

    Returns
    -------
    str
        Empty where they agree.
    """
    if old == new:
        return ""
    if _NUMBER.sub("#", old) == _NUMBER.sub("#", new):
        before, after = (np.array([float(word) for word in _NUMBER.findall(text)]) for text in (old, new))
        changed = before != after
        if not changed.any():
            return "the same numbers, written otherwise"
        size = np.abs(after - before)[changed]
        relative = size / np.maximum(np.abs(before), np.abs(after))[changed]
        return (
            f"{changed.sum()} of its {changed.size} numbers, largest difference {size.max():.3g} "
            f"(relative {relative.max():.2g}): {_shown(old)} is now {_shown(new)}"
        )
    return f"{_shown(old)} is now {_shown(new)}"


def _ignored(place: str, has: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Whether a place does not count, or is a fact of another that is missing as a whole."""
    owner = place.partition("@")[0]
    return not IGNORED.isdisjoint(re.split(r"[/@ ]", place)) or (owner in has and owner not in other and "@" in place)


def _last(place: str) -> str:
    return re.split(r"[/@ ]", place)[-1]


def _shown(value: object) -> str:
    if isinstance(value, Lines):
        return f"{len(value)} lines"
    if isinstance(value, np.ndarray) and value.ndim:
        return f"{value.dtype.name} {value.shape}"
    text = repr(value.item() if isinstance(value, np.generic | np.ndarray) else value)
    return text if len(text) <= 90 else f"{text[:60]} ... {text[-25:]}"


def _error_of(place: str, mapping: Mapping[str, object]) -> tuple[str, np.ndarray] | None:
    """Name and values of the error beside a value."""
    start, name = place[: len(place) - len(_last(place))], _last(place)
    for form in _ERROR_NAMES:
        found = mapping.get(start + form.format(name))
        if isinstance(found, np.ndarray) and found.dtype.kind == "f":
            return form.format(name), found
    return None


def _compare(place: str, old: object, new: object, error: tuple[str, np.ndarray] | None) -> Iterator[Finding]:
    """What differs between two values."""
    if isinstance(old, Lines) and isinstance(new, Lines):
        yield from (Finding(place, text) for text in _line_differences(old, new))
        return
    old, new = (np.asarray("None" if value is None else value) for value in (old, new))
    if old.shape != new.shape:
        yield Finding(place, f"shape {old.shape} is now {new.shape}")
        return
    kinds = {array.dtype.kind for array in (old, new)}
    if kinds <= set("biuf"):
        if old.dtype != new.dtype:
            yield Finding(place, f"{old.dtype.name} is now {new.dtype.name}", remark=True)
        yield from _number_differences(place, old, new, error)
    elif kinds & set("biuf"):
        yield Finding(place, f"{old.dtype.name} {_shown(old)} is now {new.dtype.name} {_shown(new)}")
    else:
        changed = np.flatnonzero(old.ravel().astype(str) != new.ravel().astype(str))
        if changed.size:
            first = text_difference(*(str(array.ravel()[changed[0]]) for array in (old, new)))
            yield Finding(place, first if old.ndim == 0 else f"{changed.size} of {old.size} texts, the first: {first}")


def _number_differences(
    place: str, old: np.ndarray, new: np.ndarray, error: tuple[str, np.ndarray] | None
) -> Iterator[Finding]:
    missing = [np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool) for array in (old, new)]
    with np.errstate(invalid="ignore"):
        changed = (old != new) & ~(missing[0] & missing[1])
    if not changed.any():
        return
    text = f"{changed.sum()} of {changed.size} values"
    if old.ndim == 0:
        text = f"{_shown(old)} is now {_shown(new)}"
    lost, gained = ((a & ~b).sum() for a, b in (missing[::-1], missing))
    text += f", {lost} of them NaN now" if lost else ""
    text += f", {gained} no longer NaN" if gained else ""
    old64, new64, worst = old.astype(np.float64), new.astype(np.float64), math.nan
    with np.errstate(invalid="ignore"):
        size = np.abs(new64 - old64)
    size = np.where(np.isfinite(size), size, -1.0)
    if (size >= 0)[changed].any():
        largest = np.unravel_index(np.argmax(size), size.shape)
        text += f", largest difference {size[largest]:.6g}"
        text += f" at {list(map(int, largest))} ({old[largest]!s} is now {new[largest]!s})" if old.ndim else ""
        if error is not None and error[1].shape == old.shape:
            with np.errstate(all="ignore"):
                units = np.where(size >= 0, size, np.nan) / error[1].astype(np.float64)
            worst = float(np.max(units[np.isfinite(units)], initial=-math.inf))
            text += f", {worst:.2g} of {error[0]}" if math.isfinite(worst) else ""
    yield Finding(place, text, errors=worst)


def _line_differences(old: Lines, new: Lines) -> Iterator[str]:
    if old == new:
        return
    if len(old) == len(new):
        changed = [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]
        yield f"{len(changed)} of {len(old)} lines"
        yield from (text_difference(*pair) for pair in changed[:_SHOWN_LINES])
        return
    # Not `ndiff`, whose search for similar lines takes minutes on a drawing.
    compared = difflib.unified_diff(old, new, n=0, lineterm="")
    changed = [line for line in compared if line[:1] in "-+" and line[:3] not in ("---", "+++")]
    yield f"{len(old)} lines are now {len(new)}"
    yield from (_shown(line) for line in changed[:_SHOWN_LINES])
