"""Sums of a target with full pixels, corrected for the light outside of them."""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.cadences.aperture import ApertureSums, sum_aperture
from gaiaflux.core.cadences.frames import MeanImage, StampFrames
from gaiaflux.core.cadences.halo import halo_weights
from gaiaflux.core.cadences.saturated import (
    Enclosed,
    bright_aperture,
    enclosed_light,
    expected_motion,
    grown_aperture,
    halo_pixels,
    light_in,
    star_images,
)
from gaiaflux.core.cadences.scene import StaticScene
from gaiaflux.core.image.bleeding import Bleeding, needs_rows
from gaiaflux.core.maths.robust import robust_scatter

__all__ = ["SaturatedSums", "WingFit", "sum_saturated"]

ENDS_PIX = 3  # of the columns: the pointing moves them in a few frames
FEWEST = 50  # frames that say how far the stated errors are from the truth
MOST_PIXELS = 300  # of a halo: those with most light


@dataclass(frozen=True)
class WingFit:
    """What the pixels that are not full say of a stamp.

    Attributes
    ----------
    scene : StaticScene
    shift : ndarray of float64, shape (n_times, 2)
        Of the frames [pixel].
    usable : ndarray of bool, shape (ny, nx)
        Pixels that were fitted.
    background : ndarray of float64, shape (n_times,), optional
        To be subtracted from all pixels [electron/s/pixel]; None for frames from which it was subtracted.
    """

    scene: StaticScene
    shift: np.ndarray
    usable: np.ndarray
    background: np.ndarray | None = None


@dataclass(frozen=True)
class SaturatedSums:
    """Result of `sum_saturated`.

    Attributes
    ----------
    sums : ApertureSums
        Flux and error are those of all of the star's light, as far as the response function is known.
    aperture : ndarray of bool, shape (ny, nx)
        Pixels that are summed; with a halo those that say how much light there is.
    n_pixels : ndarray of float64, shape (n_times,)
        Pixels whose background is in the flux, the correction counted in.
    enclosed : Enclosed or None
        Part of the light in the aperture; None where no response function tells: nothing is corrected.
    weight : ndarray of float64, shape (ny, nx), or None
        Of the pixels of the halo; the flux is their weighted sum.
    rows : tuple of int
        Rows that the stamp lacks below and above for the columns of the target's charge: where they are not (0, 0) the
        flux is a lower limit.
    """

    sums: ApertureSums
    aperture: np.ndarray
    n_pixels: np.ndarray
    enclosed: Enclosed | None
    weight: np.ndarray | None
    rows: tuple[int, int]


def sum_saturated(
    frames: StampFrames, mean: MeanImage, own: Bleeding, fit: WingFit | None, promised: float, *, halo: bool
) -> SaturatedSums:
    """Light of a target with full pixels.

    Parameters
    ----------
    frames : StampFrames
    mean : MeanImage
        Of the same frames, with `bled`.
    own : Bleeding
        What the target filled.
    fit : WingFit or None
        None where no response function is known.
    promised : float
        Light of the target by the catalogue, or NaN: says how many rows are missing [electron/s].
    halo : bool
        Take the changes of the light from the pixels of the halo (see `gaiaflux.core.cadences.halo`) and only its
        mean from the sum.

    Returns
    -------
    SaturatedSums
    """
    if fit is not None and fit.background is not None:
        less = (frames.flux - fit.background[:, None, None]).astype(np.float32)
        frames = replace(frames, flux=np.ascontiguousarray(less))
    charge = own.with_ends(ENDS_PIX) & np.isfinite(mean.image)
    allowed = np.isfinite(mean.image) if mean.bled is None else np.isfinite(mean.image) & ~mean.bled
    enclosed = None
    if fit is None:
        aperture = bright_aperture(charge, np.where(allowed | charge, mean.image, np.nan))
    else:
        images = star_images(fit.scene, frames.mean_shift, frames.shape)
        aperture = grown_aperture(charge, images, allowed, mean.variance, _common_error(frames))
        # A background that was subtracted is no more there: what is taken for it may be of the wings.
        model = fit.scene.model - (fit.scene.background if fit.background is None else 0.0)
        left = np.where(fit.usable, mean.image - model, np.nan)
        enclosed = enclosed_light(fit.scene, fit.shift, aperture, images, left)
    part = np.ones(len(frames)) if enclosed is None else np.where(enclosed.part > 0, enclosed.part, np.nan)
    sums = sum_aperture(frames, aperture)
    sums = replace(sums, flux=sums.flux / part, flux_err=sums.flux_err / part)
    rows = needs_rows(own, max(0.0, float(np.nan_to_num(promised - _usual(sums.flux, frames)))))
    whole = SaturatedSums(sums, aperture, aperture.sum() / part, enclosed, None, rows)
    if not halo:
        return whole
    used = allowed & aperture if fit is None else halo_pixels(images, fit.usable & allowed, mean.variance)
    return _with_halo(frames, whole, used & (mean.image > 0), fit)


