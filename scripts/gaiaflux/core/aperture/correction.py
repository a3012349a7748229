"""Aperture correction over the field: which part of a star's light each aperture holds.

The light profile is that of a Moffat function (`gaiaflux.core.psf.moffat`).
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.maths.polynomials import order_for
from gaiaflux.core.maths.surface import Surface, fit_surface
from gaiaflux.core.psf.moffat import MoffatProfile, light_within

__all__ = [
    "GrowthCorrection",
    "GrowthCurves",
    "fit_correction",
    "fit_profile",
    "model_correction",
]

# What telescopes make; a growth curve that neighbours or a wrong sky have spoiled would run away to any value.
_BETA_BOUNDS = (2.0, 8.0)
_MAX_WIDTH_RATIO = 2.0
# A Moffat function is not the profile of a real telescope to better than this (error of a growth ratio).
_PROFILE_ERROR = 0.002
# FWHM over a frame whose variation cannot be measured: relative, one sigma.
_UNKNOWN_FWHM_VARIATION = 0.03


@dataclass(frozen=True)
class GrowthCorrection:
    """Fraction of a star's light inside each aperture, as a function of the position.

    Attributes
    ----------
    radii : ndarray of float64, shape (n_radii,)
        [pixel].
    profile : MoffatProfile
        Mean profile of the frame.
    reference_radius : float
        Radius [pixel] that the measured ratios refer to; the light outside of it comes from the profile.
    ratios : tuple of Surface
        Light within each radius over light within the reference radius; empty for a model correction.
    widening : Surface or None
        ln(alpha) of the place relative to the mean profile.
    n_stars : int
        Stars that it was measured with; 0 for a model.
    far_light : float or None
        Part of the light outside of the reference radius, where it is known otherwise than from the profile.
    unresolved : bool
        Whether the stars were too few for all terms over the field: their scatter may then be such a change.
    """

    radii: np.ndarray
    profile: MoffatProfile
    reference_radius: float
    ratios: tuple[Surface, ...]
    widening: Surface | None
    n_stars: int
    far_light: float | None = None
    unresolved: bool = False

    @property
    def outside(self) -> float:
        """Part of the light outside of the reference radius."""
        if self.far_light is not None:
            return self.far_light
        return 1.0 - float(self.profile.growth(self.reference_radius))

    @property
    def measured(self) -> bool:
        """False if the fractions are those of a model of the frame's FWHM."""
        return self.n_stars > 0

    def fraction(self, x: np.ndarray, y: np.ndarray, *, star_scatter: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Fraction of the light in each aperture.

        Parameters
        ----------
        x, y : ndarray, shape (n,)
            Positions [pixel]; NaN gives NaN.
        star_scatter : bool
            Whether the error holds the scatter from star to star. A star deviates alike in all frames of a series
            (its colour, faint stars beside it), which is no error of its light curve. It always does where the scatter
            may be a change over the field that too few stars show: that goes with the pointing.

        Returns
        -------
        fraction, error : ndarray of float64, shape (n, n_radii)
            The error holds the fit's error, the scatter from star to star, and a tenth of the change over the field
            of the light outside the reference radius; not the part of the profile that all stars share.
        """
        if self.widening is None:
            fraction = self._of_all_light(self.profile.growth(self.radii))
            error = np.abs(self.profile.growth_slope(self.radii)) * _UNKNOWN_FWHM_VARIATION
            known = np.isfinite(x) & np.isfinite(y)
            return np.where(known[:, None], fraction, np.nan), np.where(
                known[:, None], self._of_all_light(error), np.nan
            )
        u = np.clip(self.widening.value(x, y), -0.5, 0.5)
        local = (self.reference_radius / self.profile.alpha * np.exp(-u)) ** 2
        inside = light_within(local, self.profile.beta)
        slope = float(self.profile.growth_slope(self.reference_radius))
        inside_err = np.hypot(slope * self.widening.error(x, y), 0.1 * slope * u)
        ratio = np.stack([surface.value(x, y) for surface in self.ratios], axis=1)
        scatter = 1.0 if star_scatter or self.unresolved else 0.0
        ratio_err = np.stack(
            [np.hypot(surface.error(x, y), scatter * surface.scatter) for surface in self.ratios], axis=1
        )
        fraction = self._of_all_light(ratio * inside[:, None])
        error = np.hypot(ratio_err * inside[:, None], ratio * inside_err[:, None])
        return fraction, self._of_all_light(error)

    def _of_all_light(self, fraction: np.ndarray) -> np.ndarray:
        """Fractions of the profile's light, or their errors, as those of all light."""
        return fraction * ((1.0 - self.outside) / float(self.profile.growth(self.reference_radius)))


def fit_profile(
    radii: np.ndarray,
    ratio: np.ndarray,
    ratio_err: np.ndarray,
    start: MoffatProfile,
    annulus: tuple[float, float] | None = None,
    reference: int = -1,
) -> MoffatProfile:
    """Fit a Moffat profile to a mean growth curve.

    Parameters
    ----------
    radii : ndarray, shape (n,)
        Increasing [pixel].
    ratio, ratio_err : ndarray, shape (n,)
        Light within each radius over light within the reference radius.
    start : MoffatProfile
        First guess.
    annulus : tuple of float, optional
        (inner, outer) radius [pixel] of the sky annulus, if the light was measured above the level there, with the
        star's own light in it.
    reference : int
        Index of the reference radius.

    Returns
    -------
    MoffatProfile
        With beta from 2 to 8 and alpha within a factor 2 of the first guess. With fewer than three radii the first
        guess' beta is kept.
    """
    others = np.arange(len(radii)) != np.arange(len(radii))[reference]
    weight = 1.0 / np.hypot(ratio_err, _PROFILE_ERROR)[others]

    def residual(parameters: np.ndarray) -> np.ndarray:
        profile = MoffatProfile(float(np.exp(parameters[0])), float(parameters[1]))
        sky = profile.annulus_brightness(*annulus) if annulus else 0.0
        light = profile.growth(radii) - np.pi * radii**2 * sky
        return (light / light[reference] - ratio)[others] * weight

    parameters = np.array([np.log(start.alpha), start.beta])
    free = 2 if len(radii) >= 3 else 1
    if len(radii) < 2:
        return start
    steps = np.array([1e-4, 1e-3])
    middle, width = np.log(start.alpha), np.log(_MAX_WIDTH_RATIO)
    low, high = np.array([middle - width, _BETA_BOUNDS[0]]), np.array([middle + width, _BETA_BOUNDS[1]])
    damping = 1e-3
    value = residual(parameters)
    for _ in range(40):
        jacobian = np.stack(
            [(residual(parameters + np.where(np.arange(2) == k, steps, 0.0)) - value) / steps[k] for k in range(free)],
            axis=1,
        )
        normal = jacobian.T @ jacobian
        normal[np.diag_indices(free)] *= 1.0 + damping
        step = np.zeros(2)
        step[:free] = np.linalg.lstsq(normal, -jacobian.T @ value, rcond=None)[0]
        trial = parameters + np.clip(step, -0.5, 0.5)
        trial = np.clip(trial, low, high)
        trial_value = residual(trial)
        if trial_value @ trial_value <= value @ value:
            done = np.max(np.abs(trial - parameters)) < 1e-7
            parameters, value, damping = trial, trial_value, damping / 5.0
            if done:
                break
        else:
            damping *= 8.0
            if damping > 1e8:
                break
    return MoffatProfile(float(np.exp(parameters[0])), float(parameters[1]))


@dataclass(frozen=True)
class GrowthCurves:
    """Light of bright isolated stars in nested apertures.

    Attributes
    ----------
    x, y : ndarray, shape (n_stars,)
        Positions [pixel].
    flux, variance : ndarray, shape (n_stars, n_radii)
        Light within `radii`, sky subtracted, and the variance from the pixels.
    sky_err : ndarray, shape (n_stars,)
        Error of the sky level [image unit per pixel].
    radii : ndarray, shape (n_radii,)
        Increasing [pixel].
    """

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    variance: np.ndarray
    sky_err: np.ndarray
    radii: np.ndarray


def fit_correction(
    stars: GrowthCurves,
    wanted: np.ndarray,
    reference: int,
    shape: tuple[int, int],
    start: MoffatProfile,
    *,
    annulus: tuple[float, float] | None = None,
    max_order: int = 2,
) -> GrowthCorrection:
    """Measure the aperture correction with bright isolated stars.

    Parameters
    ----------
    stars : GrowthCurves
        What the stars show.
    wanted : ndarray of int, shape (n_wanted,)
        Columns of the stars' radii that a correction is wanted for.
    reference : int
        Column of the radius that the ratios refer to; beyond it the profile follows from the mean growth curve and
        the widening, because single stars' wings say more of the sky than of the star.
    shape : tuple of int
        (ny, nx) of the frame.
    start : MoffatProfile
        First guess.
    annulus : tuple of float, optional
        See `fit_profile`.
    max_order : int
        Highest order of the polynomials in x and y; lower where there are few stars, or where the width of the stars
        does not change enough over the frame to show.

    Returns
    -------
    GrowthCorrection
        Ratios for the wanted radii.

    Raises
    ------
    ValueError
        No star.

    Notes
    -----
    With F the light in the reference and D the light between, the error of f / F counts the noise of the smaller one
    and of D as independent and the error of the sky as common to both. How much wider the profile is at a place than
    in the mean is read off the ratios of all radii together, weighted with their response to it.
    """
    x, y, radii, sky_err = stars.x, stars.y, stars.radii, stars.sky_err
    flux, variance = stars.flux, stars.variance
    whole = flux[:, reference]
    ratio = flux / whole[:, None]
    rest = np.abs(variance[:, reference, None] - variance)
    smaller = np.minimum(variance, variance[:, reference, None])
    area = np.pi * radii**2
    ratio_var = (1.0 - ratio) ** 2 * smaller + np.minimum(ratio, 1.0) ** 2 * rest
    ratio_var += ((area - ratio * area[reference]) * sky_err[:, None]) ** 2
    ratio_err = np.sqrt(ratio_var) / np.abs(whole[:, None])
    middle = np.median(ratio, axis=0)
    widths = _widths(ratio, ratio_err, middle, radii, reference, start)
    order = _supported_order(x, y, *widths, shape, max_order)
    surfaces = [fit_surface(x, y, ratio[:, k], ratio_err[:, k], shape, order) for k in range(len(radii))]
    # The mean curve: every surface averaged over the stars.
    mean = np.array([float(np.mean(surface.value(x, y))) for surface in surfaces])
    mean_err = np.array([np.sqrt(surface.covariance[0, 0]) for surface in surfaces])
    profile = fit_profile(radii, mean, mean_err, start, annulus, reference)
    widening = fit_surface(x, y, *_widths(ratio, ratio_err, mean, radii, reference, profile), shape, order)
    ratios = tuple(surfaces[k] for k in wanted)
    few = order_for(len(x), max_order) < max_order
    return GrowthCorrection(radii[wanted], profile, float(radii[reference]), ratios, widening, len(x), unresolved=few)


def _widths(
    ratio: np.ndarray,
    ratio_err: np.ndarray,
    mean: np.ndarray,
    radii: np.ndarray,
    reference: int,
    profile: MoffatProfile,
) -> tuple[np.ndarray, np.ndarray]:
    """How much wider than the mean each star is, as a difference of ln(alpha), with its error; from all its radii."""
    others = np.arange(len(radii)) != np.arange(len(radii))[reference]
    growth, slope = profile.growth(radii), profile.growth_slope(radii)
    response = ((slope - growth / growth[reference] * slope[reference]) / growth[reference])[others]
    weight = response / np.maximum(np.median(ratio_err[:, others], axis=0), 1e-6) ** 2
    norm = float(weight @ response)
    if norm <= 0.0:
        return np.zeros(len(ratio)), np.ones(len(ratio))
    # Errors of one star's radii are not independent: added up, not squared.
    return (ratio - mean)[:, others] @ weight / norm, ratio_err[:, others] @ np.abs(weight) / norm


def _supported_order(
    x: np.ndarray, y: np.ndarray, width: np.ndarray, error: np.ndarray, shape: tuple[int, int], max_order: int
) -> int:
    """Order that the stars' widths ask for (Schwarz 1978, Ann. Statist. 6, 461), clipped at 4 sigma."""
    orders = range(order_for(len(x), max_order) + 1)
    fits = [fit_surface(x, y, width, error, shape, order) for order in orders]
    variance = np.maximum(error**2 + fits[-1].scatter ** 2, 1e-12)
    cost = [
        np.sum(np.minimum((width - fit.value(x, y)) ** 2 / variance, 16.0)) + len(fit.coefficients) * np.log(len(x))
        for fit in fits
    ]
    return int(np.argmin(cost))


def model_correction(radii: np.ndarray, profile: MoffatProfile) -> GrowthCorrection:
    """Aperture correction of a profile, where too few stars are there to measure one.

    Parameters
    ----------
    radii : ndarray, shape (n_radii,)
        [pixel].
    profile : MoffatProfile
        Profile of the frame.

    Returns
    -------
    GrowthCorrection
        The same over the whole frame; its error is that of a FWHM that varies by 3 %.
    """
    radii = np.asarray(radii, np.float64)
    return GrowthCorrection(radii, profile, float(radii[-1]), (), None, 0)
