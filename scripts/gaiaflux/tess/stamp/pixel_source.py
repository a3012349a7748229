"""Where the pixels of a target come from: one file of its own, or images of a whole CCD."""

from typing import Any, NamedTuple, Protocol

import numpy as np

from gaiaflux.io.tess.light_curve_header import LightCurveHeader
from gaiaflux.model.ccd_scene import CcdScene
from gaiaflux.model.wcs import TanSip
from gaiaflux.tess.stamp.stamps import Stamp

__all__ = ["PIXEL_BITS", "ZERO_POINT", "ClosedPixels", "Movement", "PixelSource", "spacecraft_time"]

ZERO_POINT = 20.44
"""Magnitude of a star that gives one electron per second (TESS Instrument Handbook, section 5.1)."""
PIXEL_BITS = {"not_background": 1, "manual_exclude": 2, "background_shenanigans": 4}
"""Bits of `PixelSource.pixel_flags`, as in the data products of the TASOC photometry module."""


class Movement(NamedTuple):
    """Movement of the stars over a CCD.

    Attributes
    ----------
    mode : str
        One of `gaiaflux.core.cadences.motion.KERNEL_PARAMETERS`.
    parameters : ndarray of float64, shape (n_times, n_parameters)
        In coordinates of the CCD, (column, row); NaN where unknown.
    """

    mode: str
    parameters: np.ndarray


class PixelSource(Protocol):
    """Pixels of a CCD at many times; every array of frames has the shape (n_times, rows, columns) of a stamp."""

    @property
    def sector(self) -> int:
        """Sector."""
        ...

    @property
    def camera(self) -> int:
        """Camera, 1 to 4."""
        ...

    @property
    def ccd(self) -> int:
        """CCD, 1 to 4."""
        ...

    @property
    def cadence_s(self) -> float:
        """Seconds between the frames."""
        ...

    @property
    def limits(self) -> Stamp:
        """Where there are pixels."""
        ...

    @property
    def whole(self) -> bool:
        """Whether a target's stamp is all of the pixels at first, and not of a size of its own."""
        ...

    @property
    def time(self) -> np.ndarray:
        """Mid-exposure at the barycentre, BTJD [d], shape (n_times,)."""
        ...

    @property
    def timecorr(self) -> np.ndarray:
        """`time` less the time at the spacecraft [d], shape (n_times,)."""
        ...

    @property
    def timecorr_place(self) -> tuple[float, float] | None:
        """Direction (ra, dec) that `time` is corrected for [deg]; None where it is not known."""
        ...

    @property
    def cadenceno(self) -> np.ndarray:
        """Number of each cadence, shape (n_times,)."""
        ...

    @property
    def quality(self) -> np.ndarray:
        """Bits of the mission, shape (n_times,)."""
        ...

    @property
    def frame_flags(self) -> np.ndarray:
        """What was found of each frame, bits of `gaiaflux.model.flags.FrameFlag`, uint32, shape (n_times,)."""
        ...

    @property
    def pos_corr(self) -> np.ndarray:
        """Offset (column, row) of the stars in each frame as the mission gives it [pixel], shape (n_times, 2)."""
        ...

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is odd about the pixels and has to be known: sentences for the user."""
        ...

    @property
    def subtracted(self) -> bool:
        """Whether a background was subtracted from the images."""
        ...

    @property
    def zero_point(self) -> float:
        """Magnitude of a star that gives one electron per second."""
        ...

    @property
    def position_known(self) -> bool:
        """Whether rows and columns are those of the CCD."""
        ...

    @property
    def exposure_s(self) -> float:
        """Time in a cadence in which light is gathered [s]."""
        ...

    @property
    def wcs(self) -> TanSip:
        """Plate solution in coordinates of `limits`."""
        ...

    @property
    def header(self) -> LightCurveHeader:
        """What the headers of all light curves say that are measured in these pixels; of no method and version."""
        ...

    @property
    def scene(self) -> CcdScene | None:
        """All stars of the CCD, solved for together; None where they were not."""
        ...

    def place(self, ra_deg: np.ndarray, dec_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of places in the sky on the CCD [pixel, 0-based]; NaN where there is none."""
        ...

    @property
    def movement(self) -> "Movement | None":
        """How the stars move over all of the pixels; None where only `pos_corr` is known."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...

    def seen_at(self, row: float, column: float) -> "PixelSource":
        """The same pixels, with `pos_corr` of a place on the CCD [pixel, 0-based]."""
        ...

    def images(self, stamp: Stamp) -> np.ndarray:
        """Flux without the background [electron/s], float32."""
        ...

    def errors(self, stamp: Stamp) -> np.ndarray:
        """One-sigma error of each pixel, without the background's [electron/s], float32."""
        ...

    def stated_errors(self, stamp: Stamp) -> np.ndarray:
        """One-sigma error of each pixel as users are shown it [electron/s], float32."""
        ...

    def backgrounds(self, stamp: Stamp) -> np.ndarray:
        """Background that was subtracted [electron/s], float32."""
        ...

    def background_errors(self, stamp: Stamp) -> np.ndarray:
        """Its one-sigma error [electron/s], float32; NaN where unknown."""
        ...

    def pixel_flags(self, stamp: Stamp) -> np.ndarray:
        """`PIXEL_BITS` in full-frame images, uint8, shape (n_images, rows, columns)."""
        ...

    @property
    def image_of_time(self) -> np.ndarray:
        """Row of `pixel_flags` that tells each cadence, int64, shape (n_times,); -1 where none does."""
        ...

    def aperture(self, stamp: Stamp) -> np.ndarray:
        """Bits of the mission, int32, shape (rows, columns)."""
        ...

    def mission_mask(self, stamp: Stamp, starid: int) -> np.ndarray:
        """Pixels that the mission sums up for a star, bool, shape (rows, columns); none where it does not say."""
        ...

    def mean_image(self, stamp: Stamp) -> np.ndarray:
        """Mean of the good frames [electron/s], float64, shape (rows, columns)."""
        ...


def spacecraft_time(source: PixelSource) -> np.ndarray:
    """Mid-exposures at the spacecraft, BTJD [d], shape (n_times,); barycentric where the correction is unknown."""
    return source.time - np.nan_to_num(source.timecorr, nan=0.0)


class ClosedPixels:
    """What is left of a source without its pixels: its times and where it is. Pixels raise ValueError.

    Parameters
    ----------
    source : PixelSource
    """

    _NAMES = (
        *("sector", "camera", "ccd", "cadence_s", "limits", "whole", "subtracted", "zero_point", "remarks", "place"),
        *("time", "timecorr", "timecorr_place", "cadenceno", "quality", "pos_corr", "movement", "frame_flags"),
        "image_of_time",
    )

    def __init__(self, source: PixelSource) -> None:
        self._kept = {name: getattr(source, name) for name in self._NAMES}

    @classmethod
    def of(cls, source: PixelSource) -> "ClosedPixels":
        """The source without its pixels; one that is closed stays as it is."""
        return source if isinstance(source, cls) else cls(source)

    def __getattr__(self, name: str) -> Any:
        if name in self._kept:
            return self._kept[name]
        if name.startswith("__"):
            raise AttributeError(name)
        raise ValueError(f"the pixels of sector {self._kept['sector']} were closed; open the target again")
