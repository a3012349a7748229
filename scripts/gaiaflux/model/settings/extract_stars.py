"""Settings `extract_stars`, made from the schema by `gaiaflux.workflow.sections`; edit that instead."""

from dataclasses import dataclass

__all__ = ["ExtractStarsSettings"]


@dataclass(frozen=True, kw_only=True)
class ExtractStarsSettings:
    """Stars of each image.

    Attributes
    ----------
    source : str
        `banzai` takes the catalogue in the image's file, `detect` finds the stars itself, `auto` takes the file's where
        there is a good one.
    min_snr : float
        Signal-to-noise ratio down to which stars are found.
    max_stars : int
        Brightest stars that are kept of each image [stars].
    background_box_pix : int
        Side of the boxes in which the background is estimated [pixel].
    """

    source: str
    min_snr: float
    max_stars: int
    background_box_pix: int
