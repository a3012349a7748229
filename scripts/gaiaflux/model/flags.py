"""The one registry of bits for pixels, for star measurements and for frames.

A flag is one line: name, what it means, bit.
"""

from dataclasses import dataclass
from typing import Annotated, get_type_hints

import numpy as np

__all__ = [
    "FRAME_FLAGS",
    "NOT_GOOD",
    "NO_COUNTS",
    "OF_IMAGES",
    "PIXEL_FLAGS",
    "PIXEL_TO_STAR",
    "SPOILED",
    "STAR_FLAGS",
    "UNUSABLE",
    "Flag",
    "FrameFlag",
    "PixelFlag",
    "StarFlag",
    "decode_flags",
    "star_bits",
]


@dataclass(frozen=True)
class Flag:
    """One documented bit."""

    bit: int
    name: str
    description: str


class PixelFlag:
    """Bits of a frame's pixel-flag image (uint8); a pixel is used where all are zero."""

    BAD: Annotated[int, "marked bad in the frame's mask"] = 1
    SATURATED: Annotated[int, "at or above the saturation level"] = 2
    NONFINITE: Annotated[int, "NaN or infinite in the image or its error"] = 4
    COSMIC_RAY: Annotated[int, "sharper than a star can be"] = 8
    TRAIL: Annotated[int, "in a straight trail: a satellite, an aeroplane, a bleeding column"] = 16


class StarFlag:
    """Bits of a star's measurement in one frame (uint32)."""

    BAD_PIXEL: Annotated[
        int,
        "a bad or non-finite pixel inside the aperture; its light was filled in from the pixels opposite or the model",
    ] = 1
    SATURATED: Annotated[int, "a saturated pixel inside the aperture: the flux is a lower limit"] = 2
    EDGE: Annotated[int, "the aperture reaches over the edge of the image"] = 4
    OFF_IMAGE: Annotated[int, "the star is outside of the image: not measured"] = 8
    NEIGHBOUR: Annotated[int, "a catalogue neighbour puts more than 1 % of the star's light into its aperture"] = 16
    BACKGROUND: Annotated[int, "too few clean pixels for the local background: the frame's background was used"] = 32
    NO_APERTURE_CORRECTION: Annotated[
        int, "too few stars to measure the aperture correction: a model growth curve or none was used"
    ] = 64
    NOT_MEASURED: Annotated[int, "no usable pixel or no usable frame: flux is NaN"] = 128
    COSMIC_RAY: Annotated[int, "a pixel inside the aperture was recognised as a cosmic ray"] = 256
    BORROWED_PSF: Annotated[
        int, "too few stars to measure the PSF of the frame: the reference image's was scaled to the frame's seeing"
    ] = 512
    POOR_FIT: Annotated[int, "the PSF does not describe the star's pixels: chi2 per pixel is too large"] = 1024
    BLENDED: Annotated[
        int, "a neighbour so close that the error of the fitted flux is more than twice that of a star alone"
    ] = 2048
    TRAIL: Annotated[int, "a straight trail (satellite, bleeding column) crosses the aperture"] = 4096
    STRUCTURED_SKY: Annotated[
        int, "the sky around has structure that nothing follows: fluxes at empty places scatter 1.5 times their noise"
    ] = 8192
    UNSEEN: Annotated[
        int,
        "neither the reference image nor this one shows the star where the catalogue has it: its place is wrong, or it "
        "varies and is faint",
    ] = 16384
    SEAM: Annotated[
        int,
        "a seam of the detector, where its response steps, crosses the aperture or the sky around the star: neither "
        "flux nor sky is right",
    ] = 32768
    POINTING: Annotated[
        int, "the mission states no pointing for the cadence, or another than the pixels show: it was found from others"
    ] = 65536
    SKY_JUMP: Annotated[
        int,
        "somewhere in the star's stamp the background jumps against the mean image by more than the sky's mesh follows",
    ] = 131072


