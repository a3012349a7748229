"""Sections of a detector as headers write them; nothing here loads more than the standard library."""

import re

__all__ = ["section"]

_SECTION = re.compile(r"^\[ *(\d+) *: *(\d+) *, *(\d+) *: *(\d+) *\]$")


def section(text: object) -> tuple[int, int, int, int] | None:
    """(x1, x2, y1, y2), 1-based, of a section such as ``[1:2048,1:4096]``; None for anything else."""
    found = _SECTION.match(str(text).strip())
    if found is None:
        return None
    x1, x2, y1, y2 = map(int, found.groups())
    return x1, x2, y1, y2
