"""What became of the photometry of a target."""

from enum import IntEnum

__all__ = ["STATUS"]


class STATUS(IntEnum):
    """State of the photometry of one target, with the numbers of the TASOC photometry module."""

    UNKNOWN = 0
    """Nothing was done yet."""
    OK = 1
    """Measured."""
    ERROR = 2
    """Nothing was measured."""
    WARNING = 3
    """Measured, with something that the user has to know."""
    ABORT = 4
    """Broken off."""
    SKIPPED = 5
    """Left out on purpose: another target holds its light."""
    STARTED = 6
    """Under way."""
