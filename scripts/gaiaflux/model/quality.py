"""Limits above which a measurement counts as poor, for what measures and for what sums up."""

__all__ = ["POOR_PSF_PEAK", "POOR_PSF_RMS", "STRUCTURED_SKY", "UNEVEN_RESPONSE"]

POOR_PSF_RMS = 0.03
"""Rms of what a PSF leaves of its stars, over their central brightness, above which it does not describe them."""
POOR_PSF_PEAK = 0.5
"""Residual of a PSF over its core's centre, above which the core is none: rings out of focus, double images."""
STRUCTURED_SKY = 1.5
"""Scatter of fluxes at empty places, over their stated noise, above which the sky has structure nothing follows."""
UNEVEN_RESPONSE = 0.01
"""Difference of response between parts of a detector above which the fluxes of a single frame are wrong."""
