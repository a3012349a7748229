"""The two kinds of expected trouble; everything else is a bug and raises as it is."""

__all__ = ["BadFrameError", "InputError"]


class BadFrameError(Exception):
    """One frame cannot be used; the text becomes its status and the other frames go on."""


class InputError(Exception):
    """What the user gave cannot be used; the text is one sentence: what, where, what to do."""
