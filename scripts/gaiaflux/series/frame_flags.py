"""Flags of frames from what was measured of them and from their calibration."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from gaiaflux.model.flags import FrameFlag
from gaiaflux.model.quality import POOR_PSF_PEAK, POOR_PSF_RMS, STRUCTURED_SKY, UNEVEN_RESPONSE
from gaiaflux.model.status import OK, PsfOrigin
from gaiaflux.model.units import MAG_PER_RELATIVE

__all__ = ["FACTS", "frame_flags"]

FACTS = (
    "pscale",
    "n_ensemble",
    "calibration_status",
    "psf_status",
    "psf_residual_rms",
    "psf_residual_peak",
    "sky_structure",
    "response_span",
)
"""What the flags of a frame are decided by, of those that a method's group has."""

_CLOUDY = 10 ** (-0.4 * 0.5)
_CLEAREST = 90.0  # percentile of the scales that counts as clear
_POOR_SEEING, _BRIGHT_SKY, _POOR_WCS = 1.5, 3.0, 3.0  # times the usual
_ELONGATED, _MORE_ELONGATED = 0.3, 0.15
_FEW = 0.5
_LEAST_WCS_STARS = 10
_UNEVEN_MAG = MAG_PER_RELATIVE * UNEVEN_RESPONSE

Columns = Mapping[str, np.ndarray]


class _Calibration(NamedTuple):
    """Scale and number of ensemble stars of each frame, and whether it is calibrated."""

    scale: np.ndarray
    n_ensemble: np.ndarray
    calibrated: np.ndarray


def frame_flags(frames: Columns, calibrations: Mapping[str, Columns]) -> np.ndarray:
    """Flags of all frames of a series.

    What is usual is the median of the measured frames of the same camera, since cameras of a series may differ in
    pixel size, gain and distortion.

    Parameters
    ----------
    frames : mapping of str to ndarray
        Columns of ``/frames`` (m frames): status, camera, mjd_utc, exptime_s, fwhm_pix, ellipticity, sky, wcs_rms_mas,
        wcs_n_stars, n_measured. A number that is not known (NaN) sets no flag, but for the time.
    calibrations : mapping of str to mapping
        For each method of photometry the `FACTS` (m,) that its group has: pscale, n_ensemble and calibration_status at
        least. A frame counts as calibrated where one method could do it; the other facts are those of the
        first method that could.

    Returns
    -------
    ndarray of uint32, shape (m,)
        Bits of `FrameFlag`.
    """
    measured = np.asarray(frames["status"]) == OK
    number = len(measured)
    cameras = np.asarray(frames["camera"])
    # Exposures differ in length.
    sky = np.asarray(frames["sky"], dtype=float) / np.asarray(frames["exptime_s"], dtype=float)
    scale, ensemble, calibrated = _calibration(calibrations, number)
    usual = {
        name: _usual(values, measured, cameras)
        for name, values in (
            ("fwhm", frames["fwhm_pix"]),
            ("ellipticity", frames["ellipticity"]),
            ("sky", sky),
            ("rms", frames["wcs_rms_mas"]),
            ("measured", frames["n_measured"]),
            ("ensemble", ensemble),
        )
    }
    few = np.asarray(frames["n_measured"]) < _FEW * usual["measured"]
    few |= calibrated & (ensemble < _FEW * usual["ensemble"])
    poor_wcs = np.asarray(frames["wcs_rms_mas"]) > _POOR_WCS * usual["rms"]
    poor_wcs |= np.asarray(frames["wcs_n_stars"]) < _LEAST_WCS_STARS
    elongated = np.asarray(frames["ellipticity"]) > np.maximum(_ELONGATED, usual["ellipticity"] + _MORE_ELONGATED)
    flags = np.zeros(number, dtype=np.uint32)
    for bit, where in (
        (FrameFlag.CLOUDY, scale < _CLOUDY * _clearest(scale, measured & calibrated, cameras)),
        (FrameFlag.POOR_SEEING, np.asarray(frames["fwhm_pix"]) > _POOR_SEEING * usual["fwhm"]),
        (FrameFlag.BRIGHT_SKY, sky > _BRIGHT_SKY * usual["sky"]),
        (FrameFlag.ELONGATED, elongated),
        (FrameFlag.FEW_STARS, few),
        (FrameFlag.POOR_WCS, poor_wcs),
        (FrameFlag.BORROWED_PSF, _any(calibrations, "psf_status", number, lambda text: text == PsfOrigin.BORROWED)),
        (FrameFlag.POOR_PSF, _any(calibrations, "psf_residual_rms", number, lambda rms: rms > POOR_PSF_RMS)),
        (FrameFlag.POOR_PSF, _any(calibrations, "psf_residual_peak", number, lambda peak: peak > POOR_PSF_PEAK)),
        (FrameFlag.STRUCTURED_SKY, _any(calibrations, "sky_structure", number, lambda ratio: ratio > STRUCTURED_SKY)),
        (FrameFlag.UNEVEN_RESPONSE, _any(calibrations, "response_span", number, lambda span: span > _UNEVEN_MAG)),
        (FrameFlag.NO_CALIBRATION, ~calibrated),
    ):
        flags[measured & where] |= bit
    flags[~measured] |= FrameFlag.NOT_MEASURED | FrameFlag.NO_CALIBRATION
    flags[~np.isfinite(np.asarray(frames["mjd_utc"], dtype=float))] |= FrameFlag.NO_TIME
    return flags


def _calibration(calibrations: Mapping[str, Columns], number: int) -> _Calibration:
    """What all methods together say of the calibration of each frame."""
    scale, ensemble = np.full(number, np.nan), np.full(number, np.nan)
    calibrated = np.zeros(number, dtype=bool)
    for columns in calibrations.values():
        own = (np.asarray(columns["calibration_status"]) == OK) & np.isfinite(columns["pscale"])
        new = own & ~calibrated
        scale[new], ensemble[new] = columns["pscale"][new], columns["n_ensemble"][new]
        calibrated |= own
    return _Calibration(scale, ensemble, calibrated)


def _any(
    calibrations: Mapping[str, Columns], name: str, number: int, bad: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Frames of which any method says so."""
    found = np.zeros(number, dtype=bool)
    for columns in calibrations.values():
        if name in columns:
            found |= bad(np.asarray(columns[name]))
    return found


def _usual(values: np.ndarray, measured: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """Median over the measured frames of the same camera; NaN where none has a value."""
    values = np.asarray(values, dtype=float)
    usual = np.full(values.shape, np.nan)
    for camera in set(cameras):
        own = cameras == camera
        known = values[own & measured & np.isfinite(values)]
        usual[own] = np.median(known) if known.size else np.nan
    return usual


def _clearest(scale: np.ndarray, use: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """Scale of the clearest tenth of the frames of the same camera."""
    clearest = np.full(scale.shape, np.nan)
    for camera in set(cameras):
        own = cameras == camera
        known = scale[own & use]
        clearest[own] = np.percentile(known, _CLEAREST) if known.size else np.nan
    return clearest
