"""Where an image lies in a field, with its rotation, parity and scale, from the pattern of its bright stars alone.

A pair of stars of the image is laid on every pair of the catalogue that is as far apart, to within the error of the
scale; the pairs are found by their distance, which neither rotation, shift nor mirroring changes. Each placement is
judged by how many of the other bright stars then fall on one of the catalogue. So every triangle and larger asterism
that the lists share votes for its placement, and spurious or missing stars cost votes, not the match. The best
placements are refined with more stars and judged against chance.

Positions are in pixels of the nominal scale: of the image from its centre, of the catalogue on the tangent plane.
"""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.kernels.compile import kernel
from gaiaflux.core.plate.matching import match_mutual, poisson_log_tail

__all__ = ["AsterismSearch", "Placement", "find_placements"]

# Brightest stars of the image that are left out, and that are taken; the catalogue's brightest that are compared, per
# star of the image on the same area. Some catalogues lack bright stars.
SEARCH_DEPTHS = ((0, 25, 1.5), (0, 25, 4.0), (0, 60, 1.5), (30, 25, 2.0), (100, 25, 2.0))
MIN_CATALOG = 40
MAX_CATALOG = 500
MAX_PLACEMENTS_TRIED = 700_000
BASE_PAIRS = 150
MIN_LENGTH = 0.25  # of a base pair, in half diagonals of the image
TOLERANCE = 0.012  # of the placement of a star by a pair, in diagonals of the image: the distortion is in it
REFINE_STARS = 150
REFINE_ROUNDS = (1.0, 0.7, 0.45)
KEPT = 12
MAX_REFINED = 3
_VECTOR = "float64[::1]"
_INTS = "int64[::1]"


@dataclass(frozen=True)
class AsterismSearch:
    """What is searched.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx) of the image.
    max_shift : float
        Largest distance of the image's centre from the tangent point [pixel].
    scale_tolerance : float
        Largest relative error of the nominal scale.
    min_pairs : int
        Fewest stars that must agree.
    """

    shape: tuple[int, int]
    max_shift: float
    scale_tolerance: float
    min_pairs: int

    @property
    def half_diagonal(self) -> float:
        """Of the image [pixel]."""
        return 0.5 * float(np.hypot(*self.shape))

    @property
    def area(self) -> float:
        """Of the image [pixel^2]."""
        return float(self.shape[0] * self.shape[1])


@dataclass(frozen=True)
class Placement:
    """A linear map that lays the image on the catalogue.

    Attributes
    ----------
    matrix : ndarray, shape (2, 2)
        Catalogue = `matrix` @ image + `shift`.
    shift : ndarray, shape (2,)
        [pixel].
    n_pairs : int
        Stars that agree to within `tolerance_pix`.
    tolerance_pix : float
        [pixel].
    log_chance : float
        Natural logarithm of the chance that unrelated lists reach `n_pairs` anywhere in the search.
    """

    matrix: np.ndarray
    shift: np.ndarray
    n_pairs: int
    tolerance_pix: float
    log_chance: float


@kernel(f"void({_VECTOR}, {_VECTOR}, float64, float64, float64, float64, uint8[:, ::1])")
def _paint(x, y, x0, y0, size, radius, hit):  # noqa: ANN001, ANN202
    """Mark the cells of a map that lie within a radius of any point."""
    hit[:] = 0
    reach = int(radius / size) + 1
    limit = radius * radius
    for i in range(x.size):
        column = int((x[i] - x0) / size)
        row = int((y[i] - y0) / size)
        for r in range(max(row - reach, 0), min(row + reach + 1, hit.shape[0])):
            for c in range(max(column - reach, 0), min(column + reach + 1, hit.shape[1])):
                dx = x0 + (c + 0.5) * size - x[i]
                dy = y0 + (r + 0.5) * size - y[i]
                if dx * dx + dy * dy <= limit:
                    hit[r, c] = 1


