"""A response function from the frames themselves, where the mission's is not at hand.

The mean of the frames is described by an elliptical Gaussian, integrated over the pixels, for every star; what it
leaves at the target is then part of the function. So the target's own pixels are matched, while a place between the
pixels of the stamp is interpolated.
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.cadences.frames import MeanImage, StampFrames, shift_cells
from gaiaflux.core.cadences.scene import SceneStars
from gaiaflux.core.psf.interpolation import interpolate
from gaiaflux.core.psf.sampled import SampledPsf, sampled_psf

__all__ = ["effective_psf", "with_unlisted"]

OVERSAMPLING = 9
CELL_PIX = 1.0 / 8.0
HALF_PIX = 6  # reach of the samples
MOST_STARS = 8
APART_PIX = 1.5  # from every star of the catalogue: a summit farther than this is another star
OUTSTANDING = 10.0  # sigma above the lowest pixels
PEAK_PART = 0.4  # of a star's light in its brightest pixel, roughly
LEAST_LIGHT = 0.02  # of the target's: a neighbour with less is not told apart
WIDTHS = (0.5, 0.7, 1.0, 1.4, 2.0)  # from which the fit starts [pixel]
ROUNDS = 30
KEPT_WIDTHS = 5.0  # radius within which the target's residual is kept, in widths, and what is added to it [pixel]
KEPT_PIX, TAPER_PIX = 1.0, 1.5
NODES, WEIGHTS = np.polynomial.legendre.leggauss(4)
STEPS = np.array([1e-3, 1e-3, 1e-3, 1e-4, 1e-4])


@dataclass
class _Scene:
    """Image and stars of the fit; parameters are the logarithms of the widths, the correlation, and a common shift.

    `shifts` and `share` say how the frames of the mean are shifted against each other: the function is not theirs.
    """

    image: np.ndarray
    use: np.ndarray
    x: np.ndarray
    y: np.ndarray
    promised: np.ndarray
    shifts: np.ndarray
    share: np.ndarray

    def light(self, parameters: np.ndarray) -> np.ndarray:
        """Light of each star in the pixels, shape (n, ny, nx)."""
        row, column = np.indices(self.image.shape, dtype=np.float64)
        dx = column - self.x[:, None, None] - parameters[3]
        dy = row - self.y[:, None, None] - parameters[4]
        parts = (
            share * _gaussian(dx - x, dy - y, parameters) for (x, y), share in zip(self.shifts, self.share, strict=True)
        )
        return np.sum(list(parts), axis=0)

    def solve(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Light of the stars and background, that fit best, and the residual, shape (n_pixels,)."""
        light = self.light(parameters)[:, self.use]
        columns = np.concatenate([light, np.ones((1, light.shape[1]))])
        data = self.image[self.use]
        normal, right = columns @ columns.T, columns @ data
        # Neighbours keep near what the catalogue says, relative to the target.
        known = self.promised > 0
        size = max(float(np.nanmax(np.abs(data))), 1e-30) / max(float(light[0].max()), 1e-30)
        weight = np.zeros(len(columns))
        weight[1:-1][known[1:]] = 1e-2 * light.max() ** 2
        if known[0]:
            scale = np.where(known, self.promised / self.promised[0], 0.0) * size
            right[:-1] += weight[:-1] * scale
        normal[np.diag_indices_from(normal)] += weight + 1e-12 * np.trace(normal)
        value = np.linalg.solve(normal, right)
        return value, data - value @ columns


def effective_psf(frames: StampFrames, mean: MeanImage, stars: SceneStars, corner: tuple[int, int]) -> SampledPsf:
    """Make a response function of the frames of a stamp.

    Parameters
    ----------
    frames : StampFrames
    mean : MeanImage
        Of the same frames.
    stars : SceneStars
        The target first.
    corner : tuple of int
        Column and row of the stamp's first pixel.

    Returns
    -------
    SampledPsf
        The same everywhere, in the coordinates that `corner` is in.
    """
    shift = frames.mean_shift
    x, y = stars.x + shift[0], stars.y + shift[1]
    ny, nx = frames.shape
    inside = (x > -1) & (x < nx) & (y > -1) & (y < ny)
    flux = np.where(np.isfinite(stars.flux) & inside, stars.flux, 0.0)
    rows = np.flatnonzero(flux[1:] > LEAST_LIGHT * flux[0]) + 1
    rows = np.concatenate([[0], rows[np.argsort(-flux[rows], kind="stable")][: MOST_STARS - 1]]).astype(np.int64)
    use = np.isfinite(mean.image)
    image = np.where(use, mean.image, 0.0)
    cells = shift_cells(frames.shift, frames.counted, CELL_PIX)
    seen = cells.share > 0
    away = cells.centre[seen] - shift
    scene = _Scene(image, use, x[rows], y[rows], flux[rows], away, cells.share[seen])
    offset = np.arange(-HALF_PIX * OVERSAMPLING, HALF_PIX * OVERSAMPLING + 1) / OVERSAMPLING
    dx, dy = np.meshgrid(offset, offset)
    place = np.array([corner[0] + x[0]]), np.array([corner[1] + y[0]])
    size = (int(np.ceil(place[1][0])) + ny, int(np.ceil(place[0][0])) + nx)
    if not use.any():
        table = _gaussian(dx, dy, np.array([0.0, 0.0, 0.0, 0.0, 0.0]))
        return sampled_psf(table[None, None], OVERSAMPLING, *place, size)
    parameters = _fit(scene)
    value, residual = scene.solve(parameters)
    table = _gaussian(dx, dy, parameters)
    if value[0] > 0:
        left = np.zeros(image.shape)
        left[use] = residual / value[0]
        table = table + _residual_table(
            left, scene.x[0] + parameters[3], scene.y[0] + parameters[4], dx, dy, parameters
        )
    # Where the target's light is measured with the stamp, the function is what it is there: its place is the target's.
    return sampled_psf(np.maximum(table, 0.0)[None, None], OVERSAMPLING, *place, size)


