"""The apertures that a star can be measured with, and the choice among them on points that do not judge it.

Apertures in units of the seeing grow and shrink with it, and in a crowded field neighbours come and go with them. From
the fluxes of nested apertures the flux of one that stays the same on the sky follows by interpolation.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaiaflux.core.aperture.scatter import trend_factors
from gaiaflux.core.maths.robust import clipped_scatter, masked_median
from gaiaflux.core.psf.moffat import core_radius2, light_within

__all__ = [
    "LEAST_POINTS",
    "ApertureChoice",
    "FixedApertures",
    "Points",
    "choose_apertures",
    "fixed_apertures",
    "fold_scatter",
    "pick_aperture",
    "with_fixed",
]

_STEPS = (0.8, 1.0, 1.25, 1.6)  # of the typical seeing
_LEAST_SEEING_CHANGE = 1.1  # of the 90th to the 10th percentile
_INSIDE = 0.7  # part of the frames in which the fixed aperture lies between the measured ones
_BETA = 3.0  # of the Moffat profile that says where between two apertures the light is
LEAST_POINTS = 15
"""Points in each half of the frames that tell of a star which aperture is best for it."""
_RELATIVE_FLOOR = 1e-3  # below, more photons do not help
_PRIOR_POINTS = 20.0  # worth of the predicted error
_AS_GOOD = 1.02
_PAIRED = 0.9  # error of the difference of two apertures' scatters over that of one


@dataclass(frozen=True)
class FixedApertures:
    """Apertures of one size in all frames, between two measured ones in each.

    Attributes
    ----------
    radii : ndarray of float64, shape (r,)
        [pixel].
    inner : ndarray of int, shape (r, m)
        Index of the next smaller aperture of each frame; the fixed one lies between it and the next.
    share : ndarray of float32, shape (r, m)
        Weight of the total flux by the inner one, 0 to 1; the outer one has the rest.
    overlap : ndarray of float32, shape (r, m)
        Light inside of the inner one over that inside of the outer one.
    """

    radii: np.ndarray
    inner: np.ndarray
    share: np.ndarray
    overlap: np.ndarray

    def only(self, k: int) -> "FixedApertures":
        """One of the apertures."""
        one = slice(k, k + 1)
        return FixedApertures(self.radii[one], self.inner[one], self.share[one], self.overlap[one])

    @staticmethod
    def none(n_frames: int) -> "FixedApertures":
        """No aperture at all."""
        nothing = np.zeros((0, n_frames), dtype=np.float32)
        return FixedApertures(np.zeros(0), np.zeros((0, n_frames), dtype=int), nothing, nothing)


@dataclass(frozen=True)
class ApertureChoice:
    """Apertures that `choose_apertures` found for n stars.

    Attributes
    ----------
    index : ndarray of int, shape (n,)
        Recommended aperture.
    held_out : ndarray of float64, shape (n,)
        Scatter in flux in one half of the frames by the aperture that the other half chose, mean of both; NaN with too
        few points.
    agreed : ndarray of bool, shape (n,)
        Both halves chose the same aperture.
    """

    index: np.ndarray
    held_out: np.ndarray
    agreed: np.ndarray


class Points(NamedTuple):
    """Measurements of stars.

    Attributes
    ----------
    flux, flux_err : ndarray of float32
        Total fluxes and their errors.
    flags : ndarray of uint32
        Star flags, of the same shape.
    """

    flux: np.ndarray
    flux_err: np.ndarray
    flags: np.ndarray


def fixed_apertures(radii_pix: np.ndarray, fwhm_pix: np.ndarray) -> FixedApertures:
    """Apertures of fixed size that a series can have.

    Parameters
    ----------
    radii_pix : ndarray, shape (m, k)
        Radii that were measured in each frame, increasing [pixel]; NaN where not measured.
    fwhm_pix : ndarray, shape (m,)
        Seeing [pixel].

    Returns
    -------
    FixedApertures
        None where the radii are the same in all frames already, where there are fewer than three, or where the seeing
        hardly changes. In a frame whose apertures are all larger or smaller the next one is taken.
    """
    n_frames, n_radii = radii_pix.shape
    known = np.isfinite(radii_pix).all(axis=1) & (fwhm_pix > 0)
    none = FixedApertures.none(n_frames)
    if known.sum() < 2 or n_radii < 3 or np.ptp(radii_pix[known], axis=0).max() < 1e-3:
        return none
    low, middle, high = np.quantile(fwhm_pix[known], (0.1, 0.5, 0.9))
    if high < _LEAST_SEEING_CHANGE * low:
        return none
    wanted = middle * np.array(_STEPS)
    inside = (radii_pix[known, :1] <= wanted) & (wanted <= radii_pix[known, -1:])
    wanted = wanted[inside.mean(axis=0) >= _INSIDE]
    radii, fwhm = np.where(known[:, None], radii_pix, 1.0 + np.arange(n_radii)), np.where(known, fwhm_pix, 1.0)
    inner = (
        np.stack([np.clip((radii < r).sum(axis=1) - 1, 0, n_radii - 2) for r in wanted]) if wanted.size else none.inner
    )
    frames = np.arange(n_frames)
    small, large = radii[frames, inner], radii[frames, inner + 1]
    at = np.clip(wanted[:, None], small, large)
    core2 = core_radius2(fwhm, _BETA)
    light = [light_within(radius**2 / core2, _BETA) for radius in (small, at, large)]
    share = (light[2] - light[1]) / (light[2] - light[0]) * light[0] / light[1]
    return FixedApertures(wanted, inner, share.astype(np.float32), (light[0] / light[2]).astype(np.float32))


def with_fixed(
    flux: np.ndarray, flux_err: np.ndarray, flags: np.ndarray, fixed: FixedApertures, frames: np.ndarray
) -> Points:
    """Put the fluxes by fixed apertures behind those that were measured.

    Parameters
    ----------
    flux, flux_err : ndarray of float32, shape (f, n, k)
        Total fluxes of some frames by the measured apertures, and their errors.
    flags : ndarray of uint32, shape (f, n, k)
        Star flags.
    fixed : FixedApertures
        What is added.
    frames : ndarray of int, shape (f,)
        Which frames of `fixed` these are.

    Returns
    -------
    Points
        Of shape (f, n, k + r). Both fluxes are the star's total light, so that a weighted mean is. The noise of the
        inner aperture is a part of that of the outer one, which makes their covariance. Flags of both apertures count.
    """
    if not fixed.radii.size:
        return Points(flux, flux_err, flags)
    rows = np.arange(len(flux))
    parts = [[flux], [flux_err], [flags]]
    for k in range(fixed.radii.size):
        inner, share, overlap = fixed.inner[k, frames], fixed.share[k, frames, None], fixed.overlap[k, frames, None]
        small, large = flux_err[rows, :, inner], flux_err[rows, :, inner + 1]
        variance = (share * small) ** 2 + ((1 - share) * large) ** 2 + 2 * share * (1 - share) * overlap * small**2
        parts[0].append((share * flux[rows, :, inner] + (1 - share) * flux[rows, :, inner + 1])[:, :, None])
        parts[1].append(np.sqrt(variance)[:, :, None])
        parts[2].append((flags[rows, :, inner] | flags[rows, :, inner + 1])[:, :, None])
    return Points(*(np.concatenate(part, axis=2) for part in parts))


def fold_scatter(
    flux: np.ndarray,
    usable: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    trends: np.ndarray,
    calibrators: tuple[np.ndarray, np.ndarray],
    *,
    least_points: int = LEAST_POINTS,
) -> tuple[np.ndarray, np.ndarray]:
    """Scatter of stars over a series by each aperture, in the even and in the odd frames.

    Parameters
    ----------
    flux, usable, x, y, trends, calibrators
        As for `gaiaflux.core.aperture.scatter.frame_trends` and `trend_factors`.
    least_points : int
        Points that a half needs.

    Returns
    -------
    scatter : ndarray of float64, shape (2, n, k)
        In flux, about the median of all frames; NaN with fewer points than that.
    count : ndarray of int, shape (2, n, k)
        Points.
    """
    _, n_stars, n_radii = flux.shape
    scatter, count = np.full((2, n_stars, n_radii), np.nan), np.zeros((2, n_stars, n_radii), dtype=int)
    for k in range(n_radii):
        factor, known = trend_factors(x, y, trends[k], calibrators)
        use = np.ascontiguousarray((usable[:, :, k] & known[:, None]).T)
        scaled = np.where(use, flux[:, :, k].T / factor, np.float32(0.0))
        deviation = scaled - np.nan_to_num(masked_median(scaled, use, 1))[:, None]
        for half in range(2):
            some = np.ascontiguousarray(use[:, half::2])
            count[half, :, k] = some.sum(axis=1)
            enough = count[half, :, k] >= least_points
            value = clipped_scatter(np.ascontiguousarray(deviation[:, half::2]), some)
            scatter[half, :, k] = np.where(enough, value, np.nan)
    return scatter, count


def choose_apertures(
    scatter: np.ndarray, count: np.ndarray, error: np.ndarray, level: np.ndarray, expected: np.ndarray
) -> ApertureChoice:
    """Aperture of each star with the least scatter, and the scatter that it has in frames that did not choose it.

    Parameters
    ----------
    scatter, count : ndarray, shape (2, n, k)
        From `fold_scatter`.
    error : ndarray, shape (n, k)
        Typical error of stars of that brightness by each aperture [flux].
    level : ndarray, shape (n,)
        Typical flux.
    expected : ndarray, shape (n, k)
        Predicted error with what neighbours may add, as from `gaiaflux.core.aperture.scatter.predicted_error`: decides
        alone where the scatter is not known. Infinite where there is no point.

    Returns
    -------
    ApertureChoice
        Smallest aperture within 2 % of the best; the middle one for a star without a usable point.
    """
    n_stars, n_radii = expected.shape
    measured = np.isfinite(scatter).all(axis=(0, 2))
    index = _smallest(expected)
    index[~np.isfinite(expected).any(axis=1)] = n_radii // 2
    held_out = np.full(n_stars, np.nan)
    agreed = np.zeros(n_stars, dtype=bool)
    rows = np.flatnonzero(measured)
    if not rows.size:
        return ApertureChoice(index, held_out, agreed)
    stated = np.hypot(np.nan_to_num(error[rows]), _RELATIVE_FLOOR * level[rows, None])
    halves = [_best(scatter[half, rows], count[half, rows], stated) for half in range(2)]
    seen = [scatter[half, rows, halves[1 - half]] for half in range(2)]
    held_out[rows] = np.sqrt(0.5 * (seen[0] ** 2 + seen[1] ** 2))
    agreed[rows] = halves[0] == halves[1]
    whole = np.sqrt((count[:, rows] * scatter[:, rows] ** 2).sum(axis=0) / count[:, rows].sum(axis=0))
    index[rows] = _best(whole, count[:, rows].sum(axis=0), stated)
    return ApertureChoice(index, held_out, agreed)


def _best(scatter: np.ndarray, count: np.ndarray, stated: np.ndarray) -> np.ndarray:
    """Least scatter; of those that are as good within its error, the one that the stated errors are for."""
    score2 = (count * scatter**2 + _PRIOR_POINTS * stated**2) / (count + _PRIOR_POINTS)
    score2 = score2 * count.max(axis=1, keepdims=True) / np.maximum(count, 1)
    best2 = score2.min(axis=1, keepdims=True)
    # The same light is in all apertures, and so are a star's own changes: only a part of each scatter's error tells
    # them apart. Within it the stated errors know better, and make no star look quieter than it is.
    tolerance = _PAIRED * np.sqrt(2.0 / np.maximum(count.max(axis=1, keepdims=True), 1))
    as_good = score2 <= best2 * (_AS_GOOD**2 + tolerance)
    return _smallest(np.where(as_good, stated, np.inf))


def _smallest(error: np.ndarray) -> np.ndarray:
    """First aperture within 2 % of the least error."""
    return np.argmax(error <= _AS_GOOD * error.min(axis=1, keepdims=True), axis=1)


def pick_aperture(
    flux: np.ndarray, flux_err: np.ndarray, flags: np.ndarray, index: np.ndarray, fixed: FixedApertures
) -> Points:
    """Measurements of each star by its own aperture.

    Parameters
    ----------
    flux, flux_err, flags : ndarray, shape (m, n, k)
        As for `with_fixed`, of all frames.
    index : ndarray of int, shape (n,)
        Aperture of each star: from k on, a fixed one.
    fixed : FixedApertures
        The fixed ones.

    Returns
    -------
    Points
        Of shape (n, m), C-contiguous.
    """
    n_radii = flux.shape[2]
    measured = np.minimum(index, n_radii - 1)[None, :, None]
    picked = [np.take_along_axis(array, measured, axis=2)[:, :, 0] for array in (flux, flux_err, flags)]
    frames = np.arange(len(flux))
    for k in range(fixed.radii.size):
        rows = np.flatnonzero(index == n_radii + k)
        if rows.size:
            whole = with_fixed(flux[:, rows], flux_err[:, rows], flags[:, rows], fixed.only(k), frames)
            for array, values in zip(picked, whole, strict=True):
                array[:, rows] = values[:, :, -1]
    return Points(*(np.ascontiguousarray(array.T) for array in picked))
