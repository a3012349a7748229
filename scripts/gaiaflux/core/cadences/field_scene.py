"""The scene of a whole CCD, tile after tile: each with a margin whose stars are solved with it and then dropped."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gaiaflux.core.cadences.scene import SceneStars
from gaiaflux.core.cadences.tile_scene import LEAST_PIXELS, TileOptions, solve_tile
from gaiaflux.core.psf.sampled import SampledPsf

__all__ = ["FieldScene", "solve_field"]

MARGIN = 8  # of a tile's image [pixel]


@dataclass(frozen=True)
class FieldScene:
    """What the image shows of the catalogue's stars.

    Attributes
    ----------
    x, y, flux, flux_err, chi2 : ndarray of float64, shape (n,)
        As of `TileScene`, each star from the tile that it is on or nearest to; light NaN, error infinite and chi2 0
        where nothing of the star is seen.
    common : ndarray of float64, shape (n_tile_rows, n_tile_columns, 2)
        Shift in x and y of the stars of each tile against the catalogue [pixel]; NaN for a tile without usable pixels.
    sky, light, residual : ndarray of float32, shape (ny, nx)
        Parts of the image [electron/s]; NaN in tiles without usable pixels.
    unused : ndarray of bool, shape (ny, nx)
        As of `TileScene`.
    """

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    chi2: np.ndarray
    common: np.ndarray
    sky: np.ndarray
    light: np.ndarray
    residual: np.ndarray
    unused: np.ndarray


def solve_field(
    image: np.ndarray,
    variance: np.ndarray,
    stars: SceneStars,
    psf: SampledPsf | Callable[[float, float], SampledPsf],
    corner: tuple[int, int],
    options: TileOptions | None = None,
    tile_pix: int = 128,
) -> FieldScene:
    """Solve an image of any size in tiles.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
    variance : ndarray, shape (ny, nx)
    stars : SceneStars
    psf : SampledPsf or callable
        The function in coordinates of the CCD; or what gives it for a tile, by the x and y of its middle in the image.
    corner : tuple of int
    options : TileOptions, optional
        All else as of `gaiaflux.core.cadences.tile_scene.solve_tile`.
    tile_pix : int
        Side of a tile, about [pixel].

    Returns
    -------
    FieldScene
        In the order of the catalogue.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if image.shape != variance.shape:
        raise ValueError(f"image and variance differ in shape: {image.shape}, {variance.shape}")
    ny, nx = image.shape
    edges = [np.linspace(0, n, max(1, round(n / tile_pix)) + 1).astype(np.int64) for n in (ny, nx)]
    row, column = (
        np.clip(np.searchsorted(lines, np.rint(place), side="right") - 1, 0, len(lines) - 2)
        for lines, place in zip(edges, (stars.y, stars.x), strict=True)
    )
    n = len(stars)
    measured = np.stack([stars.x, stars.y, np.full(n, np.nan), np.full(n, np.inf), np.zeros(n)])
    common = np.full((len(edges[0]) - 1, len(edges[1]) - 1, 2), np.nan)
    planes = np.full((3, ny, nx), np.nan, np.float32)
    unused = np.ones((ny, nx), np.bool_)
    for j, i in np.ndindex(common.shape[:2]):
        window = _window(edges, (j, i), (ny, nx))
        first, outer = window.first, window.outer
        if np.count_nonzero(np.isfinite(image[outer]) & (variance[outer] > 0)) < LEAST_PIXELS:
            continue
        here = psf if isinstance(psf, SampledPsf) else psf(*_middle(window.inner))
        rows = _within_reach(stars, outer, here.edge)
        part_of = replace(stars.of(rows), x=stars.x[rows] - first[0], y=stars.y[rows] - first[1])
        place = corner[0] + first[0], corner[1] + first[1]
        tile = solve_tile(image[outer], variance[outer], part_of, here, place, options)
        own = (row[rows] == j) & (column[rows] == i)
        found = np.stack([tile.x + first[0], tile.y + first[1], tile.flux, tile.flux_err, tile.chi2])
        measured[:, rows[own]] = found[:, own]
        common[j, i] = tile.common
        for plane, made in zip(planes, (tile.sky, tile.light, tile.residual), strict=True):
            plane[window.inner] = made[window.part]
        unused[window.inner] = tile.unused[window.part]
    x, y, flux, flux_err, chi2 = measured
    sky, light, residual = planes
    return FieldScene(x, y, flux, flux_err, chi2, common, sky, light, residual, unused)


class _Window(NamedTuple):
    """A tile in the image, with its margin, and in that; and the first column and row with the margin."""

    inner: tuple[slice, slice]
    outer: tuple[slice, slice]
    part: tuple[slice, slice]
    first: tuple[int, int]


def _window(edges: list[np.ndarray], tile: tuple[int, int], shape: tuple[int, int]) -> _Window:
    low = [int(lines[k]) for lines, k in zip(edges, tile, strict=True)]
    high = [int(lines[k + 1]) for lines, k in zip(edges, tile, strict=True)]
    start = [max(one - MARGIN, 0) for one in low]
    stop = [min(one + MARGIN, n) for one, n in zip(high, shape, strict=True)]
    return _Window(
        (slice(low[0], high[0]), slice(low[1], high[1])),
        (slice(start[0], stop[0]), slice(start[1], stop[1])),
        (slice(low[0] - start[0], high[0] - start[0]), slice(low[1] - start[1], high[1] - start[1])),
        (start[1], start[0]),
    )


def _middle(inner: tuple[slice, slice]) -> tuple[float, float]:
    """Place of the middle of a tile, x and y."""
    rows, columns = inner
    return (columns.start + columns.stop - 1) / 2, (rows.start + rows.stop - 1) / 2


def _within_reach(stars: SceneStars, outer: tuple[slice, slice], reach: float) -> np.ndarray:
    """Stars whose light falls on a part of the image."""
    rows, columns = outer
    inside_x = (stars.x > columns.start - reach) & (stars.x < columns.stop - 1 + reach)
    return np.flatnonzero(inside_x & (stars.y > rows.start - reach) & (stars.y < rows.stop - 1 + reach))
