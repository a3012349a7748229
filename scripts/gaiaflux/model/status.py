"""Texts by which frames and stars say what became of them, as far as code asks for them; any other one is a reason."""

__all__ = ["OK", "PsfOrigin", "StarUse"]

OK = "ok"
"""A frame was measured or calibrated, a fit succeeded; any other text says why not."""


class StarUse:
    """What an ensemble says of its stars; another text says why a star was left out or not offered."""

    USED = "used"
    NOT_SOLVED = "not solved"
    SCATTERS = "left out: scatter"  # begins so and goes on with how much


class PsfOrigin:
    """Where the PSF of a frame is from."""

    OWN = OK
    LOWER_ORDER = "lower order"
    BORROWED = "borrowed"
