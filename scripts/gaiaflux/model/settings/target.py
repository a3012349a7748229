"""Settings `target`, made from the schema by `gaiaflux.workflow.sections`; edit that instead."""

from dataclasses import dataclass

__all__ = ["TargetSettings"]


@dataclass(frozen=True, kw_only=True)
class TargetSettings:
    """One of the sections `target`.

    Attributes
    ----------
    name : str
        letters, digits and . _ + - only, since files are named after it.
    ra_deg : float, optional
        Right ascension (ICRS) [deg].
    dec_deg : float, optional
        Declination (ICRS) [deg].
    source_id : int, optional
        Gaia source identifier.
    star_id : int, optional
        Number of the star in the series' star catalogue.
    x_pix : float, optional
        Column on the reference image, 0-based, integer = pixel centre [pixel].
    y_pix : float, optional
        Row on the reference image, 0-based, integer = pixel centre [pixel].
    """

    name: str
    ra_deg: float | None
    dec_deg: float | None
    source_id: int | None
    star_id: int | None
    x_pix: float | None
    y_pix: float | None