class FrameFlag:
    """Bits of a frame (uint32)."""

    NOT_MEASURED: Annotated[int, "no star was measured in the frame; its status says why"] = 1
    NO_CALIBRATION: Annotated[int, "no method could find the frame's photometric scale"] = 2
    CLOUDY: Annotated[int, "half a magnitude less light arrives than in the clearest tenth of the camera's frames"] = 4
    POOR_SEEING: Annotated[int, "stars are half as wide again as is usual for the camera"] = 8
    BRIGHT_SKY: Annotated[int, "the sky is three times as bright as is usual for the camera"] = 16
    ELONGATED: Annotated[int, "stars are drawn out: ellipticity above 0.3 and 0.15 above the usual"] = 32
    FEW_STARS: Annotated[
        int, "less than half of the usual number of stars was measured, or of ensemble stars weighs in the frame"
    ] = 64
    POOR_WCS: Annotated[
        int, "the plate solution scatters three times as much as is usual for the camera, or has fewer than 10 stars"
    ] = 128
    BORROWED_PSF: Annotated[
        int, "too few stars to measure the frame's PSF: the reference image's was scaled to the frame's seeing"
    ] = 256
    NO_TIME: Annotated[int, "the time of mid-exposure is not known"] = 512
    POOR_PSF: Annotated[
        int, "the PSF does not describe the stars it was measured on; its points are flagged as poor_fit"
    ] = 1024
    STRUCTURED_SKY: Annotated[int, "the sky has structure that no model follows; errors are enlarged by it"] = 2048
    UNEVEN_RESPONSE: Annotated[
        int,
        "parts of the detector, such as amplifiers, differ in response by more than 1 %: flux is wrong by that, "
        "flux_cal is corrected",
    ] = 4096
    NO_LIGHT: Annotated[int, "all pixels of the image are zero or have no number"] = 8192
    MODELLED_ERRORS: Annotated[
        int,
        "the image states no error for some of its pixels: theirs was modelled from the others, or from the detector",
    ] = 16384
    SMEARED: Annotated[int, "stars moved by more than 0.3 pixel while the image was exposed"] = 32768
    NO_POINTING: Annotated[
        int, "too few stars were found to tell where the image is: its pointing was interpolated, or is not known"
    ] = 65536
    BACKGROUND_EXCESS: Annotated[
        int, "somewhere the background jumps against the mean image by more than the sky's mesh follows"
    ] = 131072


OF_IMAGES = (
    FrameFlag.NO_LIGHT
    | FrameFlag.MODELLED_ERRORS
    | FrameFlag.SMEARED
    | FrameFlag.NO_POINTING
    | FrameFlag.BACKGROUND_EXCESS
)
"""Flags that the preparation of full-frame images finds; those of a series of images come from its measurements."""

SPOILED = (
    StarFlag.BAD_PIXEL
    | StarFlag.SATURATED
    | StarFlag.EDGE
    | StarFlag.OFF_IMAGE
    | StarFlag.BACKGROUND
    | StarFlag.NOT_MEASURED
    | StarFlag.COSMIC_RAY
    | StarFlag.TRAIL
    | StarFlag.UNSEEN
    | StarFlag.SEAM
)
"""Flags of a star that keep a point out of the ensemble, of the choice of an aperture, and of statistics."""
NOT_GOOD = SPOILED | StarFlag.POOR_FIT
"""Flags of a star that keep a point out of variability indices, exports, and scores of planted stars."""
UNUSABLE = FrameFlag.NOT_MEASURED | FrameFlag.NO_CALIBRATION | FrameFlag.NO_TIME | FrameFlag.NO_LIGHT
"""Flags of a frame that give it no usable point in any light curve."""

NO_COUNTS = PixelFlag.BAD | PixelFlag.NONFINITE | PixelFlag.COSMIC_RAY | PixelFlag.TRAIL
"""Bits of a pixel whose counts say nothing of sky and stars; those of a saturated one are a lower limit."""
PIXEL_TO_STAR = (
    (PixelFlag.SATURATED, StarFlag.SATURATED),
    (PixelFlag.BAD | PixelFlag.NONFINITE, StarFlag.BAD_PIXEL),
    (PixelFlag.COSMIC_RAY, StarFlag.COSMIC_RAY),
    (PixelFlag.TRAIL, StarFlag.TRAIL),
)
"""Bits of a pixel, and the flag of a star that has such a pixel."""


def star_bits(pixel: int) -> int:
    """Flags that one pixel gives a star; a hit by a cosmic ray is what made the pixel bad, if it is that too.

    Parameters
    ----------
    pixel : int
        Bits of `PixelFlag`.

    Returns
    -------
    int
        Bits of `StarFlag`.
    """
    bits = sum(star for of_pixel, star in PIXEL_TO_STAR if pixel & of_pixel)
    return bits & ~StarFlag.BAD_PIXEL if pixel & PixelFlag.COSMIC_RAY else bits


def _registry(flags: type) -> tuple[Flag, ...]:
    """What a class of flags says of each of its bits."""
    stated = get_type_hints(flags, include_extras=True)
    return tuple(Flag(getattr(flags, key), key.lower(), hint.__metadata__[0]) for key, hint in stated.items())


PIXEL_FLAGS, STAR_FLAGS, FRAME_FLAGS = _registry(PixelFlag), _registry(StarFlag), _registry(FrameFlag)
"""Each flag with its name and description, in the order of the classes, which are the one place that says them."""


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
