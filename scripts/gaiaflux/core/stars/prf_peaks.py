"""New stars on what known ones leave of an image whose response function is known."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.core.stars.close_pairs import apart
from gaiaflux.core.stars.detection import find_peaks
from gaiaflux.core.stars.prf_noise import matched_snr

__all__ = ["OUTSIDE", "NewStars", "new_stars", "thinned"]

OUTSIDE = 3  # stars are sought beyond the image [pixel]


@dataclass(frozen=True)
class NewStars:
    """Peaks of the matched filter.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        [pixel].
    flux : ndarray of float64, shape (n,)
        As if each were alone and in the middle of a pixel.
    """

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray


def new_stars(
    residual: np.ndarray,
    weight: np.ndarray,
    psf: SampledPsf,
    known: tuple[np.ndarray, np.ndarray],
    min_snr: float,
    apart_pix: float,
) -> NewStars:
    """Peaks of the matched filter that are no part of a known star or of a brighter peak.

    Parameters
    ----------
    residual, weight : ndarray of float32, shape (ny, nx)
        Image without the model; inverse variance of all that is not known of it, 0 = not used.
    psf : SampledPsf
    known : tuple of ndarray
        x and y of the known stars [pixel].
    min_snr : float
        Of a peak.
    apart_pix : float
        Least distance from a known star and from a brighter peak [pixel].

    Returns
    -------
    NewStars
        Brightest first; also such as lie up to 2 pixels beyond the image.
    """
    residual, weight = np.pad(residual, OUTSIDE), np.pad(weight, OUTSIDE)
    snr, flux = matched_snr(residual, weight, psf.part((-OUTSIDE, -OUTSIDE), weight.shape))
    peaks = find_peaks(snr, np.array([[min_snr]]), max(snr.shape))
    x, y = (values.astype(np.float64) - OUTSIDE for values in (peaks.x, peaks.y))
    x, y = x + _vertex(snr, peaks.y, peaks.x, 1), y + _vertex(snr, peaks.y, peaks.x, 0)
    kept = apart(x, y, *known, apart_pix)
    order = np.flatnonzero(kept)[np.argsort(-peaks.value[kept], kind="stable")]
    chosen = thinned(x[order], y[order], apart_pix)
    rows = order[chosen]
    return NewStars(x[rows], y[rows], flux[peaks.y[rows], peaks.x[rows]].astype(np.float64))


def _vertex(image: np.ndarray, row: np.ndarray, column: np.ndarray, axis: int) -> np.ndarray:
    """Where the parabola through a peak and its neighbours on an axis is highest, from the peak."""
    around = np.pad(image, 1, mode="edge").astype(np.float64)
    step = (1, 0) if axis == 0 else (0, 1)
    low, at, high = (around[row + 1 + k * step[0], column + 1 + k * step[1]] for k in (-1, 0, 1))
    bend = 2.0 * at - low - high
    return np.clip(np.divide(high - low, 2.0 * bend, out=np.zeros_like(at), where=bend > 0), -0.5, 0.5)


def thinned(x: np.ndarray, y: np.ndarray, distance: float) -> np.ndarray:
    """Rows, in their order, of the points that have none of the earlier kept ones within a distance.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Points, the most important first.
    distance : float

    Returns
    -------
    ndarray of int64
    """
    cells: dict[tuple[int, int], list[int]] = {}
    kept = []
    for k, (at_x, at_y) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        i, j = int(at_x // distance), int(at_y // distance)
        near = (other for b in (j - 1, j, j + 1) for a in (i - 1, i, i + 1) for other in cells.get((a, b), ()))
        if all((x[other] - at_x) ** 2 + (y[other] - at_y) ** 2 >= distance**2 for other in near):
            cells.setdefault((i, j), []).append(k)
            kept.append(k)
    return np.array(kept, np.int64)
