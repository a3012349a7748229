"""When a full-frame image was taken, and the number of its cadence."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.io.tess.fits_file import Headers, float_of, int_of
from gaiaflux.io.tess.readout import clock_correction
from gaiaflux.model.cadences import BTJD_ZERO_JD, BTJD_ZERO_MJD
from gaiaflux.model.errors import InputError

__all__ = ["CcdTime", "cadence_number", "spoc_time", "tica_time"]

_DAY_S = 86400.0
_AGREE_S = 0.5
# Before sector 6 the headers have no number. What the TASOC photometry module (prepare.py) has from D. Caldwell and
# R. Vanderspek: the first frame of sector 1, its middle at the spacecraft as the first data release states it.
_FIRST_CADENCE, _FIRST_BTJD = 4697, 0.5 * (1325.317007851970 + 1325.337841177751) - 3.9072474e-03
_NUMBERED_STEP_S = 1800.0
_NEARLY_WHOLE = 0.1


@dataclass(frozen=True)
class CcdTime:
    """Middle of an exposure.

    Attributes
    ----------
    stated_btjd : float
        At the spacecraft as the file states it, JD_TDB - 2457000 [d].
    clock_offset_s : float
        What that needs for the clock error of the data release [s].
    timecorr_d : float
        Light time to the barycentre for the middle of the CCD [d]; NaN where it is not stated.
    remarks : tuple of str
        What is odd: sentences for the user.
    """

    stated_btjd: float
    clock_offset_s: float
    timecorr_d: float
    remarks: tuple[str, ...]

    @property
    def mjd_tdb(self) -> float:
        """Modified Julian Date at the spacecraft, TDB, corrected [d]."""
        return self.stated_btjd + BTJD_ZERO_MJD + self.clock_offset_s / _DAY_S


def spoc_time(primary: Headers, image: Headers, place: tuple[int, int], what: str) -> CcdTime:
    """Time of an image of the mission's pipeline.

    Parameters
    ----------
    primary, image : tuple of astropy.io.fits.Header
        The file's header alone, with times at the spacecraft; that of the image alone, with times at the barycentre.
    place : tuple of int
        (camera, CCD).
    what : str
        The file, for the messages.

    Returns
    -------
    CcdTime
        The file's own times count, and those of the image less ``BARYCORR`` where there are none.

    Raises
    ------
    InputError
        No time at the spacecraft can be had.
    """
    correction = float_of(image, "BARYCORR")
    remarks: list[str] = []
    seen, there = _middle(primary, "TSTART", "TSTOP"), _middle(image, "TSTART", "TSTOP") - correction
    zero = float_of(image, "BJDREFI", BTJD_ZERO_JD) + float_of(image, "BJDREFF", 0.0) - BTJD_ZERO_JD
    if np.isfinite(seen) and np.isfinite(there) and abs(seen - there) * _DAY_S > _AGREE_S:
        remarks.append(
            f"its times at the spacecraft and at the barycentre differ by {(there - seen) * _DAY_S:+.1f} s more than "
            "BARYCORR says: those at the spacecraft (TSTART, TSTOP of the first header) count"
        )
    if not np.isfinite(seen):
        remarks.append("the first header has no TSTART and TSTOP: the time is the image's less BARYCORR")
        seen = there
    if not np.isfinite(seen):
        raise InputError(f"{what} does not say when it was taken (TSTART, TSTOP and BARYCORR): fetch it again")
    clock_s, unsure = clock_correction((*primary, *image), place)
    return CcdTime(seen + zero, clock_s, correction, (*remarks, *unsure))


def tica_time(headers: Headers, what: str) -> CcdTime:
    """Time of an image of TICA: at the spacecraft, without the clock error of the mission's early releases.

    Parameters
    ----------
    headers : tuple of astropy.io.fits.Header
        Of the file.
    what : str
        The file, for the messages.

    Returns
    -------
    CcdTime
        The middle of ``STARTTJD`` and ``ENDTJD``, else ``MIDTJD``.

    Raises
    ------
    InputError
        No time.
    """
    seen, middle = _middle(headers, "STARTTJD", "ENDTJD"), float_of(headers, "MIDTJD")
    remarks: tuple[str, ...] = ()
    if np.isfinite(seen) and np.isfinite(middle) and abs(seen - middle) * _DAY_S > _AGREE_S:
        remarks = (f"MIDTJD is {(middle - seen) * _DAY_S:+.1f} s off the middle of STARTTJD and ENDTJD, which counts",)
    seen = seen if np.isfinite(seen) else middle
    if not np.isfinite(seen):
        raise InputError(f"{what} does not say when it was taken (STARTTJD, ENDTJD, MIDTJD): fetch it again")
    zero = float_of(headers, "TJD_ZERO", BTJD_ZERO_JD) - BTJD_ZERO_JD
    return CcdTime(seen + zero, 0.0, float("nan"), remarks)


def cadence_number(
    headers: Headers, time: CcdTime, cadence_s: float, keyword: str, named: str
) -> tuple[int, str, tuple[str, ...]]:
    """Number of the cadence.

    Parameters
    ----------
    headers : tuple of astropy.io.fits.Header
        Of the file.
    time : CcdTime
        Its time.
    cadence_s : float
        Length of a cadence [s].
    keyword : str
        That has the number.
    named : str
        Number in the name of the file; empty where there is none.

    Returns
    -------
    number : int
        -1 where nothing says it.
    source : str
        `keyword`, ``name``, ``time`` or empty.
    remarks : tuple of str
        What is odd.
    """
    stated = int_of(headers, keyword, -1)
    if stated >= 0:
        return stated, keyword, ()
    if named:
        return int(named), "name", ()
    if not np.isclose(cadence_s, _NUMBERED_STEP_S, rtol=0.01):
        return -1, "", (f"the header does not have the number of the cadence ({keyword})",)
    place = (time.stated_btjd - _FIRST_BTJD) * _DAY_S / _NUMBERED_STEP_S + _FIRST_CADENCE
    off = abs(place - round(place))
    odd = f"its time is {off:.2f} of a cadence off the raster of those of {cadence_s:.0f} s, by which it is numbered"
    return round(place), "time", (odd,) if off > _NEARLY_WHOLE else ()


def _middle(headers: Headers, start: str, stop: str) -> float:
    return 0.5 * (float_of(headers, start) + float_of(headers, stop))
