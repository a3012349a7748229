"""Static solution: places and light of the stars of a stamp from the mean of its frames."""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.cadences.frames import MeanImage, ShiftCells
from gaiaflux.core.cadences.scene import SceneStars, StaticScene
from gaiaflux.core.psf.stamp_light import StampLight, StarTables, mean_stamp_light, stamp_light

__all__ = ["StaticOptions", "solve_static"]

SEARCH_STEP = 0.5  # [pixel]
BRIGHTEST = 8  # stars whose places are fitted, and by which the common shift is searched
TURNS, ROUNDS = 6, 12
SAME_MISFIT = 0.9  # of the turn before, from which on another turn would change nothing
LONGEST_STEP = 0.4  # [pixel]
SETTLED = 1e-4  # [pixel]
LEAST_OWN = 1e-3
DENIED = 5.0  # errors of the promise beyond which it is a wrong one
ALONE = 30.0  # signal to noise from which a star's light needs no promise of the catalogue


@dataclass(frozen=True)
class StaticOptions:
    """How the static solution is found.

    Attributes
    ----------
    common_err : float
        How far all stars together may be from the catalogue [pixel].
    search_pix : float
        Shifts that are tried before the fit, in x and y [pixel].
    flux_err : float
        Relative error of the catalogue's light where it states a smaller one or none.
    field_err : float
        How far away in the field the function of the stars may be found, along an axis and in units of
        `gaiaflux.core.psf.stamp_light.FIELD_PIX`: what was measured for a camera is not its state of today.
    field_origin : tuple of float
        How far away the function that is given is from, along x and y and in the same units.
    """

    common_err: float = 1.0
    search_pix: float = 1.5
    flux_err: float = 0.2
    field_err: float = 1.0
    field_origin: tuple[float, float] = (0.0, 0.0)


@dataclass
class _Fit:
    """Image and parameters of the fit.

    `moves` are the stars with shifts of their own; parameters are the light of all stars, the background, the common
    shift, the shifts of those stars in x, then in y, and the shapes.
    """

    image: np.ndarray
    weight: np.ndarray
    stars: SceneStars
    tables: StarTables
    cells: ShiftCells
    moves: np.ndarray
    flux: np.ndarray
    common: np.ndarray
    own: np.ndarray
    shapes: StarTables
    shape: np.ndarray
    background: float = 0.0

    def light(self) -> StampLight:
        """Light of all stars in the mean of the frames."""
        x, y = self.places()
        return mean_stamp_light(self.shaped(), x, y, self.cells.centre, self.cells.share, self.image.shape)

    def shaped(self) -> StarTables:
        """Tables with the shapes that are fitted."""
        return self.tables.reshaped(self.shapes, self.shape)

    def shape_columns(self) -> np.ndarray:
        """Light of the brightest stars in each of the shapes, shape (n_shapes, ny, nx)."""
        x, y = self.places()
        few, n = self.moves, len(self.shapes)
        rows = np.repeat(np.arange(n), len(few))
        x, y = np.tile(x[few], n), np.tile(y[few], n)
        shape = self.image.shape
        made = mean_stamp_light(self.shapes.of(rows), x, y, self.cells.centre, self.cells.share, shape).light
        return np.einsum("k,mkji->mji", self.flux[few], made.reshape(n, len(few), *self.image.shape))

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        return self.stars.x + self.common[0] + self.own[:, 0], self.stars.y + self.common[1] + self.own[:, 1]

    def columns(self, made: StampLight, shapes: np.ndarray) -> np.ndarray:
        """Derivatives of the image with respect to all parameters, shape (n_parameters, n_pixels)."""
        to_x, to_y = (self.flux[:, None, None] * part for part in (made.along_x, made.along_y))
        one = np.ones((1, *self.image.shape))
        shared = [to_x.sum(axis=0, keepdims=True), to_y.sum(axis=0, keepdims=True)]
        parts = [made.light, one, *shared, to_x[self.moves], to_y[self.moves], shapes]
        return np.concatenate(parts).reshape(-1, self.image.size)

    def model(self, made: StampLight) -> np.ndarray:
        return np.tensordot(self.flux, made.light, 1) + self.background

    def chi2(self, made: StampLight) -> float:
        return float(np.sum(self.weight * (self.image - self.model(made)) ** 2))


