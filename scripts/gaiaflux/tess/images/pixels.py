"""Prepared full-frame images of a CCD as the pixels of a target."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from gaiaflux.core.cadences.motion import kernel_offsets
from gaiaflux.core.cadences.sky_series import SkySeries
from gaiaflux.core.sky.projection import sky_to_pixel
from gaiaflux.io.tess.light_curve_header import LightCurveHeader
from gaiaflux.io.tess.prepared_field import PreparedField
from gaiaflux.model.cadences import BTJD_ZERO_MJD, ApertureBit, CosmicRays, Detector
from gaiaflux.model.ccd_scene import CcdScene
from gaiaflux.model.wcs import TanSip
from gaiaflux.tess.images.excluded import excluded_pixels
from gaiaflux.tess.images.stored import in_ccd, read_sky, read_wcs, response_light
from gaiaflux.tess.stamp.pixel_source import PIXEL_BITS, ZERO_POINT, Movement
from gaiaflux.tess.stamp.stamps import Stamp, output_bits

__all__ = ["FieldPixels"]


@dataclass(frozen=True)
class FieldPixels:
    """Prepared images as a `gaiaflux.tess.stamp.pixel_source.PixelSource`.

    Attributes
    ----------
    field : PreparedField
        Open.
    seen : tuple of float, optional
        Row and column on the CCD whose movement `pos_corr` tells; the middle of the images without it.
    scene : CcdScene, optional
        All stars of the CCD, solved for together.
    """

    field: PreparedField
    seen: tuple[float, float] | None = None
    scene: CcdScene | None = None
    whole = False
    subtracted = True
    zero_point = ZERO_POINT
    position_known = True

    @property
    def sector(self) -> int:
        """Sector."""
        return int(self.field.head["sector"])

    @property
    def camera(self) -> int:
        """Camera, 1 to 4."""
        return int(self.field.head["camera"])

    @property
    def ccd(self) -> int:
        """CCD, 1 to 4."""
        return int(self.field.head["ccd"])

    @property
    def cadence_s(self) -> float:
        """Seconds between the frames."""
        return float(self.field.head["cadence_s"])

    @property
    def exposure_s(self) -> float:
        """Time in a cadence in which light is gathered [s]."""
        return float(np.median(self.field.array("frames/exptime_s")))

    @property
    def limits(self) -> Stamp:
        """The part of the CCD that the images show."""
        (row, column), (ny, nx) = self.field.head["corner"], self.field.head["shape"]
        return row, row + ny, column, column + nx

    @property
    def wcs(self) -> TanSip:
        """Plate solution of the mean of the images, in coordinates of `limits`."""
        return read_wcs(self.field)

    @cached_property
    def time(self) -> np.ndarray:
        """Mid-exposure at the barycentre for the middle of the CCD, BTJD [d], shape (n_times,)."""
        return self.field.array("frames/mjd_tdb") - BTJD_ZERO_MJD + self.timecorr

    @cached_property
    def timecorr(self) -> np.ndarray:
        """`time` less the time at the spacecraft [d], shape (n_times,)."""
        return self.field.array("frames/timecorr_d")

    @property
    def timecorr_place(self) -> tuple[float, float] | None:
        """Direction (ra, dec) that `time` is corrected for [deg]."""
        place = self.field.head["timecorr_place"]
        return (float(place[0]), float(place[1])) if place else None

    @cached_property
    def cadenceno(self) -> np.ndarray:
        """Number of each cadence, shape (n_times,)."""
        return self.field.array("frames/cadenceno").astype(np.int32)

    @cached_property
    def quality(self) -> np.ndarray:
        """Bits of the mission, shape (n_times,)."""
        return self.field.array("frames/quality").astype(np.int32)

    @cached_property
    def _motion(self) -> tuple[str, np.ndarray]:
        return str(self.field.head["motion"]["mode"]), self.field.array("motion/parameters")

    @cached_property
    def pos_corr(self) -> np.ndarray:
        """Offset (column, row) of a place in each frame [pixel], shape (n_times, 2); NaN where unknown."""
        first, last, left, right = self.limits
        row, column = self.seen or ((first + last - 1) / 2, (left + right - 1) / 2)
        place = np.array([[column - left, row - first]])
        mode, parameters = self._motion
        return kernel_offsets(mode, parameters, place)[:, 0]

    @property
    def movement(self) -> Movement:
        """Movement of the stars in coordinates of the CCD."""
        mode, parameters = self._motion
        return Movement(mode, in_ccd(mode, parameters, self.limits[2], self.limits[0]))

    def seen_at(self, row: float, column: float) -> "FieldPixels":
        """The same pixels, with `pos_corr` of a place on the CCD."""
        return replace(self, seen=(row, column))

    @property
    def image_of_time(self) -> np.ndarray:
        """Rows of `pixel_flags` for the cadences: each is an image itself, shape (n_times,)."""
        return np.arange(self.field.n_frames)

    @cached_property
    def frame_flags(self) -> np.ndarray:
        """Bits of `gaiaflux.model.flags.FrameFlag`, shape (n_times,)."""
        return self.field.array("frames/flags").astype(np.uint32)

    def close(self) -> None:
        """Close the files of the images."""
        self.field.close()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is odd about the images."""
        return tuple(self.field.head["remarks"])

    @property
    def header(self) -> LightCurveHeader:
        """What the headers of all light curves say that are measured in these pixels; of no method and version."""
        head, unknown = self.field.head, float("nan")
        detector: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in head["detector"].items()
        }
        return LightCurveHeader(
            starid=0,
            sector=self.sector,
            camera=self.camera,
            ccd=self.ccd,
            cadence_s=self.cadence_s,
            method="",
            version=0,
            data_release=int(head["data_release"]),
            procver=str(head["procver"]),
            ticver="",
            ra_deg=unknown,
            dec_deg=unknown,
            pmra=unknown,
            pmdec=unknown,
            tmag=unknown,
            teff=unknown,
            detector=Detector(**detector),
            cosmic_rays=CosmicRays(**head["cosmic_rays"]),
            first_column=self.limits[2],
            first_row=self.limits[0],
            remarks=self.remarks,
        )

    @property
    def place(self) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Function of ra and dec [deg]: row and column on the CCD [pixel, 0-based]; it does not hold the pixels."""
        return partial(_place, self.wcs, self.limits)

    @cached_property
    def _sky(self) -> SkySeries:
        return read_sky(self.field)

    def images(self, stamp: Stamp) -> np.ndarray:
        """Flux without the background [electron/s]."""
        raw = self._pixels("images", stamp)
        raw -= self.backgrounds(stamp)
        return raw

    def errors(self, stamp: Stamp) -> np.ndarray:
        """One-sigma error of each pixel, without the background's [electron/s]."""
        return self._pixels("images_err", stamp)

    def stated_errors(self, stamp: Stamp) -> np.ndarray:
        """One-sigma error of each pixel, with the background's [electron/s]."""
        return np.hypot(self.errors(stamp), self.background_errors(stamp))

    @cached_property
    def _last(self) -> dict[Stamp, np.ndarray]:
        """Background of the last stamp that was asked for."""
        return {}

    def backgrounds(self, stamp: Stamp) -> np.ndarray:
        """Sky with the pixels' response to it [electron/s]; read-only."""
        if stamp not in self._last:
            part = self._part(stamp)
            made = self._sky.values(part) + response_light(self.field, self._sky, part)
            made.flags.writeable = False
            # The images of the stamp ask for it too.
            self._last.clear()
            self._last[stamp] = made
        return self._last[stamp]

    def background_errors(self, stamp: Stamp) -> np.ndarray:
        """Its one-sigma error [electron/s]."""
        return self._sky.errors(self._part(stamp))

    def pixel_flags(self, stamp: Stamp) -> np.ndarray:
        """`PIXEL_BITS`, uint8, shape (n_times, rows, columns)."""
        first, last, left, right = part = self._part(stamp)
        rows, columns = slice(first, last), slice(left, right)
        used = self.field.array("sky_pixels", (rows, columns))
        flags = np.zeros((self.field.n_frames, *used.shape), np.uint8)
        flags |= np.where(used, 0, PIXEL_BITS["not_background"]).astype(np.uint8)
        mjd = self.field.array("frames/mjd_tdb")
        excluded = excluded_pixels((self.sector, self.camera, self.ccd), mjd, self.limits, stamp)
        flags[excluded] |= PIXEL_BITS["manual_exclude"]
        tile = int(self.field.head["tile_pix"])
        tiles = (
            slice(None),
            slice(first // tile, (last - 1) // tile + 1),
            slice(left // tile, (right - 1) // tile + 1),
        )
        excess = self.field.array("sky_excess", tiles)
        of_row = np.arange(first, last) // tile - part[0] // tile
        of_column = np.arange(left, right) // tile - part[2] // tile
        flags[excess[:, of_row][:, :, of_column]] |= PIXEL_BITS["background_shenanigans"]
        return flags

    def aperture(self, stamp: Stamp) -> np.ndarray:
        """Bits of each pixel: collected where the mean image has a number, those that tell the sky, and the output."""
        first, last, left, right = self._part(stamp)
        used = self.field.array("sky_pixels", (slice(first, last), slice(left, right)))
        bits = np.where(np.isfinite(self.mean_image(stamp)), ApertureBit.COLLECTED, 0).astype(np.int32)
        bits |= np.where(used, ApertureBit.BACKGROUND, 0).astype(np.int32)
        return bits | output_bits(np.arange(stamp[2], stamp[3]))

    def mission_mask(self, stamp: Stamp, starid: int) -> np.ndarray:
        """None: the mission names no pixels for the stars of full-frame images."""
        return np.zeros((stamp[1] - stamp[0], stamp[3] - stamp[2]), bool)

    def mean_image(self, stamp: Stamp) -> np.ndarray:
        """Mean of the good frames of quality 0 [electron/s], float64, shape (rows, columns)."""
        first, last, left, right = self._part(stamp)
        return self.field.array("mean_image", (slice(first, last), slice(left, right))).astype(np.float64)

    def _part(self, stamp: Stamp) -> Stamp:
        """A stamp in coordinates of the images."""
        row, _, column, _ = self.limits
        return stamp[0] - row, stamp[1] - row, stamp[2] - column, stamp[3] - column

    def _pixels(self, name: str, stamp: Stamp) -> np.ndarray:
        first, last, left, right = self._part(stamp)
        return self.field.pixels(name, slice(first, last), slice(left, right))


def _place(wcs: TanSip, limits: Stamp, ra_deg: np.ndarray, dec_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    column, row = sky_to_pixel(wcs, ra_deg, dec_deg)
    return row + limits[0], column + limits[2]
