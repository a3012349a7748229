"""Stars of an image whose response function is known and that has no catalogue: found and measured together.

Peaks of the matched filter on the residual image are added in rounds, the bright and lone ones first. After each round
the light and the places of all stars are fitted together and the sky is measured anew without them. What the function
itself leaves of bright stars is learnt from the image and counts as noise where stars are sought, not where they are
fitted: there it would move weight from the cores, which the function describes, to the wings. A star is taken for two
only where `gaiaflux.core.stars.prf_pairs` proves it.
"""

from dataclasses import dataclass, field

import numpy as np

from gaiaflux.core.image.background import Background, BackgroundEstimator, BoxBackground, subtract_background
from gaiaflux.core.image.bleeding import full_wells
from gaiaflux.core.psf.equations import sum_stamps
from gaiaflux.core.psf.joint_fit import JointStep, Promises, joint_columns, joint_step, star_light
from gaiaflux.core.psf.protocol import Stamps
from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.core.psf.stamps import make_stamps
from gaiaflux.core.stars.close_pairs import apart
from gaiaflux.core.stars.prf_noise import ResidualNoise, function_error
from gaiaflux.core.stars.prf_pairs import find_pairs, star_pixels
from gaiaflux.core.stars.prf_peaks import OUTSIDE, new_stars, thinned
from gaiaflux.model.flags import PixelFlag, StarFlag

__all__ = ["PrfListOptions", "PrfScene", "PrfStars", "find_prf_stars"]

# Least distance of new stars from others, round after round [pixel].
APART = (4.0, 3.0, 2.5, 2.0, 2.0, 2.0, 2.0)
STEPS = 2  # of the fit after each round
LAST_STEPS = 5
LONGEST_STEP = 0.3  # [pixel]
LOOSE = 0.3  # a step of this length is as unlikely as one sigma of the fit [pixel]
SETTLED = 1e-3  # [pixel]
TOO_CLOSE = 1.0  # stars that came so near to each other are one [pixel]
SPLIT_AFTER = (4, 6)  # rounds after which stars may be taken for two
DOUBTFUL = 1.5  # chi-squared per pixel from which a star may be two
BRIGHT = 50.0  # signal to noise that a pair must have
NEAR_FULL = 10.0  # of a saturated pixel [pixel]
POOR = 5.0  # chi-squared per pixel, with the usual error of the function
WHOLE = 0.9  # of its light that a star must have on the image
BOX = 3  # half of the square in which residuals are stated [pixel]


@dataclass(frozen=True)
class PrfStars:
    """Stars of an image; every array has shape (n,), brightest first.

    Attributes
    ----------
    x, y : ndarray of float64
        [pixel of the image].
    flux, flux_err : ndarray of float64
        Light [in the unit of the image], and its error with the covariance of all places and neighbours; enlarged where
        the pixels do not fit.
    place_err : ndarray of float64
        Error of a place along an axis [pixel].
    snr : ndarray of float64
        Light over noise, with what the function leaves of the star itself and of its neighbours.
    chi2 : ndarray of float64
        Per pixel, of the noise and the usual error of the function.
    rms, largest, total : ndarray of float64
        Of the residual in 7 x 7 pixels: root mean square, largest absolute value and sum, as parts of the light.
    paired : ndarray of bool
        One of two stars that stood for one until they were proven.
    flags : ndarray of uint32
        Bits of `StarFlag`: SATURATED within 10 pixels of a full well, EDGE, POOR_FIT. Such a star is not believed.
    """

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    place_err: np.ndarray
    snr: np.ndarray
    chi2: np.ndarray
    rms: np.ndarray
    largest: np.ndarray
    total: np.ndarray
    paired: np.ndarray
    flags: np.ndarray

    def __len__(self) -> int:
        """Number of stars."""
        return len(self.x)


@dataclass(frozen=True)
class PrfScene:
    """An image in parts.

    Attributes
    ----------
    stars : PrfStars
    light, residual : ndarray of float32, shape (ny, nx)
        Of all stars; what is left without them and the sky.
    sky : Background
    full : ndarray of bool, shape (ny, nx)
        Saturated pixels and columns with their charge.
    function_error : float
        Usual error of the response function; see `gaiaflux.core.stars.prf_noise.function_error`.
    """

    stars: PrfStars
    light: np.ndarray
    residual: np.ndarray
    sky: Background
    full: np.ndarray
    function_error: float


@dataclass(frozen=True)
class PrfListOptions:
    """How stars are found.

    Attributes
    ----------
    min_snr : float
        Light of a star over its error, what the function leaves of its neighbours included.
    saturation : float
        From here on a pixel is full [in the unit of the image].
    radius_pix : float
        Pixels farther from a star tell nothing of it [pixel].
    background : BackgroundEstimator
        How the sky is measured.
    """

    min_snr: float = 8.0
    saturation: float = 9e4
    radius_pix: float = 5.0
    background: BackgroundEstimator = field(default_factory=lambda: BoxBackground(32))


