"""What a mistyped name was probably meant to be."""

import difflib
from collections.abc import Iterable

__all__ = ["nearest"]

SHOWN = 20


def nearest(name: str, known: Iterable[str], what: str = "known") -> str:
    """Remark that ends a sentence about an unknown name.

    Parameters
    ----------
    name : str
        The name that nobody knows.
    known : iterable of str
        The names that exist.
    what : str
        What the list is called where no known name is similar.

    Returns
    -------
    str
        ``did you mean 'x'?``, or the list of the known names where none is near.
    """
    names = sorted(known)
    lowered = {other.lower(): other for other in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{lowered[close[0]]}'?"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{what}: {', '.join(names[:SHOWN]) or 'none'}{more}"
