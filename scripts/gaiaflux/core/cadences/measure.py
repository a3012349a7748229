"""All that is measured of one target in the frames of its stamp, by each method."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from gaiaflux.core.cadences.aperture import contamination, sum_aperture, threshold_aperture
from gaiaflux.core.cadences.effective_psf import effective_psf, with_unlisted
from gaiaflux.core.cadences.field_place import solve_in_field
from gaiaflux.core.cadences.frame_fit import FrameFit, fit_frames_of_scene
from gaiaflux.core.cadences.frames import MeanImage, mean_image
from gaiaflux.core.cadences.known_scene import known_scene, on_level
from gaiaflux.core.cadences.neighbours import neighbour_light
from gaiaflux.core.cadences.newton import fit_frames_with_places
from gaiaflux.core.cadences.saturated import bleeding_of_stamp, bleeding_of_star, stars_outside
from gaiaflux.core.cadences.saturated_sums import SaturatedSums, WingFit, sum_saturated
from gaiaflux.core.cadences.scene import StaticScene, target_noise
from gaiaflux.core.cadences.scene_fit import usable_pixels
from gaiaflux.core.cadences.target import SATURATED, CadenceTable, MeasureOptions, StampTarget
from gaiaflux.core.image.bleeding import Bleeding
from gaiaflux.core.maths.robust import relative_steps, robust_scatter
from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.core.psf.stamp_light import stamp_light
from gaiaflux.model.flags import StarFlag

__all__ = ["MEASURES", "CadenceTable", "MeasureOptions", "StampMeasurement", "StampTarget", "measure_stamp"]

NEAR_PIX = 2.0  # pixels that matter most for the target
SPOILED_PIX = 10.0  # about the charge of a full pixel: what a fit there says is doubtful
PEAK_PART = 0.25  # of a star's light in its brightest pixel, at least
CORRECTED_PIX = 1.0  # in x and y: pixels whose residual may be added to the fitted light
FEWEST = 50  # frames that say how far the stated errors are from the truth
SURE = 5.0
UNDESCRIBED = 0.2
CONTAMINATED = 0.01
CROWDED = 2.0


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
    bleeding : Bleeding
        Full pixels of the stamp.
    tables : dict of str to CadenceTable
        By method.
    """

    target: StampTarget
    psf: SampledPsf
    options: MeasureOptions
    mean: MeanImage
    effective: bool
    bleeding: Bleeding
    tables: dict[str, CadenceTable] = field(default_factory=dict)

    @cached_property
    def scene(self) -> StaticScene:
        """Stars in the mean of the frames."""
        target, solve = self.target, known_scene if self.known else solve_in_field
        return solve(target.frames, self.mean, target.stars, self.psf, target.corner, self.options.fit)

    @property
    def known(self) -> bool:
        """Whether the scene is given; what was solved of a star that fills pixels are its wings alone."""
        return self.target.solved and not self.grown

    @cached_property
    def fit(self) -> FrameFit:
        """Linear fit of all frames; of the target alone where the model tells no stars apart and that is quieter."""
        frames, options = self.target.frames, self.options.fit
        fit = fit_frames_of_scene(frames, self.mean, self.scene, options)
        if self.described or self.grown or fit.free.n_groups == 1:
            return fit
        alone = fit_frames_of_scene(frames, self.mean, self.scene, replace(options, most_free=1))
        unrest = [relative_steps(one.value[frames.good, one.free.group[0]]) for one in (alone, fit)]
        return alone if unrest[0] < unrest[1] else fit

    @cached_property
    def described(self) -> bool:
        """Whether the model leaves less than a fifth of the light next to the target, as a root of squares."""
        seen = self.near & usable_pixels(self.mean, self.options.fit)
        image = np.where(seen, self.mean.image, 0.0)
        left = np.where(image != 0.0, image - self.scene.model, 0.0)
        return bool(np.sum(left**2) < UNDESCRIBED**2 * np.sum(image**2))

    @cached_property
    def aperture(self) -> np.ndarray:
        """Pixels that are summed, shape (ny, nx)."""
        if self.grown:
            return self.saturated_sums.aperture
        given = self.target.aperture
        if given is not None and given.any():
            return given
        stars, shift = self.target.stars, self.target.frames.mean_shift
        image = self.mean.image if self.mean.bled is None else np.where(self.mean.bled, np.nan, self.mean.image)
        x, y = stars.x[0] + shift[0], stars.y[0] + shift[1]
        return threshold_aperture(image, x, y, sigma=self.options.aperture_sigma)

    @cached_property
    def near(self) -> np.ndarray:
        """Pixels that matter most for the target, shape (ny, nx)."""
        row, column = np.indices(self.target.frames.shape)
        x, y = np.array([self.target.stars.x[0], self.target.stars.y[0]]) + self.target.frames.mean_shift
        return np.hypot(column - x, row - y) <= NEAR_PIX

    @cached_property
    def own_bleeding(self) -> Bleeding:
        """Full pixels that the target itself filled."""
        return bleeding_of_star(self.bleeding, self.target.stars, self.target.frames.mean_shift)

    @property
    def grown(self) -> bool:
        """Whether the target fills pixels: what they cannot hold is summed up along their columns, no fit holds."""
        return self.own_bleeding.any

    @cached_property
    def saturated(self) -> bool:
        """Whether a pixel next to the target is full, by whomever: no fit holds."""
        return self.grown or bool((self.bleeding.full & self.near).any())

    @cached_property
    def limited(self) -> bool:
        """Whether the target's light is a lower limit: its pixels are another's too, or its columns leave the stamp."""
        return self.saturated and not (self.grown and self.saturated_sums.rows == (0, 0))

    @cached_property
    def saturated_sums(self) -> SaturatedSums:
        """Sums of a target that fills pixels."""
        frames, fit, promised = self.target.frames, None, float(self.target.stars.flux[0])
        if self.fitted:
            usable, made = usable_pixels(self.mean, self.options.fit), self.fit
            background = made.value[:, made.free.n_groups] if self.options.aperture_background else None
            fit = WingFit(
                self.scene, np.where(np.isfinite(made.position), made.position, made.shift), usable, background
            )
        halo = self.options.saturated == "halo"
        return sum_saturated(frames, self.mean, self.own_bleeding, fit, promised, halo=halo)

    @cached_property
    def beside_saturated(self) -> bool:
        """Whether charge of another star's full pixels is so near that what is measured is doubtful.

        Of a star outside of the stamp only its light tells.
        """
        stars, shift = self.target.stars, self.target.frames.mean_shift
        near = self.bleeding.near(stars.x[0] + shift[0], stars.y[0] + shift[1], SPOILED_PIX)
        if np.setdiff1d(near, self.own_bleeding.group).size:
            return True
        unseen = stars_outside(stars, shift, self.target.frames.shape)
        bright = unseen & (np.nan_to_num(stars.flux) * PEAK_PART > self.options.fit.saturation)
        return bool((bright & (np.hypot(stars.x - stars.x[0], stars.y - stars.y[0]) <= SPOILED_PIX)).any())

    @cached_property
    def measurable(self) -> bool:
        """Whether any pixel may be fitted, and the target is seen."""
        usable = usable_pixels(self.mean, self.options.fit)
        return bool((usable & self.near).any()) and not self.saturated

    @cached_property
    def fitted(self) -> bool:
        """Whether there is a fit: of the target, or of the wings of one that fills pixels."""
        wings = self.grown and not self.effective and bool(usable_pixels(self.mean, self.options.fit).any())
        return self.measurable or wings


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
        A method or a treatment of full pixels that there is not, or a target without a place.
    """
    unknown = [name for name in options.methods if name not in MEASURES]
    if unknown:
        raise ValueError(f"method {unknown[0]!r} is none of {', '.join(MEASURES)}")
    if options.saturated not in SATURATED:
        raise ValueError(f"saturated {options.saturated!r} is none of {', '.join(SATURATED)}")
    if not (np.isfinite(target.stars.x).all() and np.isfinite(target.stars.y).all()):
        raise ValueError("a star of the catalogue has no place in the stamp")
    mean = mean_image(target.frames)
    bleeding = bleeding_of_stamp(target.frames, mean, options.fit.saturation)
    if bleeding.any:
        mean = replace(mean, bled=bleeding.mask)
    effective = psf is None
    if psf is None:
        frames, seen = target.frames, mean
        if mean.bled is not None:
            seen = replace(mean, image=np.where(mean.bled, np.nan, mean.image))
        target = replace(target, stars=with_unlisted(seen, target.stars, frames.mean_shift))
        psf = effective_psf(frames, seen, target.stars, target.corner)
    measurement = StampMeasurement(target, psf, options, mean, effective, bleeding)
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
    table = _table(made, flux, error, fit.value[:, fit.free.n_groups], centroid, (fit.chi2, dof))
    return replace(table, neighbours=neighbour_light(fit, scene, _error_scale(made, fit.chi2, dof)[0]))


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
    sums = made.saturated_sums.sums if made.grown else sum_aperture(frames, made.aperture)
    flux, error, background = sums.flux, sums.flux_err, np.zeros(n)
    n_clipped, part, flags = np.zeros(n, np.int32), np.full(n, np.nan), _flags_of_sums(made)
    if made.fitted:
        fit = made.fit
        if made.options.aperture_background:
            background, number = fit.value[:, fit.free.n_groups], made.aperture.sum()
            if made.grown:
                number = made.saturated_sums.n_pixels  # it was subtracted there
            else:
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
    gone = ~(np.isfinite(flux) & np.isfinite(error))
    flux, error = np.where(gone, np.nan, flux), np.where(gone, np.nan, error)
    flags |= np.where(gone, StarFlag.NOT_MEASURED, 0).astype(np.uint32)
    nothing = np.full(n, np.nan)
    return CadenceTable(flux, error, background, sums.centroid, nothing, np.zeros(n), n_clipped, part, flags)


def _flags_of_sums(made: StampMeasurement) -> np.ndarray:
    """Flags that all frames of the sums share, shape (n_times,)."""
    rim = np.ones(made.target.frames.shape, bool)
    rim[1:-1, 1:-1] = False
    # What is lost over the edge of a star that fills pixels is corrected.
    corrected = made.grown and made.saturated_sums.enclosed is not None
    others = made.bleeding.bled & ~made.own_bleeding.bled
    bits = {
        StarFlag.SATURATED: made.limited,
        StarFlag.EDGE: (made.aperture & rim).any() and not corrected,
        StarFlag.NO_APERTURE_CORRECTION: made.grown and not corrected,
        StarFlag.TRAIL: (made.aperture & others).any(),
        StarFlag.POOR_FIT: made.beside_saturated,
    }
    common = sum(bit for bit, holds in bits.items() if holds)
    return np.full(len(made.target.frames), common, np.uint32)


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
    light, error = flux[:, 0].copy(), error * scale
    if made.known:
        light = on_level(light, made.target.frames.counted, made.scene.flux[0], made.scene.flux_err[0])
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
