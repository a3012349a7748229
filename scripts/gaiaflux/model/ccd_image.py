"""One full-frame image of a CCD of TESS: what its header says, and its science pixels."""

from dataclasses import dataclass, field

import numpy as np

from gaiaflux.model.cadences import CosmicRays, Detector
from gaiaflux.model.wcs import TanSip

__all__ = ["CcdFacts", "CcdImage"]


@dataclass(frozen=True)
class CcdFacts:
    """What a full-frame image is of, without its pixels.

    Attributes
    ----------
    path : str
        File.
    sector, camera, ccd : int
        Where on the sky and on the focal plane; the sector is 0 where neither header nor name tells.
    cadence_s : float
        Time from one image to the next [s].
    cadenceno : int
        Number of the cadence.
    data_release : int
        Of the mission; -1 where it is not stated.
    origin : str
        ``spoc-ffi`` or ``tica-ffi``.
    procver : str
        Version of the pipeline.
    """

    path: str
    sector: int
    camera: int
    ccd: int
    cadence_s: float
    cadenceno: int
    data_release: int
    origin: str
    procver: str


@dataclass(frozen=True)
class CcdImage(CcdFacts):
    """A full-frame image, or a crop of one: its facts and its science pixels, without virtual columns and rows.

    Attributes
    ----------
    flux : ndarray of float32, shape (ny, nx)
        Calibrated light with the background, unless `subtracted` [electron/s]; NaN where there is none.
    flux_err : ndarray of float32, shape (ny, nx)
        One-sigma error as the file states it [electron/s]; NaN where it states none.
    first_column, first_row : int
        CCD coordinates of pixel (0, 0), 0-based, with the 44 leading virtual columns.
    mjd_tdb : float
        Mid-exposure at the spacecraft, Modified Julian Date, TDB [d]; clock offsets of data releases are corrected.
    exptime_s : float
        Time in which light was gathered [s]; NaN where nothing says it.
    timecorr_d : float
        Light time from the spacecraft to the barycentre for `timecorr_place` [d]; NaN where the file does not state it.
    timecorr_place : tuple of float or None
        (ra, dec) for which `timecorr_d` holds [deg].
    wcs : TanSip or None
        Plate solution in coordinates of `flux`; None where the file has none that can be used.
    quality : int
        Bits of the mission (DQUALITY; in TICA's files what their header flags, as the mission's bits).
    detector : Detector
        How it was read.
    cosmic_rays : CosmicRays
        What was done about them.
    subtracted : bool
        Whether the file's background was subtracted already.
    cadenceno_from : str
        Where `cadenceno` is from: ``FFIINDEX`` or ``CADENCE`` of the header, ``name`` of the file, or ``time``.
    clock_offset_s : float
        What was added to the file's time stamps for a clock offset of the data release [s]; 0 for none.
    remarks : tuple of str
        What is odd about the file: sentences for the user.
    """

    flux: np.ndarray
    flux_err: np.ndarray
    first_column: int
    first_row: int
    mjd_tdb: float
    exptime_s: float
    timecorr_d: float
    timecorr_place: tuple[float, float] | None
    wcs: TanSip | None
    quality: int
    detector: Detector
    cosmic_rays: CosmicRays
    subtracted: bool = False
    cadenceno_from: str = "FFIINDEX"
    clock_offset_s: float = 0.0
    remarks: tuple[str, ...] = field(default=())

    @property
    def stamp(self) -> tuple[int, int, int, int]:
        """(first row, row after the last, first column, column after the last) in coordinates of the CCD."""
        ny, nx = self.flux.shape
        return self.first_row, self.first_row + ny, self.first_column, self.first_column + nx
