"""What was made once and is asked for again."""

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["BASIC", "CACHES", "FULL", "Kept"]

CACHES = ("none", "basic", "full")
"""What may be asked to be kept: nothing; what is made from the pixels; the pixels as well."""
BASIC, FULL = CACHES.index("basic"), CACHES.index("full")

Made = TypeVar("Made")


class Kept:
    """Values by name.

    Parameters
    ----------
    cache : str
        One of `CACHES`.

    Raises
    ------
    ValueError
        Another name.
    """

    def __init__(self, cache: str) -> None:
        if cache not in CACHES:
            raise ValueError(f"cache '{cache}': it is one of {', '.join(CACHES)}")
        self._level = CACHES.index(cache)
        self._values: dict[str, Any] = {}

    def get(self, name: str, make: Callable[[], Made], level: int = BASIC) -> Made:
        """The value of a name, made anew where it is not kept.

        Parameters
        ----------
        name : str
        make : callable
            Makes it.
        level : int
            `BASIC` or `FULL`: from which cache on it is kept.

        Returns
        -------
        object
        """
        if name in self._values:
            kept: Made = self._values[name]
            return kept
        value = make()
        if self._level >= level:
            self._values[name] = value
        return value

    def clear(self, *names: str) -> None:
        """Forget some names, or all."""
        for name in names or tuple(self._values):
            self._values.pop(name, None)
