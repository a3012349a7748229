"""Which points of two lists on the image plane belong together; positions are in pixels, NaN never matches."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.kernels.compile import kernel

__all__ = ["Offset", "OffsetSearch", "match_mutual", "neighbour_pull", "poisson_log_tail", "vote_offset"]

_VECTOR = "float64[::1]"
_INTS = "int64[::1]"


@dataclass(frozen=True)
class Offset:
    """Rotation and shift that bring the points of one list to those of another.

    Attributes
    ----------
    angle_rad : float
        Turn about the origin, positive from x to y, before the shift.
    dx, dy : float
        Shift [pixel].
    n_pairs : int
        Pairs that agree on it to within `tolerance_pix`.
    n_chance : float
        How many would by chance.
    tolerance_pix : float
        Half of the side of the box that was counted [pixel].
    log_chance : float
        Natural logarithm of the chance that unrelated lists reach `n_pairs` anywhere in the search.
    """

    angle_rad: float
    dx: float
    dy: float
    n_pairs: int
    n_chance: float
    tolerance_pix: float
    log_chance: float


@kernel(f"void({_VECTOR}, {_VECTOR}, float64, float64, float64, int64, int64, {_INTS}, {_INTS})")
def _fill_cells(x, y, x0, y0, size, nx, ny, start, members):  # noqa: ANN001, ANN202
    """Sort points into cells: members[start[c]:start[c + 1]] are the points of cell c."""
    start[:] = 0
    for i in range(x.size):
        column = int((x[i] - x0) / size)
        row = int((y[i] - y0) / size)
        start[row * nx + column + 1] += 1
    for c in range(nx * ny):
        start[c + 1] += start[c]
    for i in range(x.size - 1, -1, -1):
        c = int((y[i] - y0) / size) * nx + int((x[i] - x0) / size)
        # start[c + 1] is the end of the cell and shrinks to its beginning.
        start[c + 1] -= 1
        members[start[c + 1]] = i
    for c in range(nx * ny):
        start[c] = start[c + 1]
    start[nx * ny] = x.size


@kernel(
    f"void({_VECTOR}, {_VECTOR}, {_VECTOR}, {_VECTOR}, float64, float64, float64, float64, int64, int64, {_INTS},"
    f" {_INTS}, {_INTS}, {_VECTOR}, {_INTS}, {_VECTOR})"
)
def _nearest(xa, ya, xb, yb, radius, x0, y0, size, nx, ny, start, members, best_a, near_a, best_b, near_b):  # noqa: ANN001, ANN202
    """Nearest partner of each point, both ways; the cells, of a side of `radius` or more, hold the points of b."""
    limit = radius * radius
    near_a[:] = limit
    near_b[:] = limit
    best_a[:] = -1
    best_b[:] = -1
    for i in range(xa.size):
        column = int(np.floor((xa[i] - x0) / size))
        row = int(np.floor((ya[i] - y0) / size))
        for r in range(max(row - 1, 0), min(row + 2, ny)):
            for c in range(max(column - 1, 0), min(column + 2, nx)):
                for k in range(start[r * nx + c], start[r * nx + c + 1]):
                    j = members[k]
                    distance = (xa[i] - xb[j]) ** 2 + (ya[i] - yb[j]) ** 2
                    if distance < near_a[i]:
                        near_a[i] = distance
                        best_a[i] = j
                    if distance < near_b[j]:
                        near_b[j] = distance
                        best_b[j] = i


@kernel(f"void({_VECTOR}, {_VECTOR}, {_VECTOR}, {_VECTOR}, float64, float64, float64, int64, int32[:, ::1])")
def _vote(xa, ya, xb, yb, cos, sin, size, half, counts):  # noqa: ANN001, ANN202
    counts[:] = 0
    for i in range(xa.size):
        x = cos * xa[i] - sin * ya[i]
        y = sin * xa[i] + cos * ya[i]
        for j in range(xb.size):
            column = int(np.floor((xb[j] - x) / size + 0.5)) + half
            row = int(np.floor((yb[j] - y) / size + 0.5)) + half
            if 0 <= column <= 2 * half and 0 <= row <= 2 * half:
                counts[row, column] += 1


@kernel(
    f"void({_VECTOR}, {_VECTOR}, {_VECTOR}, {_INTS}, {_VECTOR}, {_VECTOR}, {_VECTOR}, float64, float64, float64,"
    f" float64, float64, int64, int64, {_INTS}, {_INTS}, {_VECTOR})"
)
def _pull(x, y, flux, own, xb, yb, fb, radius, sigma, x0, y0, size, nx, ny, start, members, pull):  # noqa: ANN001, ANN202
    for i in range(x.size):
        sum_x = 0.0
        sum_y = 0.0
        column = int(np.floor((x[i] - x0) / size))
        row = int(np.floor((y[i] - y0) / size))
        for r in range(max(row - 1, 0), min(row + 2, ny)):
            for c in range(max(column - 1, 0), min(column + 2, nx)):
                for k in range(start[r * nx + c], start[r * nx + c + 1]):
                    j = members[k]
                    dx = xb[j] - x[i]
                    dy = yb[j] - y[i]
                    distance = dx * dx + dy * dy
                    if j == own[i] or distance > radius * radius:
                        continue
                    inside = fb[j] * np.exp(-distance / (4.0 * sigma * sigma))
                    share = inside / (flux[i] + inside)
                    sum_x += share * dx
                    sum_y += share * dy
        pull[i] = np.hypot(sum_x, sum_y)


@dataclass(frozen=True)
class OffsetSearch:
    """Where an offset is sought.

    Attributes
    ----------
    radius_pix : float
        Largest shift [pixel].
    max_angle_rad : float
        Largest rotation either way.
    extent_pix : float
        Half of the image's diagonal [pixel]: how finely rotations must be tried.
    tolerance_pix : float
        How far pairs of the right solution may disagree, such as by distortion [pixel].
    """

    radius_pix: float
    max_angle_rad: float
    extent_pix: float
    tolerance_pix: float


@dataclass(frozen=True)
class _Cells:
    x0: float
    y0: float
    size: float
    nx: int
    ny: int
    start: np.ndarray
    members: np.ndarray


def _cells(x: np.ndarray, y: np.ndarray, radius: float) -> _Cells:
    x0, y0 = float(x.min()), float(y.min())
    width, height = float(x.max()) - x0, float(y.max()) - y0
    # Two points a cell on average at least, so that sparse lists do not make millions of cells.
    size = max(radius, float(np.sqrt(max(width * height, 1.0) * 2.0 / len(x))), max(width, height) / 4000.0, 1e-6)
    nx, ny = int(width / size) + 1, int(height / size) + 1
    start, members = np.empty(nx * ny + 1, np.int64), np.empty(len(x), np.int64)
    _fill_cells(x, y, x0, y0, size, nx, ny, start, members)
    return _Cells(x0, y0, size, nx, ny, start, members)


def match_mutual(
    xa: np.ndarray, ya: np.ndarray, xb: np.ndarray, yb: np.ndarray, radius_pix: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of points that are each other's nearest.

    Parameters
    ----------
    xa, ya : ndarray, shape (n_a,)
        First list [pixel].
    xb, yb : ndarray, shape (n_b,)
        Second list [pixel].
    radius_pix : float
        Largest distance [pixel].

    Returns
    -------
    rows_a, rows_b : ndarray of int64, shape (n_pairs,)
        Sorted by `rows_a`; no row twice.
    """
    finite_a, finite_b = np.flatnonzero(np.isfinite(xa + ya)), np.flatnonzero(np.isfinite(xb + yb))
    if len(finite_a) == 0 or len(finite_b) == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    xa, ya, xb, yb = _floats(xa[finite_a]), _floats(ya[finite_a]), _floats(xb[finite_b]), _floats(yb[finite_b])
    cells = _cells(xb, yb, radius_pix)
    best_a, near_a = np.empty(len(xa), np.int64), np.empty(len(xa))
    best_b, near_b = np.empty(len(xb), np.int64), np.empty(len(xb))
    _nearest(
        xa, ya, xb, yb, float(radius_pix), cells.x0, cells.y0, cells.size, cells.nx, cells.ny, cells.start,
        cells.members, best_a, near_a, best_b, near_b,
    )  # fmt: skip
    rows = np.flatnonzero(best_a >= 0)
    rows = rows[best_b[best_a[rows]] == rows]
    return finite_a[rows], finite_b[best_a[rows]]


