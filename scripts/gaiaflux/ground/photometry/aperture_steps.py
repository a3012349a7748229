"""Steps of the aperture photometry of one frame, in the order in which the module `aperture` beside it takes them."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gaiaflux.core.aperture.correction import GrowthCorrection, GrowthCurves, fit_correction, model_correction
from gaiaflux.core.aperture.neighbours import neighbour_light
from gaiaflux.core.aperture.sums import ApertureSums, Filling, sum_circles
from gaiaflux.core.image.empty_places import (
    DENSE,
    HiddenSky,
    grid_places,
    hidden_variance,
    nothing_hidden,
    uneven_sky,
)
from gaiaflux.core.image.local_sky import AnnulusSky, combine_sky, measure_annuli, paint_discs
from gaiaflux.core.maths.polynomials import STARS_PER_TERM, n_terms
from gaiaflux.core.maths.robust import weighted_median
from gaiaflux.core.psf.fluxes import stars_per_beam
from gaiaflux.core.psf.good_stars import choose_good_stars
from gaiaflux.core.psf.moffat import MoffatProfile
from gaiaflux.ground.frame.noise import FrameNoise, frame_noise
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.frame import Frame

__all__ = [
    "CorrectionStars",
    "Field",
    "choose_correction_stars",
    "estimate_light",
    "fill_in",
    "find_correction",
    "hidden_sky",
    "light_of_neighbours",
    "prepare",
    "sky_annuli",
    "sums_of",
    "without_wings",
]

# Radii that the growth curve is measured at, beside the wanted ones [FWHM].
_GROWTH_RADII = (0.7, 1.0, 1.5, 2.2, 3.0)
# Radius that the field-dependent correction refers to [FWHM]; one of the above.
_REFERENCE_FWHM = 2.2
# Radius of empty apertures [FWHM], and part of one that may belong to stars.
_EMPTY_FWHM = 1.5
_MOST_HIDDEN = 0.02
# Around a known star, the sky begins where the star's light is below this part of the sky's noise.
_MASK_LEVEL = 0.05
# A saturated or half-seen star may be so many times brighter than what was measured of it.
_MOST_MISSING = 30.0
# Stars for the aperture correction: the first pair of signal-to-noise ratio and neighbours' part of the light that
# enough stars meet; the last ones in crowded fields, where the neighbours' light is known well enough to be taken off.
_LONELY = ((100.0, 0.003), (100.0, 0.01), (60.0, 0.01), (40.0, 0.02), (30.0, 0.05))
_CORRECTION_LADDER = (*_LONELY, (60.0, 0.1), (30.0, 0.2), (30.0, 0.4))
# Error of the neighbours' light in the growth curve of a single star.
_NEIGHBOUR_ERROR = 0.15

# Up to this part of neighbours' light in the first look, the rest is taken for the star's; above, the catalogue's.
_MOST_BLENDED = 0.3
# Brightest stars that say what the catalogue's magnitudes mean in a frame; the faint ones are blends in crowded fields.
_SCALE_STARS = 50
# None of them weighs more than this one, counted from the brightest.
_LEADING = 5
# Signal-to-noise ratio of these; less where fewer than three stars have it. Behind a cloud a few times the noise
# still tells a faint star from the light of the bright one beside it.
_SCALE_SNR = (30.0, 10.0, 5.0)
# Enough of them for a mean curve; of lonely ones more, fainter ones too, for its change over the field.
_WANTED_CORRECTION_STARS = 20
_CORRECTION_ORDER = 2
_FIELD_STARS = 2 * STARS_PER_TERM * int(n_terms(_CORRECTION_ORDER))
_MAX_CORRECTION_STARS = 500
# Apertures that lack pixels.
_INCOMPLETE = StarFlag.BAD_PIXEL | StarFlag.COSMIC_RAY | StarFlag.TRAIL | StarFlag.EDGE
_UNFIT = _INCOMPLETE | StarFlag.SATURATED | StarFlag.NOT_MEASURED


@dataclass(frozen=True)
class Field:
    """What the steps share: pixels, the stars on the image (first `n_on`) and near it, and the frame's scales."""

    frame: Frame
    x: np.ndarray
    y: np.ndarray
    n_on: int
    radii: np.ndarray
    all_radii: np.ndarray
    fwhm: float
    annulus: tuple[float, float]
    noise: FrameNoise


@dataclass(frozen=True)
class CorrectionStars:
    """Stars that the aperture correction is measured on.

    Attributes
    ----------
    rows : ndarray of int, shape (n_chosen,)
        Rows of the stars in a `Field`.
    growth : ApertureSums
        Their sums in its `all_radii`.
    near : ndarray, shape (n_chosen, n_all)
        Light of neighbours in them [image unit].
    """

    rows: np.ndarray
    growth: ApertureSums
    near: np.ndarray


