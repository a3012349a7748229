"""How a column or an array of the files is described."""

from typing import NamedTuple

__all__ = ["Column"]


class Column(NamedTuple):
    """Type, unit and description of a column; dtype ``text`` is a string.

    The unit ``count`` is the frame's own: electron, or adu where no gain is known.
    """

    dtype: str
    unit: str
    description: str
