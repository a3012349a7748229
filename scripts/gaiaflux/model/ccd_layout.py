"""Where the pixels of a CCD of TESS that see the sky are; nothing here loads more than the standard library."""

__all__ = ["CCD_SHAPE", "FIRST_SCIENCE_COLUMN", "FULL_FRAME"]

FIRST_SCIENCE_COLUMN = 44
"""Virtual columns before the first that sees the sky."""
CCD_SHAPE = (2048, 2048)
"""Rows and columns that see the sky."""
FULL_FRAME = (2078, 2136)
"""Rows and columns of a full frame, with the virtual ones."""
