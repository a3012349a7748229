"""The methods of photometry of TESS as classes with the documented interface of the TASOC photometry module."""

from gaiaflux.model.methods import TESS_APERTURE, TESS_LINPSF, TESS_PSF
from gaiaflux.tess.base_photometry import BasePhotometry
from gaiaflux.tess.stamp.measurement import measure_methods
from gaiaflux.tess.stamp.status import STATUS

__all__ = ["AperturePhotometry", "LinPSFPhotometry", "PSFPhotometry"]


class PSFPhotometry(BasePhotometry):
    """Fits light and places of the stars in each cadence with the pixel response function.

    Parameters and attributes are those of `BasePhotometry`.
    """

    method = TESS_PSF.name

    def do_photometry(self, *, residual_correction: bool = False) -> STATUS:
        """Measure the target.

        Parameters
        ----------
        residual_correction : bool
            Add what the fit leaves within a pixel of the star to its flux, as the TASOC photometry module does.

        Returns
        -------
        STATUS
            WARNING: see ``details["errors"]``; ERROR: nothing was measured.
        """
        made = measure_methods(self, (self.method,), residual_correction=residual_correction)
        return self.take(made[self.method])


class LinPSFPhotometry(BasePhotometry):
    """Fits the light of the stars in each cadence at known places, moved by the jitter of the spacecraft.

    Parameters and attributes are those of `BasePhotometry`.
    """

    method = TESS_LINPSF.name

    def do_photometry(self, *, residual_correction: bool = False) -> STATUS:
        """Measure the target; see `PSFPhotometry.do_photometry`."""
        made = measure_methods(self, (self.method,), residual_correction=residual_correction)
        return self.take(made[self.method])


class AperturePhotometry(BasePhotometry):
    """Sums the pixels of a mask in each cadence: the mission's, or else those in which the mean image shows the star.

    Parameters and attributes are those of `BasePhotometry`.
    """

    method = TESS_APERTURE.name

    def do_photometry(self, *, saturated: str = "aperture") -> STATUS:
        """Measure the target; see `PSFPhotometry.do_photometry`.

        Parameters
        ----------
        saturated : str
            A target with saturated pixels: ``aperture`` sums up all pixels with its charge and enlarges the stamp for
            them, ``halo`` weighs the other pixels so that they vary least.

        Returns
        -------
        STATUS
        """
        return self.take(measure_methods(self, (self.method,), saturated=saturated)[self.method])
