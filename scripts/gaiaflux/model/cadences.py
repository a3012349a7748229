"""Many short exposures of one small part of a CCD, and the file that they come from."""

from dataclasses import dataclass, field

import numpy as np

from gaiaflux.model.wcs import TanSip

__all__ = [
    "BTJD_ZERO_JD",
    "BTJD_ZERO_MJD",
    "ApertureBit",
    "CosmicRays",
    "Detector",
    "StampSeries",
    "TargetFacts",
    "TargetFile",
]

BTJD_ZERO_JD = 2457000.0
"""Julian Date at which BTJD is 0 [d]."""
BTJD_ZERO_MJD = 56999.5
"""The same as a Modified Julian Date [d]."""


class ApertureBit:
    """Bits of an aperture image (TESS Science Data Products Description Document, table of the APERTURE extension)."""

    COLLECTED = 1
    PHOTOMETRY = 2
    BACKGROUND = 4
    CENTROID = 8
    OUTPUTS = (32, 64, 128, 256)
    """CCD outputs A, B, C, D."""


@dataclass(frozen=True)
class StampSeries:
    """Pixels of one stamp at many times; rows are ordered as in the file and every time is finite.

    Coordinates of the CCD are 0-based and count the leading virtual columns (44 of them on TESS); a place in the stamp
    is that less (`first_column`, `first_row`).

    Attributes
    ----------
    flux, flux_err : ndarray of float32, shape (n_times, ny, nx)
        Background-subtracted flux and its one-sigma error, without the background's own [electron/s]; NaN where a
        pixel was not collected or not measured.
    background, background_err : ndarray of float32, shape (n_times, ny, nx)
        What was subtracted [electron/s]. Zeros and NaN errors where nothing was (`subtracted` of the file).
    time : ndarray of float64, shape (n_times,)
        Mid-exposure at the barycentre of the solar system, BJD_TDB - 2457000 [d].
    timecorr : ndarray of float64, shape (n_times,)
        `time` less the time at the spacecraft, as the file states it [d].
    cadenceno : ndarray of int32, shape (n_times,)
        Number of the cadence.
    quality : ndarray of int32, shape (n_times,)
        Bits of the mission, unchanged.
    pos_corr : ndarray of float64, shape (n_times, 2)
        Offset of the star from its mean place that the mission predicts from its guide stars, (column, row) [pixel];
        NaN where unknown.
    aperture : ndarray of int32, shape (ny, nx)
        `ApertureBit` of each pixel.
    first_column, first_row : int
        CCD coordinates of the stamp's lower left pixel, 0-based.
    """

    flux: np.ndarray
    flux_err: np.ndarray
    background: np.ndarray
    background_err: np.ndarray
    time: np.ndarray
    timecorr: np.ndarray
    cadenceno: np.ndarray
    quality: np.ndarray
    pos_corr: np.ndarray
    aperture: np.ndarray
    first_column: int
    first_row: int

    def __len__(self) -> int:
        """Number of times."""
        return len(self.time)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the stamp."""
        ny, nx = self.aperture.shape
        return int(ny), int(nx)

    @property
    def spacecraft_time(self) -> np.ndarray:
        """Mid-exposure at the spacecraft, JD_TDB - 2457000 [d], shape (n_times,)."""
        return self.time - self.timecorr


@dataclass(frozen=True)
class Detector:
    """How the pixels of a file were read; NaN (or 0 for counts) where its header does not say.

    Attributes
    ----------
    num_frm : int
        Frames in a cadence.
    nreadout : int
        Frames of these that are left after the cosmic-ray mitigation on board.
    int_time_s, readtime_s : float
        Exposure and readout of a frame [s].
    gain : tuple of float
        Of the outputs A, B, C, D [electron/count].
    read_noise : tuple of float
        Of the outputs A, B, C, D [electron].
    """

    num_frm: int
    nreadout: int
    int_time_s: float
    readtime_s: float
    gain: tuple[float, ...]
    read_noise: tuple[float, ...]


@dataclass(frozen=True)
class CosmicRays:
    """What was done about cosmic rays before the file was written.

    Attributes
    ----------
    on_board : bool
        The spacecraft left out the highest and the lowest of every `block` frames (CRMITEN).
    block : int
        Frames in a block (CRBLKSZ); 0 where not known.
    on_ground : bool
        The pipeline cleaned them (CRSPOC).
    """

    on_board: bool
    block: int
    on_ground: bool


@dataclass(frozen=True)
class TargetFacts:
    """What a target pixel file or a cut-out is of, without its pixels.

    Attributes
    ----------
    path : str
        File.
    starid : int
        Identifier of the target (TIC; KIC in a file of Kepler); 0 in a cut-out that names none.
    sector, camera, ccd : int
        Where on the sky and on the focal plane; in a file of Kepler: quarter, module, output.
    cadence_s : float
        Length of a cadence [s].
    ra_deg, dec_deg : float
        Target, ICRS at 2000.0 [deg].
    data_release : int
        Of the mission.
    origin : str
        ``spoc-tpf``, ``tesscut`` or ``kepler-tpf``.
    """

    path: str
    starid: int
    sector: int
    camera: int
    ccd: int
    cadence_s: float
    ra_deg: float
    dec_deg: float
    data_release: int
    origin: str


@dataclass(frozen=True)
class TargetFile(TargetFacts):
    """A target pixel file or a cut-out: its facts and its pixels.

    Attributes
    ----------
    series : StampSeries
        Its pixels.
    ref_epoch : float
        Of `ra_deg` and `dec_deg`, Julian year.
    pmra, pmdec : float
        Proper motion, `pmra` with cos(dec) [mas/yr]; NaN where unknown.
    tmag : float
        TESS magnitude (Kepler's in its files); NaN where unknown.
    teff : float
        Effective temperature [K]; NaN where unknown.
    wcs : TanSip
        Plate solution in coordinates of the stamp.
    procver : str
        Version of the mission's pipeline.
    detector : Detector
        How it was read.
    cosmic_rays : CosmicRays
        What was done about them.
    position_known : bool
        Whether `StampSeries.first_column` and `first_row` are trusted; where they are not they are 0.
    subtracted : bool
        Whether a background was subtracted from the pixels.
    timecorr_place : tuple of float or None
        (ra, dec) for which `StampSeries.timecorr` holds [deg]: the target, or the middle of the CCD of a cut-out; None
        where it is not known.
    ticver : str
        Version of the input catalogue.
    clock_offset_s : float
        What was added to the file's time stamps for a clock error of the data release [s]; 0 for none.
    remarks : tuple of str
        What is odd about the file: sentences for the user.
    """

    series: StampSeries
    ref_epoch: float
    pmra: float
    pmdec: float
    tmag: float
    teff: float
    wcs: TanSip
    procver: str
    detector: Detector
    cosmic_rays: CosmicRays
    position_known: bool = True
    subtracted: bool = True
    timecorr_place: tuple[float, float] | None = None
    ticver: str = ""
    clock_offset_s: float = 0.0
    remarks: tuple[str, ...] = field(default=())

    @property
    def stamp(self) -> tuple[int, int, int, int]:
        """(first row, row after the last, first column, column after the last) in coordinates of the CCD."""
        (ny, nx), series = self.series.shape, self.series
        return series.first_row, series.first_row + ny, series.first_column, series.first_column + nx
