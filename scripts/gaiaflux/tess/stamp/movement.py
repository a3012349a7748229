"""Movement of the stars on the CCD with time, in the terms of the TASOC photometry module."""

import logging
from collections.abc import Sequence

import numpy as np
from astropy.wcs import WCS

from gaiaflux.core.cadences.motion import KERNEL_PARAMETERS, KernelSeries, kernel_offsets, kernel_series
from gaiaflux.core.cadences.registration import register
from gaiaflux.core.sky.projection import pixel_to_sky, sky_to_pixel
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.model.ccd_layout import FULL_FRAME
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.wcs import TanSip

__all__ = ["ImageMovementKernel"]

LOG = logging.getLogger(__name__)
_BY_SKY = "wcs"


class ImageMovementKernel:
    """How far the stars of a reference image have moved in other images.

    Parameters
    ----------
    warpmode : str
        ``unchanged``, ``translation`` (dx, dy), ``euclidian`` (dx, dy, angle [rad]), ``affine`` (the 2 x 3 matrix, row
        by row), or ``wcs``: a plate solution for each image.
    image_ref : ndarray, shape (ny, nx), optional
        Reference image; `calc_kernel` needs it.
    wcs_ref : TanSip, astropy.wcs.WCS or str, optional
        Plate solution of the reference image; ``wcs`` needs it.

    Attributes
    ----------
    warpmode, image_ref
        As given.
    n_params : int
        Numbers of a kernel; 1 for ``wcs``.

    Raises
    ------
    ValueError
        Another `warpmode`, or ``wcs`` without a plate solution of the reference image.
    """

    def __init__(
        self,
        warpmode: str = "unchanged",
        image_ref: np.ndarray | None = None,
        wcs_ref: TanSip | WCS | str | None = None,
    ) -> None:
        if warpmode not in (*KERNEL_PARAMETERS, _BY_SKY):
            raise ValueError(f"warpmode '{warpmode}' is none of {', '.join([*KERNEL_PARAMETERS, _BY_SKY])}")
        self.warpmode, self.image_ref = warpmode, image_ref
        self.n_params = KERNEL_PARAMETERS.get(warpmode, 1)
        self._wcs_ref = _plate(wcs_ref)
        if self._by_sky and self._wcs_ref is None:
            raise ValueError("warpmode 'wcs' needs the plate solution of the reference image (wcs_ref)")
        self._series: KernelSeries | None = None
        self._plates: tuple[np.ndarray, list[TanSip]] = (np.empty(0), [])

    @property
    def _by_sky(self) -> bool:
        return self.warpmode == _BY_SKY

    def apply_kernel(self, xy: np.ndarray, kernel: np.ndarray | TanSip | WCS | str) -> np.ndarray:
        """Offsets of places by one kernel.

        Parameters
        ----------
        xy : ndarray, shape (n, 2)
            Columns and rows on the reference image [pixel, 0-based].
        kernel : ndarray of `n_params` numbers, or a plate solution

        Returns
        -------
        ndarray of float64, shape (n, 2)
            To be added to `xy` [pixel].

        Raises
        ------
        ValueError
            Another number of parameters, or no plate solution.
        """
        xy = np.atleast_2d(np.asarray(xy, np.float64))
        if not self._by_sky:
            return kernel_offsets(self.warpmode, np.asarray(kernel, np.float64), xy)
        plate = _plate(kernel)
        if plate is None or self._wcs_ref is None:
            raise ValueError("the kernel is no plate solution that can be inverted")
        ra, dec = pixel_to_sky(self._wcs_ref, xy[:, 0], xy[:, 1])
        return np.stack(sky_to_pixel(plate, ra, dec), axis=1) - xy

    def calc_kernel(
        self, image: np.ndarray, number_of_iterations: int = 100, termination_eps: float = 1e-6
    ) -> np.ndarray:
        """Kernel that takes places of the reference image to those of an image.

        Parameters
        ----------
        image : ndarray, shape (ny, nx)
            NaN where there is nothing.
        number_of_iterations : int
            At most.
        termination_eps : float
            Change of a place at which it ends [pixel].

        Returns
        -------
        ndarray of float64, shape (n_params,)
            Empty for ``unchanged``; NaN where the images have nothing in common.

        Raises
        ------
        RuntimeError
            There is no reference image.
        ValueError
            ``wcs``, whose kernels are plate solutions.
        """
        if self.image_ref is None:
            raise RuntimeError("there is no reference image (image_ref)")
        if self._by_sky:
            raise ValueError("kernels of warpmode 'wcs' are plate solutions; none is calculated from an image")
        return register(self.image_ref, image, self.warpmode, number_of_iterations, termination_eps)

    def load_series(self, times: np.ndarray, kernels: np.ndarray | Sequence[TanSip | WCS | str]) -> None:
        """Keep a series of kernels; those that are not finite, empty or cannot be inverted are left out.

        Parameters
        ----------
        times : ndarray, shape (n,)
            In any order [d].
        kernels : ndarray, shape (n, n_params), or n plate solutions

        Raises
        ------
        ValueError
            Another shape, or nothing that can be used.
        """
        if not self._by_sky:
            self._series = kernel_series(self.warpmode, times, np.asarray(kernels, np.float64))
            return
        if len(times) != len(kernels):
            raise ValueError(f"{len(kernels)} plate solutions for {len(times)} times")
        read = [(float(time), _plate(kernel)) for time, kernel in zip(times, kernels, strict=True)]
        plates = sorted(((time, plate) for time, plate in read if plate is not None), key=lambda pair: pair[0])
        if not plates:
            raise ValueError("no plate solution that can be used")
        if len(plates) < len(read):
            LOG.warning("%d of %d plate solutions cannot be used", len(read) - len(plates), len(read))
        self._plates = np.array([time for time, _ in plates]), [plate for _, plate in plates]

    def interpolate(self, time: float, xy: np.ndarray) -> np.ndarray:
        """Offsets of places at a time.

        Parameters
        ----------
        time : float
            As in the series [d].
        xy : ndarray, shape (n, 2)
            Columns and rows on the reference image [pixel, 0-based].

        Returns
        -------
        ndarray of float64, shape (n, 2)
            Linear between the kernels before and after it; the first and the last hold for one step beyond.

        Raises
        ------
        ValueError
            No series was loaded, or the time is farther outside of it.
        """
        xy = np.atleast_2d(np.asarray(xy, np.float64))
        if self.warpmode == "unchanged":
            return np.zeros_like(xy)
        if not self._by_sky:
            if self._series is None:
                raise ValueError("no series of kernels was loaded")
            return self._series.offsets(np.array([time]), xy)[0]
        times, plates = self._plates
        if not plates:
            raise ValueError("no series of kernels was loaded")
        # Place of the time among the kernels: 1.25 is a quarter of the way from the second to the third.
        place = (
            float(
                kernel_series("translation", times, np.arange(2.0 * len(times)).reshape(-1, 2)).at(np.array([time]))[
                    0, 0
                ]
            )
            / 2
        )
        low, part = int(place), place % 1.0
        offsets = self.apply_kernel(xy, plates[low])
        return offsets if part == 0.0 else (1.0 - part) * offsets + part * self.apply_kernel(xy, plates[low + 1])

    def jitter(self, time: np.ndarray, column: float, row: float) -> np.ndarray:
        """Offsets of one place at many times.

        Parameters
        ----------
        time : ndarray, shape (n,)
            [d].
        column, row : float
            On the reference image [pixel, 0-based].

        Returns
        -------
        ndarray of float64, shape (n, 2)
            (column, row) [pixel].

        Raises
        ------
        ValueError
            As `interpolate`.
        """
        xy = np.array([[column, row]])
        if self._series is not None:
            return self._series.offsets(np.asarray(time, np.float64), xy)[:, 0]
        return np.stack([self.interpolate(float(one), xy)[0] for one in np.atleast_1d(time)])


def _plate(wcs: object) -> TanSip | None:
    """A plate solution in whatever form it comes; None where it is empty or cannot be used."""
    if isinstance(wcs, TanSip):
        return wcs
    if isinstance(wcs, WCS):
        wcs = wcs.to_header_string(relax=True)
    if not isinstance(wcs, str) or not wcs.strip():
        return None
    cards = wcs if "\n" in wcs else "\n".join(wcs[start : start + 80] for start in range(0, len(wcs), 80))
    try:
        return tan_sip_from_cards(cards, FULL_FRAME)
    except BadFrameError:
        return None