def prepare(
    frame: Frame, x: np.ndarray, y: np.ndarray, n_on: int, radii: np.ndarray, annulus: tuple[float, float], fwhm: float
) -> Field:
    """Scales of a frame: radii of the growth curve, noise, trend of the sky.

    Parameters
    ----------
    frame : Frame
        Pixels.
    x, y : ndarray, shape (n_near,)
        Stars on the image, then those near it [pixel].
    n_on : int
        How many are on the image.
    radii : ndarray, shape (n_radii,)
        Wanted apertures [pixel].
    annulus : tuple of float
        Inner and outer radius of the sky annulus [pixel].
    fwhm : float
        Seeing [pixel].

    Returns
    -------
    Field

    Raises
    ------
    BadFrameError
        No usable pixels.
    """
    grid = np.unique(np.concatenate([radii, np.array(_GROWTH_RADII) * fwhm]))
    return Field(frame, x, y, n_on, radii, grid, fwhm, annulus, frame_noise(frame))


def sums_of(
    field: Field, stars: slice | np.ndarray, radii: np.ndarray, profile: MoffatProfile | None, sky: np.ndarray | float
) -> ApertureSums:
    """`gaiaflux.core.aperture.sums.sum_circles` for some stars of a field; without a profile nothing is filled in."""
    frame = field.frame
    return sum_circles(
        frame.image,
        frame.pixel_flags,
        field.x[stars],
        field.y[stars],
        radii,
        noise=(field.noise.model.floor, field.noise.model.slope) if frame.error is None else frame.error,
        filling=Filling(profile, sky) if profile else None,
    )


def _probe(field: Field) -> int:
    """Column of the radius nearest to the FWHM: the one with the best signal-to-noise ratio for a first look."""
    return int(np.argmin(np.abs(field.radii - field.fwhm)))


def estimate_light(field: Field, sums: ApertureSums, mag: np.ndarray, profile: MoffatProfile) -> np.ndarray:
    """Total light of the stars, good enough for masks and neighbours; the catalogue's where the frame says little.

    Parameters
    ----------
    field : Field
        Frame and stars.
    sums : ApertureSums
        Sums of the stars on the image.
    mag : ndarray, shape (n_near,)
        Catalogue magnitudes, NaN where unknown.
    profile : MoffatProfile
        Guess of the profile.

    Returns
    -------
    ndarray of float64, shape (n_near,)
        [image unit]; 0 where nothing is known.
    """
    n_on, k = field.n_on, _probe(field)
    area = np.pi * field.radii[k] ** 2
    fraction = float(profile.growth(field.radii[k]))
    measured, error = np.zeros(len(mag)), np.full(len(mag), np.inf)
    with np.errstate(invalid="ignore"):
        raw = sums.total[:, k] - area * field.noise.trend.value(field.x[:n_on], field.y[:n_on])
        measured[:n_on] = np.maximum(np.nan_to_num(raw / fraction), 0.0)
        error[:n_on] = np.nan_to_num(np.sqrt(sums.variance[:, k]) / fraction, nan=np.inf)
    relative = 10.0 ** (-0.4 * (mag - np.nanmedian(mag))) if np.isfinite(mag).any() else np.full(len(mag), np.nan)
    good = _scale_stars(field, (sums.flags[:, k] == 0) * measured[:n_on] / error[:n_on], relative, profile)
    if len(good) < 3:
        return measured
    # By their light, of which faint stars may have more than their own: from a halo, from the sky's structure.
    weight = np.minimum(relative[good], relative[good[min(_LEADING, len(good)) - 1]])
    expected = relative * weighted_median(measured[good] / relative[good], weight)
    known = np.isfinite(expected)
    near = (
        light_of_neighbours(
            field,
            np.where(known, np.minimum(expected, measured + 3 * error), 0.0),
            field.radii[k : k + 1],
            profile,
            np.arange(n_on),
        )[:, 0]
        / fraction
    )
    own = measured.copy()
    own[:n_on] -= near
    expected *= weighted_median(own[good] / measured[good], weight)
    light = np.where(known, np.minimum(expected, measured + 3 * error), measured)
    # More than expected is a blend or a cosmic ray; less is what there is, unless pixels are saturated or missing.
    alone = np.ones(len(mag), bool)
    alone[:n_on] = near < _MOST_BLENDED * own[:n_on]
    seen = known & (own > 10 * error) & alone
    light[seen] = np.minimum(own, 3.0 * expected)[seen]
    # Of what there is without the neighbours' light: a bad pixel does not make a bright star's companion bright.
    partial = known & (own > 0)
    partial[:n_on] &= (sums.flags[:, k] & (_INCOMPLETE | StarFlag.SATURATED)) != 0
    partial[n_on:] = False
    whole = np.minimum(expected, _MOST_MISSING * own)
    light[partial] = np.where(alone, np.maximum(own, whole), whole)[partial]
    return light