@kernel(
    f"void({_VECTOR}, {_VECTOR}, int64[:, ::1], {_VECTOR}, {_VECTOR}, {_INTS}, {_INTS}, {_VECTOR}, uint8[:, ::1],"
    f" {_VECTOR}, float64[:, ::1], {_INTS})"
)
def _place(x, y, bases, xc, yc, first, second, length, hit, limits, best, tried):  # noqa: ANN001, ANN202
    """Lay base pairs of the image on all pairs of the catalogue of that length, both ways round and mirrored.

    `length` is sorted. `limits`: lower corner and size of the cells of `hit`, then what is called so below. Rows of
    `best`: hits, the matrix's first column (the second is known from the parity), shift, parity; rows differ by more
    than `apart` pixels at the centre or by half of that at `extent`.
    """
    x0, y0, size = limits[0], limits[1], limits[2]
    stretch, max_shift, extent, apart = limits[3], limits[4], limits[5], limits[6]
    best[:] = 0.0
    tried[0] = 0
    cells_y, cells_x = hit.shape
    worst = 0
    for b in range(bases.shape[0]):
        if tried[0] > MAX_PLACEMENTS_TRIED:
            break
        p = bases[b, 0]
        q = bases[b, 1]
        ux = x[q] - x[p]
        uy = y[q] - y[p]
        square = ux * ux + uy * uy
        start = np.searchsorted(length, np.sqrt(square) / stretch)
        stop = np.searchsorted(length, np.sqrt(square) * stretch)
        for k in range(start, stop):
            for turn in range(4):
                i = first[k] if turn % 2 == 0 else second[k]
                j = second[k] if turn % 2 == 0 else first[k]
                parity = 1.0 if turn < 2 else -1.0
                # Complex division of the two lengths: catalogue = m * image, or m * conjugate of the image.
                vx = xc[j] - xc[i]
                vy = yc[j] - yc[i]
                wy = parity * uy
                mx = (vx * ux + vy * wy) / square
                my = (vy * ux - vx * wy) / square
                py = parity * y[p]
                tx = xc[i] - (mx * x[p] - my * py)
                ty = yc[i] - (my * x[p] + mx * py)
                if tx * tx + ty * ty > max_shift * max_shift:
                    continue
                tried[0] += 1
                count = 0
                for s in range(x.size):
                    sy = parity * y[s]
                    column = int((mx * x[s] - my * sy + tx - x0) / size)
                    row = int((my * x[s] + mx * sy + ty - y0) / size)
                    if 0 <= column < cells_x and 0 <= row < cells_y:
                        count += hit[row, column]
                    # The base itself always hits: nothing else among many is no placement.
                    if (s == 9 and count < 3) or (s == 15 and count < 4):
                        break
                if count <= best[worst, 0]:
                    continue
                place = worst
                for other in range(best.shape[0]):
                    if best[other, 0] > 0.0 and best[other, 5] == parity:
                        off = np.hypot(best[other, 3] - tx, best[other, 4] - ty)
                        off = max(off, 2.0 * extent * np.hypot(best[other, 1] - mx, best[other, 2] - my))
                        if off < apart:
                            place = other if count > best[other, 0] else -1
                            break
                if place < 0:
                    continue
                best[place, 0] = count
                best[place, 1] = mx
                best[place, 2] = my
                best[place, 3] = tx
                best[place, 4] = ty
                best[place, 5] = parity
                worst = 0
                for other in range(best.shape[0]):
                    if best[other, 0] < best[worst, 0]:
                        worst = other


def find_placements(
    x: np.ndarray, y: np.ndarray, catalog_x: np.ndarray, catalog_y: np.ndarray, search: AsterismSearch
) -> list[Placement]:
    """Search for the image in the catalogue.

    Parameters
    ----------
    x, y : ndarray, shape (n_stars,)
        Stars of the image from its centre, brightest first [pixel].
    catalog_x, catalog_y : ndarray, shape (n_catalog,)
        Catalogue from the tangent point, brightest first [pixel of the nominal scale]; all that the image may show
        wherever it lies.
    search : AsterismSearch
        Limits.

    Returns
    -------
    list of Placement
        The few best ones that are hardly chance, the best one first; often empty. Deterministic.
    """
    found: list[Placement] = []
    if len(x) < 3 or len(catalog_x) < 3:
        return found
    n_tried = 0
    share = _share_of_image(catalog_x, catalog_y, search)
    done = set()
    for skipped, wanted, over in SEARCH_DEPTHS:
        n_stars = min(wanted, len(x) - skipped)
        if n_stars < (3 if skipped == 0 else wanted):
            continue
        taken = slice(skipped, skipped + n_stars)
        n_catalog = int(np.clip(over * n_stars / share, MIN_CATALOG, min(MAX_CATALOG, len(catalog_x))))
        if (skipped, n_stars, n_catalog) in done:
            continue
        done.add((skipped, n_stars, n_catalog))
        placements, tried = _search(
            _floats(x[taken]), _floats(y[taken]), _floats(catalog_x[:n_catalog]), _floats(catalog_y[:n_catalog]),
            search,
        )  # fmt: skip
        n_tried += tried
        for placement in placements:
            refined = _refined(placement, x, y, catalog_x, catalog_y, share, search)
            if refined is not None:
                found.append(replace(refined, log_chance=refined.log_chance + float(np.log(max(n_tried, 1)))))
        found = sorted((one for one in found if one.log_chance < 0.0), key=lambda one: one.log_chance)[:MAX_REFINED]
        if found and found[0].log_chance < np.log(1e-6):
            break
    return found


def _share_of_image(catalog_x: np.ndarray, catalog_y: np.ndarray, search: AsterismSearch) -> float:
    """Area of the image over that of the catalogue, which is taken to fill an ellipse."""
    width, height = (float(np.ptp(values)) for values in (catalog_x, catalog_y))
    return min(search.area / max(0.25 * np.pi * width * height, 1.0), 1.0)


