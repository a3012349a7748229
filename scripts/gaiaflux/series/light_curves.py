"""Calibrated light curves with all terms of their noise, streamed in blocks of stars."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gaiaflux.core.calibration.ensemble import EnsembleSolution, apply_ensemble
from gaiaflux.core.calibration.noise_budget import NoiseFit, fit_noise, frame_factors
from gaiaflux.core.calibration.terms import StarFacts
from gaiaflux.core.maths.robust import clipped_scatter, masked_median
from gaiaflux.core.maths.two_way import quadratic_form
from gaiaflux.io.dataset import DatasetWriter
from gaiaflux.model.flags import SPOILED
from gaiaflux.model.units import MAG_PER_RELATIVE
from gaiaflux.series.response import SeriesResponse
from gaiaflux.series.sky_share import SkyShare, changing_part
from gaiaflux.series.star_summary import Grids, Measured, read_rows, sampled_frames, star_blocks

__all__ = [
    "NOISE_TERMS",
    "Calibration",
    "calibrated_block",
    "fit_changing_sky",
    "fit_series_noise",
    "photons_per_unit",
    "write_light_curves",
]

_ORDINARY = 1.2  # largest factor on the errors of a frame that tells of the floor of the others
NOISE_TERMS = {
    "noise_photon": "photon noise of the star",
    "noise_background": "stated noise without the star's photons: sky, read-out, background, aperture correction",
    "noise_zero_point": "error of the frame's scale and spatial terms at the place of the star",
    "noise_scintillation": "scintillation (Young 1967)",
    "noise_total": "all terms, and what the method's attributes noise_floor_mag add and noise_common_mag take off, "
    "times error_factor",
    "scatter": "measured scatter of flux_cal about its median, without outliers",
}
"""Arrays of one value per star that a plot of scatter over magnitude needs."""


@dataclass(frozen=True)
class Calibration:
    """What the light curves of a method are made with, for s stars and m frames.

    Attributes
    ----------
    solution : EnsembleSolution
        Scales and terms.
    members : ndarray of int, shape (s,)
        Row of each star in the solution; -1 where it was not offered.
    scintillation : ndarray, shape (m,)
        Relative; NaN where not known.
    photons : ndarray, shape (m,), or None
        Electrons for a flux of 1; None where the gain is not known.
    aperture : ndarray of int, shape (s,), or None
        Aperture of each star, where the frames' apertures are tied to one another.
    response : SeriesResponse or None
        Of the detectors, where it has steps.
    """

    solution: EnsembleSolution
    members: np.ndarray
    scintillation: np.ndarray
    photons: np.ndarray | None
    aperture: np.ndarray | None = None
    response: SeriesResponse | None = None

    def facts(self, stars: Mapping[str, np.ndarray], rows: np.ndarray | slice) -> StarFacts:
        """What the terms are functions of, of some rows of ``/stars``."""
        aperture = None if self.aperture is None else self.aperture[rows]
        response = None if self.response is None else self.response.log(rows)
        return StarFacts(stars["x_ref"][rows], stars["y_ref"][rows], stars["colour"][rows], aperture, response)


def photons_per_unit(frames: Mapping[str, np.ndarray], unit: str) -> np.ndarray | None:
    """Electrons that a flux of 1 stands for in each frame, shape (n_frames,); None where the gain is not known."""
    exptime = frames["exptime_s"]
    known = np.isfinite(exptime) & (exptime > 0)
    return np.where(known, exptime, np.nan) if unit == "electron/s" and known.any() else None


def fit_series_noise(
    calibration: Calibration,
    rows: np.ndarray,
    measured: Measured,
    stars: Mapping[str, np.ndarray],
) -> tuple[NoiseFit, np.ndarray]:
    """Fit the floor, and a factor for each frame, to the stars of the ensemble, each calibrated without itself.

    Parameters
    ----------
    calibration : Calibration
        Solution.
    rows : ndarray of int, shape (n,)
        Stars of the ensemble.
    measured : Measured
        What was measured of them, shape (n, m).
    stars : mapping of str to ndarray
        Columns of ``/stars``.

    Returns
    -------
    noise : NoiseFit
        From ordinary frames, if they are at least half of all.
    factor : ndarray of float64, shape (m,)
        By which all errors of each frame are multiplied.
    """
    solution = calibration.solution
    used = solution.used
    flux, error, flags = (array[used] for array in measured)
    some = rows[used]
    excess = np.nan_to_num(calibration.scintillation) ** 2
    flux_cal, flux_cal_err = apply_ensemble(
        solution, flux, error, calibration.facts(stars, some), calibration.members[some], excess
    )
    use = ((flags & SPOILED) == 0) & np.isfinite(flux_cal) & np.isfinite(solution.epscale)
    photons = None if calibration.photons is None else np.where(use, flux, np.nan) * calibration.photons
    flux_cal, flux_cal_err = flux_cal.astype(float), flux_cal_err.astype(float)
    noise = fit_noise(flux_cal, flux_cal_err, use, photons)
    factor = frame_factors(flux_cal, flux_cal_err, use, noise.excess)
    ordinary = factor < _ORDINARY
    if not ordinary.all() and 2 * ordinary.sum() >= ordinary.size:
        noise = fit_noise(flux_cal, flux_cal_err, use & ordinary, photons)
        factor = frame_factors(flux_cal, flux_cal_err, use, noise.excess)
    return noise, factor


def fit_changing_sky(share: SkyShare, grids: Grids, calibration: Calibration, stars: Mapping[str, np.ndarray]) -> float:
    """How much of the sky's structure in the errors changes from frame to frame, as the stars it matters for show.

    Parameters
    ----------
    share : SkyShare
        Of the errors.
    grids : Grids
        Flux, flux_err and flags, shape (n_stars, n_frames).
    calibration : Calibration
        Solution.
    stars : mapping of str to ndarray
        Columns of ``/stars``.

    Returns
    -------
    float
        See `changing_part`.
    """
    rows = share.telling_stars(sampled_frames(grids.flux.shape[1]))
    measured = read_rows(grids, rows)
    excess = np.nan_to_num(calibration.scintillation) ** 2
    cal, error = apply_ensemble(
        calibration.solution,
        measured.flux,
        measured.flux_err,
        calibration.facts(stars, rows),
        calibration.members[rows],
        excess,
    )
    return changing_part(share.of(rows), cal, error, measured.usable & np.isfinite(cal) & np.isfinite(error))


def calibrated_block(
    calibration: Calibration,
    flux: np.ndarray,
    flux_err: np.ndarray,
    facts: StarFacts,
    rows: np.ndarray | slice,
    noise: tuple[float, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated fluxes of some stars, and their errors with all terms of the noise.

    Parameters
    ----------
    calibration : Calibration
        Solution.
    flux, flux_err : ndarray of float32, shape (s, m)
        Of s stars in m frames.
    facts : StarFacts
        Of the same stars.
    rows : ndarray of int or slice
        Their rows in the calibration.
    noise : tuple of float and ndarray of shape (m,)
        As for `write_light_curves`.

    Returns
    -------
    flux_cal, flux_cal_err : ndarray of float32, shape (s, m)
    """
    floor2, factor = noise
    excess = np.nan_to_num(calibration.scintillation) ** 2 + floor2
    cal, cal_err = apply_ensemble(calibration.solution, flux, flux_err, facts, calibration.members[rows], excess)
    np.multiply(cal_err, factor.astype("f4"), out=cal_err)
    return cal, cal_err


