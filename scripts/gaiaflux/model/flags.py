"""The one registry of bits for pixels, for star measurements and for frames."""

from dataclasses import dataclass

import numpy as np

__all__ = [
    "FRAME_FLAGS",
    "NOT_GOOD",
    "PIXEL_FLAGS",
    "SPOILED",
    "STAR_FLAGS",
    "UNUSABLE",
    "Flag",
    "FrameFlag",
    "PixelFlag",
    "StarFlag",
    "decode_flags",
]


@dataclass(frozen=True)
class Flag:
    """One documented bit."""

    bit: int
    name: str
    description: str


class PixelFlag:
    """Bits of a frame's pixel-flag image (uint8); a pixel is used where all are zero."""

    BAD = 1
    SATURATED = 2
    NONFINITE = 4
    COSMIC_RAY = 8


class StarFlag:
    """Bits of a star's measurement in one frame (uint16)."""

    BAD_PIXEL = 1
    SATURATED = 2
    EDGE = 4
    OFF_IMAGE = 8
    NEIGHBOUR = 16
    BACKGROUND = 32
    NO_APERTURE_CORRECTION = 64
    NOT_MEASURED = 128
    COSMIC_RAY = 256
    BORROWED_PSF = 512
    POOR_FIT = 1024
    BLENDED = 2048


class FrameFlag:
    """Bits of a frame (uint16)."""

    NOT_MEASURED = 1
    NO_CALIBRATION = 2
    CLOUDY = 4
    POOR_SEEING = 8
    BRIGHT_SKY = 16
    ELONGATED = 32
    FEW_STARS = 64
    POOR_WCS = 128
    BORROWED_PSF = 256
    NO_TIME = 512


SPOILED = (
    StarFlag.BAD_PIXEL
    | StarFlag.SATURATED
    | StarFlag.EDGE
    | StarFlag.OFF_IMAGE
    | StarFlag.BACKGROUND
    | StarFlag.NOT_MEASURED
    | StarFlag.COSMIC_RAY
)
"""Flags of a star that keep a point out of the ensemble, of the choice of an aperture, and of statistics."""
NOT_GOOD = SPOILED | StarFlag.POOR_FIT
"""Flags of a star that keep a point out of variability indices, exports, and scores of planted stars."""
UNUSABLE = FrameFlag.NOT_MEASURED | FrameFlag.NO_CALIBRATION | FrameFlag.NO_TIME
"""Flags of a frame that give it no usable point in any light curve."""

PIXEL_FLAGS = (
    Flag(PixelFlag.BAD, "bad", "marked bad in the frame's mask"),
    Flag(PixelFlag.SATURATED, "saturated", "at or above the saturation level"),
    Flag(PixelFlag.NONFINITE, "nonfinite", "NaN or infinite in the image or its error"),
    Flag(PixelFlag.COSMIC_RAY, "cosmic_ray", "sharper than a star can be"),
)

STAR_FLAGS = (
    Flag(
        StarFlag.BAD_PIXEL,
        "bad_pixel",
        "a bad or non-finite pixel inside the aperture; its light was filled in from the pixels opposite or the model",
    ),
    Flag(StarFlag.SATURATED, "saturated", "a saturated pixel inside the aperture: the flux is a lower limit"),
    Flag(StarFlag.EDGE, "edge", "the aperture reaches over the edge of the image"),
    Flag(StarFlag.OFF_IMAGE, "off_image", "the star is outside of the image: not measured"),
    Flag(
        StarFlag.NEIGHBOUR,
        "neighbour",
        "a catalogue neighbour puts more than 1 % of the star's light into its aperture",
    ),
    Flag(
        StarFlag.BACKGROUND,
        "background",
        "too few clean pixels for the local background: the frame's background was used",
    ),
    Flag(
        StarFlag.NO_APERTURE_CORRECTION,
        "no_aperture_correction",
        "too few stars to measure the aperture correction: a model growth curve or none was used",
    ),
    Flag(StarFlag.NOT_MEASURED, "not_measured", "no usable pixel or no usable frame: flux is NaN"),
    Flag(StarFlag.COSMIC_RAY, "cosmic_ray", "a pixel inside the aperture was recognised as a cosmic ray"),
    Flag(
        StarFlag.BORROWED_PSF,
        "borrowed_psf",
        "too few stars to measure the PSF of the frame: the reference image's was scaled to the frame's seeing",
    ),
    Flag(StarFlag.POOR_FIT, "poor_fit", "the PSF does not describe the star's pixels: chi2 per pixel is too large"),
    Flag(
        StarFlag.BLENDED,
        "blended",
        "a neighbour so close that the error of the fitted flux is more than twice that of a star alone",
    ),
)

FRAME_FLAGS = (
    Flag(FrameFlag.NOT_MEASURED, "not_measured", "no star was measured in the frame; its status says why"),
    Flag(FrameFlag.NO_CALIBRATION, "no_calibration", "no method could find the frame's photometric scale"),
    Flag(
        FrameFlag.CLOUDY,
        "cloudy",
        "half a magnitude less light arrives than in the clearest tenth of the camera's frames",
    ),
    Flag(FrameFlag.POOR_SEEING, "poor_seeing", "stars are half as wide again as is usual for the camera"),
    Flag(FrameFlag.BRIGHT_SKY, "bright_sky", "the sky is three times as bright as is usual for the camera"),
    Flag(FrameFlag.ELONGATED, "elongated", "stars are drawn out: ellipticity above 0.3 and 0.15 above the usual"),
    Flag(
        FrameFlag.FEW_STARS,
        "few_stars",
        "less than half of the usual number of stars was measured, or of ensemble stars weighs in the frame",
    ),
    Flag(
        FrameFlag.POOR_WCS,
        "poor_wcs",
        "the plate solution scatters three times as much as is usual for the camera, or has fewer than 10 stars",
    ),
    Flag(
        FrameFlag.BORROWED_PSF,
        "borrowed_psf",
        "too few stars to measure the frame's PSF: the reference image's was scaled to the frame's seeing",
    ),
    Flag(FrameFlag.NO_TIME, "no_time", "the time of mid-exposure is not known"),
)


def decode_flags(value: int, registry: tuple[Flag, ...] = STAR_FLAGS) -> list[str]:
    """Names of the bits that are set.

    Parameters
    ----------
    value : int
        Flag value.
    registry : tuple of Flag
        `STAR_FLAGS` (default), `FRAME_FLAGS` or `PIXEL_FLAGS`.

    Returns
    -------
    list of str
        Names in the order of the registry.

    Raises
    ------
    ValueError
        A bit is set that the registry does not know.
    """
    value = int(np.asarray(value))
    known = sum(flag.bit for flag in registry)
    if value < 0 or value & ~known:
        raise ValueError(f"flag value {value} has bits that are not in the registry (known: {known})")
    return [flag.name for flag in registry if value & flag.bit]
