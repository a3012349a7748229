"""What every family needs after its frames are measured: assembly, calibration, light curves, exports; no images."""
