"""Factors between units."""

import numpy as np

__all__ = ["MAG_PER_RELATIVE"]

MAG_PER_RELATIVE = 2.5 / np.log(10.0)
"""Magnitudes per relative change of a flux, for small changes: 1.0857."""
