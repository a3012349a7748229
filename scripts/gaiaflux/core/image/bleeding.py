"""Full pixels of an image, and the columns along which their charge ran.

What a full pixel cannot hold runs along its column, up and down, into the next pixels with room. The charge is kept:
the sum over the column is the light that fell on it, the single pixels say nothing of a star's place or shape.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Bleeding", "find_bleeding", "full_wells", "grown", "needs_rows"]

MARGIN_PIX = 1
ABOVE_STAR = 3.0  # times the light beside a run of full pixels: more than a star gives along its column
FAINTEST = 0.003  # of the level of full pixels: less charge than this is left to the margin
LEAST_ROWS = 5  # by which a stamp is enlarged


@dataclass(frozen=True)
class Bleeding:
    """Where an image is full; made by `find_bleeding`.

    Attributes
    ----------
    full : ndarray of bool, shape (ny, nx)
        Pixels above the level.
    group : ndarray of int32, shape (ny, nx)
        Number, from 1, of the group of full pixels that touch each other, in them and in the pixels that their charge
        ran into; 0 elsewhere.
    level : float
        Of full pixels, in the unit of the image.
    """

    full: np.ndarray
    group: np.ndarray
    level: float

    @property
    def any(self) -> bool:
        """Whether a pixel is full."""
        return bool(self.full.any())

    @property
    def bled(self) -> np.ndarray:
        """Full pixels and those that charge ran into, shape (ny, nx)."""
        return self.group > 0

    @property
    def mask(self) -> np.ndarray:
        """`bled` with a pixel at both ends of each column: what a fit must not use, shape (ny, nx)."""
        return self.with_ends(MARGIN_PIX)

    def with_ends(self, margin: int) -> np.ndarray:
        """`bled` with some pixels at both ends of each column, shape (ny, nx)."""
        grown = self.bled
        for step in range(1, margin + 1):
            grown[step:] |= self.group[:-step] > 0
            grown[:-step] |= self.group[step:] > 0
        return grown

    def of(self, groups: np.ndarray) -> "Bleeding":
        """Some of the groups alone, by their numbers."""
        kept = np.isin(self.group, groups) & self.bled
        return Bleeding(self.full & kept, np.where(kept, self.group, 0).astype(np.int32), self.level)

    def near(self, x: float, y: float, radius: float, *, full: bool = False) -> np.ndarray:
        """Numbers of the groups with a pixel (`full`: a full one) within a radius of a place [pixel]."""
        where = self.full if full else self.bled
        row, column = np.nonzero(where)
        close = np.hypot(column - x, row - y) <= radius
        return np.unique(self.group[row[close], column[close]])


def find_bleeding(image: np.ndarray, level: float) -> Bleeding:
    """Find the full pixels of an image and where their charge ran.

    From the outermost full pixels of a column the charge is followed until the light is what the star gives there, for
    which the nearest columns without full pixels stand, or rises again, at another star.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        One frame or a mean of frames, without the background; NaN where there is nothing.
    level : float
        A pixel above this is full, in the unit of the image.

    Returns
    -------
    Bleeding
    """
    with np.errstate(invalid="ignore"):
        full = image > level
    group = np.zeros(image.shape, np.int32)
    if not full.any():
        return Bleeding(full, group, level)
    for number, (rows, columns) in enumerate(_groups(full), 1):
        first, last = columns.min(), columns.max()
        sides = [image[:, c] for c in (first - 1, last + 1) if 0 <= c < image.shape[1]]
        beside = np.fmin.reduce(sides) if sides else np.zeros(len(image))
        limit = ABOVE_STAR * np.maximum(np.nan_to_num(beside), 0.0) + FAINTEST * level
        for column in np.unique(columns):
            own = rows[columns == column]
            low, high = own.min(), own.max()
            low -= _run(image[:low, column][::-1], limit[:low][::-1], level)
            high += _run(image[high + 1 :, column], limit[high + 1 :], level)
            group[low : high + 1, column] = number
    return Bleeding(full, group, level)


def full_wells(image: np.ndarray, level: float) -> np.ndarray:
    """Full pixels, those that their charge ran into, and all their neighbours.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        NaN is no light.
    level : float
        A pixel above this is full, in the unit of the image.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
    """
    return grown(find_bleeding(image, level).bled)


def grown(mask: np.ndarray) -> np.ndarray:
    """A mask with all pixels that touch it, at a corner too.

    Parameters
    ----------
    mask : ndarray of bool, shape (ny, nx)

    Returns
    -------
    ndarray of bool, shape (ny, nx)
    """
    ny, nx = mask.shape
    around = np.pad(mask, 1)
    return np.logical_or.reduce([around[j : j + ny, i : i + nx] for j in range(3) for i in range(3)])


def needs_rows(bleeding: Bleeding, missing: float = 0.0) -> tuple[int, int]:
    """Rows by which an image has to grow for columns that run over its edge.

    Parameters
    ----------
    bleeding : Bleeding
        Of the image; `Bleeding.of` leaves it the groups that matter.
    missing : float
        Light of their stars that is not on the image, as far as it is known, in the unit of the level.

    Returns
    -------
    down, up : int
        0 where no column runs over the edge. What is missing is taken for spread evenly over the columns that do, so
        that the longest may need a second turn.
    """
    cut = bleeding.bled[0].sum(), bleeding.bled[-1].sum()
    each = max(missing, 0.0) / (bleeding.level * max(sum(cut), 1))
    rows = max(LEAST_ROWS, int(np.ceil(each)) + MARGIN_PIX)
    return (rows if cut[0] else 0), (rows if cut[1] else 0)


def _run(light: np.ndarray, limit: np.ndarray, level: float) -> int:
    """Pixels, from the first one on, that hold charge of a full one before them."""
    before = np.concatenate([[level], light[:-1]])
    with np.errstate(invalid="ignore"):
        charged = (light > limit) & (light <= np.maximum(before, level))
        rises = (light > before) & (before < level)
    ends = ~charged | rises
    return int(np.argmax(ends)) if ends.any() else len(light)


def _groups(full: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows and columns of each group of full pixels that touch each other, also by a corner."""
    left = set(zip(*(axis.tolist() for axis in np.nonzero(full)), strict=True))
    found = []
    while left:
        edge = [left.pop()]
        members = list(edge)
        while edge:
            row, column = edge.pop()
            around = {(row + j, column + i) for j in (-1, 0, 1) for i in (-1, 0, 1)} & left
            left -= around
            edge += around
            members += around
        rows, columns = np.array(sorted(members)).T
        found.append((rows, columns))
    return sorted(found, key=lambda group: (int(group[0][0]), int(group[1][0])))
