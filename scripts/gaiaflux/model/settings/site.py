"""Settings `site`, made from the schema by `gaiaflux.workflow.sections`; edit that instead."""

from dataclasses import dataclass

__all__ = ["SiteSettings"]


@dataclass(frozen=True, kw_only=True)
class SiteSettings:
    """Observatory, where neither the header nor the list of known sites has it.

    Attributes
    ----------
    lat_deg : float, optional
        Geodetic latitude [deg].
    lon_deg : float, optional
        Longitude, positive to the east [deg].
    height_m : float, optional
        Height above the ellipsoid [m].
    aperture_m : float, optional
        Diameter of the telescope, for the scintillation noise [m].
    """

    lat_deg: float | None
    lon_deg: float | None
    height_m: float | None
    aperture_m: float | None