@dataclass
class _Scene:
    """An image and its stars so far."""

    image: np.ndarray
    flags: np.ndarray
    weight: np.ndarray
    psf: SampledPsf
    options: PrfListOptions
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    paired: np.ndarray
    sky: Background
    light: np.ndarray
    residual: np.ndarray
    stamps: Stamps

    def render(self) -> None:
        """Light of the stars, and what is left."""
        self.stamps = make_stamps(self.psf, self.x, self.y, self.options.radius_pix)
        self.light = star_light(self.stamps, self.flux, self.image.shape)
        self.residual = subtract_background(self.image - self.light, self.sky)

    def measure_sky(self) -> None:
        self.sky = self.options.background(self.image - self.light, self.flags)
        self.residual = subtract_background(self.image - self.light, self.sky)

    def add(self, x: np.ndarray, y: np.ndarray, flux: np.ndarray) -> None:
        self.x, self.y, self.flux = (np.concatenate(both) for both in ((self.x, x), (self.y, y), (self.flux, flux)))
        self.paired = np.concatenate([self.paired, np.zeros(len(x), bool)])

    def keep(self, rows: np.ndarray) -> None:
        self.x, self.y, self.flux, self.paired = self.x[rows], self.y[rows], self.flux[rows], self.paired[rows]

    @property
    def noise(self) -> ResidualNoise:
        return ResidualNoise(self.residual, self.light, self.weight)

    def prune(self) -> bool:
        """Leave out what is no star: without light, beyond the image, or on a brighter one; whether there was any."""
        snr = self.flux * np.sqrt(sum_stamps(self.residual, self.noise.doubt(), self.stamps).curvature)
        ny, nx = self.image.shape
        inside = (self.x > -OUTSIDE) & (self.y > -OUTSIDE) & (self.x < nx - 1 + OUTSIDE) & (self.y < ny - 1 + OUTSIDE)
        kept = np.flatnonzero((snr > self.options.min_snr) & inside)
        kept = kept[np.argsort(-self.flux[kept], kind="stable")]
        alone = self.paired[kept]
        alone[thinned(self.x[kept], self.y[kept], TOO_CLOSE)] = True
        if alone.all() and len(kept) == len(self.x):
            return False
        self.keep(kept[alone])
        self.render()
        return True

    def fit(self, steps: int) -> JointStep | None:
        """Light and places of all stars."""
        step = None
        nothing = np.zeros((0, *self.image.shape), np.float32)
        weight = self.noise.fit_weight()
        for _ in range(steps):
            if not len(self.x):
                break
            free = np.arange(len(self.x))
            columns = joint_columns(self.psf, self.stamps, self.flux, free)
            none = np.zeros(len(free))
            # A damped step ends where an undamped one would: nothing pulls a star back.
            promises = Promises(none, none + LOOSE**-2, none, np.zeros((len(free), 2)), np.zeros(0), np.zeros(0))
            step = joint_step(columns, self.residual, weight, promises, nothing)
            move = np.clip(step.move, -LONGEST_STEP, LONGEST_STEP)
            self.x, self.y, self.flux = self.x + move[:, 0], self.y + move[:, 1], self.flux + step.light
            self.render()
            if float(np.abs(move).max()) < SETTLED:
                break
        return step

    def split(self) -> int:
        """Take stars for two where that is proven; the number of them."""
        doubt = self.noise.doubt()
        sums = sum_stamps(self.residual, doubt, make_stamps(self.psf, self.x, self.y, float(BOX)))
        chi2 = sums.chi2 / np.maximum(sums.n_pixels, 1)
        bright = self.flux * np.sqrt(sums.curvature) > BRIGHT
        rows = np.flatnonzero(bright & (chi2 > DOUBTFUL) & ~self.paired)
        if not len(rows):
            return 0
        x, y, flux = self.x[rows], self.y[rows], self.flux[rows]
        pixels = star_pixels(self.residual, doubt, x, y)
        pixels = pixels.with_light(self.psf, x, y, flux)
        pairs = find_pairs(self.psf, pixels, x, y, flux)
        rows, proven = rows[pairs.proven], pairs.proven
        self.x[rows], self.y[rows], self.flux[rows] = (values[proven, 0] for values in (pairs.x, pairs.y, pairs.flux))
        self.add(pairs.x[proven, 1], pairs.y[proven, 1], pairs.flux[proven, 1])
        self.paired[rows] = True
        self.paired[len(self.x) - len(rows) :] = True
        return len(rows)


