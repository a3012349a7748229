"""Least squares for the response of parts of a detector, with the stars' constants and the frames' terms eliminated."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA

__all__ = ["Elimination", "Points", "held_out", "robust_weights"]

_RIDGE = 1e-9  # of the diagonal
_DETERMINED = 1e-5  # part of a response that is neither a star's constant nor a frame's own terms
_HUBER = 2.5
_LEAST_SCATTER, _MOST_SCATTER = 1e-3, 0.3
_ITERATIONS = 4
_LEAST_GAIN = 4.0  # of chi-squared of the held-out stars


@dataclass(frozen=True)
class Points:
    """Points of bright stars in the frames of a series, one after the other.

    Attributes
    ----------
    star, frame : ndarray of int, shape (p,)
        Which star and which frame.
    log_flux, variance : ndarray, shape (p,)
        Natural logarithm of the flux, and its variance as stated.
    terms : ndarray, shape (n, k)
        Terms over the field of each of the n stars; the first is 1. Each frame has its own coefficients.
    own : ndarray of bool, shape (p,)
        Points of the camera that is asked for, q of them; the others tell of the stars.
    place : ndarray, shape (2, q)
        Columns and rows of the camera's own points on its detector [pixel].
    reach : ndarray, shape (q,)
        How near to them a seam spoils flux or sky [pixel].
    shape : tuple of int
        (ny, nx) of the detector.
    """

    star: np.ndarray
    frame: np.ndarray
    log_flux: np.ndarray
    variance: np.ndarray
    terms: np.ndarray
    own: np.ndarray
    place: np.ndarray
    reach: np.ndarray
    shape: tuple[int, int]

    @property
    def size(self) -> int:
        """Number of unknowns of stars and frames, n + m k; those of the frames come last."""
        n, k = self.terms.shape
        return n + (int(self.frame.max(initial=0)) + 1) * k

    @cached_property
    def unknowns(self) -> np.ndarray:
        """Numbers of the unknowns of each point: its star's constant, its frame's k terms, shape (p, k + 1)."""
        n, k = self.terms.shape
        return np.concatenate([self.star[:, None], n + self.frame[:, None] * k + np.arange(k)], axis=1)

    @cached_property
    def factors(self) -> np.ndarray:
        """By what each of `unknowns` is multiplied, shape (p, k + 1)."""
        return np.concatenate([np.ones((len(self.star), 1)), self.terms[self.star]], axis=1)

    def model(self, values: np.ndarray) -> np.ndarray:
        """What values of the unknowns say of each point, shape (p,)."""
        return (self.factors * values[self.unknowns]).sum(axis=1)

    def response(self, values: np.ndarray, number: np.ndarray) -> np.ndarray:
        """What values of the parts say of each point, 0 for other cameras, shape (p,)."""
        result = np.zeros(len(self.star))
        result[self.own] = values[number]
        return result


class Equations(NamedTuple):
    """Normal equations of c parts of the detector.

    Attributes
    ----------
    normal : ndarray, shape (c, c)
        Normal matrix.
    right : ndarray, shape (c,)
        Right side.
    before : ndarray, shape (c,)
        Weight on each part, before stars and frames take their share.
    """

    normal: np.ndarray
    right: np.ndarray
    before: np.ndarray


class Elimination:
    """Normal equations of parts of the detector.

    Parameters
    ----------
    points : Points
        What was measured.
    weight : ndarray, shape (p,)
        Inverse variances.
    """

    def __init__(self, points: Points, weight: np.ndarray) -> None:
        self.points, self.weight = points, weight
        self._own = weight[points.own]
        self._stars, self._ties, frames = self._normal()
        self._frames = np.linalg.inv(frames - self._ties.T @ (self._ties / self._stars[:, None]))
        self.residual = self.left(points.log_flux)

    def _normal(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Normal matrix of stars and frames: the stars' diagonal, what ties them to frames, and that of the frames."""
        points = self.points
        n, k = points.terms.shape
        number = points.size - n
        weighted = points.factors[:, 1:] * self.weight[:, None]
        stars = np.bincount(points.star, self.weight, n)
        flat = points.star[:, None] * number + points.unknowns[:, 1:] - n
        ties = np.bincount(flat.ravel(), weighted.ravel(), n * number).reshape(n, number)
        products = (weighted[:, :, None] * points.factors[:, None, 1:]).reshape(-1, k * k)
        flat = points.frame[:, None] * k * k + np.arange(k * k)
        blocks = np.bincount(flat.ravel(), products.ravel(), number * k).reshape(-1, k, k)
        frames = np.zeros((number, number))
        for j, block in enumerate(blocks):
            frames[j * k : (j + 1) * k, j * k : (j + 1) * k] = block
        # A polynomial that all frames share can as well be in the stars, and a star may have no weight.
        least = 1e-12 * max(stars.max(initial=0.0), 1e-300)
        diagonal = np.arange(number)
        frames[diagonal, diagonal] = frames[diagonal, diagonal] * (1.0 + _RIDGE) + least
        return stars * (1.0 + _RIDGE) + least, ties, frames

    def _solve(self, right: np.ndarray) -> np.ndarray:
        """Unknowns of stars and frames from right sides, shape (n + m k, c)."""
        n = len(self._stars)
        scaled = right[:n] / self._stars[:, None]
        frames = self._frames @ (right[n:] - self._ties.T @ scaled)
        return np.concatenate([scaled - (self._ties @ frames) / self._stars[:, None], frames])

    def left(self, values: np.ndarray) -> np.ndarray:
        """What stars and frames leave of values of the points, shape (p,)."""
        points = self.points
        flat, weighted = points.unknowns.ravel(), (points.factors * (self.weight * values)[:, None]).ravel()
        right = np.bincount(flat, weighted, points.size)
        return values - points.model(self._solve(right[:, None])[:, 0])

    def equations(self, *parts: tuple[np.ndarray, int]) -> Equations:
        """Equations of the parts of one or more divisions of the detector.

        Parameters
        ----------
        *parts : tuple of (ndarray of int of shape (q,), int)
            Part that each of the camera's own points fell on, and how many parts there are.

        Returns
        -------
        Equations
            Of all parts of all divisions.
        """
        cross = np.concatenate([self._cross(number, count) for number, count in parts], axis=1)
        rows = [[self._pairs(one, other) for other in parts] for one in parts]
        normal = np.block(rows) - cross.T @ self._solve(cross)
        weighted = self._own * self.residual[self.points.own]
        right = np.concatenate([np.bincount(number, weighted, count) for number, count in parts])
        before = np.concatenate([np.bincount(number, self._own, count) for number, count in parts])
        return Equations(normal, right, before)

    def _pairs(self, one: tuple[np.ndarray, int], other: tuple[np.ndarray, int]) -> np.ndarray:
        """Weight of the points that fell on a part of either division."""
        flat = one[0] * other[1] + other[0]
        return np.bincount(flat, self._own, one[1] * other[1]).reshape(one[1], other[1])

    def _cross(self, number: np.ndarray, count: int) -> np.ndarray:
        """Normal matrix between the unknowns of stars and frames and the parts."""
        points = self.points
        flat = points.unknowns[points.own] * count + number[:, None]
        values = points.factors[points.own] * self._own[:, None]
        return np.bincount(flat.ravel(), values.ravel(), points.size * count).reshape(points.size, count)

    def solve(self, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Response of parts and its errors, natural logarithm; what no star tells is 0. Both of shape (parts,)."""
        normal, right, before = self.equations(_all(number))
        inverse = _inverse(normal, before.max(initial=0.0))
        return inverse @ right, np.sqrt(np.diag(inverse))

    def gain_of(self, number: np.ndarray) -> float:
        """Fall of chi-squared by the response of parts."""
        return self.gain(*self.equations(_all(number))[:2])

    def beside(self, number: np.ndarray, others: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Equations of so many other parts with the response of parts eliminated too."""
        known = _all(number)
        first = known[1]
        normal, right, before = self.equations(known, (others, count))
        taken = normal[first:, :first] @ _inverse(normal[:first, :first], before[:first].max(initial=0.0))
        return normal[first:, first:] - taken @ normal[:first, first:], right[first:] - taken @ right[:first]

    def gain(self, normal: np.ndarray, right: np.ndarray) -> float:
        """Fall of chi-squared by the best values of some equations."""
        return float(right @ _inverse(normal, self.weight.sum()) @ right)


def _all(number: np.ndarray) -> tuple[np.ndarray, int]:
    """A division whose last part has a point."""
    return number, int(number.max(initial=0)) + 1


def _inverse(normal: np.ndarray, scale: float) -> np.ndarray:
    """Inverse of a normal matrix in the directions that are determined, 0 in the others."""
    value, vector = np.linalg.eigh(0.5 * (normal + normal.T))
    known = value > _DETERMINED * scale
    return (vector[:, known] / value[known]) @ vector[:, known].T


def robust_weights(points: Points, number: np.ndarray) -> np.ndarray:
    """Inverse variances about a model with parts: a scatter that all points share is added, outliers count for less.

    Parameters
    ----------
    points : Points
        What was measured.
    number : ndarray of int, shape (q,)
        Part of the detector that each of the camera's own points fell on.

    Returns
    -------
    ndarray, shape (p,)
        Outliers (Huber's weights) keep a say: a step that is not in the model makes many of them.
    """
    weight = 1.0 / (points.variance + 1e-4)
    for _ in range(_ITERATIONS):
        fit = Elimination(points, weight)
        value, _ = fit.solve(number)
        residual = fit.left(points.log_flux - points.response(value, number))
        total = points.variance + _scatter(residual, points.variance) ** 2
        far = np.abs(residual) / np.sqrt(total)
        weight = np.minimum(1.0, _HUBER / np.maximum(far, 1e-9)) / total
    return weight


def _scatter(residual: np.ndarray, variance: np.ndarray) -> float:
    """What has to be added to the stated errors so that the middle of all residuals is as large as it should be."""
    low, high = _LEAST_SCATTER, _MOST_SCATTER
    for _ in range(20):
        middle = np.sqrt(low * high)
        large = MAD_TO_SIGMA * np.median(np.abs(residual) / np.sqrt(variance + middle**2)) > 1.0
        low, high = (middle, high) if large else (low, middle)
    return float(high)


def held_out(points: Points, weight: np.ndarray, number: np.ndarray) -> bool:
    """Whether the response that either half of the stars gives describes the other half better than none.

    Parameters
    ----------
    points : Points
        What was measured.
    weight : ndarray, shape (p,)
        Inverse variances.
    number : ndarray of int, shape (q,)
        Part of the detector that each of the camera's own points fell on.

    Returns
    -------
    bool
    """
    halves = []
    for half in range(2):
        # Stars of the other half weigh next to nothing.
        some = np.where(points.star % 2 == half, weight, 1e-9 * weight)
        halves.append(Elimination(points, some).equations(_all(number)))
    gains = []
    for (normal, right, before), (other, aim, _) in (halves, halves[::-1]):
        value = _inverse(normal, before.max(initial=0.0)) @ right
        gains.append(float(2.0 * value @ aim - value @ other @ value))
    return min(gains) > 0.0 and sum(gains) > _LEAST_GAIN
