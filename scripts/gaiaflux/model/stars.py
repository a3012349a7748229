"""Table of the stars found in one image."""

import numpy as np

__all__ = ["STAR_DTYPE", "STAR_UNITS"]

STAR_DTYPE = np.dtype(
    [
        ("x", "f8"),
        ("y", "f8"),
        ("x_err", "f4"),
        ("y_err", "f4"),
        ("flux", "f4"),
        ("snr", "f4"),
        ("peak", "f4"),
        ("fwhm", "f4"),
        ("ellipticity", "f4"),
        ("flags", "u4"),
    ]
)
"""x, y: centroid, 0-based [pixel], with one-sigma errors; flux: estimate of the total flux, and its signal-to-noise
ratio; peak: highest pixel above the sky; fwhm [pixel]; ellipticity = 1 - b/a; flags: bits of `StarFlag`."""

STAR_UNITS = {
    "x": "pixel",
    "y": "pixel",
    "x_err": "pixel",
    "y_err": "pixel",
    "flux": "frame unit",
    "snr": "",
    "peak": "frame unit",
    "fwhm": "pixel",
    "ellipticity": "",
    "flags": "",
}
