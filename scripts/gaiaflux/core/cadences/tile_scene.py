"""All stars of a catalogue on a part of a full-frame image, fitted together: the scene that stamps are cut from.

Bright stars are free in light and, within the catalogue's errors, in place; faint ones are held at the catalogue's
light, the more firmly the worse the pixels around them fit. All stars have a common shift, and the sky of the part is a
plane. Light that no star of the catalogue explains is left out of the fit.
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.cadences.scene import SceneStars
from gaiaflux.core.image.bleeding import full_wells
from gaiaflux.core.psf.equations import sum_stamps
from gaiaflux.core.psf.joint_fit import JointStep, Promises, joint_columns, joint_step, shift_images, star_light
from gaiaflux.core.psf.protocol import Stamps
from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.core.psf.stamps import make_stamps
from gaiaflux.core.stars.prf_noise import ResidualNoise

__all__ = ["TileOptions", "TileScene", "solve_tile"]

ALONE = 30.0  # signal to noise from which a star's light needs no promise of the catalogue
PLACE = 0.8  # error of a place, times the signal to noise [pixel]
FIRST_STEPS, STEPS = 4, 4
LONGEST_STEP = 0.3  # [pixel]
SETTLED = 2e-3  # [pixel]
UNLISTED = 8.0  # a pixel's residual over its doubt from which it holds a star that the catalogue has not
LEAST_PIXELS = 16


@dataclass(frozen=True)
class TileOptions:
    """How a part of an image is solved.

    Attributes
    ----------
    common_err : float
        How far all stars together may be from the catalogue [pixel].
    flux_err : float
        Relative error of the catalogue's light where it states a smaller one or none.
    radius_pix : float
        Pixels farther from a star tell nothing of it [pixel].
    saturation : float
        From here on a pixel is full [electron/s].
    """

    common_err: float = 1.0
    flux_err: float = 0.2
    radius_pix: float = 5.0
    saturation: float = 9e4


@dataclass(frozen=True)
class TileScene:
    """What the image shows of the catalogue's stars.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Places, with the common shift and what each is off by itself [pixel].
    flux, flux_err : ndarray of float64, shape (n,)
        Light [electron/s]; NaN and infinite for stars without a pixel.
    common, common_err : ndarray of float64, shape (2,)
        Shift of all stars against the catalogue in x and y, and its error [pixel].
    chi2 : ndarray of float64, shape (n,)
        Per pixel of each star, of the noise and the usual error of the function.
    sky, light, residual : ndarray of float32, shape (ny, nx)
        Plane; stars; what is left of the image [electron/s].
    unused : ndarray of bool, shape (ny, nx)
        Pixels that are not finite, full wells, and such with light that no star of the catalogue explains.
    """

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    common: np.ndarray
    common_err: np.ndarray
    chi2: np.ndarray
    sky: np.ndarray
    light: np.ndarray
    residual: np.ndarray
    unused: np.ndarray


@dataclass
class _Tile:
    """An image and the parameters of its stars: light, common shift, own shifts, and the plane of the sky."""

    image: np.ndarray
    weight: np.ndarray
    psf: SampledPsf
    stars: SceneStars
    options: TileOptions
    flux: np.ndarray
    common: np.ndarray
    own: np.ndarray
    planes: np.ndarray
    sky: np.ndarray
    stamps: Stamps
    light: np.ndarray
    residual: np.ndarray
    common_err: np.ndarray

    def render(self) -> None:
        """Light of the stars at their places, and what is left."""
        self.stamps = make_stamps(self.psf, *self.places(), self.options.radius_pix)
        self.light = star_light(self.stamps, self.flux, self.image.shape)
        self.residual = self.image - self.light - self.plane()

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        return self.stars.x + self.common[0] + self.own[:, 0], self.stars.y + self.common[1] + self.own[:, 1]

    def plane(self) -> np.ndarray:
        return np.tensordot(self.sky.astype(np.float32), self.planes, 1)

    @property
    def noise(self) -> ResidualNoise:
        return ResidualNoise(self.residual, self.light, self.weight)

    def fit(self, steps: int, held: bool) -> JointStep:
        """Gauss-Newton; `held` holds all light near the catalogue's, and the places of the stars against each other."""
        for _ in range(steps):
            weight = self.noise.fit_weight()
            sums = sum_stamps(self.residual, weight, self.stamps)
            misfit = np.maximum(sums.chi2 / np.maximum(sums.n_pixels, 1), 1.0)
            snr = np.abs(self.flux) * np.sqrt(sums.curvature / misfit)
            free = np.flatnonzero(snr * self.stars.position_err > PLACE) if not held else np.zeros(0, np.int64)
            shifts = shift_images(self.psf, self.stamps, self.flux, self.image.shape)
            columns = joint_columns(self.psf, self.stamps, self.flux, free)
            promises = self.promises(misfit, snr, free, held)
            step = joint_step(columns, self.residual, weight, promises, np.concatenate([self.planes, shifts]))
            self.flux = self.flux + step.light
            self.sky = self.sky + step.whole[:3]
            moved = np.clip(step.whole[3:], -LONGEST_STEP, LONGEST_STEP)
            self.common, self.common_err = self.common + moved, step.whole_err[3:]
            self.own[free] += np.clip(step.move, -LONGEST_STEP, LONGEST_STEP)
            self.render()
            if max(float(np.abs(values).max(initial=0.0)) for values in (moved, step.move)) < SETTLED:
                break
        return step

    def promises(self, misfit: np.ndarray, snr: np.ndarray, free: np.ndarray, held: bool) -> Promises:
        """What the catalogue says, as firm as the pixels are false."""
        stars = self.stars
        known = np.isfinite(stars.flux)
        promised = np.where(known, stars.flux, 0.0)
        error = np.fmax(self.options.flux_err * np.abs(promised), 0.0 if held else stars.flux_err)
        bound = known & (held | (snr < ALONE))
        light = np.where(bound, misfit / np.maximum(error, 1e-3) ** 2, 0.0)
        place = misfit[free] / np.maximum(stars.position_err[free], 1e-4) ** 2
        common = self.options.common_err**-2.0
        whole, pull = np.array([0.0, 0.0, 0.0, common, common]), np.concatenate([np.zeros(3), self.common])
        return Promises(light, place, self.flux - promised, self.own[free], whole, pull)

    def leave_out_unlisted(self) -> None:
        """Give no weight to pixels with the light of stars that the catalogue has not."""
        unlisted = self.residual * np.sqrt(self.noise.doubt()) > UNLISTED
        # Where the stars of the catalogue are bright, their light is not what it is said to be, or their function.
        self.weight = np.where(unlisted & (self.residual > self.light), np.float32(0.0), self.weight)


