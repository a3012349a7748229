"""Errors of the pixels of a calibrated frame that does not state them, or only those of a part of it."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from gaiaflux.core.maths.robust import robust_scatter
from gaiaflux.model.cadences import Detector
from gaiaflux.model.ccd_layout import CCD_SHAPE, FIRST_SCIENCE_COLUMN

__all__ = ["CompletedError", "ErrorSource", "VarianceLine", "complete_error", "detector_variance", "fit_variance"]

_SAMPLE = 50_000
_FEWEST = 100
_ROUNDS = 8
_CLIP = 4.0
# A slope is believed where the sample's variance spans more than this factor.
_SPAN = 1.02
# Where a header does not say; the TASOC photometry module takes 10 electrons, too, and stated ones are 7.3 to 10.1.
_READ_NOISE = 10.0
_INT_TIME_S = 1.98


class ErrorSource(StrEnum):
    """What the errors of a frame come from, for a person to read."""

    STATED = "stated by the file"
    FITTED = "missing errors follow those that the file states"
    DETECTOR = "from exposure time and read noise"


@dataclass(frozen=True)
class VarianceLine:
    """Variance of a pixel as a straight line in its flux, with the sky: slope * flux + floor.

    Attributes
    ----------
    slope : float
        [electron/s]: one over the effective exposure time.
    floor : float
        [(electron/s)^2].
    """

    slope: float
    floor: float

    def variance(self, flux: np.ndarray) -> np.ndarray:
        """Of fluxes [electron/s]; negative ones count as none, NaN gives NaN."""
        return self.slope * np.maximum(flux, 0.0) + self.floor


@dataclass(frozen=True)
class CompletedError:
    """Errors of a frame's pixels, all of them.

    Attributes
    ----------
    error : ndarray of float32, shape (ny, nx)
        One-sigma [electron/s]; NaN where the flux is.
    source : ErrorSource
        What those that the file does not state come from.
    line : VarianceLine or None
        What was fitted to those that it states; None where that was not needed or could not be done.
    """

    error: np.ndarray
    source: ErrorSource
    line: VarianceLine | None


def complete_error(
    flux: np.ndarray, error: np.ndarray, detector: Detector, *, exptime_s: float, first_column: int
) -> CompletedError:
    """Fill in the errors that a frame does not state.

    Parameters
    ----------
    flux : ndarray, shape (ny, nx)
        Light with the sky [electron/s]; NaN where there is none.
    error : ndarray, shape (ny, nx)
        One-sigma errors as stated [electron/s]; NaN where there is none.
    detector : Detector
        How the frame was read.
    exptime_s : float
        Time in which light was gathered [s].
    first_column : int
        CCD column of the frame's first, 0-based, with the virtual columns: it tells the outputs.

    Returns
    -------
    CompletedError
        By the line through the stated ones (`fit_variance`), else by `detector_variance`.

    Raises
    ------
    ValueError
        Neither enough errors nor an exposure time.
    """
    seen = np.isfinite(flux)
    missing = seen & ~np.isfinite(error)
    if not missing.any():
        return CompletedError(_masked(error, seen), ErrorSource.STATED, None)
    line = fit_variance(flux, error)
    if line is not None:
        filled, source = line.variance(flux), ErrorSource.FITTED
    else:
        filled = detector_variance(flux, detector, exptime_s=exptime_s, first_column=first_column)
        source = ErrorSource.DETECTOR
    return CompletedError(_masked(np.where(missing, np.sqrt(filled), error), seen), source, line)


def fit_variance(flux: np.ndarray, error: np.ndarray) -> VarianceLine | None:
    """Straight line of the stated variances in the flux.

    Parameters
    ----------
    flux, error : ndarray, shape (ny, nx)
        [electron/s]; pixels where either is not finite do not count.

    Returns
    -------
    VarianceLine or None
        None where fewer than 100 pixels have both, where they do not differ enough to have a slope, or where that is
        not positive.

    Notes
    -----
    Least squares of the relative deviations of the variances, clipped at 4 times their scatter (at least 1 %, by which
    flats and outputs differ), of 50,000 to 100,000 pixels evenly over the frame.
    """
    good = np.flatnonzero(np.isfinite(flux) & np.isfinite(error) & (np.nan_to_num(error) > 0.0))
    if len(good) < _FEWEST:
        return None
    good = good[:: max(len(good) // _SAMPLE, 1)]
    x = flux.ravel()[good].astype(np.float64)
    y = error.ravel()[good].astype(np.float64) ** 2
    terms = np.stack([x / y, 1.0 / y], axis=1)
    use = x > 0.0
    for _ in range(_ROUNDS):
        if np.count_nonzero(use) < _FEWEST or np.ptp(x[use]) == 0.0:
            return None
        (slope, floor), *_ = np.linalg.lstsq(terms[use], np.ones(np.count_nonzero(use)), rcond=None)
        deviation = terms @ (slope, floor) - 1.0
        kept = (x > 0.0) & (np.abs(deviation) <= max(_CLIP * robust_scatter(deviation[use]), 0.01))
        if np.array_equal(kept, use):
            break
        use = kept
    spread = np.quantile(y[use], [0.01, 0.99])
    if not slope > 0.0 or spread[1] < _SPAN * spread[0]:
        return None
    return VarianceLine(float(slope), float(max(floor, 0.0)))


def detector_variance(flux: np.ndarray, detector: Detector, *, exptime_s: float, first_column: int) -> np.ndarray:
    """Variance of pixels by the photons and the readouts.

    Parameters
    ----------
    flux : ndarray, shape (ny, nx)
        Light with the sky [electron/s].
    detector : Detector
        How the frame was read; of an output whose read noise is not stated, 10 electrons.
    exptime_s : float
        Time in which light was gathered [s].
    first_column : int
        CCD column of the first, 0-based, with the virtual columns.

    Returns
    -------
    ndarray, shape (ny, nx)
        In the precision of the flux: flux / t + n r^2 / t^2 for n readouts of noise r in the exposure time t
        [(electron/s)^2]; NaN where the flux is. The exposure time is that of the readouts which the cosmic-ray
        mitigation on board has left (0.8 of them).

    Raises
    ------
    ValueError
        No exposure time.
    """
    if not exptime_s > 0.0:
        raise ValueError(f"an exposure time of {exptime_s} s")
    n = detector.nreadout or round(exptime_s / _INT_TIME_S)
    stated = np.array(detector.read_noise, np.float64)
    read_noise = np.where(np.isfinite(stated) & (stated > 0.0), stated, _READ_NOISE)
    width = CCD_SHAPE[1] // len(read_noise)
    output = (np.arange(flux.shape[1]) + first_column - FIRST_SCIENCE_COLUMN) // width
    floor = n * read_noise[np.clip(output, 0, len(read_noise) - 1)] ** 2 / exptime_s**2
    return np.maximum(flux, 0.0) / float(exptime_s) + floor.astype(flux.dtype)


def _masked(error: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return np.where(seen, error, np.float32(np.nan)).astype(np.float32, copy=False)
