"""Aperture photometry of one frame: the stars of the catalogue, at their places in this frame."""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.aperture.correction import GrowthCorrection
from gaiaflux.core.aperture.sums import ApertureSums
from gaiaflux.core.image.empty_places import HiddenSky, typical_structure
from gaiaflux.core.image.local_sky import LocalSky, combine_sky
from gaiaflux.core.psf.model import PsfModel
from gaiaflux.core.psf.moffat import MoffatProfile
from gaiaflux.ground.photometry.aperture_steps import (
    CorrectionStars,
    Field,
    choose_correction_stars,
    estimate_light,
    fill_in,
    find_correction,
    hidden_sky,
    light_of_neighbours,
    prepare,
    sky_annuli,
    sums_of,
    without_wings,
)
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.frame import Frame
from gaiaflux.model.measurement import FrameResult, PlacedFrame
from gaiaflux.model.quality import STRUCTURED_SKY
from gaiaflux.model.settings.aperture import ApertureSettings
from gaiaflux.model.status import OK

__all__ = ["ApertureOptions", "measure_frame", "measure_stars", "radii_in_pixels"]

_NEIGHBOUR_FRACTION = 0.01
# Error of the neighbours' light that is taken off: their brightness, the wings of the profile.
_NEIGHBOUR_ERROR = 0.03
# Least unit of the apertures. Of narrower stars most light falls into one or two pixels, whose sensitivity, and where
# between them the star lies, change its sum from frame to frame; a wider circle than the seeing asks for evens it out.
LEAST_WIDTH_PIX = 2.5
# Where the annulus begins at the least, in units of the frame's seeing; as asked for, if that is less.
_LEAST_INNER_FWHM = 2.5
UNDERSAMPLED_FWHM_PIX = 2.5
# Largest value of what is stored as float16.
_MOST = 6e4


@dataclass(frozen=True)
class ApertureOptions:
    """How the stars of a frame are measured.

    Attributes
    ----------
    radii : ndarray of float64, shape (n_radii,)
        Increasing [pixel].
    annulus : tuple of float
        Inner and outer radius of the sky annulus [pixel].
    min_correction_stars : int
        With fewer stars fit for it, the aperture correction is a model's and all stars are flagged.
    subtract_neighbours : bool
        Whether to take the light of the other stars of known magnitude off each aperture: as bright as they are in
        this frame, or, where they are faint or blended, as the catalogue says. Its error is 3 % of it.
    winged_psf : PsfModel, optional
        Its wing and core say how much light lies beyond the growth curve; else the curve's profile is carried on.
    """

    radii: np.ndarray
    annulus: tuple[float, float]
    min_correction_stars: int = 10
    subtract_neighbours: bool = True
    winged_psf: PsfModel | None = None


@dataclass(frozen=True)
class _Found:
    """What the steps have found: of the stars on the image sums and sky; of those near it too their light."""

    sums: ApertureSums
    sky: LocalSky
    hidden: HiddenSky  # per pixel, in neither
    correction: GrowthCorrection
    light: np.ndarray
    taken_light: np.ndarray  # of which the part in the apertures of others is taken off


def measure_frame(
    placed: PlacedFrame,
    settings: ApertureSettings,
    series_fwhm_arcsec: float = float("nan"),
    reference_psf: PsfModel | None = None,
) -> FrameResult:
    """Measure every star of the catalogue in one frame.

    Parameters
    ----------
    placed : PlacedFrame
        Pixels, and the stars at their places.
    settings : ApertureSettings
    series_fwhm_arcsec : float
        Usual seeing of the series; NaN where it is not known.
    reference_psf : PsfModel, optional
        PSF of the reference image: its wing says how much light lies beyond what a growth curve reaches.

    Returns
    -------
    FrameResult
        See `measure_stars`.

    Raises
    ------
    BadFrameError
        The frame has no exposure time or no usable pixel.
    """
    scale = 3600.0 * float(np.sqrt(abs(np.linalg.det(placed.wcs.cd))))
    radii, annulus = radii_in_pixels(settings, placed.fwhm_pix, scale, series_fwhm_arcsec / scale)
    psf = reference_psf if reference_psf is not None and reference_psf.wing.exists else None
    options = ApertureOptions(radii, annulus, settings.min_correction_stars, settings.subtract_neighbours, psf)
    return measure_stars(placed.frame, placed.x, placed.y, placed.catalog.best_mag, placed.fwhm_pix, options)


