"""Which stars of a catalogue tell best how a frame has moved: bright but not full, alone, and all over the frame."""

from dataclasses import dataclass

import numpy as np

__all__ = ["StarChoice", "choose_motion_stars"]


@dataclass(frozen=True)
class StarChoice:
    """What is asked of the stars, and of how many.

    Attributes
    ----------
    most, enough : int
        Of stars. Where fewer than `enough` are that lonely, more light of neighbours is allowed.
    peak_share : float
        Largest part of a star's light that falls on one pixel.
    full_pixel : float
        Light that a pixel holds [electron/s].
    fullest : float
        Part of `full_pixel` that the brightest pixel of a chosen star may have.
    sky : float
        Usual sky [electron/s/pixel].
    per_light, constant : float
        Variance of a pixel over its light [electron/s], and without light [electron^2/s^2].
    least_snr : float
        Of a star's light in one frame.
    near : float
        Distance within which the light of neighbours counts [pixel].
    neighbours : tuple of float
        Light of the neighbours over the star's, at most; what is tried in turn.
    margin : float
        From the edge of the frame, and to pixels that cannot be used [pixel].
    full_margin : float
        From a star that fills pixels; beside the columns along which it bleeds, a third of it [pixel].
    error_floor : float
        Errors of places below it count alike: it is where a star is that decides [pixel].
    """

    most: int = 250
    enough: int = 50
    peak_share: float = 0.3
    full_pixel: float = 9e4
    fullest: float = 0.6
    sky: float = 100.0
    per_light: float = 1.0 / 1343.0
    constant: float = 0.0395
    least_snr: float = 60.0
    near: float = 3.0
    neighbours: tuple[float, ...] = (0.02, 0.05, 0.1, 0.25)
    margin: float = 6.0
    full_margin: float = 10.0
    error_floor: float = 0.001


def choose_motion_stars(
    x: np.ndarray,
    y: np.ndarray,
    flux: np.ndarray,
    shape: tuple[int, int],
    choice: StarChoice,
    unusable: np.ndarray | None = None,
) -> np.ndarray:
    """Rows of the stars that tell most about the motion of a frame.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Expected places of all stars of the catalogue, also around the frame [pixel, 0-based]; a star without a finite
        place or light is passed over.
    flux : ndarray, shape (n,)
        Expected light [electron/s].
    shape : tuple of int
        (ny, nx) of the frame.
    choice : StarChoice
    unusable : ndarray of bool, shape (ny, nx), optional
        True = bad: a star with such a pixel among the nine around it is not chosen.

    Returns
    -------
    ndarray of int64, shape (m,)
        Increasing; as many as there are, `choice.most` at most. All are as lonely as the strictest of
        `choice.neighbours` that leaves `choice.enough`.
    """
    x, y, flux = (np.asarray(values, np.float64) for values in (x, y, flux))
    listed = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & np.isfinite(flux) & (flux > 0.0))
    light = flux[listed]
    ny, nx = shape
    inside = (x[listed] >= choice.margin) & (x[listed] <= nx - 1 - choice.margin)
    inside &= (y[listed] >= choice.margin) & (y[listed] <= ny - 1 - choice.margin)
    peak = choice.peak_share * light + choice.sky
    fit = inside & (peak <= choice.fullest * choice.full_pixel)
    # Pixels under a star that count as noise: those of a Gaussian as narrow as its peak says.
    noise = np.sqrt(choice.per_light * (light + choice.sky / choice.peak_share) + choice.constant / choice.peak_share)
    fit &= light >= choice.least_snr * noise
    fit &= _far_from_full(x[listed], y[listed], light, peak, choice)
    if unusable is not None:
        fit[fit] = _clean(x[listed][fit], y[listed][fit], np.asarray(unusable, bool))
    rows = np.flatnonzero(fit)
    disturbed = _neighbours_light(x[listed], y[listed], light, rows, choice.near) / light[rows]
    lonely = np.zeros(len(rows), bool)
    for limit in choice.neighbours:
        lonely = disturbed <= limit
        if lonely.sum() >= choice.enough:
            break
    rows = rows[lonely]
    error = np.hypot(noise[rows] / light[rows], choice.error_floor)
    chosen = _spread(x[listed][rows], y[listed][rows], error, shape, choice.most)
    return np.sort(listed[rows[chosen]])


def _far_from_full(x: np.ndarray, y: np.ndarray, light: np.ndarray, peak: np.ndarray, choice: StarChoice) -> np.ndarray:
    """Whether a star is away from those that fill pixels, and from the columns that they bleed along."""
    far = np.ones(len(x), bool)
    for k in np.flatnonzero(peak > choice.full_pixel):
        # All that one pixel cannot hold fills the next ones up and down.
        length = 0.5 * light[k] / choice.full_pixel + choice.full_margin
        dx, dy = np.abs(x - x[k]), np.abs(y - y[k])
        wide = choice.full_margin * max(1.0, float(np.sqrt(0.1 * peak[k] / choice.full_pixel)))
        far &= (np.hypot(dx, dy) > wide) & ~((dx < choice.full_margin / 3.0) & (dy < length))
    return far


def _clean(x: np.ndarray, y: np.ndarray, unusable: np.ndarray) -> np.ndarray:
    """Whether all nine pixels around a star can be used."""
    ny, nx = unusable.shape
    clean = np.ones(len(x), bool)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            row = np.clip(np.rint(y).astype(np.int64) + down, 0, ny - 1)
            column = np.clip(np.rint(x).astype(np.int64) + right, 0, nx - 1)
            clean &= ~unusable[row, column]
    return clean


def _neighbours_light(x: np.ndarray, y: np.ndarray, light: np.ndarray, rows: np.ndarray, near: float) -> np.ndarray:
    """Light of all other stars around some."""
    total = np.zeros(len(rows))
    if not len(rows):
        return total
    # Strips as high as a star may be away, one after the other, and along each the order of x.
    strip, along = np.floor(y / near), x - x.min()
    length = along.max() + 3.0 * near
    order = np.argsort(strip * length + along, kind="stable")
    key = (strip * length + along)[order]
    for step in (-1.0, 0.0, 1.0):
        start = (strip[rows] + step) * length + along[rows]
        first, last = np.searchsorted(key, start - near), np.searchsorted(key, start + near, side="right")
        for ahead in range(int(np.max(last - first))):
            other = order[np.minimum(first + ahead, len(order) - 1)]
            beside = (first + ahead < last) & (other != rows)
            beside &= np.hypot(x[other] - x[rows], y[other] - y[rows]) <= near
            total += np.where(beside, light[other], 0.0)
    return total


def _spread(x: np.ndarray, y: np.ndarray, error: np.ndarray, shape: tuple[int, int], most: int) -> np.ndarray:
    """The best of every cell of the frame, then the second of every cell, and so on until there are `most`."""
    if len(x) <= most:
        return np.arange(len(x))
    ny, nx = shape
    cells = max(int(np.sqrt(most / 3.0)), 1)
    cell = (y * cells / ny).astype(np.int64).clip(0, cells - 1) * cells
    cell += (x * cells / nx).astype(np.int64).clip(0, cells - 1)
    order = np.lexsort((error, cell))
    starts = np.flatnonzero(np.r_[True, np.diff(cell[order]) != 0])
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return order[np.lexsort((error[order], rank))][:most]