def solve_tile(
    image: np.ndarray,
    variance: np.ndarray,
    stars: SceneStars,
    psf: SampledPsf,
    corner: tuple[int, int],
    options: TileOptions | None = None,
) -> TileScene:
    """Solve for the light of all stars of a part of an image.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Mean of the frames, with or without a sky; pixels that are not finite are left out [electron/s].
    variance : ndarray, shape (ny, nx)
        Of its pixels; those where it is not positive are left out.
    stars : SceneStars
        Catalogue, in pixels of the image, also of stars outside of it whose light falls on it.
    psf : SampledPsf
        Response function in the coordinates of the CCD.
    corner : tuple of int
        (column, row) of the first pixel on the CCD.
    options : TileOptions, optional

    Returns
    -------
    TileScene
        In the order of the catalogue.

    Raises
    ------
    ValueError
        Shapes that differ, or hardly a pixel that can be used.
    """
    options = TileOptions() if options is None else options
    if image.shape != variance.shape:
        raise ValueError(f"image and variance differ in shape: {image.shape}, {variance.shape}")
    tile = _start(image, variance, stars, psf.part(corner, image.shape), options)
    tile.fit(FIRST_STEPS, held=True)
    tile.leave_out_unlisted()
    tile.fit(STEPS, held=False)
    tile.leave_out_unlisted()
    step = tile.fit(STEPS, held=False)
    return _described(tile, step)


def _start(image: np.ndarray, variance: np.ndarray, stars: SceneStars, psf: SampledPsf, options: TileOptions) -> _Tile:
    ny, nx = image.shape
    finite = np.isfinite(image) & np.isfinite(variance)
    usable = finite & (np.where(finite, variance, 0.0) > 0) & ~full_wells(image, options.saturation)
    if np.count_nonzero(usable) < LEAST_PIXELS:
        raise ValueError(f"only {np.count_nonzero(usable)} pixels of the part of the image can be used")
    values = np.ascontiguousarray(np.where(finite, image, 0.0), np.float32)
    weight = np.where(usable, 1.0 / np.where(usable, variance, 1.0), 0.0).astype(np.float32)
    row, column = (grid.astype(np.float32) for grid in np.mgrid[:ny, :nx])
    planes = np.stack([np.ones_like(values), column / max(nx - 1, 1) - 0.5, row / max(ny - 1, 1) - 0.5])
    flux, no = np.where(np.isfinite(stars.flux), stars.flux, 0.0), np.zeros(2)
    own = np.zeros((len(stars), 2))
    stamps = make_stamps(psf, stars.x, stars.y, options.radius_pix)
    # The light of the catalogue's stars may be off; the lower pixels are the sky's.
    level = float(np.median((values - star_light(stamps, flux, image.shape))[usable]))
    sky = np.array([level, 0.0, 0.0])
    tile = _Tile(values, weight, psf, stars, options, flux, no, own, planes, sky, stamps, values, values, no)
    tile.render()
    return tile


def _described(tile: _Tile, step: JointStep) -> TileScene:
    noise = tile.noise
    inner = make_stamps(tile.psf, *tile.places(), 3.0)
    sums = [sum_stamps(tile.residual, weight, inner) for weight in (noise.fit_weight(), noise.doubt())]
    misfit, chi2 = (one.chi2 / np.maximum(one.n_pixels, 1) for one in sums)
    n = len(tile.stars)
    seen = sum_stamps(tile.residual, tile.weight, tile.stamps).curvature > 0
    errors = noise.light_errors(step.errors()[:n], tile.flux, misfit, tile.psf)
    flux, flux_err = np.where(seen, tile.flux, np.nan), np.where(seen, errors, np.inf)
    x, y = tile.places()
    sky = tile.plane().astype(np.float32)
    unused = tile.weight == 0
    return TileScene(x, y, flux, flux_err, tile.common, tile.common_err, chi2, sky, tile.light, tile.residual, unused)