def find_prf_stars(
    image: np.ndarray,
    variance: np.ndarray,
    psf: SampledPsf,
    corner: tuple[int, int],
    options: PrfListOptions | None = None,
    flags: np.ndarray | None = None,
) -> PrfScene:
    """Find and measure the stars of an image.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        With the sky; pixels that are not finite are left out.
    variance : ndarray, shape (ny, nx)
        Of the pixels; those where it is not positive are left out.
    psf : SampledPsf
        Response function in the coordinates of the CCD.
    corner : tuple of int
        (column, row) of the first pixel on the CCD.
    options : PrfListOptions, optional
    flags : ndarray of uint8, shape (ny, nx), optional
        Bits of `PixelFlag`; nonzero pixels are left out.

    Returns
    -------
    PrfScene
        Without stars where there are none.

    Raises
    ------
    ValueError
        Shapes that differ.
    BadFrameError
        No pixels to measure the sky.
    """
    options = PrfListOptions() if options is None else options
    if image.shape != variance.shape or (flags is not None and flags.shape != image.shape):
        raise ValueError(f"image, variance and flags differ in shape: {image.shape}, {variance.shape}")
    full = full_wells(image, options.saturation)
    scene = _start(image, variance, psf.part(corner, image.shape), full, options, flags)
    for turn, distance in enumerate(APART):
        known = scene.x, scene.y
        found = new_stars(scene.residual, scene.noise.doubt(), scene.psf, known, options.min_snr, distance)
        scene.add(found.x, found.y, found.flux)
        scene.render()
        scene.fit(STEPS)
        scene.prune()
        scene.measure_sky()
        if turn in SPLIT_AFTER:
            scene.split()
            scene.render()
    scene.fit(LAST_STEPS)
    scene.prune()
    scene.measure_sky()
    step = scene.fit(LAST_STEPS)
    while scene.prune():
        step = scene.fit(1)
    stars = _described(scene, step, full)
    error = function_error(scene.residual, scene.light, scene.noise.fit_weight())
    return PrfScene(stars, scene.light, scene.residual, scene.sky, full, error)


def _start(
    image: np.ndarray,
    variance: np.ndarray,
    psf: SampledPsf,
    full: np.ndarray,
    options: PrfListOptions,
    flags: np.ndarray | None,
) -> _Scene:
    finite = np.isfinite(image) & np.isfinite(variance)
    usable = finite & (np.where(finite, variance, 0.0) > 0)
    bits = np.zeros(image.shape, np.uint8) if flags is None else flags.copy()
    bits[~usable] |= PixelFlag.NONFINITE
    bits[full] |= PixelFlag.SATURATED
    values = np.ascontiguousarray(np.where(finite, image, 0.0), np.float32)
    weight = np.where(bits == 0, 1.0 / np.where(usable, variance, 1.0), 0.0).astype(np.float32)
    sky = options.background(values, bits)
    nothing = np.zeros(0)
    residual = subtract_background(values, sky)
    no_pair = np.zeros(0, bool)
    light = np.zeros_like(values)
    stamps = make_stamps(psf, nothing, nothing, options.radius_pix)
    return _Scene(values, bits, weight, psf, options, nothing, nothing, nothing, no_pair, sky, light, residual, stamps)


def _described(scene: _Scene, step: JointStep | None, full: np.ndarray) -> PrfStars:
    """All that is said of the stars."""
    order = np.argsort(-scene.flux, kind="stable")
    n = len(order)
    noise, stamps = scene.noise, scene.stamps
    doubt = noise.doubt()
    inner = make_stamps(scene.psf, scene.x, scene.y, float(BOX))
    sums = [sum_stamps(scene.residual, weight, inner) for weight in (noise.fit_weight(), doubt)]
    misfit, chi2 = (one.chi2 / np.maximum(one.n_pixels, 1) for one in sums)
    errors = np.zeros(0) if step is None else step.errors()
    flux_err = noise.light_errors(errors[:n], scene.flux, misfit, scene.psf)
    place_err = np.hypot(errors[n : 2 * n], errors[2 * n :]) * np.sqrt(np.maximum(misfit, 1.0) / 2.0)
    snr = scene.flux * np.sqrt(sum_stamps(scene.residual, doubt, stamps).curvature)
    rms, largest, total = _left(scene)
    flags = np.zeros(n, np.uint32)
    rows, columns = np.nonzero(full)
    on = sum_stamps(scene.residual, np.ones_like(doubt), stamps).light / np.maximum(
        stamps.values.sum(axis=(1, 2)), 1e-9
    )
    flags[on < WHOLE] |= StarFlag.EDGE
    flags[chi2 > POOR] |= StarFlag.POOR_FIT
    if len(rows):
        near = ~apart(scene.x, scene.y, columns.astype(np.float64), rows.astype(np.float64), NEAR_FULL)
        flags[near] |= StarFlag.SATURATED
    columns_of = (
        scene.x,
        scene.y,
        scene.flux,
        flux_err,
        place_err,
        snr,
        chi2,
        rms,
        largest,
        total,
        scene.paired,
        flags,
    )
    return PrfStars(*(values[order] for values in columns_of))


def _left(scene: _Scene) -> np.ndarray:
    """Root mean square, largest and sum of the residual around each star, over its light, shape (3, n)."""
    pixels = star_pixels(scene.residual, scene.weight, scene.x, scene.y, BOX)
    used = pixels.weight > 0
    rest = np.where(used, pixels.image, 0.0)
    count = np.maximum(used.sum(axis=(1, 2)), 1)
    parts = np.sqrt((rest**2).sum(axis=(1, 2)) / count), np.abs(rest).max(axis=(1, 2)), rest.sum(axis=(1, 2))
    return np.stack(parts) / scene.flux
