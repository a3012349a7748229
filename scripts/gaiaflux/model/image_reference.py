"""What the images of a CCD have in common, settled once with the first of them."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.model.cadences import CosmicRays, Detector
from gaiaflux.model.wcs import TanSip

__all__ = ["ImageReference", "NoReference"]


@dataclass(frozen=True)
class ImageReference:
    """Reference of the images of a CCD.

    Attributes
    ----------
    frame_id : str
        Image whose plate solution it is.
    sector, camera, ccd : int
    cadence_s : float
        Time from one image to the next [s].
    detector : Detector
        How it was read.
    cosmic_rays : CosmicRays
        What was done about them.
    stamp : tuple of int
        (first row, row after the last, first column, column after the last) that the images show, on the CCD.
    wcs : TanSip
        Plate solution in coordinates of the images.
    jyear : float
        Epoch of the places of stars, Julian year.
    starry : ndarray of bool, shape (ny, nx)
        Pixels whose light is stars'.
    star_id : ndarray of int64, shape (n,)
        Stars of the catalogue on the images and around them.
    x, y, flux : ndarray of float64, shape (n,)
        Their places [pixel, 0-based in the images], and light as the catalogue has it [electron/s].
    tells : ndarray of int64, shape (m,)
        Rows of those that tell how the images move.
    remarks : tuple of str
        What the user has to know of all images.
    """

    frame_id: str
    sector: int
    camera: int
    ccd: int
    cadence_s: float
    detector: Detector
    cosmic_rays: CosmicRays
    stamp: tuple[int, int, int, int]
    wcs: TanSip
    jyear: float
    starry: np.ndarray
    star_id: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    tells: np.ndarray
    remarks: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the images."""
        return self.stamp[1] - self.stamp[0], self.stamp[3] - self.stamp[2]

    @property
    def place(self) -> tuple[int, int, int]:
        """Sector, camera, CCD."""
        return self.sector, self.camera, self.ccd


@dataclass(frozen=True)
class NoReference:
    """What stands in place of a reference where no image can be one: the images of the CCD are all lost.

    Attributes
    ----------
    place : tuple of int
        Sector, camera, CCD.
    reason : str
        Why.
    """

    place: tuple[int, int, int]
    reason: str
