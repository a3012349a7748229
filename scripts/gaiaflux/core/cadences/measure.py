"""All that is measured of one target in the frames of its stamp, by each method."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from gaiaflux.core.cadences.aperture import contamination, sum_aperture, threshold_aperture
from gaiaflux.core.cadences.effective_psf import effective_psf, with_unlisted
from gaiaflux.core.cadences.field_place import solve_in_field
from gaiaflux.core.cadences.frame_fit import FitOptions, FrameFit, fit_frames_of_scene, usable_pixels
from gaiaflux.core.cadences.frames import MeanImage, StampFrames, mean_image
from gaiaflux.core.cadences.newton import PlaceOptions, fit_frames_with_places
from gaiaflux.core.cadences.scene import SceneStars, StaticScene, target_noise
from gaiaflux.core.maths.robust import relative_steps, robust_scatter
from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.core.psf.stamp_light import stamp_light
from gaiaflux.model.flags import StarFlag

__all__ = ["MEASURES", "CadenceTable", "MeasureOptions", "StampMeasurement", "StampTarget", "measure_stamp"]

NEAR_PIX = 2.0  # pixels that matter most for the target
SPOILED_PIX = 5.0  # about a full pixel: fits there are wrong by per cents
CORRECTED_PIX = 1.0  # in x and y: pixels whose residual may be added to the fitted light
FEWEST = 50  # frames that say how far the stated errors are from the truth
SURE = 5.0
UNDESCRIBED = 0.2
CONTAMINATED = 0.01
CROWDED = 2.0


@dataclass(frozen=True)
class StampTarget:
    """A target with its stamp.

    Attributes
    ----------
    frames : StampFrames
    shift_known : ndarray of bool, shape (n_times,)
        Frames whose shift the mission states.
    stars : SceneStars
        The target first.
    corner : tuple of int
        Column and row of the stamp's first pixel, in the coordinates of the PSF.
    aperture : ndarray of bool, shape (ny, nx), or None
        Pixels of the mission's aperture; None or an empty one for one from the mean of the frames.
    """

    frames: StampFrames
    shift_known: np.ndarray
    stars: SceneStars
    corner: tuple[int, int]
    aperture: np.ndarray | None = None


@dataclass(frozen=True)
class MeasureOptions:
    """How a target is measured.

    Attributes
    ----------
    methods : tuple of str
        Of `MEASURES`.
    fit : FitOptions
    places : PlaceOptions
    residual_correction : bool
        Add the residual of the pixels next to the target to its fitted light.
    aperture_sigma : float
        Threshold of an aperture from the mean of the frames.
    aperture_background : bool
        Subtract the background that the linear fit finds from the sums: for frames from which none was subtracted.
    """

    methods: tuple[str, ...] = ("psf", "linpsf", "aperture")
    fit: FitOptions = field(default_factory=FitOptions)
    places: PlaceOptions = field(default_factory=PlaceOptions)
    residual_correction: bool = False
    aperture_sigma: float = 3.0
    aperture_background: bool = False


@dataclass(frozen=True)
class CadenceTable:
    """Light curve of the target by one method.

    Attributes
    ----------
    flux, flux_err : ndarray of float64, shape (n_times,)
        [electron/s]; NaN where nothing can be measured.
    background : ndarray of float64, shape (n_times,)
        What the fit finds besides the background that was subtracted [electron/s/pixel]; 0 where nothing is fitted.
    centroid : ndarray of float64, shape (n_times, 2)
        x and y in the stamp, 0-based [pixel].
    chi2, dof : ndarray of float64, shape (n_times,)
        Of the fit, and its degrees of freedom; NaN and 0 where there is none.
    n_clipped : ndarray of int32, shape (n_times,)
        Pixels that stood out in time and were left out.
    contamination : ndarray of float64, shape (n_times,)
        Part of the light in the aperture that is not the target's.
    flags : ndarray of uint32, shape (n_times,)
        Bits of `StarFlag`.
    """

    flux: np.ndarray
    flux_err: np.ndarray
    background: np.ndarray
    centroid: np.ndarray
    chi2: np.ndarray
    dof: np.ndarray
    n_clipped: np.ndarray
    contamination: np.ndarray
    flags: np.ndarray


@dataclass
class StampMeasurement:
    """Result of `measure_stamp`; the fits are made when they are first asked for.

    Attributes
    ----------
    target : StampTarget
        With an effective PSF also stars that the catalogue does not have, behind those of the catalogue.
    psf : SampledPsf
    options : MeasureOptions
    mean : MeanImage
    effective : bool
        Whether the PSF was made of the frames themselves.
    tables : dict of str to CadenceTable
        By method.
    """

    target: StampTarget
    psf: SampledPsf
    options: MeasureOptions
    mean: MeanImage
    effective: bool
    tables: dict[str, CadenceTable] = field(default_factory=dict)

    @cached_property
    def scene(self) -> StaticScene:
        """Stars in the mean of the frames."""
        target = self.target
        return solve_in_field(target.frames, self.mean, target.stars, self.psf, target.corner, self.options.fit)

    @cached_property
    def fit(self) -> FrameFit:
        """Linear fit of all frames; of the target alone where the model tells no stars apart and that is quieter."""
        frames, options = self.target.frames, self.options.fit
        fit = fit_frames_of_scene(frames, self.mean, self.scene, options)
        if self.described or fit.free.n_groups == 1:
            return fit
        alone = fit_frames_of_scene(frames, self.mean, self.scene, replace(options, most_free=1))
        unrest = [relative_steps(one.value[frames.good, one.free.group[0]]) for one in (alone, fit)]
        return alone if unrest[0] < unrest[1] else fit

    @cached_property
    def described(self) -> bool:
        """Whether the model leaves less than a fifth of the light next to the target, as a root of squares."""
        image = np.where(self.near & np.isfinite(self.mean.image), self.mean.image, 0.0)
        left = np.where(image != 0.0, image - self.scene.model, 0.0)
        return bool(np.sum(left**2) < UNDESCRIBED**2 * np.sum(image**2))

    @cached_property
    def aperture(self) -> np.ndarray:
        """Pixels that are summed, shape (ny, nx)."""
        given = self.target.aperture
        if given is not None and given.any():
            return given
        stars, shift = self.target.stars, self.target.frames.mean_shift
        return threshold_aperture(
            self.mean.image, stars.x[0] + shift[0], stars.y[0] + shift[1], sigma=self.options.aperture_sigma
        )

    @cached_property
    def near(self) -> np.ndarray:
        """Pixels that matter most for the target, shape (ny, nx)."""
        row, column = np.indices(self.target.frames.shape)
        x, y = np.array([self.target.stars.x[0], self.target.stars.y[0]]) + self.target.frames.mean_shift
        return np.hypot(column - x, row - y) <= NEAR_PIX

    @cached_property
    def saturated(self) -> bool:
        """Whether a pixel next to the target is full in the mean: its light is a lower limit and no fit holds."""
        peak = self.mean.image[self.near]
        return bool((peak[np.isfinite(peak)] > self.options.fit.saturation).any())

    @cached_property
    def beside_saturated(self) -> bool:
        """Whether a full pixel is so near that no fit of the target is good."""
        row, column = np.indices(self.target.frames.shape)
        x, y = np.array([self.target.stars.x[0], self.target.stars.y[0]]) + self.target.frames.mean_shift
        with np.errstate(invalid="ignore"):
            full = self.mean.image > self.options.fit.saturation
        return bool((full & (np.hypot(column - x, row - y) <= SPOILED_PIX)).any())

    @cached_property
    def measurable(self) -> bool:
        """Whether any pixel may be fitted, and the target is seen."""
        usable = usable_pixels(self.mean, self.options.fit)
        return bool((usable & self.near).any()) and not self.saturated


def measure_stamp(target: StampTarget, psf: SampledPsf | None, options: MeasureOptions) -> StampMeasurement:
    """Measure a target in all frames of its stamp.

    Parameters
    ----------
    target : StampTarget
    psf : SampledPsf or None
        Response of the camera; None to make one of the frames themselves.
    options : MeasureOptions

    Returns
    -------
    StampMeasurement
        Tables of the methods, with NaN and `NOT_MEASURED` in a frame, or everywhere, that cannot be measured.

    Raises
    ------
    ValueError
        A method that there is not, or a target without a place.
    """
    unknown = [name for name in options.methods if name not in MEASURES]
    if unknown:
        raise ValueError(f"method {unknown[0]!r} is none of {', '.join(MEASURES)}")
    if not (np.isfinite(target.stars.x).all() and np.isfinite(target.stars.y).all()):
        raise ValueError("a star of the catalogue has no place in the stamp")
    mean = mean_image(target.frames)
    effective = psf is None
    if psf is None:
        frames = target.frames
        target = replace(target, stars=with_unlisted(mean, target.stars, frames.mean_shift))
        psf = effective_psf(frames, mean, target.stars, target.corner)
    measurement = StampMeasurement(target, psf, options, mean, effective)
    for name in options.methods:
        measurement.tables[name] = MEASURES[name](measurement)
    return measurement


def _by_linear_fit(made: StampMeasurement) -> CadenceTable:
    """Light at known places."""
    if not made.measurable:
        return _nothing(made)
    fit, scene = made.fit, made.scene
    share, group = fit.free.share, fit.free.group
    flux = fit.value[:, group] * share
    error = np.sqrt(fit.variance[:, group[0]]) * share[0]
    dof = np.maximum(fit.n_used - fit.n_columns, 0).astype(np.float64)
    centroid = np.array([scene.x[0], scene.y[0]]) + fit.position
    return _table(made, flux, error, fit.value[:, fit.free.n_groups], centroid, (fit.chi2, dof))


def _by_places(made: StampMeasurement) -> CadenceTable:
    """Light and places."""
    if not made.measurable:
        return _nothing(made)
    fit = made.fit
    found = fit_frames_with_places(made.target.frames, made.scene, fit, made.options.places)
    share, group = fit.free.share, fit.free.group
    # Places of single stars hardly count: they are promised to keep to each other.
    dof = np.maximum(found.n_used - fit.free.n_groups - 3, 0).astype(np.float64)
    centroid = np.stack([found.x[:, 0], found.y[:, 0]], axis=1)
    flux, error = found.flux[:, group] * share, found.flux_err[:, group[0]] * share[0]
    return _table(made, flux, error, found.background, centroid, (found.chi2, dof))


def _by_aperture(made: StampMeasurement) -> CadenceTable:
    """Sum over the aperture."""
    target, frames = made.target, made.target.frames
    n = len(frames)
    sums = sum_aperture(frames, made.aperture)
    flux, error, background = sums.flux, sums.flux_err, np.zeros(n)
    n_clipped, part, flags = np.zeros(n, np.int32), np.full(n, np.nan), np.zeros(n, np.uint32)
    if made.measurable:
        fit = made.fit
        if made.options.aperture_background:
            background, number = fit.value[:, fit.free.n_groups], int(made.aperture.sum())
            flux = flux - number * background
            error = np.hypot(error, number * np.sqrt(fit.variance[:, fit.free.n_groups]))
        inside = fit.clipped[:, made.aperture.ravel()].sum(axis=1)
        n_clipped = inside.astype(np.int32)
        flags |= np.where(inside > 0, StarFlag.COSMIC_RAY, 0).astype(np.uint32)
        light = fit.value[:, fit.free.group] * fit.free.share
        part = contamination(made.scene, light, fit.free.rows, fit.shift, made.aperture).part
        flags |= _neighbour(part)
        flags |= np.where(fit.moved, StarFlag.POINTING, 0).astype(np.uint32)
    flags |= np.where(sums.incomplete, StarFlag.BAD_PIXEL, 0).astype(np.uint32)
    flags |= np.where(target.shift_known, 0, StarFlag.POINTING).astype(np.uint32)
    flags |= np.uint32(StarFlag.SATURATED if made.saturated else 0)
    rim = np.ones(frames.shape, bool)
    rim[1:-1, 1:-1] = False
    flags |= np.uint32(StarFlag.EDGE if (made.aperture & rim).any() else 0)
    gone = ~(np.isfinite(flux) & np.isfinite(error))
    flux, error = np.where(gone, np.nan, flux), np.where(gone, np.nan, error)
    flags |= np.where(gone, StarFlag.NOT_MEASURED, 0).astype(np.uint32)
    nothing = np.full(n, np.nan)
    return CadenceTable(flux, error, background, sums.centroid, nothing, np.zeros(n), n_clipped, part, flags)


MEASURES: dict[str, Callable[[StampMeasurement], CadenceTable]] = {
    "psf": _by_places,
    "linpsf": _by_linear_fit,
    "aperture": _by_aperture,
}
"""What each method does with a stamp."""


def _table(
    made: StampMeasurement,
    flux: np.ndarray,
    error: np.ndarray,
    background: np.ndarray,
    centroid: np.ndarray,
    quality: tuple[np.ndarray, np.ndarray],
) -> CadenceTable:
    """Table of a fit from the light of all fitted stars, shape (n_times, n), the target's error, and chi2 and dof."""
    fit, (chi2, dof) = made.fit, quality
    scale, poor = _error_scale(made, chi2, dof)
    light = flux[:, 0].copy()
    error = error * scale
    if made.options.residual_correction:
        more, noise = _residual_light(made)
        light, error = light + more, np.hypot(error, noise)
    part = contamination(made.scene, flux, fit.free.rows, fit.shift, made.aperture).part
    flags = _flags_of_fit(made, error) | _neighbour(part) | np.where(poor, StarFlag.POOR_FIT, 0).astype(np.uint32)
    gone = ~(np.isfinite(light) & np.isfinite(error) & (error > 0))
    light[gone], error[gone], centroid[gone] = np.nan, np.nan, np.nan
    flags |= np.where(gone, StarFlag.NOT_MEASURED, 0).astype(np.uint32)
    n_clipped = fit.clipped.sum(axis=1).astype(np.int32)
    return CadenceTable(light, error, background, centroid, chi2, dof, n_clipped, part, flags)


