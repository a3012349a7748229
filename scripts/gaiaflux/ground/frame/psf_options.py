"""How the PSF and the fluxes of a frame are fitted, from the configuration."""

from gaiaflux.core.psf.fluxes import PsfOptions
from gaiaflux.ground.frame.noise import background_estimator
from gaiaflux.model.settings.psf import PsfSettings

__all__ = ["psf_options"]


def psf_options(settings: PsfSettings) -> PsfOptions:
    """Options of the fit from the section ``photometry.psf`` of the configuration."""
    return PsfOptions(
        radius_fwhm=settings.fit_radius_fwhm,
        max_order=settings.max_order,
        min_stars=settings.min_stars,
        max_stars=settings.max_psf_stars,
        residual=settings.residual,
        background=background_estimator(settings.background_box_pix),
        rounds=settings.rounds,
    )
