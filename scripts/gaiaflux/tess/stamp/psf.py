"""The point-spread function at the place of a target, for users who make images of it."""

from collections.abc import Iterable

import numpy as np

from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.core.psf.stamp_light import stamp_light, star_tables
from gaiaflux.tess.stamp.stamps import Stamp

__all__ = ["PSF"]


class PSF:
    """Pixel response function of one stamp: the part of a star's light that each pixel receives.

    The response of the pixel is in the samples already; they are never integrated over the pixels again.

    Parameters
    ----------
    sector, camera, ccd : int
        Where it holds.
    stamp : tuple of int
        (row_min, row_max, col_min, col_max) on the CCD, 0-based, half-open.
    samples : SampledPsf
        Function of the CCD, in coordinates of the CCD, as from `gaiaflux.io.tess.prf.read_prf`.

    Attributes
    ----------
    sector, camera, ccd, stamp
        As given.
    shape : tuple of int
        (rows, columns) of the stamp.
    ref_row, ref_column : float
        Middle of the stamp on the CCD [pixel, 0-based].

    Raises
    ------
    ValueError
        A sector before 1, a camera or CCD that TESS does not have, or a stamp of other than four numbers.
    """

    def __init__(self, sector: int, camera: int, ccd: int, stamp: Stamp, samples: SampledPsf) -> None:
        if sector < 1:
            raise ValueError(f"sector {sector}: the first is 1")
        if camera not in (1, 2, 3, 4) or ccd not in (1, 2, 3, 4):
            raise ValueError(f"camera {camera}, CCD {ccd}: both are 1 to 4")
        if len(stamp) != 4:
            raise ValueError(f"stamp {stamp}: it has four numbers, row_min, row_max, col_min, col_max")
        self.sector, self.camera, self.ccd, self.stamp = sector, camera, ccd, stamp
        self.shape = (stamp[1] - stamp[0], stamp[3] - stamp[2])
        self.ref_row = (stamp[0] + stamp[1] - 1) / 2
        self.ref_column = (stamp[2] + stamp[3] - 1) / 2
        self._samples = samples

    def integrate_to_image(
        self, params: Iterable[tuple[float, float, float]], cutoff_radius: float | None = 5
    ) -> np.ndarray:
        """Image of stars on the stamp.

        Parameters
        ----------
        params : iterable of (row, column, flux)
            Place in the stamp [pixel, 0-based] and total flux of each star; a star may lie outside of the stamp.
        cutoff_radius : float, optional
            Pixels whose centres are as far from the star or farther get nothing, so that the sum is less than the flux
            [pixel]; None: no limit.

        Returns
        -------
        ndarray of float64, shape (rows, columns)
            In the unit of the fluxes.
        """
        stars = np.array([tuple(star) for star in params], np.float64).reshape(-1, 3)
        if not len(stars):
            return np.zeros(self.shape)
        row, column, flux = stars.T
        tables = star_tables(self._samples, column + self.stamp[2], row + self.stamp[0])
        light = stamp_light(tables, column, row, self.shape).light
        if cutoff_radius is not None:
            y, x = np.indices(self.shape)
            distance = np.hypot(x - column[:, None, None], y - row[:, None, None])
            light = np.where(distance < cutoff_radius, light, 0.0)
        return np.einsum("s,syx->yx", flux, light)
