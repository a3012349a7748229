"""From telescope images to calibrated light curves of every star, anchored on Gaia.

Public names are imported on first use (PEP 562), so that a rule pays only for what it needs.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