def solve_static(
    mean: MeanImage,
    cells: ShiftCells,
    stars: SceneStars,
    tables: StarTables,
    shapes: StarTables,
    options: StaticOptions,
    start: StaticScene | None = None,
) -> StaticScene:
    """Fit the mean of the frames: light and places of the stars, and a constant.

    Places have a common shift and, for the brightest stars, shifts of their own, that the errors of the catalogue
    bound. The light of stars that are too faint to be measured is held near what the catalogue says. Where the image
    does not fit, its errors are enlarged until it does, so that faint stars do not take up what the function of a
    bright one leaves.

    Parameters
    ----------
    mean : MeanImage
    cells : ShiftCells
        Shifts of the good frames.
    stars : SceneStars
        Those that enter, the target first.
    tables : StarTables
        Of the same stars.
    shapes : StarTables
        See `gaiaflux.core.psf.stamp_light.shape_tables`.
    options : StaticOptions
    start : StaticScene, optional
        Solution of the same stars with a function that is nearly this one: where the fit begins.

    Returns
    -------
    StaticScene
        With `rows` of `stars`.

    Raises
    ------
    ValueError
        No pixel of the mean is usable.
    """
    usable = np.isfinite(mean.image) & np.isfinite(mean.variance) & (mean.count > 0)
    if not usable.any():
        raise ValueError("no pixel of the stamp has a usable mean")
    weight = np.where(usable, np.maximum(mean.count, 1) / np.where(usable, mean.variance, 1.0), 0.0)
    fit = _start(np.where(usable, mean.image, 0.0), weight, stars, tables, cells, shapes)
    if start is None:
        _search(fit, options)
        _deny(fit, options)
    else:
        fit.flux, fit.common, fit.background = start.flux.copy(), start.common.copy(), start.background
        fit.own[:] = np.stack([start.x - stars.x, start.y - stars.y], axis=1) - start.common
    free = max(1, int(usable.sum()) - len(stars) - 3)
    made = fit.light()
    # Of what the catalogue says, without whose misfit stars would move by pixels to make up for it.
    misfit = max(1.0, fit.chi2(made) / free)
    covariance = np.zeros((0, 0))
    for turn in range(0 if start is None else 1, TURNS):
        covariance = _iterate(fit, misfit, options, free_light=turn > 0)
        made = fit.light()
        chi2 = fit.chi2(made)
        before, misfit = misfit, max(1.0, chi2 / free)
        if turn > 1 and misfit > SAME_MISFIT * before:
            break
    error = np.sqrt(np.diag(covariance)[: len(stars)])
    x, y = fit.places()
    return StaticScene(
        np.arange(len(stars)),
        fit.shaped(),
        x,
        y,
        fit.flux,
        error,
        fit.common,
        fit.shape,
        fit.background,
        fit.model(made),
        chi2 / free,
    )


def _start(
    image: np.ndarray, weight: np.ndarray, stars: SceneStars, tables: StarTables, cells: ShiftCells, shapes: StarTables
) -> _Fit:
    flux = np.where(np.isfinite(stars.flux), stars.flux, 0.0)
    moves = np.argsort(-flux, kind="stable")[:BRIGHTEST]
    moves = np.sort(np.union1d(moves, [0]))
    no, own = np.zeros(2), np.zeros((len(stars), 2))
    return _Fit(image, weight, stars, tables, cells, moves, flux, no, own, shapes, np.zeros(len(shapes)))


def _search(fit: _Fit, options: StaticOptions) -> None:
    """Common shift at which the scene as the catalogue has it, times a factor, fits best; and that factor."""
    bright = fit.moves[fit.flux[fit.moves] > 0]
    if not len(bright):
        return
    mean = fit.cells.share @ fit.cells.centre
    steps = np.arange(-options.search_pix, options.search_pix + SEARCH_STEP / 2, SEARCH_STEP)
    dx, dy = (grid.ravel() for grid in np.meshgrid(steps, steps))
    x = fit.stars.x[bright] + mean[0] + dx[:, None]
    y = fit.stars.y[bright] + mean[1] + dy[:, None]
    made = stamp_light(fit.tables.of(bright), x, y, fit.image.shape).light
    scene = np.einsum("k,gkji->gji", fit.flux[bright], made).reshape(len(dx), -1)
    weight, image = fit.weight.ravel(), fit.image.ravel()
    total = weight.sum()
    level = scene @ weight / total
    scene = scene - level[:, None]
    power = scene**2 @ weight
    match = scene @ (weight * (image - image @ weight / total))
    gain = np.where((power > 0) & (match > 0), match**2 / np.where(power > 0, power, 1.0), 0.0)
    # A shift must earn its distance from the catalogue.
    best = int(np.argmax(gain - (dx**2 + dy**2) / options.common_err**2))
    if gain[best] > 0:
        fit.common = np.array([dx[best], dy[best]])
        fit.background = float(image @ weight / total)


def _light_err(stars: SceneStars, options: StaticOptions) -> np.ndarray:
    """Errors of the light that the catalogue promises; infinite where it promises nothing."""
    error = np.where(np.isfinite(stars.flux), options.flux_err * np.abs(stars.flux), np.inf)
    return np.fmax(error, stars.flux_err)


