"""A target pixel file or a cut-out as the pixels of a target."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from gaiaflux.core.maths.robust import finite_mean
from gaiaflux.core.sky.projection import sky_to_pixel
from gaiaflux.io.tess.light_curve_header import LightCurveHeader, header_of_target
from gaiaflux.model.cadences import ApertureBit, TargetFile
from gaiaflux.model.wcs import TanSip
from gaiaflux.tess.stamp.pixel_source import ZERO_POINT, PixelSource, spacecraft_time
from gaiaflux.tess.stamp.quality import DEFAULT_BAD
from gaiaflux.tess.stamp.stamps import Stamp, common_part, output_bits

__all__ = ["TargetPixels"]

# Kepler Instrument Handbook, section 2.3: 1.74e5 electron/s at 12 mag.
_ZERO_POINTS = {"kepler-tpf": 25.10}


@dataclass(frozen=True)
class TargetPixels:
    """A target pixel file or a cut-out as a `PixelSource`.

    Attributes
    ----------
    file : TargetFile
        As from `gaiaflux.io.tess.target_pixels.read_target_pixels`.
    full_frames : PixelSource, optional
        Full-frame images of the same CCD, which tell the flags of the pixels. They are closed with the file.
    """

    file: TargetFile
    full_frames: PixelSource | None = None
    whole = True
    scene = None

    @property
    def sector(self) -> int:
        """Sector."""
        return self.file.sector

    @property
    def camera(self) -> int:
        """Camera, 1 to 4."""
        return self.file.camera

    @property
    def ccd(self) -> int:
        """CCD, 1 to 4."""
        return self.file.ccd

    @property
    def cadence_s(self) -> float:
        """Seconds between the frames."""
        return self.file.cadence_s

    @property
    def limits(self) -> Stamp:
        """The stamp of the file."""
        return self.file.stamp

    @property
    def time(self) -> np.ndarray:
        """Mid-exposure at the barycentre, BTJD [d], shape (n_times,)."""
        return self.file.series.time

    @property
    def timecorr(self) -> np.ndarray:
        """`time` less the time at the spacecraft [d], shape (n_times,)."""
        return self.file.series.timecorr

    @property
    def timecorr_place(self) -> tuple[float, float] | None:
        """Direction (ra, dec) that `time` is corrected for [deg]; None where it is not known."""
        return self.file.timecorr_place

    @property
    def cadenceno(self) -> np.ndarray:
        """Number of each cadence, shape (n_times,)."""
        return self.file.series.cadenceno

    @property
    def quality(self) -> np.ndarray:
        """Bits of the mission, shape (n_times,)."""
        return self.file.series.quality

    @property
    def frame_flags(self) -> np.ndarray:
        """None: the mission judges its targets itself."""
        return np.zeros(len(self.time), np.uint32)

    @property
    def pos_corr(self) -> np.ndarray:
        """Offset (column, row) in each frame [pixel], shape (n_times, 2); NaN where the mission gives none."""
        return self.file.series.pos_corr

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is odd about the file."""
        return self.file.remarks

    @property
    def subtracted(self) -> bool:
        """Whether a background was subtracted from the images."""
        return self.file.subtracted

    @property
    def zero_point(self) -> float:
        """Magnitude of a star that gives one electron per second, in the band of the camera."""
        return _ZERO_POINTS.get(self.file.origin, ZERO_POINT)

    @property
    def position_known(self) -> bool:
        """Whether rows and columns are those of the CCD: a cut-out's header may not say where it is."""
        return self.file.position_known

    @property
    def exposure_s(self) -> float:
        """Time in a cadence in which light is gathered [s]; the cadence itself where the header does not say."""
        detector = self.file.detector
        gathered = (detector.nreadout or detector.num_frm) * detector.int_time_s
        return float(gathered) if np.isfinite(gathered) and gathered > 0 else self.file.cadence_s

    @property
    def wcs(self) -> TanSip:
        """Plate solution in coordinates of `limits`."""
        return self.file.wcs

    @property
    def header(self) -> LightCurveHeader:
        """What the headers of all light curves say that are measured in these pixels; of no method and version."""
        return header_of_target(self.file, "", 0)

    @property
    def place(self) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Function of ra and dec [deg]: row and column on the CCD [pixel, 0-based]; it does not hold the pixels."""
        return partial(_place, self.file.wcs, self.limits)

    @property
    def movement(self) -> None:
        """None: the file tells shifts of its own stamp."""

    def close(self) -> None:
        """Close the full-frame images; the file itself is in memory."""
        if self.full_frames is not None:
            self.full_frames.close()

    def seen_at(self, row: float, column: float) -> "TargetPixels":
        """Itself: its shifts hold for all of its pixels."""
        return self

    def images(self, stamp: Stamp) -> np.ndarray:
        """Flux without the background [electron/s], read-only."""
        return self._cut(self.file.series.flux, stamp)

    def errors(self, stamp: Stamp) -> np.ndarray:
        """One-sigma error of each pixel [electron/s], read-only."""
        return self._cut(self.file.series.flux_err, stamp)

    def stated_errors(self, stamp: Stamp) -> np.ndarray:
        """The same: what FLUX_ERR says."""
        return self.errors(stamp)

    def backgrounds(self, stamp: Stamp) -> np.ndarray:
        """Background that was subtracted [electron/s], read-only."""
        return self._cut(self.file.series.background, stamp)

    def background_errors(self, stamp: Stamp) -> np.ndarray:
        """Its one-sigma error [electron/s], read-only; NaN where unknown."""
        return self._cut(self.file.series.background_err, stamp)

    def pixel_flags(self, stamp: Stamp) -> np.ndarray:
        """Flags by the full-frame images, uint8, shape (n_images, rows, columns); 0 where they show nothing."""
        shape = (stamp[1] - stamp[0], stamp[3] - stamp[2])
        if self.full_frames is None:
            return np.zeros((0, *shape), np.uint8)
        part = common_part(stamp, self.full_frames.limits)
        told = self.full_frames.pixel_flags(part)
        flags = np.zeros((len(told), *shape), np.uint8)
        flags[:, part[0] - stamp[0] : part[1] - stamp[0], part[2] - stamp[2] : part[3] - stamp[2]] = told
        return flags

    @property
    def image_of_time(self) -> np.ndarray:
        """Full-frame image nearest to each cadence at the spacecraft; -1 where none is within one of its cadences."""
        if self.full_frames is None:
            return np.full(len(self.time), -1)
        reach = self.full_frames.cadence_s / 86400.0
        return _nearest(spacecraft_time(self), spacecraft_time(self.full_frames), reach)

    def aperture(self, stamp: Stamp) -> np.ndarray:
        """Bits of the mission, with those of the CCD's outputs; the masks of its own photometry are left out."""
        bits = self._cut(self.file.series.aperture[None], stamp)[0] & ~(ApertureBit.PHOTOMETRY | ApertureBit.CENTROID)
        if not self.file.position_known or np.any(bits & sum(ApertureBit.OUTPUTS)):
            return bits
        return bits | output_bits(np.arange(stamp[2], stamp[3]))

    def mission_mask(self, stamp: Stamp, starid: int) -> np.ndarray:
        """Pixels that the mission sums up, bool, shape (rows, columns); none for another star than the file's own."""
        if starid != self.file.starid:
            return np.zeros((stamp[1] - stamp[0], stamp[3] - stamp[2]), bool)
        return (self._cut(self.file.series.aperture[None], stamp)[0] & ApertureBit.PHOTOMETRY) != 0

    def mean_image(self, stamp: Stamp) -> np.ndarray:
        """Mean of the frames of quality 0, else of those without a bit of `DEFAULT_BAD`; NaN where none is finite."""
        good = self.quality == 0
        if not good.any():
            good = (self.quality & DEFAULT_BAD) == 0
        return finite_mean(self.images(stamp)[good])

    def _cut(self, frames: np.ndarray, stamp: Stamp) -> np.ndarray:
        row, _, column, _ = self.limits
        view = frames[:, stamp[0] - row : stamp[1] - row, stamp[2] - column : stamp[3] - column].view()
        view.flags.writeable = False
        return view


def _place(wcs: TanSip, limits: Stamp, ra_deg: np.ndarray, dec_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    column, row = sky_to_pixel(wcs, ra_deg, dec_deg)
    return row + limits[0], column + limits[2]


def _nearest(time: np.ndarray, others: np.ndarray, reach: float) -> np.ndarray:
    """Row of the nearest of some ascending times to each time; -1 where it is farther than `reach`."""
    after = np.searchsorted(others, time)
    before, after = np.maximum(after - 1, 0), np.minimum(after, len(others) - 1)
    rows = np.where(np.abs(others[before] - time) <= np.abs(others[after] - time), before, after)
    return np.where(np.abs(others[rows] - time) <= reach, rows, -1)
