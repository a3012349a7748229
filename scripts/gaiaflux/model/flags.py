"""The one registry of bits for pixels and for star measurements."""

from dataclasses import dataclass

import numpy as np

__all__ = ["PIXEL_FLAGS", "SPOILED", "STAR_FLAGS", "Flag", "PixelFlag", "StarFlag", "decode_flags"]


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
)


def decode_flags(value: int, registry: tuple[Flag, ...] = STAR_FLAGS) -> list[str]:
    """Names of the bits that are set.

    Parameters
    ----------
    value : int
        Flag value.
    registry : tuple of Flag
        `STAR_FLAGS` (default) or `PIXEL_FLAGS`.

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
