"""Two stars where one was taken for granted: proven by the pixels, half of them by the other half.

A star that its response function does not describe may be two. That two functions fit better than one proves nothing,
since the function itself is not exact: a pair must leave much less than what the function leaves of other stars, and
the pair that one half of the pixels (the white ones of a chessboard) says must be found again in the other half.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gaiaflux.core.psf.protocol import Psf

__all__ = ["Pairs", "StarPixels", "find_pairs", "star_pixels"]

HALF = 4  # the pixels of a star are a square of 2 HALF + 1
REACH = 6.0  # [pixel]: to the corners of that square
OFFSETS = (0.8, 1.3)  # where a second star is sought first [pixel]
DIRECTIONS = 12
ROUNDS = 12
LONGEST_STEP = 0.3  # [pixel]
NEAREST, FARTHEST = 0.5, 2.2  # separations that can be told [pixel]
LEAST_SHARE = 0.01  # of the fainter one in the light of both
LEAST_GAIN = 40.0  # of chi-squared by the second star
HALF_GAIN = 10.0  # the same in one half of the pixels with what the other half says
LESS = 0.35  # chi-squared of the pair over that of the single star
SAME_PLACE, SAME_LIGHT = 0.3, 1.6  # how well both halves agree [pixel, ratio]


@dataclass(frozen=True)
class StarPixels:
    """Squares of pixels around n stars, without all other stars.

    Attributes
    ----------
    image, weight : ndarray of float64, shape (n, size, size)
        Light, and inverse variance with what is not known of the function; 0 = not used.
    column, row : ndarray of int64, shape (n,)
        Pixel in the middle of each square.
    """

    image: np.ndarray
    weight: np.ndarray
    column: np.ndarray
    row: np.ndarray

    def of(self, rows: np.ndarray) -> "StarPixels":
        """Those of some of the stars."""
        return StarPixels(self.image[rows], self.weight[rows], self.column[rows], self.row[rows])

    def with_light(self, psf: Psf, x: np.ndarray, y: np.ndarray, flux: np.ndarray) -> "StarPixels":
        """The same with the light of a star in each, of places `x`, `y` and light `flux`, shape (n,)."""
        light, _ = _columns(psf, self, x[:, None], y[:, None], flux[:, None], False)
        return replace(self, image=self.image + light.reshape(self.image.shape))


@dataclass(frozen=True)
class Pairs:
    """Single stars as pairs.

    Attributes
    ----------
    proven : ndarray of bool, shape (n,)
    x, y, flux : ndarray of float64, shape (n, 2)
        Of both stars, the brighter one first [pixel].
    """

    proven: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray


class _Fit(NamedTuple):
    """Places and light of k stars in each square, the sky there, and chi-squared."""

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    sky: np.ndarray
    chi2: np.ndarray


def star_pixels(image: np.ndarray, weight: np.ndarray, x: np.ndarray, y: np.ndarray, half: int = HALF) -> StarPixels:
    """Cut the pixels around stars out of an image.

    Parameters
    ----------
    image, weight : ndarray, shape (ny, nx)
        Inverse variance: 0 = not used.
    x, y : ndarray, shape (n,)
        Places of the stars [pixel].
    half : int
        Each is a square of 2 `half` + 1 pixels.

    Returns
    -------
    StarPixels
        Pixels beyond the image have no weight.
    """
    column, row = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    around = np.arange(-half, half + 1)
    rows, columns = row[:, None, None] + around[:, None], column[:, None, None] + around
    ny, nx = image.shape
    there = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
    at = np.clip(rows, 0, ny - 1), np.clip(columns, 0, nx - 1)
    values, weights = (np.where(there, plane[at], 0.0).astype(np.float64) for plane in (image, weight))
    return StarPixels(values, weights, column, row)


def find_pairs(psf: Psf, pixels: StarPixels, x: np.ndarray, y: np.ndarray, flux: np.ndarray) -> Pairs:
    """Which of some stars are two.

    Parameters
    ----------
    psf : Psf
        In the coordinates of the image.
    pixels : StarPixels
    x, y, flux : ndarray, shape (n,)
        Single stars [pixel].

    Returns
    -------
    Pairs
    """
    single = _fitted(psf, pixels, pixels.weight, (x[:, None], y[:, None], flux[:, None]))
    pair = _fitted(psf, pixels, pixels.weight, _second_star(psf, pixels, single))
    proven = (single.chi2 - pair.chi2 > LEAST_GAIN) & (pair.chi2 < LESS * single.chi2) & _plausible(pair)
    rows = np.flatnonzero(proven)
    if len(rows):
        proven[rows] = _found_again(
            psf, pixels.of(rows), _Fit(*(v[rows] for v in single)), _Fit(*(v[rows] for v in pair))
        )
    order = np.argsort(-pair.flux, axis=1)
    ordered = (np.take_along_axis(values, order, 1) for values in (pair.x, pair.y, pair.flux))
    return Pairs(proven, *ordered)


def _found_again(psf: Psf, pixels: StarPixels, single: _Fit, pair: _Fit) -> np.ndarray:
    """Whether each half of the pixels finds the pair that the other half needs."""
    around = np.arange(-HALF, HALF + 1)
    white = (np.add.outer(around, around) + (pixels.column + pixels.row)[:, None, None]) % 2 == 0
    again = np.ones(len(pair.x), bool)
    for here in (white, ~white):
        mine, other = pixels.weight * here, pixels.weight * ~here
        two = _fitted(psf, pixels, mine, (pair.x, pair.y, pair.flux))
        one = _fitted(psf, pixels, mine, (single.x, single.y, single.flux))
        gain = _chi2(psf, pixels, other, one) - _chi2(psf, pixels, other, two)
        again &= (gain > HALF_GAIN) & _plausible(two) & _alike(pair, two)
    return again


def _plausible(pair: _Fit) -> np.ndarray:
    """Whether both are stars, and neither on one place nor in the reach of other stars."""
    apart = np.hypot(pair.x[:, 0] - pair.x[:, 1], pair.y[:, 0] - pair.y[:, 1])
    faint = pair.flux.min(axis=1) > LEAST_SHARE * pair.flux.sum(axis=1)
    return faint & (apart > NEAREST) & (apart < FARTHEST)


def _alike(pair: _Fit, half: _Fit) -> np.ndarray:
    """Whether half of the pixels says the same of the fainter star."""
    rows, faint = np.arange(len(pair.x)), pair.flux.argmin(axis=1)
    away = np.hypot(pair.x - half.x, pair.y - half.y)[rows, faint]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(np.log(half.flux[rows, faint] / pair.flux[rows, faint]))
    return (away < SAME_PLACE) & (ratio < np.log(SAME_LIGHT))


def _columns(
    psf: Psf, pixels: StarPixels, x: np.ndarray, y: np.ndarray, flux: np.ndarray, places: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Model without the sky, shape (n, n_pixels), and derivatives: light (k), sky, x (k) and y (k)."""
    n, k = x.shape
    placed = psf.at(x.ravel(), y.ravel())
    middle = np.repeat(pixels.column, k), np.repeat(pixels.row, k)
    edge = int(np.ceil(REACH)) - HALF
    inner = np.s_[:, edge:-edge, edge:-edge]
    light = placed.values(*middle, REACH)[inner].reshape(n, k, -1).astype(np.float64)
    parts = [light, np.ones((n, 1, light.shape[2]))]
    if places:
        slopes = [part[inner].reshape(n, k, -1) for part in placed.gradients(*middle, REACH)]
        parts += [flux[:, :, None] * part for part in slopes]
    return np.einsum("nk,nkp->np", flux, light), np.concatenate(parts, axis=1)


