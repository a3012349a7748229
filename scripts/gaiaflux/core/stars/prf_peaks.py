"""New stars on what known ones leave of an image whose response function is known, and what that function leaves."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.maths.robust import robust_scatter
from gaiaflux.core.psf.protocol import Psf
from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.core.psf.stamps import make_stamps
from gaiaflux.core.stars.close_pairs import apart
from gaiaflux.core.stars.detection import find_peaks

__all__ = ["NewStars", "function_error", "matched_snr", "new_stars", "spread", "structure"]

OUTSIDE = 3  # stars are sought beyond the image [pixel]
FILTER_PIX = 3.0  # radius of the filter [pixel]
LIT = 300.0  # light over noise from which a pixel tells of the function
DARK = 10.0  # light over noise up to which a pixel tells of the sky
LEAST_ERROR, USUAL_ERROR = 0.002, 0.01
LEAST_PIXELS = 50
MEDIAN_CHI2 = 0.455  # of a squared Gaussian


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


def spread(light: np.ndarray) -> np.ndarray:
    """Largest value of each pixel and its eight neighbours, shape (ny, nx)."""
    ny, nx = light.shape
    around = np.pad(light, 1, mode="edge")
    return np.maximum.reduce([around[j : j + ny, i : i + nx] for j in range(3) for i in range(3)])


def function_error(residual: np.ndarray, light: np.ndarray, weight: np.ndarray) -> float:
    """How far the function is from the truth, as the bright stars' residuals show.

    Parameters
    ----------
    residual, light, weight : ndarray of float32, shape (ny, nx)
        Image without the model; light of the model's stars; inverse variance, 0 = not used.

    Returns
    -------
    float
        Usual error of a pixel as a part of the brightest light in it and its neighbours, beyond the noise.
    """
    around = spread(light)
    lit = (weight > 0) & (light * np.sqrt(weight) > LIT)
    if np.count_nonzero(lit) < LEAST_PIXELS:
        return USUAL_ERROR
    square = residual[lit].astype(np.float64) ** 2 - 1.0 / weight[lit]
    return max(LEAST_ERROR, float(np.sqrt(max(np.median(square / around[lit] ** 2) / MEDIAN_CHI2, 0.0))))


def structure(residual: np.ndarray, light: np.ndarray, weight: np.ndarray) -> float:
    """Scatter of the dark pixels beyond their noise: stars that are too faint to be found, and unevenness of the sky.

    Parameters
    ----------
    residual, light, weight : ndarray of float32, shape (ny, nx)
        As of `function_error`.

    Returns
    -------
    float
        [light per pixel]; 0 where there are no dark pixels.
    """
    dark = (weight > 0) & (light * np.sqrt(weight) < DARK)
    if np.count_nonzero(dark) < LEAST_PIXELS:
        return 0.0
    return float(np.sqrt(max(robust_scatter(residual[dark]) ** 2 - float(np.median(1.0 / weight[dark])), 0.0)))


def matched_snr(residual: np.ndarray, weight: np.ndarray, psf: Psf) -> tuple[np.ndarray, np.ndarray]:
    """Light of a star in the middle of each pixel, over its error, and that light.

    Parameters
    ----------
    residual, weight : ndarray of float32, shape (ny, nx)
        Image without the model; inverse variance, 0 = not used.
    psf : Psf
        The function in the middle of the image is taken for all of it.

    Returns
    -------
    snr, flux : ndarray of float32, shape (ny, nx)
        0 where there is no pixel.
    """
    ny, nx = residual.shape
    middle = np.array([float(nx // 2)]), np.array([float(ny // 2)])
    shape = make_stamps(psf, *middle, FILTER_PIX).values[0]
    half = len(shape) // 2
    light, power = np.pad(weight * residual, half), np.pad(weight, half)
    match, total = np.zeros_like(residual), np.zeros_like(residual)
    for j, line in enumerate(shape):
        for i, part in enumerate(line):
            match += part * light[j : j + ny, i : i + nx]
            total += part * part * power[j : j + ny, i : i + nx]
    known = total > 0
    root = np.sqrt(np.where(known, total, 1.0))
    return np.where(known, match / root, 0.0), np.where(known, match / root**2, 0.0)


def new_stars(
    residual: np.ndarray, weight: np.ndarray, psf: SampledPsf, known: tuple[np.ndarray, np.ndarray], min_snr: float, apart_pix: float
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
    chosen = _thinned(x[order], y[order], apart_pix)
    rows = order[chosen]
    return NewStars(x[rows], y[rows], flux[peaks.y[rows], peaks.x[rows]].astype(np.float64))


def _vertex(image: np.ndarray, row: np.ndarray, column: np.ndarray, axis: int) -> np.ndarray:
    """Where the parabola through a peak and its neighbours on an axis is highest, from the peak."""
    around = np.pad(image, 1, mode="edge").astype(np.float64)
    step = (1, 0) if axis == 0 else (0, 1)
    low, at, high = (around[row + 1 + k * step[0], column + 1 + k * step[1]] for k in (-1, 0, 1))
    bend = 2.0 * at - low - high
    return np.clip(np.divide(high - low, 2.0 * bend, out=np.zeros_like(at), where=bend > 0), -0.5, 0.5)


def _thinned(x: np.ndarray, y: np.ndarray, distance: float) -> np.ndarray:
    """Rows, in their order, that have none of the earlier kept ones within a distance."""
    cells: dict[tuple[int, int], list[int]] = {}
    kept = []
    for k, (at_x, at_y) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        i, j = int(at_x // distance), int(at_y // distance)
        near = (other for b in (j - 1, j, j + 1) for a in (i - 1, i, i + 1) for other in cells.get((a, b), ()))
        if all((x[other] - at_x) ** 2 + (y[other] - at_y) ** 2 >= distance**2 for other in near):
            cells.setdefault((i, j), []).append(k)
            kept.append(k)
    return np.array(kept, np.int64)