def _error_scale(made: StampMeasurement, chi2: np.ndarray, dof: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factor of the errors of each frame, and the frames that scatter more than chance and the usual allow.

    What the pixels always leave is not in chi2: it tells how true the stated errors are.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        per = np.where(dof > 0, chi2 / dof, np.nan)
        counts = made.target.frames.counted & np.isfinite(per)
        usual = max(1.0, float(np.median(per[counts]))) if counts.sum() >= FEWEST else 1.0
        poor = per > usual * (1.0 + SURE * np.sqrt(2.0 / dof))
    return np.sqrt(np.where(poor, per, usual)), poor


def _residual_light(made: StampMeasurement) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the residual of the pixels next to the target, with what they always leave, and its noise."""
    fit, scene, frames = made.fit, made.scene, made.target.frames
    row, column = np.indices(frames.shape)
    x, y = scene.x[0] + made.target.frames.mean_shift[0], scene.y[0] + made.target.frames.mean_shift[1]
    near = ((np.abs(column - x) <= CORRECTED_PIX) & (np.abs(row - y) <= CORRECTED_PIX)).ravel()
    left = fit.residual[:, near] + fit.usual.static.at(fit.shift)[:, near]
    light = np.where(np.isfinite(left), left, 0.0).sum(axis=1)
    # The fit takes part of the pixels' noise: what is left scatters less than they do.
    noise = robust_scatter(light[frames.counted]) if frames.counted.sum() >= FEWEST else 0.0
    return light, noise * fit.relative_noise


def _flags_of_fit(made: StampMeasurement, error: np.ndarray) -> np.ndarray:
    target, fit, scene = made.target, made.fit, made.scene
    near = made.near.ravel()
    flags = np.where(fit.clipped[:, near].any(axis=1), StarFlag.COSMIC_RAY, 0)
    missing = ~np.isfinite(target.frames.flux.reshape(len(error), -1)[:, near]).all(axis=1)
    flags |= np.where(missing, StarFlag.BAD_PIXEL, 0)
    flags |= np.where(fit.moved | ~target.shift_known, StarFlag.POINTING, 0)
    flags |= np.where(fit.unlike | (not made.described), StarFlag.POOR_FIT, 0)
    x, y = scene.x[:1] + made.target.frames.mean_shift[0], scene.y[:1] + made.target.frames.mean_shift[1]
    light = stamp_light(scene.tables.of(np.array([0])), x, y, target.frames.shape).light[0]
    alone = target_noise(light, fit.weight)
    usual = np.median(error[np.isfinite(error)]) if np.isfinite(error).any() else 0.0
    blended = (fit.free.group == 0).sum() > 1 or usual > CROWDED * alone
    ny, nx = target.frames.shape
    edge = not (0.5 <= x[0] <= nx - 1.5 and 0.5 <= y[0] <= ny - 1.5)
    common = (StarFlag.BLENDED if blended else 0) | (StarFlag.EDGE if edge else 0)
    common |= StarFlag.POOR_FIT if made.beside_saturated else 0
    return flags.astype(np.uint32) | np.uint32(common)


def _neighbour(part: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.where(part > CONTAMINATED, StarFlag.NEIGHBOUR, 0).astype(np.uint32)


def _nothing(made: StampMeasurement) -> CadenceTable:
    """Table of a target that cannot be fitted."""
    n = len(made.target.frames)
    flags = StarFlag.NOT_MEASURED | (StarFlag.SATURATED if made.saturated else 0)
    none = np.full(n, np.nan)
    return CadenceTable(
        flux=none,
        flux_err=none.copy(),
        background=none.copy(),
        centroid=np.full((n, 2), np.nan),
        chi2=none.copy(),
        dof=np.zeros(n),
        n_clipped=np.zeros(n, np.int32),
        contamination=none.copy(),
        flags=np.full(n, flags, np.uint32),
    )