def _fitted(psf: Psf, pixels: StarPixels, weight: np.ndarray, start: tuple[np.ndarray, np.ndarray, np.ndarray]) -> _Fit:
    """Stars and a sky in each square, by Levenberg's damped steps."""
    x, y, flux = (np.array(values, np.float64) for values in start)
    n, k = x.shape
    image, weight = pixels.image.reshape(n, -1), weight.reshape(n, -1)
    sky, damping = np.zeros(n), np.full(n, 1e-3)
    model, columns = _columns(psf, pixels, x, y, flux, True)
    chi2 = np.sum(weight * (image - model - sky[:, None]) ** 2, axis=1)
    for _ in range(ROUNDS):
        rest = image - model - sky[:, None]
        normal = np.einsum("nap,np,nbp->nab", columns, weight, columns, optimize=True)
        diagonal = np.einsum("naa->na", normal)
        diagonal *= 1.0 + damping[:, None]
        diagonal += 1e-15 * diagonal.max(axis=1, keepdims=True) + 1e-30
        step = np.linalg.solve(normal, np.einsum("nap,np->na", columns, weight * rest)[..., None])[..., 0]
        move = np.clip(step[:, k + 1 :], -LONGEST_STEP, LONGEST_STEP)
        new = x + move[:, :k], y + move[:, k:], flux + step[:, :k]
        new_sky = sky + step[:, k]
        new_model, new_columns = _columns(psf, pixels, *new, True)
        new_chi2 = np.sum(weight * (image - new_model - new_sky[:, None]) ** 2, axis=1)
        better = new_chi2 <= chi2
        damping = np.where(better, damping * 0.2, damping * 10.0)
        x, y, flux = (np.where(better[:, None], b, a) for a, b in zip((x, y, flux), new, strict=True))
        sky, chi2 = np.where(better, new_sky, sky), np.where(better, new_chi2, chi2)
        model = np.where(better[:, None], new_model, model)
        columns = np.where(better[:, None, None], new_columns, columns)
    return _Fit(x, y, flux, sky, chi2)