def write_light_curves(
    out: DatasetWriter,
    method: str,
    grids: Grids,
    calibration: Calibration,
    stars: Mapping[str, np.ndarray],
    noise: tuple[float, np.ndarray],
    share: SkyShare,
) -> None:
    """Write ``flux_cal``, ``flux_cal_err`` and what the noise of each star is made of.

    Parameters
    ----------
    out : DatasetWriter
        Dataset.
    method : str
        Group.
    grids : Grids
        Its flux, flux_err and flags, shape (n_stars, n_frames).
    calibration : Calibration
        Solution.
    stars : mapping of str to ndarray
        Columns of ``/stars``.
    noise : tuple of float and ndarray of shape (m,)
        Relative variance that is added to that of all points, and by what all errors of each frame are multiplied then.
    share : SkyShare
        What of the errors stays the same from frame to frame and is none of a light curve.
    """
    shape, unit = grids.flux.shape, str(grids.flux.attrs["unit"])
    flux_cal = out.grid(
        f"{method}/flux_cal",
        shape,
        "f4",
        unit,
        "flux on the common scale of the series: flux / (pscale * spatial and colour terms of the frame); a star of "
        "the ensemble with the fit of all other stars. NaN where the frame could not be calibrated",
    )
    flux_cal_err = out.grid(
        f"{method}/flux_cal_err",
        shape,
        "f4",
        unit,
        "one-sigma error of flux_cal: that of flux (without structure of the sky that stays the same), of the frame's "
        "scale, scintillation and the floor of the method, all times error_factor of the frame",
    )
    sample = sampled_frames(shape[1])
    budget = {name: np.full(shape[0], np.nan, dtype="f4") for name in NOISE_TERMS}
    for block in star_blocks(*shape):
        measured = Measured(*(grid[block] for grid in grids))
        measured = measured._replace(flux_err=share.less(measured.flux_err, block))
        facts = calibration.facts(stars, block)
        cal, cal_err = calibrated_block(calibration, measured.flux, measured.flux_err, facts, block, noise)
        flux_cal[block], flux_cal_err[block] = cal, cal_err
        some = Measured(*(array[:, sample] for array in measured))
        for name, array in _budget(calibration, sample, facts, some, cal[:, sample], cal_err[:, sample]).items():
            budget[name][block] = array
    for name, text in NOISE_TERMS.items():
        kind = "" if name == "scatter" else "typical error of a point of the star: "
        out.array(f"{method}/{name}", budget[name], "mag", f"{kind}{text}; NaN where not known")


