"""Least squares for the response of parts of a detector, with the stars' constants and the frames' terms eliminated."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

from gaiaflux.core.maths.robust import MAD_TO_SIGMA

__all__ = ["Elimination", "Points", "held_out", "robust_weights"]

_RIDGE = 1e-9  # of the diagonal: a polynomial that all frames share can as well be in the stars
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

    @cached_property
    def design(self) -> sparse.csr_matrix:
        """Constants of the stars and terms of the frames at each point, shape (p, n + m k)."""
        p, (n, k) = len(self.star), self.terms.shape
        rows = np.repeat(np.arange(p), k + 1)
        frames = n + self.frame[:, None] * k + np.arange(k)
        columns = np.concatenate([self.star[:, None], frames], axis=1)
        values = np.concatenate([np.ones((p, 1)), self.terms[self.star]], axis=1)
        size = n + (int(self.frame.max(initial=0)) + 1) * k
        return sparse.csr_matrix((values.ravel(), (rows, columns.ravel())), shape=(p, size))

    def indicator(self, number: np.ndarray, count: int) -> sparse.csr_matrix:
        """Which of so many parts each point fell on (none for those of other cameras), shape (p, count)."""
        rows = np.flatnonzero(self.own)
        return sparse.csr_matrix((np.ones(len(rows)), (rows, number)), shape=(len(self.star), count))


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
        design = points.design
        self._weighted = sparse.diags(weight) @ design
        matrix = (design.T @ self._weighted).toarray()
        diagonal = np.arange(len(matrix))
        matrix[diagonal, diagonal] = matrix[diagonal, diagonal] * (1.0 + _RIDGE) + 1e-12 * matrix.max(initial=1.0)
        self._factor = cho_factor(matrix)
        self.residual = points.log_flux - design @ cho_solve(self._factor, self._weighted.T @ points.log_flux)

    def equations(self, table: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Normal matrix and right side of the columns of a table (p, c), and their squares before the elimination."""
        weighted = sparse.diags(self.weight) @ table
        cross = (self._weighted.T @ table).toarray()
        before = np.asarray(weighted.multiply(table).sum(axis=0)).ravel()
        normal = (table.T @ weighted).toarray() - cross.T @ cho_solve(self._factor, cross)
        return normal, weighted.T @ self.residual, before

    def solve(self, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Response of parts and its errors, natural logarithm; what no star tells is 0. Both of shape (parts,)."""
        normal, right, before = self.equations(self.points.indicator(number, int(number.max(initial=0)) + 1))
        inverse = _inverse(normal, before.max(initial=0.0))
        return inverse @ right, np.sqrt(np.diag(inverse))

    def gain_of(self, number: np.ndarray) -> float:
        """Fall of chi-squared by the response of parts."""
        normal, right, _ = self.equations(self.points.indicator(number, int(number.max(initial=0)) + 1))
        return self.gain(normal, right)

    def beside(self, number: np.ndarray, others: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Equations of so many other parts with the response of parts eliminated too."""
        first = int(number.max(initial=0)) + 1
        table = sparse.hstack([self.points.indicator(number, first), self.points.indicator(others, count)]).tocsr()
        normal, right, before = self.equations(table)
        inverse = _inverse(normal[:first, :first], before[:first].max(initial=0.0))
        taken = normal[first:, :first] @ inverse
        return normal[first:, first:] - taken @ normal[:first, first:], right[first:] - taken @ right[:first]

    def gain(self, normal: np.ndarray, right: np.ndarray) -> float:
        """Fall of chi-squared by the best values of some equations."""
        return float(right @ _inverse(normal, self.weight.sum()) @ right)


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
    table = points.indicator(number, int(number.max(initial=0)) + 1)
    for _ in range(_ITERATIONS):
        fit = Elimination(points, weight)
        value, _ = fit.solve(number)
        left = points.log_flux - table @ value
        residual = left - points.design @ cho_solve(fit._factor, fit._weighted.T @ left)
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
    count = int(number.max(initial=0)) + 1
    table = points.indicator(number, count)
    halves = []
    for half in range(2):
        # Stars of the other half weigh next to nothing.
        some = np.where(points.star % 2 == half, weight, 1e-9 * weight)
        halves.append(Elimination(points, some).equations(table))
    gains = []
    for (normal, right, before), (other, aim, _) in (halves, halves[::-1]):
        value = _inverse(normal, before.max(initial=0.0)) @ right
        gains.append(float(2.0 * value @ aim - value @ other @ value))
    return min(gains) > 0.0 and sum(gains) > _LEAST_GAIN
