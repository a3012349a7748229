"""Many frames of many stars on one scale, the noise of their light curves, and variability; no pixels."""
