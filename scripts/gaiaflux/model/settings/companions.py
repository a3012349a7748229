"""Settings `companions`, made from the schema by `gaiaflux.workflow.sections`; edit that instead."""

from dataclasses import dataclass

__all__ = ["CompanionSettings", "CompanionsSettings"]


@dataclass(frozen=True, kw_only=True)
class CompanionSettings:
    """One of the sections `companion`.

    Attributes
    ----------
    replace : tuple[str, ...], optional
        Text of the image's path and what stands there instead in the companion's.
    file : str, optional
        One file for all images, such as the bad pixels of a camera.
    extension : int or str, optional
        Name or number in the companion's file, or in the image's own; else the one named like the image's.
    ignore : bool, optional
        `true` leaves out the one that is in the image's file.
    """

    replace: tuple[str, ...] | None
    file: str | None
    extension: int | str | None
    ignore: bool | None


@dataclass(frozen=True, kw_only=True)
class CompanionsSettings:
    """What belongs to an image and is not found in its file by the names BPM, MASK, DQ, ERR, ERROR or SIGMA.

    A frame whose companion is missing gets a status.

    Attributes
    ----------
    mask : CompanionSettings, optional
        Mask; a pixel that is not zero is bad.
    weight : CompanionSettings, optional
        Weight, the inverse variance of the image's numbers; zero is bad.
    error : CompanionSettings, optional
        One sigma of the image's numbers; zero is bad.
    """

    mask: CompanionSettings | None
    weight: CompanionSettings | None
    error: CompanionSettings | None