def vote_offset(
    xa: np.ndarray,
    ya: np.ndarray,
    xb: np.ndarray,
    yb: np.ndarray,
    search: OffsetSearch,
) -> Offset:
    """Most popular shift and rotation between two lists, by counting all pairs.

    Parameters
    ----------
    xa, ya : ndarray, shape (n_a,)
        Points to be moved, from the centre of the rotation [pixel]; a few hundred at most, since all pairs are counted.
    xb, yb : ndarray, shape (n_b,)
        Where they should arrive, from the same origin [pixel].
    search : OffsetSearch
        Limits.

    Returns
    -------
    Offset
        The best one, however poor; see `Offset.log_chance`.
    """
    size, widest = 2.0 * search.tolerance_pix / 3.0, search.max_angle_rad
    half = int(np.ceil(search.radius_pix / size)) + 1
    n_side = int(np.ceil(widest * search.extent_pix / (1.5 * size)))
    angles = np.linspace(-widest, widest, 2 * n_side + 1) if n_side else np.zeros(1)
    counts = np.empty((2 * half + 1, 2 * half + 1), np.int32)
    moved, goal = (_floats(xa), _floats(ya)), (_floats(xb), _floats(yb))
    n_pairs, n_chance, angle, row, column = -1, 0.0, 0.0, 0, 0
    # One rotation at a time: a wide search would not fit into memory otherwise.
    for turn in angles:
        _vote(*moved, *goal, float(np.cos(turn)), float(np.sin(turn)), size, half, counts)
        boxes = counts[:-2] + counts[1:-1] + counts[2:]
        boxes = boxes[:, :-2] + boxes[:, 1:-1] + boxes[:, 2:]
        peak = int(boxes.argmax())
        if boxes.flat[peak] > n_pairs:
            n_pairs, angle = int(boxes.flat[peak]), float(turn)
            row, column = divmod(peak, boxes.shape[1])
            n_chance = _background(counts, row, column)
    dx, dy = (column + 1 - half) * size, (row + 1 - half) * size
    cos, sin = np.cos(angle), np.sin(angle)
    miss_x = xb[None, :] - (cos * xa - sin * ya)[:, None] - dx
    miss_y = yb[None, :] - (sin * xa + cos * ya)[:, None] - dy
    near = (np.abs(miss_x) <= 1.5 * size) & (np.abs(miss_y) <= 1.5 * size)
    if near.any():
        dx, dy = dx + float(np.median(miss_x[near])), dy + float(np.median(miss_y[near]))
    log_chance = poisson_log_tail(n_pairs, n_chance) + float(np.log(counts.size * len(angles)))
    return Offset(angle, dx, dy, n_pairs, n_chance, search.tolerance_pix, min(log_chance, 0.0))