def radii_in_pixels(
    settings: ApertureSettings, fwhm_pix: float, scale_arcsec: float, series_fwhm_pix: float = float("nan")
) -> tuple[np.ndarray, tuple[float, float]]:
    """Aperture radii and annulus of a frame.

    Parameters
    ----------
    settings : ApertureSettings
        Radii in arcsec go before those in units of the seeing, which are there where the others are not.
    fwhm_pix : float
        The frame's seeing [pixel]; where it is less than 2.5 pixels, 2.5: in a smaller circle the place of a star
        between the pixels decides how much of it is inside.
    scale_arcsec : float
        The frame's pixel scale [arcsec/pixel].
    series_fwhm_pix : float
        Usual seeing of the series in this frame's pixels, the unit of the annulus: one of the same size on the sky has
        the same faint stars in it in all frames. The frame's own where the usual one is not known (NaN), and a part of
        it where the annulus would begin within 2.5 times the seeing.

    Returns
    -------
    radii : ndarray of float64, shape (n_radii,)
        Increasing [pixel].
    annulus : tuple of float
        Inner and outer radius [pixel].
    """
    in_arcsec = settings.radii_arcsec is not None
    width = max(fwhm_pix, LEAST_WIDTH_PIX)
    unit = 1.0 / scale_arcsec if in_arcsec else width
    radii = np.sort(np.asarray(settings.radii_arcsec if in_arcsec else settings.radii_fwhm, np.float64)) * unit
    if settings.annulus_arcsec is not None:
        annulus = np.asarray(settings.annulus_arcsec, np.float64) / scale_arcsec
    else:
        in_fwhm = np.asarray(settings.annulus_fwhm, np.float64)
        least = min(width, _LEAST_INNER_FWHM * width / in_fwhm[0])
        annulus = in_fwhm * (max(series_fwhm_pix, least, LEAST_WIDTH_PIX) if series_fwhm_pix > 0 else width)
    return radii, (float(annulus[0]), float(annulus[1]))


def measure_stars(
    frame: Frame, x: np.ndarray, y: np.ndarray, mag: np.ndarray, fwhm_pix: float, options: ApertureOptions
) -> FrameResult:
    """Measure stars at given places of a frame.

    Parameters
    ----------
    frame : Frame
        Pixels.
    x, y : ndarray, shape (n_stars,)
        Positions [pixel]; NaN = off the image.
    mag : ndarray, shape (n_stars,)
        Catalogue magnitudes, NaN where unknown; they only say how bright neighbours are.
    fwhm_pix : float
        The frame's seeing [pixel].
    options : ApertureOptions
        Apertures, and how they are measured.

    Returns
    -------
    FrameResult
        `attrs`: ``status`` (``ok``), ``unit`` of the fluxes, ``n_measured`` (stars with a flux in every radius),
        ``n_correction_stars``, ``correction_measured``, ``outside_fraction`` (light beyond the correction's reference
        radius ``reference_radius_pix``, from the profile of width ``profile_fwhm_pix`` and exponent ``profile_beta``),
        ``sky`` (median level), ``sky_scatter`` (real structure of the sky between stars),
        ``sky_structure`` (scatter of empty apertures over the stated one, median), ``pixel_noise``, ``noise``
        (where the variances come from), ``annulus_inner_pix``, ``annulus_outer_pix``.
        `stars`: ``x``, ``y`` [pixel], ``sky``, ``sky_err`` [image unit per pixel]; per star and radius ``flux``,
        ``flux_err`` (total light [image unit / s]), ``flags`` (bits of `StarFlag`), ``fraction``, ``fraction_err`` (of
        the star's light inside the aperture), ``filled`` (part of the light inside that was filled in),
        ``contamination`` (neighbours' light over the star's); per star ``sky_share`` (part of ``flux_err``^2 by
        structure of the sky that the annuli do not tell, by the middle one of the radii). NaN where not measured.
        `further`: ``radii_pix`` (n_radii,).

    Raises
    ------
    BadFrameError
        No exposure time, or no usable pixel.
    """
    x, y, mag = (np.asarray(values, np.float64) for values in (x, y, mag))
    if not frame.info.exptime_s > 0:
        raise BadFrameError("exposure time is zero or unknown")
    radii, annulus = options.radii, options.annulus
    reach = annulus[0] + radii[-1]
    ny, nx = frame.image.shape
    on = (x >= -0.5) & (x < nx - 0.5) & (y >= -0.5) & (y < ny - 0.5)
    near = ~on & (x > -reach) & (x < nx + reach) & (y > -reach) & (y < ny + reach)
    # From bottom to top: the pixels of a star are then still in the processor's cache for the next one.
    rows = np.concatenate([np.flatnonzero(on)[np.argsort(y[on], kind="stable")], np.flatnonzero(near)])
    n_on = int(np.count_nonzero(on))
    field = prepare(frame, x[rows], y[rows], n_on, radii, annulus, fwhm_pix)
    profile = MoffatProfile.from_fwhm(fwhm_pix)

    # Pixels are filled in later, when sky and profile are known.
    sums = sums_of(field, slice(0, n_on), radii, None, 0.0)
    light = estimate_light(field, sums, mag[rows], profile)
    annuli = sky_annuli(field, light, profile)
    ring = without_wings(field, annuli.ring, light, annuli.discs, profile)
    chosen = choose_correction_stars(field, sums, light, profile, options.min_correction_stars)
    stars = CorrectionStars(
        chosen,
        sums_of(field, chosen, field.all_radii, None, 0.0),
        light_of_neighbours(field, light, field.all_radii, profile, chosen),
    )
    correction = find_correction(field, stars, ring.level, ring.error, profile, annulus)
    # The profile is known now: take the stars' own light off their annuli, and correct with the better sky.
    profile = correction.profile
    ring = without_wings(field, annuli.ring, light, annuli.discs, profile)
    own_light = light[:n_on] * profile.annulus_brightness(*annulus)
    sky = combine_sky(field.x[:n_on], field.y[:n_on], ring, own_light, field.noise.trend, field.noise.sigma)
    correction = find_correction(field, stars, sky.level, sky.error, profile, None)
    if options.winged_psf is not None:
        psf, wider = options.winged_psf, correction.profile.fwhm / options.winged_psf.fwhm
        correction = replace(correction, far_light=psf.light_beyond(correction.reference_radius, wider))
    sums = fill_in(field, sums, correction.profile, sky.level)
    # What the catalogue has no magnitude of may be a piece of another star: it is not taken off.
    known = light * np.isfinite(mag[rows]) if options.subtract_neighbours else np.zeros(len(rows))
    hidden = hidden_sky(field, annuli, light[:n_on] * profile.annulus_scatter(*annulus))
    return _assemble(field, _Found(sums, sky, hidden, correction, light, known), rows, (x, y))


