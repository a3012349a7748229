"""PSF photometry of one frame: all stars of the catalogue, at their places in this frame, fitted together."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gaiaflux.core.image.empty_places import typical_structure
from gaiaflux.core.image.pixel_flags import near_saturation
from gaiaflux.core.psf.fit import PsfFit, fit_psf
from gaiaflux.core.psf.fluxes import PsfOptions, Solution, stars_within_reach, take_off
from gaiaflux.core.psf.local_sky import StarSkies, star_skies
from gaiaflux.core.psf.misfit import flux_misfit
from gaiaflux.core.psf.model import PsfModel
from gaiaflux.core.psf.stamps import lost_light, make_stamps
from gaiaflux.ground.frame.noise import frame_noise
from gaiaflux.ground.frame.pixels import pixels_of
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.io.psf_model import psf_arrays, psf_of_arrays
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import PIXEL_TO_STAR, StarFlag
from gaiaflux.model.frame import Frame
from gaiaflux.model.measurement import FrameResult, PlacedFrame
from gaiaflux.model.quality import POOR_PSF_PEAK, POOR_PSF_RMS, STRUCTURED_SKY
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.model.status import OK, PsfOrigin

__all__ = ["measure_frame", "measure_stars", "subtract_stars"]

# Part of a star's light, within its circle, on pixels that cannot be used: more is flagged.
_LOST = 0.05
# With less on good pixels there is no flux.
_LEAST_LIGHT = 0.2
# Chi2 per pixel of a star whose pixels the PSF does not describe, beyond what the PSF's own error explains.
_POOR_CHI2 = 2.5
_PSF_ERROR = 0.03
# Error of a flux over that of the star alone.
_BLENDED = 2.0
_NEIGHBOUR_FRACTION = 0.01
# Largest width of the frame's PSF against its seeing, either way: beyond, the fit has gone astray.
_WIDTH_RANGE = (0.6, 1.6)
_MAX_ELLIPTICITY = 0.6
# Centroids about the places of the plate solution [FWHM], and what the PSF leaves of its stars.
_MOST_OFF = 1.0 / 3.0
_MOST_RESIDUAL = 0.3
_MOST = 6e4  # of what is stored as float16


def measure_frame(placed: PlacedFrame, settings: PsfSettings, reference_psf: PsfModel | None = None) -> FrameResult:
    """Measure every star of the catalogue in one frame.

    Parameters
    ----------
    placed : PlacedFrame
        Pixels, and the stars at their places.
    settings : PsfSettings
    reference_psf : PsfModel, optional
        PSF of the reference image: scaled to the seeing, it serves a frame with too few stars for its own.

    Returns
    -------
    FrameResult
        See `measure_stars`.

    Raises
    ------
    BadFrameError
        The frame has no exposure time, no usable pixel, or no PSF.
    """
    return measure_stars(placed.frame, placed.x, placed.y, placed.fwhm_pix, psf_options(settings), reference_psf)


def measure_stars(
    frame: Frame,
    x: np.ndarray,
    y: np.ndarray,
    fwhm_pix: float,
    options: PsfOptions,
    reference_psf: PsfModel | None = None,
) -> FrameResult:
    """Measure stars at given places of a frame, all together.

    Parameters
    ----------
    frame : Frame
        Pixels.
    x, y : ndarray, shape (n_stars,)
        Positions [pixel, 0-based]; NaN = off the image. A common shift of all stars is measured and applied.
    fwhm_pix : float
        The frame's seeing [pixel].
    options : PsfOptions
    reference_psf : PsfModel, optional
        See `measure_frame`.

    Returns
    -------
    FrameResult
        `attrs`: ``status`` (``ok``), ``unit`` of the fluxes, ``n_measured``, ``sky`` (median level), ``pixel_noise``,
        ``noise`` (where the variances come from), ``sky_structure`` (scatter of fluxes at empty places over the stated
        one, median); of the PSF: ``psf_status`` (``ok``, ``lower order`` or ``borrowed``),
        ``psf_n_stars``, ``psf_order``, ``psf_residual_order`` (-1 = none), ``psf_residual_rms`` (of its stars, over
        their central brightness), ``psf_fwhm_pix``, ``psf_ellipticity``, ``psf_beta``; ``shift_x_pix``,
        ``shift_y_pix`` (common offset of the stars from their places) and ``centroid_rms_pix`` (scatter of bright
        stars about them, an axis).
        `stars`: ``x``, ``y`` (where it was measured [pixel]), ``flux``, ``flux_err`` (total light [image unit / s], on
        the sky that the annulus of the star shows), ``flags`` (bits of `StarFlag`), ``chi2`` (per pixel),
        ``psf_fraction`` (of the PSF's light that falls on good pixels),
        ``crowding`` (what the neighbours would add to the flux, over the flux, if they were not fitted),
        ``sky_share`` (part of ``flux_err``^2 by structure of the sky that annuli do not tell),
        ``sky`` [image unit per pixel]; NaN where not measured.
        `further`: ``beyond`` (n, 3): x, y and flux of stars just beyond the edge; and the arrays of
        `gaiaflux.io.psf_model.psf_arrays`.

    Raises
    ------
    BadFrameError
        No exposure time, no usable pixel, or the PSF has gone astray.
    """
    if not 0 < frame.info.exptime_s < np.inf:
        raise BadFrameError("exposure time is zero or unknown")
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    noise = frame_noise(frame)
    pixels = pixels_of(frame, noise)
    rows = stars_within_reach(x, y, frame.image.shape, options.radius_pix(fwhm_pix))
    borrowed = None
    if reference_psf is not None:
        borrowed = reference_psf.scaled(fwhm_pix / reference_psf.fwhm, frame.image.shape)
    fit, solution = fit_psf(pixels, x[rows], y[rows], fwhm_pix, options, borrowed)
    _check_psf(fit, fwhm_pix)
    facts = _psf_facts(fit, options)
    facts |= {"pixel_noise": noise.sigma, "noise": noise.source, "sky": float(np.median(solution.background.level))}
    shifted = x + fit.shift[0], y + fit.shift[1]
    skies = star_skies(solution, fit.psf, fit.psf.fwhm)
    facts |= {"sky_structure": typical_structure(skies.structure)}
    return _assemble(frame, rows, shifted, fit, solution, skies, facts)


class StarsSubtracted(NamedTuple):
    """A frame without its stars.

    Attributes
    ----------
    image : ndarray of float32, shape (ny, nx)
        With its sky [image unit].
    residual : ndarray of float32, shape (ny, nx)
        Without its sky.
    sigma : ndarray of float32, shape (ny, nx)
        Noise of each pixel, the stars' photon noise included; infinite where a pixel is not used.
    """

    image: np.ndarray
    residual: np.ndarray
    sigma: np.ndarray


def subtract_stars(frame: Frame, arrays: Mapping[str, np.ndarray], options: PsfOptions) -> StarsSubtracted:
    """Take all measured stars off a frame.

    Parameters
    ----------
    frame : Frame
        Pixels.
    arrays : mapping of str to ndarray
        `arrays` of what `measure_frame` gave for it.
    options : PsfOptions
        Those that it was measured with.

    Returns
    -------
    StarsSubtracted
    """
    psf = psf_of_arrays(arrays)
    pixels = pixels_of(frame, frame_noise(frame))
    flux = np.asarray(arrays["flux"], np.float64) * frame.info.exptime_s
    known = np.isfinite(flux)
    beyond = arrays["beyond"]
    x, y = np.append(arrays["x"][known], beyond[:, 0]), np.append(arrays["y"][known], beyond[:, 1])
    flux = np.append(flux[known], beyond[:, 2] * frame.info.exptime_s)
    # As far as the empirical residual goes; beyond, the core is added alone.
    reach = (psf.residual.shape[1] - 1) // 2 if psf.residual_order >= 0 else 0
    stamps = make_stamps(psf, x, y, max(options.radius_pix(psf.fwhm), reach))
    residual, light, _ = take_off(pixels, stamps, flux, options.for_width(psf.fwhm))
    weight = pixels.weight(residual)
    with np.errstate(divide="ignore"):
        sigma = (1.0 / np.sqrt(weight)).astype(np.float32)
    return StarsSubtracted(pixels.image - light, residual, sigma)


def _check_psf(fit: PsfFit, fwhm_pix: float) -> None:
    """Refuse a PSF that is none."""
    psf = fit.psf
    ratio = psf.fwhm / fwhm_pix
    ny, nx = psf.shape
    ellipticity = float(psf.ellipticity_at(np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2]))[0][0])
    if not _WIDTH_RANGE[0] < ratio < _WIDTH_RANGE[1]:
        raise BadFrameError(
            f"the PSF fit has gone astray: {psf.fwhm:.2f} pixels wide in a seeing of {fwhm_pix:.2f}, ellipticity "
            f"{ellipticity:.2f} (trailed or double images?)"
        )
    if ellipticity > _MAX_ELLIPTICITY:
        raise BadFrameError(f"the stars are trailed: the PSF has an ellipticity of {ellipticity:.2f}")
    if fit.centroid_rms > _MOST_OFF * fwhm_pix or fit.residual_rms > _MOST_RESIDUAL:
        raise BadFrameError(
            f"the stars are not where the plate solution puts them, or the PSF is none: they scatter by "
            f"{fit.centroid_rms:.2f} pixels, and {100 * fit.residual_rms:.0f} % of their light is left"
        )


def _psf_facts(fit: PsfFit, options: PsfOptions) -> dict[str, str | int | float]:
    psf = fit.psf
    status = PsfOrigin.OWN if fit.order == options.max_order else PsfOrigin.LOWER_ORDER
    facts = {name: value for name, value in psf.describe().items() if name != "kind"}
    return {
        "psf_status": PsfOrigin.BORROWED if fit.stars is None else status,
        "psf_n_stars": 0 if fit.stars is None else int(np.count_nonzero(fit.stars.used)),
        "psf_order": fit.order,
        "psf_residual_order": fit.psf.residual_order,
        "psf_residual_rms": fit.residual_rms,
        **{f"psf_{name}": value for name, value in facts.items()},
        "shift_x_pix": fit.shift[0],
        "shift_y_pix": fit.shift[1],
        "centroid_rms_pix": fit.centroid_rms,
    }


def _assemble(
    frame: Frame,
    rows: np.ndarray,
    positions: tuple[np.ndarray, np.ndarray],
    fit: PsfFit,
    solution: Solution,
    skies: StarSkies,
    facts: Mapping[str, str | int | float],
) -> FrameResult:
    info, stamps, sums = frame.info, solution.stamps, solution.sums
    fitted = solution.flux + skies.flux
    ny, nx = frame.image.shape
    on = (stamps.x >= -0.5) & (stamps.x < nx - 0.5) & (stamps.y >= -0.5) & (stamps.y < ny - 0.5)
    full = stamps.values.sum(axis=(1, 2), dtype=np.float64)
    fraction = sums.light / full
    alone = 1.0 / np.sqrt(np.where(sums.curvature > 0, sums.curvature, np.nan))
    noise = solution.error
    seen = (fraction >= _LEAST_LIGHT) & np.isfinite(alone)
    flux = np.where(seen, fitted, np.nan)
    misfit = 0.0
    # A smaller one is much the same in all frames, and no error of a light curve.
    if fit.stars is not None and _is_poor(fit):
        misfit = flux_misfit(solution, skies, fit.stars.row[fit.stars.used])
    by_psf = fitted * np.hypot(fit.flux_error_at(stamps.x, stamps.y), misfit)
    error = np.where(seen, np.sqrt(noise**2 + by_psf**2 + skies.error**2 + skies.hidden**2), np.nan)
    chi2 = sums.chi2 / np.maximum(sums.n_pixels, 1)
    neighbours = solution.neighbours
    flags = _flags(frame, fit, solution, full)
    flags[~seen] |= StarFlag.NOT_MEASURED
    flags[skies.structure > STRUCTURED_SKY] |= StarFlag.STRUCTURED_SKY
    with np.errstate(invalid="ignore", divide="ignore"):
        flags[noise > _BLENDED * alone] |= StarFlag.BLENDED
        flags[neighbours > _NEIGHBOUR_FRACTION * flux] |= StarFlag.NEIGHBOUR
        crowding = neighbours / np.where(flux > error, flux, error)
        # A bright star's chi2 shows the PSF's own error, which every star of its brightness has.
        tolerated = 1.0 + (_PSF_ERROR * flux / np.hypot(alone, 1e-30)) ** 2 / np.maximum(sums.n_pixels, 1)
        flags[chi2 > _POOR_CHI2 * tolerated] |= StarFlag.POOR_FIT
    n_stars = len(positions[0])

    def spread(values: np.ndarray, dtype: type = np.float32) -> np.ndarray:
        """Rows of the stars on the image to the rows of all stars, NaN elsewhere."""
        whole: np.ndarray = np.full(n_stars, np.nan, dtype)
        whole[rows[on]] = values[on]
        return whole

    all_flags = np.full(n_stars, StarFlag.OFF_IMAGE, np.uint32)
    all_flags[rows[on]] = flags[on]
    total = spread(flux / info.exptime_s)
    attrs = {
        "status": OK,
        "unit": f"{info.unit}/s",
        "n_measured": int(np.count_nonzero(np.isfinite(total))),
        **facts,
    }
    stars = {
        "x": positions[0],
        "y": positions[1],
        "flux": total,
        "flux_err": spread(error / info.exptime_s),
        "flags": all_flags,
        "chi2": spread(np.minimum(chi2, _MOST), np.float16),
        "psf_fraction": spread(fraction, np.float16),
        "crowding": spread(np.clip(crowding, -_MOST, _MOST), np.float16),
        "sky_share": spread((skies.hidden / error) ** 2, np.float16),
        "sky": spread(solution.background.level_at(stamps.x, stamps.y) + skies.level),
    }
    # Stars beyond the edge, whose wings reach the image: x, y, flux.
    beyond = np.stack([stamps.x, stamps.y, fitted / info.exptime_s], axis=1)[~on & seen]
    return FrameResult(attrs, stars, {"beyond": beyond, **psf_arrays(fit.psf)})


def _is_poor(fit: PsfFit) -> bool:
    """Whether the PSF does not describe the stars that it was measured on."""
    return fit.residual_rms > POOR_PSF_RMS or fit.psf.residual_peak > POOR_PSF_PEAK


def _flags(frame: Frame, fit: PsfFit, solution: Solution, full: np.ndarray) -> np.ndarray:
    """Flags of what the pixels of each star have suffered, and of the PSF, shape (n,)."""
    stamps = solution.stamps
    flags = np.zeros(len(stamps), np.uint32)
    flags[near_saturation(frame.pixel_flags, stamps.x, stamps.y, fit.psf.fwhm)] |= StarFlag.SATURATED
    inside = np.zeros(len(stamps))
    for bits, flag in PIXEL_TO_STAR:
        lost, inside = lost_light(frame.pixel_flags, stamps, bits)
        flags[lost > _LOST * full] |= flag
    flags[inside < (1.0 - _LOST) * full] |= StarFlag.EDGE
    if _is_poor(fit):
        flags |= StarFlag.POOR_FIT
    if fit.stars is None:
        flags |= StarFlag.BORROWED_PSF
    return flags
