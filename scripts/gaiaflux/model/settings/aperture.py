"""Settings `aperture`, made from the schema by `gaiaflux.workflow.sections`; edit that instead."""

from dataclasses import dataclass

__all__ = ["ApertureSettings"]


@dataclass(frozen=True, kw_only=True)
class ApertureSettings:
    """Aperture photometry.

    Attributes
    ----------
    radii_fwhm : tuple[float, ...], optional
        Aperture radii in units of each frame's FWHM; of 2.5 pixels where that is less [FWHM].
    radii_arcsec : tuple[float, ...], optional
        Aperture radii on the sky, instead of radii_fwhm [arcsec].
    annulus_fwhm : tuple[float, ...], optional
        Inner and outer radius of the background annulus in units of the series' usual FWHM, that of the first run, so
        that it has one size on the sky; of 2.5 pixels where that is less. It begins no closer than 2.5 times a frame's
        own FWHM [FWHM].
    annulus_arcsec : tuple[float, ...], optional
        Inner and outer radius of the background annulus on the sky, instead of annulus_fwhm [arcsec].
    min_correction_stars : int
        Stars that an aperture correction needs that varies over the field [stars].
    subtract_neighbours : bool
        Take the light of the other stars of the catalogue off each aperture.
    """

    radii_fwhm: tuple[float, ...] | None
    radii_arcsec: tuple[float, ...] | None
    annulus_fwhm: tuple[float, ...] | None
    annulus_arcsec: tuple[float, ...] | None
    min_correction_stars: int
    subtract_neighbours: bool