def _with_halo(frames: StampFrames, whole: SaturatedSums, used: np.ndarray, fit: WingFit | None) -> SaturatedSums:
    """The same with the changes of the halo's light; as it is where there is no halo."""
    counted = frames.counted
    seen = frames.flux[counted]
    used = used & np.isfinite(seen).all(axis=0)
    light = np.where(used, np.where(used, seen, 0.0).mean(axis=0, dtype=np.float64), 0.0)
    if not (light > 0).any():
        return whole
    faintest = np.sort(light[light > 0])[::-1][:MOST_PIXELS][-1]
    used = light >= faintest
    rows, columns = np.nonzero(used)
    flux = frames.flux[:, rows, columns].astype(np.float64)
    motion = None if fit is None else expected_motion(fit.scene, fit.shift[counted], used)
    value = halo_weights(flux[counted], motion) * _usual(whole.sums.flux, frames)
    error = np.nan_to_num(frames.flux_err[:, rows, columns].astype(np.float64))
    common = np.nan_to_num(frames.background_err[:, rows, columns].astype(np.float64))
    noise = np.sqrt(error**2 @ value**2 + (common @ value) ** 2)
    weight = np.zeros(frames.shape)
    weight[rows, columns] = value
    light = flux @ value
    if fit is not None:
        seen = light_in(fit.scene, fit.shift, weight)
        usual = seen[counted].mean()
        light, noise = light * usual / seen, noise * usual / seen
    noise = noise * _underrated(light, noise, whole, counted)
    gone = ~np.isfinite(light)
    sums = replace(whole.sums, flux=light, flux_err=np.where(gone, np.nan, noise), incomplete=gone)
    return replace(whole, sums=sums, weight=weight, n_pixels=np.full(len(frames), value.sum()))


def _underrated(light: np.ndarray, noise: np.ndarray, whole: SaturatedSums, counted: np.ndarray) -> float:
    """Factor that errors of a halo lack: what the pointing leaves shows against the sum, which holds all the charge."""
    if whole.rows != (0, 0):
        return 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (light / whole.sums.flux)[counted]
        stated = np.hypot(noise / light, whole.sums.flux_err / whole.sums.flux)[counted]
    known = np.isfinite(ratio) & np.isfinite(stated)
    if known.sum() < FEWEST:
        return 1.0
    return max(1.0, float(robust_scatter(ratio[known]) / np.median(stated[known])))


def _common_error(frames: StampFrames) -> float:
    """Usual error of the background, that all pixels of a frame share."""
    stated = frames.background_err[frames.counted]
    stated = stated[np.isfinite(stated)]
    return float(np.median(stated)) if stated.size else 0.0


def _usual(flux: np.ndarray, frames: StampFrames) -> float:
    """Mean of the frames that count; NaN where there is none."""
    known = flux[frames.counted & np.isfinite(flux)]
    return float(known.mean()) if known.size else float("nan")
