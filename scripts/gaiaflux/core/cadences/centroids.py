"""Where stars are in a frame: their response function fitted to small stamps, one kernel for all stars.

A star's light, its place, its width and a sky with slopes are fitted to each stamp (Gauss-Newton, the function is taken
anew at every place). Slopes of the sky cost a few per cent of the places' precision, and scattered light that is not
even does not move the stars then. The width is fitted because a function that is a little too narrow or too wide would
draw stars towards the middle of their pixels, and because a frame that moved has wide stars.
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.cadences.centroid_kernels import fit_centroids, vote_shifts
from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.core.psf.stamp_light import StarTables, stamp_light, star_tables

__all__ = ["CentroidOptions", "Centroids", "MotionStars", "PixelNoise", "measure_centroids", "motion_stars"]


@dataclass(frozen=True)
class CentroidOptions:
    """How stars are fitted.

    Attributes
    ----------
    half : int
        Stamps have 2 `half` + 1 pixels along an axis.
    slopes : bool
        Whether the sky under a star may have slopes.
    search : int
        Whole pixels, along an axis, in which the shift that all stars share is looked for; 0: it is known.
    farthest : float
        A star farther from its expected place is not found [pixel].
    longest_step : float
        In one iteration [pixel].
    settled : float
        A step below this ends the fit; the error of the place is its square [pixel].
    clip : float
        A pixel this many times farther off than usual in the stamp is left out.
    most_clipped : int
        Pixels of a stamp.
    misfit, anywhere : float
        Part of the pixel's own light, and of all of the star's, that a model may be wrong by where outliers are judged.
    least_explained : float
        Part of what the pixels of a stamp differ by that must be the star's.
    iterations : int
        At most.
    """

    half: int = 3
    slopes: bool = True
    search: int = 2
    farthest: float = 2.0
    longest_step: float = 0.4
    settled: float = 3e-3
    clip: float = 7.0
    most_clipped: int = 2
    misfit: float = 0.02
    anywhere: float = 0.0005
    least_explained: float = 0.5
    iterations: int = 15


@dataclass(frozen=True)
class PixelNoise:
    """Variance of a pixel: `per_light` times its light, plus `constant`; or a plane of variances.

    If the sky has been taken off the image, its noise belongs to `constant`.

    Attributes
    ----------
    per_light : float
        [electron/s].
    constant : float
        [electron^2/s^2].
    plane : ndarray of float32, shape (ny, nx), optional
        Counts instead where it is given [electron^2/s^2]; a pixel without positive, finite variance does not count.
    """

    per_light: float
    constant: float
    plane: np.ndarray | None = None


@dataclass(frozen=True)
class MotionStars:
    """Stars whose places are measured, made by `motion_stars`.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Expected places [pixel of the frame].
    tables : StarTables
        Their response functions.
    neighbours : ndarray of float64, shape (n, 3, size, size) or (0, 3, size, size)
        Expected light of other stars on each stamp around the expected place, and how it changes with x and y
        [electron/s, electron/s/pixel].
    widening : ndarray of float64, shape (n,)
        Variance, the mean of both axes, that makes a star's image wider by as much as a factor e of its scale would, if
        small changes are carried on [pixel^2].
    """

    x: np.ndarray
    y: np.ndarray
    tables: StarTables
    neighbours: np.ndarray
    widening: np.ndarray

    def __len__(self) -> int:
        """Number of stars."""
        return len(self.x)


@dataclass(frozen=True)
class Centroids:
    """Measured stars of one frame; all arrays of shape (n,), NaN where a star was not found.

    Attributes
    ----------
    x, y : ndarray of float64
        [pixel].
    x_err, y_err : ndarray of float64
        One-sigma errors from the pixels' noise alone [pixel].
    flux : ndarray of float64
        Total light [electron/s].
    spread, spread_err : ndarray of float64
        How much more variance, the mean of both axes, the star's image has than the response function [pixel^2].
    chi2 : ndarray of float64
    n_used : ndarray of int64
        Pixels that count; 0 where a star was not found.
    shift : ndarray of float64, shape (2,)
        Rough shift that all stars share, where the fits began [pixel].
    """

    x: np.ndarray
    y: np.ndarray
    x_err: np.ndarray
    y_err: np.ndarray
    flux: np.ndarray
    spread: np.ndarray
    spread_err: np.ndarray
    chi2: np.ndarray
    n_used: np.ndarray
    shift: np.ndarray


def motion_stars(
    psf: SampledPsf,
    stars: np.ndarray,
    rows: np.ndarray,
    corner: tuple[float, float],
    options: CentroidOptions,
    *,
    subtract: bool = True,
) -> MotionStars:
    """Get chosen stars of a catalogue ready to be measured in many frames.

    Parameters
    ----------
    psf : SampledPsf
        In coordinates of the CCD.
    stars : ndarray of float64, shape (3, n_catalogue)
        x and y in the frame [pixel] and expected light [electron/s] of all stars; those that are not finite, or have no
        light, are passed over as neighbours.
    rows : ndarray of int, shape (n,)
        Those that are measured.
    corner : tuple of float
        Column and row of the frame's first pixel, in coordinates of the CCD.
    options : CentroidOptions
        Of the measurements that follow.
    subtract : bool
        Whether expected light of neighbours is to be taken off.

    Returns
    -------
    MotionStars

    Raises
    ------
    ValueError
        A chosen star's place is not finite.
    """
    x, y = (np.ascontiguousarray(stars[axis, rows], np.float64) for axis in (0, 1))
    tables = star_tables(psf, x + corner[0], y + corner[1])
    size = 2 * options.half + 1
    light = np.zeros((len(x) if subtract else 0, 3, size, size))
    if subtract:
        _add_neighbours(light, tables, stars, rows)
    return MotionStars(x, y, tables, light, _widening(tables, x, y, size))


def _add_neighbours(light: np.ndarray, tables: StarTables, stars: np.ndarray, rows: np.ndarray) -> None:
    """Light of all other stars on the stamp of each, with the response function that it has itself."""
    size = light.shape[2]
    present = np.flatnonzero(np.isfinite(stars).all(axis=0) & (stars[2] > 0.0))
    order = present[np.argsort(stars[1, present], kind="stable")]
    reach = 0.5 * size + 0.5 + tables.edge
    first = np.searchsorted(stars[1, order], stars[1, rows] - reach)
    last = np.searchsorted(stars[1, order], stars[1, rows] + reach)
    for k, row in enumerate(rows):
        near = order[first[k] : last[k]]
        near = near[(np.abs(stars[0, near] - stars[0, row]) < reach) & (near != row)]
        if len(near):
            own = tables.of(np.full(len(near), k))
            left, low = np.floor(stars[:2, row] + 0.5) - (size - 1) // 2
            made = stamp_light(own, stars[0, near] - left, stars[1, near] - low, (size, size))
            for part, values in enumerate((made.light, made.along_x, made.along_y)):
                light[k, part] = np.einsum("k,kji->ji", stars[2, near], values)


def _widening(tables: StarTables, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    """`MotionStars.widening`: a widened image is the mean of images that are displaced; compared to a scaled one."""
    if not len(x):
        return np.zeros(0)
    half, step = (size - 1) // 2, 1.0 / 3.0
    at_x, at_y = x - np.floor(x + 0.5) + half, y - np.floor(y + 0.5) + half
    away = step * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    made = stamp_light(tables, at_x + away[:, :1], at_y + away[:, 1:], (size, size))
    curved = (made.light[1:].sum(axis=0) - 4.0 * made.light[0]) / (2.0 * step**2)
    pixel = np.arange(size)
    scaled = (pixel - at_x[:, None])[:, None, :] * made.along_x[0] - 2.0 * made.light[0]
    scaled += (pixel - at_y[:, None])[:, :, None] * made.along_y[0]
    weight = 1.0 / (np.maximum(made.light[0], 0.0) + 0.01)
    return (weight * scaled**2).sum(axis=(1, 2)) / (weight * scaled * curved).sum(axis=(1, 2))


def measure_centroids(
    image: np.ndarray,
    stars: MotionStars,
    noise: PixelNoise,
    options: CentroidOptions,
    *,
    unusable: np.ndarray | None = None,
    start: tuple[float, float] = (0.0, 0.0),
) -> Centroids:
    """Fit the places of stars in one frame.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        With the sky or without it, as `noise` has it [electron/s]; NaN where there is none.
    stars : MotionStars
    noise : PixelNoise
    options : CentroidOptions
        As for `motion_stars`.
    unusable : ndarray of bool, shape (ny, nx), optional
        True = bad.
    start : tuple of float
        Shift in x and y from the expected places where the search begins [pixel].

    Returns
    -------
    Centroids

    Raises
    ------
    ValueError
        Planes of another shape than the image, or stars with other stamps than `options` has.
    """
    image = np.ascontiguousarray(image, np.float32)
    size, n = 2 * options.half + 1, len(stars)
    if stars.neighbours.shape[-1] != size:
        raise ValueError(f"neighbours on stamps of {stars.neighbours.shape[-1]} pixels, where stars have {size}")
    none = np.zeros((0, 0), np.float32)
    plane = none if noise.plane is None else np.ascontiguousarray(noise.plane, np.float32)
    bad = none.astype(np.uint8) if unusable is None else np.ascontiguousarray(unusable, bool).view(np.uint8)
    for part in (plane, bad):
        if part.size and part.shape != image.shape:
            raise ValueError(f"a plane of shape {part.shape} for an image of {image.shape}")
    tables = stars.tables
    functions = tables.samples, tables.oversampling, tables.middle, tables.pixels
    seen = image, plane, float(noise.per_light), float(noise.constant), bad
    place = np.stack([stars.x, stars.y], axis=1)
    n_columns = 7 if options.slopes else 5
    light, work = np.zeros((n_columns, size, size)), np.zeros((5, size * size))
    flat = light.reshape(n_columns, -1)
    shift = np.array(start, np.float64)
    if options.search and n:
        score = np.zeros((2 * options.search + 1,) * 2)
        vote_shifts(score, *seen, place + shift, *functions, light, flat, work)
        shift += _peak(score)
    result, n_used = np.empty((n, 8)), np.zeros(n, np.int64)
    limits = np.array(
        [
            options.farthest,
            options.longest_step,
            options.settled,
            options.clip,
            options.misfit,
            options.least_explained,
            options.anywhere,
        ]
    )
    fit_centroids(
        result,
        n_used,
        *seen,
        place,
        np.concatenate([shift, start]),
        stars.neighbours,
        *functions,
        limits,
        options.iterations,
        options.most_clipped,
        light,
        flat,
        work,
        np.zeros((2, n_columns, n_columns)),
        np.zeros((2, n_columns)),
    )
    x, y, x_err, y_err, flux, width, width_err, chi2 = np.ascontiguousarray(result.T)
    spread, spread_err = stars.widening * width, stars.widening * width_err
    return Centroids(x, y, x_err, y_err, flux, spread, spread_err, chi2, n_used, shift)


def _peak(score: np.ndarray) -> np.ndarray:
    """Place of the highest score from the middle, in x and y, between the whole pixels by parabolas; shape (2,)."""
    if not score.any():
        return np.zeros(2)
    row, column = np.unravel_index(int(np.argmax(score)), score.shape)
    reach = (len(score) - 1) // 2
    place = np.array([column - reach, row - reach], np.float64)
    for axis, (line, at) in enumerate(((score[row], column), (score[:, column], row))):
        if 0 < at < len(line) - 1:
            curve = 2.0 * line[at] - line[at - 1] - line[at + 1]
            if curve > 0.0:
                place[axis] += 0.5 * (line[at + 1] - line[at - 1]) / curve
    return place
