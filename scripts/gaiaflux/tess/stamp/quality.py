"""Quality bits of the mission for a cadence."""

__all__ = ["DEFAULT_BAD", "POINTED_ELSEWHERE"]

DEFAULT_BAD = 1 + 2 + 4 + 8 + 32 + 64 + 128 + 4096
"""Bits of the mission that make a cadence useless: attitude tweak, safe mode, coarse pointing, Earth pointing,
momentum dump, cosmic ray in the aperture, excluded by hand, scattered light (TESS Science Data Products Description
Document; choice of the TASOC photometry module)."""
POINTED_ELSEWHERE = 2 + 8
"""Those of a cadence that may show other stars: safe mode, Earth pointing."""
