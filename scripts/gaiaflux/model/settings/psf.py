"""Settings `psf`, made from the schema by `gaiaflux.workflow.sections`; edit that instead."""

from dataclasses import dataclass

__all__ = ["PsfSettings"]


@dataclass(frozen=True, kw_only=True)
class PsfSettings:
    """PSF photometry; where it is chosen, the list of stars is fitted by these settings as well.

    Attributes
    ----------
    fit_radius_fwhm : float
        Radius of the pixels around a star that are fitted, in units of each frame's FWHM, or of 2.75 pixels where that
        is less [FWHM].
    max_order : int
        Highest order of the PSF's change over the field; lower where the stars do not support it.
    min_stars : int
        Stars that a frame's PSF needs; with fewer the reference image's is scaled to the frame [stars].
    max_psf_stars : int
        Stars that a frame's PSF is measured with at most [stars].
    residual : bool
        `true` adds to the analytic PSF what the stars show beside it.
    background_box_pix : int
        Size of the boxes in which the background is measured when the stars have been subtracted [pixel].
    rounds : int
        Rounds of background and fluxes with the final PSF.
    residual_pictures : bool, optional
        `true` draws each frame without its stars, in results/{series}/residuals; nothing is measured again.
    subtracted_images : bool, optional
        `true` writes each frame without its stars, as FITS in results/{series}/residuals; nothing is measured again.
    """

    fit_radius_fwhm: float
    max_order: int
    min_stars: int
    max_psf_stars: int
    residual: bool
    background_box_pix: int
    rounds: int
    residual_pictures: bool | None
    subtracted_images: bool | None
