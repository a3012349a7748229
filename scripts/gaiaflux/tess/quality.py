"""Quality bits: those of the mission for a cadence, and those of a corrector in a light-curve file."""

__all__ = ["BACKGROUND_SHENANIGANS", "DEFAULT_BAD"]

DEFAULT_BAD = 1 + 2 + 4 + 8 + 32 + 64 + 128 + 4096
"""Bits of the mission that make a cadence useless: attitude tweak, safe mode, coarse pointing, Earth pointing,
momentum dump, cosmic ray in the aperture, excluded by hand, scattered light (TESS Science Data Products Description
Document; choice of the TASOC photometry module)."""
BACKGROUND_SHENANIGANS = 256
"""Bit of a light-curve file's own QUALITY."""
