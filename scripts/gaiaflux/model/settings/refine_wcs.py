"""Settings `refine_wcs`, made from the schema by `gaiaflux.workflow.sections`; edit that instead."""

from dataclasses import dataclass

__all__ = ["RefineWcsSettings"]


@dataclass(frozen=True, kw_only=True)
class RefineWcsSettings:
    """Plate solution of each image.

    Attributes
    ----------
    search_radius_arcsec : float
        Largest error of the header's pointing that is searched [arcsec].
    search_rotation_deg : float
        Largest error of the header's orientation that is searched [deg].
    max_sip_order : int
        Highest order of the SIP distortion; lower where the stars do not support it.
    min_stars : int
        Matched stars that a solution needs [stars].
    max_rms_pix : float
        Largest scatter of the matched stars that is accepted [pixel].
    """

    search_radius_arcsec: float
    search_rotation_deg: float
    max_sip_order: int
    min_stars: int
    max_rms_pix: float