def _background(counts: np.ndarray, row: int, column: int) -> float:
    """Chance pairs in a box of 3 x 3 cells whose lower corner is given.

    In a cluster more pairs agree around the right place than elsewhere, so the surroundings count, too.
    """
    around = counts[max(row - 4, 0) : row + 7, max(column - 4, 0) : column + 7]
    core = counts[max(row - 1, 0) : row + 4, max(column - 1, 0) : column + 4]
    everywhere = float(counts.sum() - core.sum()) / max(counts.size - core.size, 1)
    return 9.0 * max(everywhere, float(around.sum() - core.sum()) / max(around.size - core.size, 1))


def poisson_log_tail(n: int, mean: float) -> float:
    """Upper bound (Chernoff) of the natural logarithm of the chance of `n` or more where `mean` are expected."""
    if n <= mean or n == 0:
        return 0.0
    mean = max(mean, 1e-12)
    return float(n - mean - n * np.log(n / mean))


def neighbour_pull(stars: np.ndarray, own: np.ndarray, everyone: np.ndarray, fwhm_pix: float) -> np.ndarray:
    """How far neighbours can pull the centroid of a star towards them.

    A centroid in a Gaussian window as wide as the star sees a neighbour at distance d weakened by
    exp(-d^2 / (4 sigma^2)), and moves by the share of the light that the neighbour then has.

    Parameters
    ----------
    stars : ndarray, shape (3, n)
        x, y [pixel] and flux of the stars.
    own : ndarray of int64, shape (n,)
        Row of the star itself in the list of all.
    everyone : ndarray, shape (3, n_all)
        The same of every star known, in the same unit of flux.
    fwhm_pix : float
        Width of the stars [pixel].

    Returns
    -------
    ndarray of float64, shape (n,)
        [pixel].
    """
    radius = 2.5 * fwhm_pix
    # Wings of real stars reach farther than a Gaussian's.
    sigma = 0.5 * fwhm_pix
    pull = np.empty(len(own))
    if len(own) == 0:
        return pull
    x, y, flux = _floats(stars)
    all_x, all_y, all_flux = _floats(everyone)
    cells = _cells(all_x, all_y, radius)
    _pull(
        x, y, flux, np.ascontiguousarray(own, np.int64), all_x, all_y, all_flux,
        radius, sigma, cells.x0, cells.y0, cells.size, cells.nx, cells.ny, cells.start, cells.members, pull,
    )  # fmt: skip
    return pull


def _floats(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float64)