def _chi2(psf: Psf, pixels: StarPixels, weight: np.ndarray, fit: _Fit) -> np.ndarray:
    """Chi-squared of a fit in other pixels than its own."""
    model, _ = _columns(psf, pixels, fit.x, fit.y, fit.flux, False)
    n = len(fit.x)
    rest = pixels.image.reshape(n, -1) - model - fit.sky[:, None]
    return np.asarray(np.sum(weight.reshape(n, -1) * rest**2, axis=1))


def _second_star(psf: Psf, pixels: StarPixels, single: _Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where a second star explains most of what a single one leaves, the first one being free to give way."""
    n = len(single.x)
    _, columns = _columns(psf, pixels, single.x, single.y, single.flux, True)
    weight = pixels.weight.reshape(n, -1)
    rest = pixels.image.reshape(n, -1) - np.einsum("nk,nkp->np", single.flux, columns[:, :1]) - single.sky[:, None]
    angle = 2.0 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    away = np.concatenate([radius * np.stack([np.cos(angle), np.sin(angle)]) for radius in OFFSETS], axis=1)
    best, chosen = np.full(n, -np.inf), (single.x, single.y, single.flux)
    normal = np.einsum("nap,np,nbp->nab", columns, weight, columns, optimize=True)
    normal += 1e-12 * np.einsum("naa->n", normal)[:, None, None] * np.eye(normal.shape[1])
    for dx, dy in away.T:
        x, y = single.x + dx, single.y + dy
        light = _columns(psf, pixels, x, y, single.flux, False)[1][:, 0]
        # What of the second star's light the first one and the sky cannot take over.
        shared = np.linalg.solve(normal, np.einsum("nap,np->na", columns, weight * light)[..., None])[..., 0]
        own = light - np.einsum("na,nap->np", shared, columns)
        power = np.sum(weight * own**2, axis=1)
        amount = np.divide(np.sum(weight * own * rest, axis=1), power, out=np.zeros(n), where=power > 0)
        amount = np.clip(amount, 0.02 * single.flux[:, 0], 0.5 * single.flux[:, 0])
        gain = 2.0 * amount * np.sum(weight * own * rest, axis=1) - amount**2 * power
        better = gain > best
        best = np.where(better, gain, best)
        share = amount / np.maximum(single.flux[:, 0], 1e-30)
        two = (
            np.stack([single.x[:, 0] - share * dx, x[:, 0]], axis=1),
            np.stack([single.y[:, 0] - share * dy, y[:, 0]], axis=1),
            np.stack([single.flux[:, 0] - amount, amount], axis=1),
        )
        x_pair, y_pair, flux_pair = (np.where(better[:, None], b, a) for a, b in zip(chosen, two, strict=True))
        chosen = (x_pair, y_pair, flux_pair)
    return chosen
