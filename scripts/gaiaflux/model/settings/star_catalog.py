"""Settings `star_catalog`, made from the schema by `gaiaflux.workflow.sections`; edit that instead."""

from dataclasses import dataclass

__all__ = ["StarCatalogSettings"]


@dataclass(frozen=True, kw_only=True)
class StarCatalogSettings:
    """Stars that are measured in every frame of a series.

    Attributes
    ----------
    detection_snr : float
        Signal-to-noise ratio down to which the reference image, or a stack of the best images of the first run, is
        searched; a higher one holds where noise or crowding would make too many of the stars false.
    add_reference_stars : bool
        Add stars of the reference image that Gaia lacks, with source_id -1.
    """

    detection_snr: float
    add_reference_stars: bool