def _search(
    x: np.ndarray, y: np.ndarray, catalog_x: np.ndarray, catalog_y: np.ndarray, search: AsterismSearch
) -> tuple[list[Placement], int]:
    """Placements with most hits, and how many were tried."""
    tolerance = TOLERANCE * 2.0 * search.half_diagonal
    bases = _base_pairs(x, y, MIN_LENGTH * search.half_diagonal)
    first, second = np.triu_indices(len(catalog_x), 1)
    length = np.hypot(catalog_x[second] - catalog_x[first], catalog_y[second] - catalog_y[first])
    order = np.argsort(length, kind="stable")
    size = tolerance / 4.0
    low_x, low_y = float(catalog_x.min()) - 2 * tolerance, float(catalog_y.min()) - 2 * tolerance
    cells = [
        int((float(v.max()) - low + 2 * tolerance) / size) + 1 for v, low in ((catalog_y, low_y), (catalog_x, low_x))
    ]
    hit = np.empty(cells, np.uint8)
    _paint(catalog_x, catalog_y, low_x, low_y, size, tolerance, hit)
    best, tried = np.empty((KEPT, 6)), np.zeros(1, np.int64)
    limits = (low_x, low_y, size, 1.0 + search.scale_tolerance, search.max_shift, search.half_diagonal, 3.0 * tolerance)
    pairs = first[order], second[order], length[order]
    _place(x, y, bases, catalog_x, catalog_y, *pairs, hit, np.array(limits), best, tried)
    placements = []
    for hits, mx, my, tx, ty, parity in best[np.argsort(-best[:, 0], kind="stable")]:
        if hits >= 3:
            matrix = np.array([[mx, -my * parity], [my, mx * parity]])
            placements.append(Placement(matrix, np.array([tx, ty]), int(hits), tolerance, 0.0))
    return placements, int(tried[0])


def _base_pairs(x: np.ndarray, y: np.ndarray, shortest: float) -> np.ndarray:
    """Rows of pairs of stars that are far apart, of bright ones first; each star serves in turn."""
    first, second = np.triu_indices(len(x), 1)
    long = np.hypot(x[second] - x[first], y[second] - y[first]) > shortest
    first, second = first[long], second[long]
    order = np.argsort(first + second, kind="stable")[:BASE_PAIRS]
    return np.ascontiguousarray(np.stack([first[order], second[order]], axis=1))


def _refined(
    placement: Placement,
    x: np.ndarray,
    y: np.ndarray,
    catalog_x: np.ndarray,
    catalog_y: np.ndarray,
    share: float,
    search: AsterismSearch,
) -> Placement | None:
    """Fit the linear map to all bright stars, and tell how likely so many agree by chance; None if hopeless."""
    stars = np.stack([x[:REFINE_STARS], y[:REFINE_STARS]])
    depth = int(np.clip(1.5 * stars.shape[1] / share, MIN_CATALOG, len(catalog_x)))
    catalog = np.stack([catalog_x[:depth], catalog_y[:depth]])
    matrix, shift = placement.matrix, placement.shift
    for factor in REFINE_ROUNDS:
        tolerance = factor * placement.tolerance_pix
        moved = matrix @ stars + shift[:, None]
        rows, partners = match_mutual(moved[0], moved[1], catalog[0], catalog[1], tolerance)
        if len(rows) < max(search.min_pairs, 3):
            return None
        matrix, shift = _linear_fit(stars[:, rows], catalog[:, partners])
        stretch = np.linalg.svd(matrix, compute_uv=False)
        if stretch[0] / stretch[1] > 1.08 or abs(np.sqrt(stretch[0] * stretch[1]) - 1.0) > search.scale_tolerance:
            return None
        if np.hypot(*shift) > search.max_shift:
            return None
    moved = matrix @ stars + shift[:, None]
    rows, _ = match_mutual(moved[0], moved[1], catalog[0], catalog[1], tolerance)
    on_image = np.abs(np.linalg.solve(matrix, catalog - shift[:, None]))
    ny, nx = search.shape
    n_inside = int(np.sum((on_image[0] < nx / 2) & (on_image[1] < ny / 2)))
    expected = n_inside * (1.0 - np.exp(-stars.shape[1] * np.pi * tolerance**2 / search.area))
    # Two pairs are what it costs to place any list on any other; their choice is counted by the trials.
    return Placement(matrix, shift, len(rows), tolerance, poisson_log_tail(len(rows) - 2, expected))


def _linear_fit(stars: np.ndarray, catalog: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares map of the image to the catalogue: of six parameters, of four where there are few stars."""
    centre, goal = stars.mean(axis=1), catalog.mean(axis=1)
    offset, wanted = stars - centre[:, None], catalog - goal[:, None]
    if stars.shape[1] >= 8:
        square = offset @ offset.T
        if np.linalg.cond(square) < 1e6:
            matrix = wanted @ offset.T @ np.linalg.inv(square)
            return matrix, goal - matrix @ centre
    # Rotation, or rotation after mirroring, whichever fits better: both are sums of products (Umeyama 1991).
    left, size, right = np.linalg.svd(wanted @ offset.T)
    scale = float(size.sum() / max(np.sum(offset**2), 1e-12))
    matrix = scale * left @ right
    return matrix, goal - matrix @ centre


def _floats(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float64)