def _assemble(field: Field, found: _Found, rows: np.ndarray, positions: tuple[np.ndarray, np.ndarray]) -> FrameResult:
    sums, sky, correction, light = found.sums, found.sky, found.correction, found.light
    n_on, radii, info = field.n_on, field.radii, field.frame.info
    area = np.pi * radii**2
    fraction, fraction_err = correction.fraction(field.x[:n_on], field.y[:n_on])
    near = light_of_neighbours(field, light, radii, correction.profile, np.arange(n_on))
    taken = light_of_neighbours(field, found.taken_light, radii, correction.profile, np.arange(n_on))
    flux = (sums.total - area * sky.level[:, None] - taken) / fraction
    # Where the place between the pixels decides what is inside, stars deviate otherwise in each frame.
    _, series_err = correction.fraction(field.x[:n_on], field.y[:n_on], star_scatter=field.fwhm < UNDERSAMPLED_FWHM_PIX)
    hidden = area**2 * found.hidden.variance[:, None] / fraction**2
    variance = (sums.variance + (area * sky.error[:, None]) ** 2) / fraction**2 + (flux * series_err / fraction) ** 2
    variance += (_NEIGHBOUR_ERROR * taken / fraction) ** 2 + hidden
    with np.errstate(invalid="ignore", divide="ignore"):
        contamination = near / (light[:n_on, None] * fraction)
        crowded = near > _NEIGHBOUR_FRACTION * light[:n_on, None] * fraction
    flags = sums.flags.copy()
    flags[crowded] |= StarFlag.NEIGHBOUR
    flags[sky.unreliable] |= StarFlag.BACKGROUND
    flags[found.hidden.ratio > STRUCTURED_SKY] |= StarFlag.STRUCTURED_SKY
    if not correction.measured:
        flags |= StarFlag.NO_APERTURE_CORRECTION
    on = rows[:n_on]
    shape = (len(positions[0]), len(radii))

    def spread(values: np.ndarray, dtype: type = np.float32) -> np.ndarray:
        """Rows of the stars on the image to the rows of all stars, NaN elsewhere."""
        whole = np.full((shape[0], *values.shape[1:]), np.nan, dtype)
        whole[on] = values
        return whole

    all_flags = np.full(shape, StarFlag.OFF_IMAGE, np.uint32)
    all_flags[on] = flags
    flux = spread(flux / info.exptime_s)
    n_measured = int(np.count_nonzero(np.isfinite(flux).all(axis=1)))
    stars = {
        "x": positions[0],
        "y": positions[1],
        "sky": spread(sky.level),
        "sky_err": spread(sky.error),
        "flux": flux,
        "flux_err": spread(np.sqrt(variance) / info.exptime_s),
        "flags": all_flags,
        "fraction": spread(fraction),
        # Two digits are enough for these.
        "fraction_err": spread(np.minimum(fraction_err, _MOST), np.float16),
        "sky_share": spread((hidden / variance)[:, len(radii) // 2], np.float16),
        "filled": spread(sums.filled, np.float16),
        "contamination": spread(np.minimum(contamination, _MOST), np.float16),
    }
    return FrameResult(_facts(field, found, n_measured), stars, {"radii_pix": radii})


def _facts(field: Field, found: _Found, n_measured: int) -> dict[str, str | bool | int | float]:
    sky, correction = found.sky, found.correction
    return {
        "status": OK,
        "unit": f"{field.frame.info.unit}/s",
        "n_measured": n_measured,
        "n_correction_stars": correction.n_stars,
        "correction_measured": correction.measured,
        "reference_radius_pix": correction.reference_radius,
        "outside_fraction": correction.outside,
        "profile_fwhm_pix": correction.profile.fwhm,
        "profile_beta": correction.profile.beta,
        "sky": float(np.median(sky.level)) if field.n_on else float("nan"),
        "sky_scatter": sky.scatter,
        "sky_structure": typical_structure(found.hidden.ratio),
        "pixel_noise": field.noise.sigma,
        "noise": field.noise.source,
        "annulus_inner_pix": field.annulus[0],
        "annulus_outer_pix": field.annulus[1],
    }
