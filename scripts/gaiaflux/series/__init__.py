"""What every family needs after its frames are measured: assembly, calibration, light curves, choices, exports; no images."""