def _budget(
    calibration: Calibration,
    sample: slice,
    stars: StarFacts,
    measured: Measured,
    flux_cal: np.ndarray,
    flux_cal_err: np.ndarray,
) -> dict[str, np.ndarray]:
    """Medians over the sampled frames of the terms of the noise of some stars [mag]."""
    solution = calibration.solution
    flux, error, flags = measured
    use = ((flags & SPOILED) == 0) & np.isfinite(flux_cal) & (flux > 0)

    def typical(relative: np.ndarray) -> np.ndarray:
        known = use & np.isfinite(relative)
        return MAG_PER_RELATIVE * masked_median(np.where(known, relative, 0.0).astype("f4"), known, 1)

    scale = np.where(use, flux, 1.0)
    stated = error / scale
    photon = np.full(flux.shape, np.nan, dtype="f4")
    if calibration.photons is not None:
        photon = np.minimum(1.0 / np.sqrt(np.maximum(scale * calibration.photons[sample], 1e-6)), stated)
    variance = quadratic_form(solution.basis.terms(stars.x, stars.y), solution.covariance[sample])
    level = masked_median(np.where(use, flux_cal, 0.0), use, 1)
    deviation = np.where(use, flux_cal - np.nan_to_num(level)[:, None], 0.0)
    enough = (level > 0) & (use.sum(axis=1) > 1)
    with np.errstate(invalid="ignore"):
        result = {
            "noise_photon": typical(photon),
            "noise_background": typical(np.sqrt(np.maximum(stated**2 - np.nan_to_num(photon) ** 2, 0.0))),
            "noise_zero_point": typical(np.sqrt(variance)),
            "noise_scintillation": typical(np.broadcast_to(calibration.scintillation[sample], use.shape)),
            "noise_total": typical(flux_cal_err / np.where(use, flux_cal, 1.0)),
        }
    scatter = MAG_PER_RELATIVE * clipped_scatter(deviation, use) / np.where(enough, level, 1.0)
    result["scatter"] = np.where(enough, scatter, np.nan)
    return result