def _deny(fit: _Fit, options: StaticOptions) -> None:
    """Take back promises of light that the image contradicts: they would hold a star, and the misfit would hide it."""
    light = np.concatenate([fit.light().light, np.ones((1, *fit.image.shape))]).reshape(-1, fit.image.size)
    weighted = light * fit.weight.ravel()
    inverse = _inverse(weighted @ light.T)
    found = inverse @ (weighted @ fit.image.ravel())
    left = fit.image.ravel() - found @ light
    free = max(1, int(np.count_nonzero(fit.weight)) - len(found))
    misfit = max(1.0, float(fit.weight.ravel() @ left**2) / free)
    flux, error = found[:-1], np.sqrt(misfit * np.diag(inverse)[:-1])
    stars = fit.stars
    away = np.abs(flux - np.where(np.isfinite(stars.flux), stars.flux, flux))
    denied = (away > DENIED * np.hypot(error, _light_err(stars, options))) & (flux > ALONE * error)
    fit.stars = replace(stars, flux=np.where(denied, np.nan, stars.flux))
    fit.flux = np.where(denied, flux, fit.flux)


def _iterate(fit: _Fit, misfit: float, options: StaticOptions, free_light: bool) -> np.ndarray:
    """Gauss-Newton to the end; covariance of the parameters."""
    n, m = len(fit.stars), len(fit.moves)
    weight = fit.weight.ravel() / misfit
    promised = np.where(np.isfinite(fit.stars.flux), fit.stars.flux, 0.0)
    normal = np.eye(n + 3 + 2 * m + len(fit.shape))
    # Steps change them hardly, and the next turn makes them anew.
    shapes = fit.shape_columns()
    for _ in range(ROUNDS):
        made = fit.light()
        columns = fit.columns(made, shapes)
        residual = (fit.image - fit.model(made)).ravel()
        weighted = columns * weight
        normal, right = weighted @ columns.T, weighted @ residual
        known = _promises(fit, normal, options, free_light)
        there = fit.shape + options.field_origin
        now = np.concatenate([fit.flux - promised, [0.0], fit.common, fit.own[fit.moves].T.ravel(), there])
        normal[np.diag_indices_from(normal)] += known
        right -= known * now
        step = _solve(normal, right)
        places = slice(n + 1, n + 3 + 2 * m)
        longest = max(float(np.abs(step[places]).max()), 1e-12)
        moved = step[places] * min(1.0, LONGEST_STEP / longest)
        fit.flux = fit.flux + step[:n]
        fit.background += float(step[n])
        fit.common = fit.common + moved[:2]
        fit.own[fit.moves] += moved[2:].reshape(2, m).T
        fit.shape = fit.shape + step[places.stop :]
        if longest < SETTLED:
            break
    return _inverse(normal)


def _promises(fit: _Fit, normal: np.ndarray, options: StaticOptions, free_light: bool) -> np.ndarray:
    """Inverse variances of what the catalogue says of each parameter."""
    stars, n = fit.stars, len(fit.stars)
    known = np.isfinite(stars.flux)
    error = _light_err(stars, options)
    alone = np.sqrt(np.maximum(np.diag(normal)[:n], 0.0)) * np.abs(np.where(known, stars.flux, 0.0))
    if not free_light:
        error = np.minimum(error, 1.0 + np.where(known, options.flux_err * np.abs(stars.flux), 1.0))
    bound = (alone < ALONE) | (not free_light)
    light = np.where(bound & known, 1.0 / np.maximum(error, 1e-3) ** 2, 0.0)
    common = np.full(2, options.common_err**-2.0)
    own = np.tile(np.maximum(stars.position_err[fit.moves], 1e-4) ** -2.0, 2)
    shape = np.full(len(fit.shape), options.field_err**-2.0)
    return np.concatenate([light, [0.0], common, own, shape if free_light else 1e6 * shape])


def _scaled(normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations with a diagonal of 1, and what they were divided by."""
    scale = np.sqrt(np.where(np.diag(normal) > 0, np.diag(normal), 1.0))
    return normal / np.outer(scale, scale), scale


def _solve(normal: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solution; where stars are on one place or out of sight the smallest change that does."""
    scaled, scale = _scaled(normal)
    try:
        lower = np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        return _inverse(normal) @ right
    # The least of its diagonal tells what a parameter adds to those before it.
    if np.diag(lower).min() < LEAST_OWN:
        return _inverse(normal) @ right
    return np.asarray(np.linalg.solve(scaled, right / scale) / scale)


def _inverse(normal: np.ndarray) -> np.ndarray:
    """Inverse, also where stars are on one place or out of sight."""
    scaled, scale = _scaled(normal)
    return np.asarray(np.linalg.pinv(scaled, rcond=1e-9, hermitian=True) / np.outer(scale, scale))
