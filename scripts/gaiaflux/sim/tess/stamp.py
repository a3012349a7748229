"""Simulated frames of one stamp, with known truth."""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.sim.imperfect_camera import bleed
from gaiaflux.sim.tess.pointing import Pointing, simulate_pointing
from gaiaflux.sim.tess.response import Response
from gaiaflux.sim.tess.stars import StampStar, relative_light, tess_flux

__all__ = ["LIVE", "SATURATION", "SimulatedStamp", "StampSetup", "pixel_variance", "simulate_stamp"]

SATURATION = 1.0e5  # of a pixel [electron/s]
LIVE = 89.4 / 120.0  # part of a cadence that collects light, with rays rejected on board
READ_VARIANCE_120 = 0.61  # of a pixel in 120 s [electron^2/s^2]
QUALITY_DUMP, QUALITY_ATTITUDE = 32, 1
BLOCK = 2000  # frames at once


@dataclass(frozen=True)
class StampSetup:
    """What is simulated.

    Attributes
    ----------
    stars : tuple of StampStar
        The target first.
    n_times : int
    cadence_s : float
    shape : tuple of int
        (ny, nx).
    first_column, first_row : int
        Corner of the stamp on the CCD [pixel, 0-based, with the virtual columns].
    background : float
        Mean background, that is subtracted but for its error [electron/s/pixel].
    rays : float
        Part of the pixels that a cosmic ray hits in a frame.
    missing : float
        Part of the frames without time and light.
    kernel_error_pix : float
        Noise of the stated shifts [pixel].
    moves : bool
        Whether the pointing changes at all.
    start_btjd : float
    bleed_up : float
        Part of what a full pixel cannot hold that runs to higher rows.
    seed : int
    """

    stars: tuple[StampStar, ...]
    n_times: int = 1000
    cadence_s: float = 120.0
    shape: tuple[int, int] = (11, 11)
    first_column: int = 1200
    first_row: int = 700
    background: float = 100.0
    rays: float = 1e-3
    missing: float = 0.0
    kernel_error_pix: float = 0.002
    moves: bool = True
    start_btjd: float = 1325.3
    bleed_up: float = 0.5
    seed: int = 1


@dataclass(frozen=True)
class SimulatedStamp:
    """Frames and truth.

    Attributes
    ----------
    setup : StampSetup
    time : ndarray of float64, shape (n,)
        Spacecraft time, mid-exposure [BTJD]; NaN where there is no frame.
    flux, flux_err, background, background_err : ndarray of float32, shape (n, ny, nx)
        As the mission gives them [electron/s].
    quality : ndarray of int32, shape (n,)
        The mission's bits.
    pos_corr : ndarray of float64, shape (n, 2)
        Stated shifts [pixel].
    pointing : Pointing
        True shifts.
    star_flux : ndarray of float64, shape (n, n_stars)
        True light [electron/s].
    variance : ndarray of float64, shape (ny, nx)
        Mean of the true variance of a pixel [electron^2/s^2].
    hit : ndarray of bool, shape (n, ny, nx)
        Pixels that a cosmic ray hit.
    """

    setup: StampSetup
    time: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    background: np.ndarray
    background_err: np.ndarray
    quality: np.ndarray
    pos_corr: np.ndarray
    pointing: Pointing
    star_flux: np.ndarray
    variance: np.ndarray
    hit: np.ndarray

    def response(self) -> Response:
        """The function that all stars of the stamp have: that of the target's place."""
        return _response(self.setup)


def simulate_stamp(setup: StampSetup) -> SimulatedStamp:
    """Make the frames of a stamp.

    Parameters
    ----------
    setup : StampSetup

    Returns
    -------
    SimulatedStamp
    """
    rng = np.random.default_rng(setup.seed)
    n = setup.n_times
    elapsed = np.arange(n) * setup.cadence_s / 86400.0
    pointing = simulate_pointing(elapsed, rng, error_pix=setup.kernel_error_pix)
    if not setup.moves:
        still = np.zeros((n, 2))
        pointing = replace(pointing, shift=still, stated=still, dump=np.zeros(n, bool))
    light = np.array([tess_flux(star.tmag) for star in setup.stars])
    star_flux = light * np.stack([relative_light(star, elapsed) for star in setup.stars], axis=1)
    flux, flux_err = np.empty((2, n, *setup.shape), np.float32)
    hit = np.empty((n, *setup.shape), bool)
    variance = np.zeros(setup.shape)
    background = setup.background * (1.0 + 0.05 * np.sin(2 * np.pi * elapsed / 13.7))
    background_error = rng.normal(0.0, 0.2, n)
    for start in range(0, n, BLOCK):
        part = slice(start, start + BLOCK)
        true = _scene(setup, pointing.shift[part], star_flux[part])
        spread = pixel_variance(true + background[part, None, None], setup.cadence_s)
        variance += spread.sum(axis=0) / n
        seen = true + background_error[part, None, None] + rng.normal(size=true.shape) * np.sqrt(spread)
        hit[part] = rng.random(true.shape) < setup.rays
        seen += np.where(hit[part], rng.exponential(600.0, true.shape) * 120.0 / setup.cadence_s, 0.0)
        flux[part] = seen
        flux_err[part] = np.sqrt(pixel_variance(np.maximum(seen + background[part, None, None], 0.0), setup.cadence_s))
    time = setup.start_btjd + elapsed
    gone = rng.random(n) < setup.missing
    time[gone], flux[gone], flux_err[gone] = np.nan, np.nan, np.nan
    quality = np.where(pointing.dump, QUALITY_DUMP, 0).astype(np.int32)
    sky = np.broadcast_to(background[:, None, None], flux.shape).astype(np.float32)
    sky_err = np.full(flux.shape, 0.2, np.float32)
    stated = pointing.stated.copy()
    stated[gone] = np.nan
    return SimulatedStamp(
        setup, time, flux, flux_err, sky, sky_err, quality, stated, pointing, star_flux, variance, hit
    )


def _response(setup: StampSetup) -> Response:
    target = setup.stars[0]
    return Response.at(setup.first_column + target.x, setup.first_row + target.y)


def _scene(setup: StampSetup, shift: np.ndarray, star_flux: np.ndarray) -> np.ndarray:
    """Light in each pixel; what a full pixel cannot hold runs along its column."""
    response = _response(setup)
    total = np.zeros((len(shift), *setup.shape))
    for k, star in enumerate(setup.stars):
        made = response.light(star.x + shift[:, 0], star.y + shift[:, 1], setup.shape)
        total += star_flux[:, k, None, None] * made
    return bleed(total, SATURATION, setup.bleed_up) if total.max() > SATURATION else total


def pixel_variance(light: np.ndarray, cadence_s: float, live: float = LIVE) -> np.ndarray:
    """Variance of pixels: photons and readout.

    Parameters
    ----------
    light : ndarray
        With the background [electron/s].
    cadence_s : float
    live : float
        Part of a cadence that collects light.

    Returns
    -------
    ndarray
        Of the shape of `light` [electron^2/s^2].
    """
    return light / (live * cadence_s) + READ_VARIANCE_120 * 120.0 / cadence_s
