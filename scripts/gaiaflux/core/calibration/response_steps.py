"""Steps of a detector's response at straight seams: amplifiers whose gain is not what was said.

Stars that come to lie on either side of a seam, from frame to frame, tell of the step: it is what they have in common
once each star has a constant and each frame its polynomial over the field. Where the seams are follows from the same
residuals: the strongest border of a grid is taken and moved to its best place, then the next one beside it, and seams
are believed as long as each says far more than the best border that is left. Structure of a flat field has no such
border that stands out from all others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gaiaflux.core.calibration.response_fit import Elimination, Points, held_out, robust_weights

__all__ = ["ResponseSteps", "find_steps"]

_CELLS = 32  # borders of the first search, on either axis
_BANDS = 4  # a step may differ along its seam: so many values for each border
_MOST = 3  # seams on either axis
_LEAST_GAIN = 50.0  # of chi-squared; by chance the best border reaches 25
_LEAST_RATIO = 4.0  # of the weakest seam's gain over that of the best border that is no seam
_LEAST_STEP = 0.003  # of ln response: smaller ones are the business of the errors
_EXACT = (0.25, 0.5, 0.75)  # of the detector: where seams mostly are
_EXACT_WITHIN = 1.0 / 200.0
_EXACT_LOSS = 0.02  # of the gain, that the exact place may cost
_LEAST_POINTS = 100
_BESIDE = 0.02  # weight of points beside a seam: they tell of it where no others do

Seam = tuple[int, float]
"""Axis (0: between columns, 1: between rows) and place [pixel]."""


@dataclass(frozen=True)
class ResponseSteps:
    """Response of a detector that is one number between seams.

    Attributes
    ----------
    columns, rows : tuple of float
        Places of the seams, ascending [pixel, 0-based, integer = pixel centre].
    values : ndarray, shape (len(rows) + 1, len(columns) + 1)
        Natural logarithm of the response of each part; their mean over the area is 0.
    errors : ndarray
        One-sigma errors of the values, of the same shape.
    """

    columns: tuple[float, ...] = ()
    rows: tuple[float, ...] = ()
    values: np.ndarray = field(default_factory=lambda: np.zeros((1, 1)))
    errors: np.ndarray = field(default_factory=lambda: np.zeros((1, 1)))

    @property
    def any(self) -> bool:
        """Whether there is a seam."""
        return bool(self.columns or self.rows)

    @property
    def span(self) -> float:
        """Largest difference of two parts, natural logarithm."""
        return float(np.ptp(self.values))

    def at(self, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Natural logarithm of the response at places [pixel]; 0 where a place is NaN, shape of `column`."""
        known = np.isfinite(column) & np.isfinite(row)
        part = self.values[np.searchsorted(self.rows, row), np.searchsorted(self.columns, column)]
        return np.where(known, part, 0.0)

    def distance(self, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Distance of places from the nearest seam [pixel]; infinite without one, or where a place is NaN."""
        nearest = np.full(np.shape(column), np.inf)
        for places, seams in ((column, self.columns), (row, self.rows)):
            for seam in seams:
                nearest = np.fmin(nearest, np.abs(places - seam))
        return nearest


def find_steps(points: Points) -> ResponseSteps:
    """Find the seams of a detector and the response of the parts between them.

    Parameters
    ----------
    points : Points
        Fluxes of bright stars in the frames of a series, and where they fell on the detector.

    Returns
    -------
    ResponseSteps
        Without a seam where none is beyond doubt, or where too few stars cross one for it to matter.
    """
    if points.own.sum() < _LEAST_POINTS:
        return ResponseSteps()
    seams: list[Seam] = []
    trials = []
    while True:
        fit = Elimination(points, robust_weights(points, _parts(points, seams)))
        best, gain = _strongest(fit, seams)
        trials.append((list(seams), _weakest(fit, seams), gain))
        if best is None or gain < _LEAST_GAIN or sum(axis == best[0] for axis, _ in seams) == _MOST:
            break
        # Nearly to the pixel; the last move is beside all seams that are believed.
        width = max(points.shape) / _CELLS
        for reach in (1.2 * width, 0.1 * width):
            best = _moved(fit, seams, best, reach)
        seams.append(best)
    for found, weakest, left in reversed(trials):
        if found and weakest > max(_LEAST_GAIN, _LEAST_RATIO * left):
            return _judged(points, found)
    return ResponseSteps()


def _judged(points: Points, seams: list[Seam]) -> ResponseSteps:
    """Steps at some seams; none where half of the stars does not foretell the other half, or where they are small."""
    fit = Elimination(points, robust_weights(points, _parts(points, seams)))
    for k, seam in enumerate(seams):
        others = [other for j, other in enumerate(seams) if j != k]
        seams[k] = _exact(fit, others, _moved(fit, others, seam, max(4.0, 0.004 * max(points.shape))))
    parts = _parts(points, seams)
    columns, rows = (tuple(sorted(place for axis, place in seams if axis == k)) for k in range(2))
    weight = robust_weights(points, parts)
    beside = ResponseSteps(columns, rows).distance(*points.place) < points.reach
    weight[np.flatnonzero(points.own)[beside]] *= _BESIDE
    if not held_out(points, weight, parts):
        return ResponseSteps()
    value, error = Elimination(points, weight).solve(parts)
    values, errors = (array.reshape(len(rows) + 1, len(columns) + 1) for array in (value, error))
    ny, nx = points.shape
    area = np.outer(*(np.diff([-0.5, *places, size - 0.5]) for places, size in ((rows, ny), (columns, nx))))
    values = values - (values * area).sum() / area.sum()
    steps = ResponseSteps(columns, rows, values, errors)
    return steps if steps.span > _LEAST_STEP else ResponseSteps()


def _parts(points: Points, seams: Sequence[Seam]) -> np.ndarray:
    """Number of the part that each of the camera's own points fell on, row by row of the grid of all seams."""
    part = np.zeros(points.place.shape[1], dtype=int)
    for axis in (1, 0):
        places = sorted(place for one, place in seams if one == axis)
        part = part * (len(places) + 1) + np.searchsorted(places, points.place[axis])
    return part


def _bands(points: Points, seams: Sequence[Seam], axis: int) -> np.ndarray:
    """Number of the band along a seam of an axis that each of the camera's own points fell on."""
    size = points.shape[axis]  # of the other axis: (ny, nx), and axis 0 is x
    known = [place for one, place in seams if one != axis]
    even = [size * k / _BANDS - 0.5 for k in range(1, _BANDS)]
    edges = sorted([*known, *(edge for edge in even if all(abs(edge - place) > size / 16 for place in known))])
    return np.searchsorted(edges, points.place[1 - axis])


def _gains(fit: Elimination, seams: Sequence[Seam], axis: int, edges: np.ndarray) -> np.ndarray:
    """Fall of chi-squared by a step at each of some places, beside the seams that there are, shape (len(edges),)."""
    points = fit.points
    band, cell = _bands(points, seams, axis), np.searchsorted(edges, points.place[axis])
    n_bands, n_cells = int(band.max()) + 1, len(edges) + 1
    # Each band has a response of its own between the seams of this axis: seams of the other one say nothing here.
    between = np.searchsorted(sorted(place for one, place in seams if one == axis), points.place[axis])
    normal, right = fit.beside(between * n_bands + band, band * n_cells + cell, n_bands * n_cells)
    # A step at an edge is the sum of all cells beyond it.
    normal = normal.reshape(n_bands, n_cells, n_bands, n_cells)
    for along in (1, 3):
        normal = np.flip(np.cumsum(np.flip(normal, along), along), along)
    right = np.flip(np.cumsum(np.flip(right.reshape(n_bands, n_cells), 1), 1), 1)
    return np.array([fit.gain(normal[:, k, :, k], right[:, k]) for k in range(1, n_cells)])


def _strongest(fit: Elimination, seams: Sequence[Seam]) -> tuple[Seam | None, float]:
    """The border of a grid that says most beside the seams that there are, and its gain."""
    best, most = None, 0.0
    for axis in range(2):
        there = [place for one, place in seams if one == axis]
        size = fit.points.shape[1 - axis]
        edges = size * np.arange(1, _CELLS) / _CELLS - 0.5
        gains = _gains(fit, seams, axis, edges)
        for place in there:
            gains[np.abs(edges - place) < 1.5 * size / _CELLS] = 0.0
        if gains.max() > most:
            best, most = (axis, float(edges[gains.argmax()])), float(gains.max())
    return best, most


def _moved(fit: Elimination, others: Sequence[Seam], seam: Seam, reach: float) -> Seam:
    """A seam at its best place within reach [pixel]."""
    axis, place = seam
    edges = place + reach * np.linspace(-1.0, 1.0, 33)
    gains = _gains(fit, others, axis, edges)
    # The middle of all places that are as good: no star tells them apart.
    good = np.flatnonzero(gains > gains.max() - 1e-3)
    return axis, float(edges[good[np.argmin(np.abs(good - good.mean()))]])


def _exact(fit: Elimination, others: Sequence[Seam], seam: Seam) -> Seam:
    """A seam at the half or a quarter of the detector, where it is near and the stars have little against it."""
    axis, place = seam
    size = fit.points.shape[1 - axis]
    for part in _EXACT:
        exact = size * part - 0.5
        if abs(exact - place) <= max(3.0, _EXACT_WITHIN * size):
            there, here = (_gains(fit, others, axis, np.array([at]))[0] for at in (exact, place))
            if here - there < max(9.0, _EXACT_LOSS * here):
                return axis, exact
    return seam


def _weakest(fit: Elimination, seams: Sequence[Seam]) -> float:
    """Gain of the seam that says least beside the others; 0 without one."""
    if not seams:
        return 0.0
    whole = fit.gain_of(_parts(fit.points, seams))
    rest = [fit.gain_of(_parts(fit.points, [s for s in seams if s != seam])) for seam in seams]
    return whole - max(rest)
