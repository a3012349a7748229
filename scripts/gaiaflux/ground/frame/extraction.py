"""Stars, seeing and sky of one frame."""

from dataclasses import replace
from typing import Any

import numpy as np

from gaiaflux.core.image.background import Background, BackgroundEstimator, subtract_background
from gaiaflux.core.stars.cosmic_rays import flag_cosmic_rays
from gaiaflux.core.stars.detection import Detections, detect_stars, estimate_fwhm, summarise_stars
from gaiaflux.core.stars.single_star import measure_stars
from gaiaflux.core.stars.trails import flag_trails
from gaiaflux.ground.frame.noise import background_estimator, noise_above
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import PixelFlag
from gaiaflux.model.frame import Frame
from gaiaflux.model.settings.extract_stars import ExtractStarsSettings

__all__ = ["extract_stars", "mark_spoiled_pixels"]

# A catalogue is taken only if so many of its bright entries are stars of the pixels that it came with.
MIN_CONFIRMED = 0.6
CONFIRM_STARS = 60
# Circular apertures and profiles make no sense of longer trails; the worst tracking that can be used stays below.
MAX_ELLIPTICITY = 0.6
MIN_TRAILED_STARS = 5


def extract_stars(
    frame: Frame,
    seeds: tuple[np.ndarray, np.ndarray] | None,
    settings: ExtractStarsSettings,
    estimate: BackgroundEstimator | None = None,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Measure the stars of a frame that match and seeing need.

    Parameters
    ----------
    frame : Frame
        Pixels and header facts.
    seeds : tuple of ndarray or None
        Positions from a catalogue that came with the image [0-based pixel].
    settings : ExtractStarsSettings
    estimate : BackgroundEstimator, optional
        How the sky is measured; else as the settings say.

    Returns
    -------
    attrs : dict
        fwhm_pix, ellipticity, sky and sky_rms (per pixel, in the frame's unit), n_stars, stars_source, n_cosmic_pixels,
        n_trail_pixels, n_bad_pixels (of the mask, or of the bad lines of an image without one).
    arrays : dict of ndarray
        ``stars`` of STAR_DTYPE, brightest first; ``cosmic_pixels``, flat indices of pixels hit by cosmic rays;
        ``trail_pixels``, of those in straight trails.

    Raises
    ------
    BadFrameError
        No sky or no stars can be measured, the stars are trailed, or the catalogue was demanded and is missing or of
        another image.
    """
    source = settings.source
    estimate = estimate or background_estimator(settings.background_box_pix)
    background = estimate(frame.image, frame.pixel_flags)
    image = subtract_background(frame.image, background)
    sky, noise = float(np.median(background.level)), float(np.median(background.rms))
    variance = noise_above(background, frame).slope
    flags, trail = flag_trails(image, frame.pixel_flags, background)
    fwhm = estimate_fwhm(image, flags, background)
    if not np.isfinite(fwhm):
        raise BadFrameError("no stars found")
    flags, hits = flag_cosmic_rays(image, flags, background, fwhm_pix=fwhm, flux_variance=variance)
    found = None
    if source != "detect":
        found = _from_seeds(image, flags, background, seeds, fwhm, variance, settings)
        if found is None and source == "banzai":
            raise BadFrameError("no CAT extension that belongs to these pixels: set extract_stars.source to auto")
    used = "banzai"
    if found is None:
        used = "detect"
        found = detect_stars(
            image,
            flags,
            background,
            min_snr=settings.min_snr,
            max_stars=settings.max_stars,
            flux_variance=variance,
            fwhm_pix=fwhm,
        )
    if found.ellipticity > MAX_ELLIPTICITY and len(found.stars) >= MIN_TRAILED_STARS:
        raise BadFrameError(f"the stars are trailed: ellipticity {found.ellipticity:.2f}")
    attrs = {
        "fwhm_pix": found.fwhm_pix,
        "ellipticity": found.ellipticity,
        "sky": sky,
        "sky_rms": noise,
        "n_stars": len(found.stars),
        "stars_source": used,
        "n_cosmic_pixels": len(hits),
        "n_trail_pixels": len(trail),
        "n_bad_pixels": int(np.count_nonzero(frame.pixel_flags & PixelFlag.BAD)),
    }
    return attrs, {"stars": found.stars, "cosmic_pixels": hits, "trail_pixels": trail}


def mark_spoiled_pixels(frame: Frame, hits: np.ndarray, trail: np.ndarray) -> Frame:
    """Frame with the pixels flagged that `extract_stars` found to be hit by cosmic rays or crossed by a trail.

    Parameters
    ----------
    frame : Frame
    hits, trail : ndarray of int64, shape (n_pixels,)
        Flat indices of the pixels: ``cosmic_pixels`` and ``trail_pixels``.

    Returns
    -------
    Frame
        A new one; the pixels are shared, the flags are not.
    """
    flags = frame.pixel_flags.copy()
    flags.ravel()[hits] |= PixelFlag.COSMIC_RAY
    flags.ravel()[trail] |= PixelFlag.TRAIL
    return replace(frame, pixel_flags=flags)


def _from_seeds(
    image: np.ndarray,
    pixel_flags: np.ndarray,
    background: Background,
    seeds: tuple[np.ndarray, np.ndarray] | None,
    fwhm: float,
    variance: float,
    settings: ExtractStarsSettings,
) -> Detections | None:
    """Measure at the catalogue's positions; None where they are not stars of this image."""
    if seeds is None or len(seeds[0]) < 5:
        return None
    ny, nx = image.shape
    x, y = np.rint(seeds[0]).astype(np.int64), np.rint(seeds[1]).astype(np.int64)
    inside = (x >= 0) & (y >= 0) & (x < nx) & (y < ny)
    if inside[:CONFIRM_STARS].mean() < MIN_CONFIRMED:
        return None
    x, y = x[inside], y[inside]
    noise = background.rms_at(x, y)
    keep = slice(0, 2 * settings.max_stars)
    stars = measure_stars(image, pixel_flags, x[keep], y[keep], noise[keep], fwhm_pix=fwhm, flux_variance=variance)
    bright = stars[:CONFIRM_STARS]
    if np.mean(np.isfinite(bright["x"]) & (bright["snr"] > 5.0)) < MIN_CONFIRMED:
        return None
    stars = stars[np.isfinite(stars["x"]) & (stars["snr"] > 0.7 * settings.min_snr)]
    return summarise_stars(stars, settings.max_stars)