def with_unlisted(mean: MeanImage, stars: SceneStars, shift: np.ndarray) -> SceneStars:
    """Add the summits of the mean image that no star of the catalogue explains; a field may come without neighbours.

    Parameters
    ----------
    mean : MeanImage
    stars : SceneStars
        The target first.
    shift : ndarray, shape (2,)
        Mean shift of the frames [pixel].

    Returns
    -------
    SceneStars
        The stars of the catalogue, and behind them the summits, with errors as wide as what is known of them.
    """
    image = np.where(np.isfinite(mean.image), mean.image, -np.inf)
    ny, nx = image.shape
    if not np.isfinite(image).any():
        return stars
    padded = np.pad(image, 1, constant_values=-np.inf)
    around = [
        padded[1 + j : 1 + j + ny, 1 + i : 1 + i + nx] for j in (-1, 0, 1) for i in (-1, 0, 1) if (j, i) != (0, 0)
    ]
    ground = float(np.min(image[np.isfinite(image)]))
    deviation = np.sqrt(np.where(np.isfinite(mean.variance), mean.variance, 0.0))
    summit = np.isfinite(image) & (image > np.max(around, axis=0)) & (image - ground > OUTSTANDING * deviation)
    row, column = np.nonzero(summit)
    distance = np.hypot(column[:, None] - stars.x - shift[0], row[:, None] - stars.y - shift[1])
    alone = distance.min(axis=1) > APART_PIX
    row, column = row[alone], column[alone]
    light = (image[row, column] - ground) / PEAK_PART
    return SceneStars(
        np.append(stars.x, column - shift[0]),
        np.append(stars.y, row - shift[1]),
        np.append(stars.flux, light),
        np.append(stars.flux_err, light),
        np.append(stars.position_err, np.full(len(row), 0.5)),
    )


def _gaussian(dx: np.ndarray, dy: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Part of the light in pixels at offsets from a star."""
    width_x, width_y = np.exp(parameters[0]), np.exp(parameters[1])
    mix = np.tanh(parameters[2])
    total = np.zeros(np.broadcast(dx, dy).shape)
    for along, share_y in zip(NODES, WEIGHTS, strict=True):
        v = (dy + 0.5 * along) / width_y
        for across, share_x in zip(NODES, WEIGHTS, strict=True):
            u = (dx + 0.5 * across) / width_x
            total += 0.25 * share_x * share_y * np.exp(-0.5 * (u * u - 2.0 * mix * u * v + v * v) / (1.0 - mix * mix))
    return total / (2.0 * np.pi * width_x * width_y * np.sqrt(1.0 - mix * mix))


def _fit(scene: _Scene) -> np.ndarray:
    """Widths, correlation and common shift: Levenberg-Marquardt from the best of some widths."""
    starts = [np.array([np.log(width), np.log(width), 0.0, 0.0, 0.0]) for width in WIDTHS]
    best = min(starts, key=lambda start: float(np.sum(scene.solve(start)[1] ** 2)))
    residual = scene.solve(best)[1]
    cost, damping = float(residual @ residual), 1e-2
    for _ in range(ROUNDS):
        slopes = np.stack([(scene.solve(best + step)[1] - residual) / step.sum() for step in np.diag(STEPS)])
        normal = slopes @ slopes.T
        normal[np.diag_indices_from(normal)] *= 1.0 + damping
        normal[np.diag_indices_from(normal)] += 1e-12 * cost + 1e-30
        step = -np.linalg.solve(normal, slopes @ residual)
        step *= min(1.0, 0.3 / max(float(np.abs(step).max()), 1e-12))
        tried = best + step
        tried[:2] = np.clip(tried[:2], np.log(0.2), np.log(4.0))
        tried[2] = np.clip(tried[2], -1.5, 1.5)
        tried[3:] = np.clip(tried[3:], -2.0, 2.0)
        new = scene.solve(tried)[1]
        if float(new @ new) < cost:
            settled = float(new @ new) > (1.0 - 1e-6) * cost
            best, residual, cost, damping = tried, new, float(new @ new), 0.3 * damping
            if settled:
                break
        else:
            damping *= 10.0
            if damping > 1e6:
                break
    return best


def _residual_table(
    left: np.ndarray, x: float, y: float, dx: np.ndarray, dy: np.ndarray, parameters: np.ndarray
) -> np.ndarray:
    """What the Gaussian leaves of the target, at offsets from it; it fades out with the distance."""
    row, column = np.indices(left.shape)
    distance = np.hypot(column - x, row - y)
    kept = KEPT_WIDTHS * float(np.exp(parameters[:2].max())) + KEPT_PIX
    left = left * np.clip(1.0 - (distance - kept) / TAPER_PIX, 0.0, 1.0)
    middle_x, middle_y = int(np.rint(x)), int(np.rint(y))
    half = HALF_PIX + 2
    nodes = np.zeros((2 * half + 1, 2 * half + 1))
    for j in range(left.shape[0]):
        for i in range(left.shape[1]):
            at_j, at_i = j - middle_y + half, i - middle_x + half
            if 0 <= at_j < len(nodes) and 0 <= at_i < len(nodes):
                nodes[at_j, at_i] = left[j, i]
    return interpolate(nodes, dx + x - middle_x, dy + y - middle_y)