def _scale_stars(field: Field, snr: np.ndarray, relative: np.ndarray, profile: MoffatProfile) -> np.ndarray:
    """Rows of stars that say what the catalogue's light `relative` means in the frame, the brightest first."""
    known = np.nan_to_num(relative)
    k = _probe(field)
    for least in _SCALE_SNR:
        good = np.flatnonzero((snr > least) & (known[: field.n_on] > 0))
        # Faint stars beside a bright one show its light: behind a cloud they may be most of what is seen.
        near = light_of_neighbours(field, known, field.radii[k : k + 1], profile, good)[:, 0]
        alone = good[near < _MOST_BLENDED * known[good]]
        if len(alone) >= 3:
            break
    return alone[np.argsort(-known[alone], kind="stable")][: max(_SCALE_STARS, len(alone) // 10)]


class SkyAnnuli(NamedTuple):
    """Sky around the stars on the image.

    Attributes
    ----------
    ring : AnnulusSky
        Of each star.
    discs : ndarray of float64, shape (n_near,)
        Radius of the disc that was kept out of it around each star [pixel].
    avoid : ndarray of uint8, shape (ny, nx)
        Nonzero in discs and on unusable pixels.
    """

    ring: AnnulusSky
    discs: np.ndarray
    avoid: np.ndarray


def sky_annuli(field: Field, light: np.ndarray, profile: MoffatProfile) -> SkyAnnuli:
    """Sky around the stars on the image."""
    avoid = field.frame.pixel_flags.copy()
    discs = np.zeros(len(light))
    bright = light > 0
    discs[bright] = profile.radius_of(_MASK_LEVEL * field.noise.sigma / light[bright])
    discs = np.minimum(discs, field.annulus[0])
    paint_discs(avoid, field.x, field.y, discs)
    x, y = field.x[: field.n_on], field.y[: field.n_on]
    slope_x, slope_y = field.noise.trend.gradient(x, y)
    ring = measure_annuli(field.frame.image, avoid, x, y, field.annulus, slope_x=slope_x, slope_y=slope_y)
    return SkyAnnuli(ring, discs, avoid)


def without_wings(
    field: Field, ring: AnnulusSky, light: np.ndarray, discs: np.ndarray, profile: MoffatProfile
) -> AnnulusSky:
    """What is left of the many stars outside of their discs lifts the sky; on average by so much."""
    # The few whose discs end too early, at the annulus, do it near themselves alone: the average would be theirs.
    whole = np.flatnonzero(discs[: field.n_on] < field.annulus[0])
    wings = float(np.sum(light[whole] * (1.0 - profile.growth(discs[whole])))) / field.frame.image.size
    return AnnulusSky(ring.level - wings, ring.error, ring.n_pixels)


def hidden_sky(field: Field, annuli: SkyAnnuli, own_scatter: np.ndarray) -> HiddenSky:
    """Sky under the stars on the image that their annuli do not tell, from apertures at empty places, per pixel^2.

    Annuli that scatter more than others do, without the slope of the star's own light, have structure of their own.
    """
    n_on = field.n_on
    if stars_per_beam(n_on, int(np.count_nonzero(field.frame.pixel_flags == 0)), field.fwhm) > DENSE:
        return nothing_hidden(n_on)
    radius = np.array([_EMPTY_FWHM * field.fwhm])
    area = np.pi * float(radius[0]) ** 2
    x, y = grid_places(field.frame.image.shape)
    mask = (annuli.avoid != 0).astype(np.float32)
    masked = sum_circles(mask, np.zeros_like(annuli.avoid), x, y, radius, noise=(1.0, 0.0)).total[:, 0]
    empty = masked < _MOST_HIDDEN * area
    x, y = x[empty], y[empty]
    slope_x, slope_y = field.noise.trend.gradient(x, y)
    ring = measure_annuli(field.frame.image, annuli.avoid, x, y, field.annulus, slope_x=slope_x, slope_y=slope_y)
    sky = combine_sky(x, y, ring, np.zeros(len(x)), field.noise.trend, field.noise.sigma)
    sums = sums_of(replace(field, x=x, y=y), slice(None), radius, None, 0.0)
    good = (sums.flags[:, 0] == 0) & ~sky.unreliable
    level, variance = sums.total[:, 0] / area - sky.level, sums.variance[:, 0] / area**2 + sky.error**2
    places = x[good], y[good]
    hidden = hidden_variance(field.x[:n_on], field.y[:n_on], places, level[good], variance[good])
    return uneven_sky(hidden, np.sqrt(np.maximum(annuli.ring.pixel_scatter**2 - own_scatter**2, 0.0)))


def light_of_neighbours(
    field: Field, light: np.ndarray, radii: np.ndarray, profile: MoffatProfile, wanted: np.ndarray
) -> np.ndarray:
    """Light of other stars in the apertures of the stars of rows `wanted`, shape (n_wanted, n_radii)."""
    return neighbour_light(field.x, field.y, light, radii, profile, field.annulus[0] + radii[-1], wanted)


def choose_correction_stars(
    field: Field, sums: ApertureSums, light: np.ndarray, profile: MoffatProfile, least: int
) -> np.ndarray:
    """Rows of bright, isolated, undisturbed stars, the brightest first; empty if there are fewer than `least`."""
    n_on, k = field.n_on, _probe(field)
    outer = field.all_radii[-1]
    x, y = field.x[:n_on], field.y[:n_on]
    ny, nx = field.frame.image.shape
    inside = (x - outer > 0) & (x + outer < nx - 1) & (y - outer > 0) & (y + outer < ny - 1)
    fit = inside & ((sums.flags & _UNFIT) == 0).all(axis=1)
    near = light_of_neighbours(field, light, np.array([outer]), profile, np.arange(n_on))[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        area = np.pi * field.radii[k] ** 2
        snr = (sums.total[:, k] - area * field.noise.trend.value(x, y)) / np.sqrt(sums.variance[:, k])
        contamination = near / light[:n_on]
    wanted = max(_WANTED_CORRECTION_STARS, least)
    chosen = choose_good_stars(fit, snr, contamination, _LONELY, max(_FIELD_STARS, wanted), _MAX_CORRECTION_STARS)
    if len(chosen) < wanted:
        chosen = choose_good_stars(fit, snr, contamination, _CORRECTION_LADDER, wanted, _MAX_CORRECTION_STARS)
    return chosen if len(chosen) >= max(least, 1) else chosen[:0]


def find_correction(
    field: Field,
    stars: CorrectionStars,
    level: np.ndarray,
    level_err: np.ndarray,
    profile: MoffatProfile,
    annulus: tuple[float, float] | None,
) -> GrowthCorrection:
    """Aperture correction from the chosen stars, or a model where there are none.

    Parameters
    ----------
    field : Field
        Frame and stars.
    stars : CorrectionStars
        Chosen stars; the light of their neighbours is taken off.
    level, level_err : ndarray, shape (n_on,)
        Sky of the stars on the image.
    profile : MoffatProfile
        First guess.
    annulus : tuple of float or None
        Radii of the sky annulus if `level` still holds the stars' own light; the correction is then the same over the
        whole field.

    Returns
    -------
    GrowthCorrection
    """
    growth, near = stars.growth, stars.near
    usable = np.isfinite(level[stars.rows]) & np.isfinite(growth.total).all(axis=1)
    usable &= ((growth.flags & _UNFIT) == 0).all(axis=1)
    if np.count_nonzero(usable) == 0:
        return model_correction(field.radii, profile)
    rows = stars.rows[usable]
    flux = growth.total[usable] - np.pi * field.all_radii**2 * level[rows][:, None] - near[usable]
    variance = growth.variance[usable] + (_NEIGHBOUR_ERROR * near[usable]) ** 2
    return fit_correction(
        GrowthCurves(field.x[rows], field.y[rows], flux, variance, level_err[rows], field.all_radii),
        np.searchsorted(field.all_radii, field.radii),
        int(np.searchsorted(field.all_radii, max(field.radii[-1], _REFERENCE_FWHM * field.fwhm))),
        field.frame.image.shape,
        profile,
        annulus=annulus,
        max_order=_CORRECTION_ORDER if annulus is None else 0,
    )


def fill_in(field: Field, sums: ApertureSums, profile: MoffatProfile, sky: np.ndarray) -> ApertureSums:
    """Sums with the unusable pixels filled in, from the measured sky and profile."""
    incomplete = np.flatnonzero(((sums.flags & _INCOMPLETE) != 0).any(axis=1))
    if len(incomplete) == 0:
        return sums
    again = sums_of(field, incomplete, field.radii, profile, sky[incomplete])
    total, variance, filled = sums.total.copy(), sums.variance.copy(), sums.filled.copy()
    flags = sums.flags.copy()
    total[incomplete], variance[incomplete], filled[incomplete] = again.total, again.variance, again.filled
    flags[incomplete] = again.flags
    return ApertureSums(total, variance, filled, flags)
