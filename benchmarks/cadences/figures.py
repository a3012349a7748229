"""Stamps of many cadences against the truth: time, noise over the Fisher floor, pull, eclipses of a blended star."""

import time
from collections.abc import Callable

import numpy as np

from benchmarks.table import Figure
from gaiaflux.core.cadences.field_place import solve_in_field
from gaiaflux.core.cadences.frame_fit import FrameFit, fit_frames_of_scene
from gaiaflux.core.cadences.frames import StampFrames, mean_image, shift_cells
from gaiaflux.core.cadences.linear import CELL_PIX, FramePromises, fit_linear, linear_model
from gaiaflux.core.cadences.motion import measured_shifts
from gaiaflux.core.cadences.newton import PlaceOptions, fit_frames_with_places
from gaiaflux.core.cadences.scene import SceneStars, StaticScene
from gaiaflux.core.cadences.scene_fit import FitOptions
from gaiaflux.core.psf.sampled import SampledPsf, sampled_psf
from gaiaflux.sim.tess.floor import least_errors
from gaiaflux.sim.tess.response import response_grid
from gaiaflux.sim.tess.stamp import SimulatedStamp, StampSetup, simulate_stamp
from gaiaflux.sim.tess.stars import StampStar, tess_flux

__all__ = ["figures"]

TMAG = 10.5
TURNS = 3  # of each measurement of time: the fastest counts


def figures(quick: bool = False) -> list[Figure]:
    """All figures of stamps.

    Parameters
    ----------
    quick : bool
        A tenth of the cadences.

    Returns
    -------
    list of Figure
    """
    n = 2000 if quick else 20_000
    samples, columns, rows = response_grid()
    response = sampled_psf(samples, 9, columns, rows, (2048, 2092))
    found = _times(response, simulate_stamp(_setup(n, 1.5)))
    for name, keywords, displaced, budget in (
        ("isolated", {"separation": 0.0}, 0, (1.05, None, None)),
        ("blend at 1.5 px", {"separation": 1.5}, 0, (1.05, 0.005, 3e-4)),
        ("blend at 0.8 px", {"separation": 0.8}, 0, (None, 0.02, 3e-3)),
        ("blend at 1.5 px, response of 256 px away", {"separation": 1.5}, 256, (1.25, 0.02, None)),
        ("blend at 1.5 px, shifts with 0.01 px of noise", {"separation": 1.5, "kernel": 0.01}, 0, (1.05, 0.005, 3e-4)),
    ):
        stamp = simulate_stamp(_setup(n, **keywords))
        found += _scores(name, stamp, _fit(response, stamp, displaced)[1:], budget)
    return found


def _setup(n: int, separation: float, kernel: float = 0.002) -> StampSetup:
    """Target, eclipsing star of the same light, and three others that are fitted with them."""
    stars = [StampStar(1, 5.2, 4.9, TMAG)]
    if separation:
        place = 5.2 + 0.8 * separation, 4.9 + 0.6 * separation
        stars.append(StampStar(2, *place, TMAG, "eclipses", 0.1, 1.37, 0.4))
    stars += [StampStar(3, 2.7, 7.2, 10.5), StampStar(4, 7.9, 2.4, 11.0), StampStar(5, 8.3, 8.1, 11.0)]
    return StampSetup(tuple(stars), n_times=n, kernel_error_pix=kernel, seed=3)


def _fit(response: SampledPsf, stamp: SimulatedStamp, displaced: int) -> tuple[StampFrames, StaticScene, FrameFit]:
    """What `gaiaflux.core.cadences.measure` does for the linear fit, from frames in memory."""
    shifts = measured_shifts(stamp.pos_corr, stamp.time)
    good = (stamp.quality == 0) & np.isfinite(stamp.time) & shifts.known
    frames = StampFrames(stamp.flux, stamp.flux_err, stamp.background_err, good, shifts.shift)
    setup = stamp.setup
    x, y = np.array([star.x for star in setup.stars]), np.array([star.y for star in setup.stars])
    flux = 1.03 * np.array([tess_flux(star.tmag) for star in setup.stars])
    stars = SceneStars(x, y, flux, 0.05 * flux, np.full(len(x), 0.02))
    corner = setup.first_column + displaced, setup.first_row
    options = FitOptions()
    mean = mean_image(frames)
    scene = solve_in_field(frames, mean, stars, response, corner, options)
    return frames, scene, fit_frames_of_scene(frames, mean, scene, options)


def _times(response: SampledPsf, stamp: SimulatedStamp) -> list[Figure]:
    n = len(stamp.time)
    frames, scene, fit = _fit(response, stamp, 0)
    whole = _seconds(lambda: _fit(response, stamp, 0))
    cells = shift_cells(fit.shift, frames.good, CELL_PIX)
    variance = mean_image(frames).variance
    model = linear_model(
        scene, fit.free, cells.place, variance, np.ones(frames.shape, bool), promises=FramePromises(0.05)
    )
    nothing, level = np.zeros_like(fit.clipped), np.zeros(n)
    bare = _seconds(lambda: fit_linear(frames, model, cells, nothing, fit.usual.static, fit.shift, level))
    off = fit.position + np.array([0.07, -0.07])
    loose = PlaceOptions(own_err=1.0, common_err=100.0, farthest=1.0)
    newton = _seconds(lambda: fit_frames_with_places(frames, scene, fit, loose, off))
    settled = fit_frames_with_places(frames, scene, fit, loose, off).settled
    stars = fit.free.n_groups
    return [
        Figure(f"linear fit, {stars} stars, per cadence [us]", bare / n * 1e6, at_most=5, digits=1),
        Figure("with tables, two passes, clip in time [us]", whole / n * 1e6, at_most=40, digits=1),
        Figure(f"Gauss-Newton, {stars} stars, from 0.1 px off [us]", newton / n * 1e6, at_most=60, digits=1),
        Figure("cadences that did not settle", float((~settled).mean()), at_most=0.0),
    ]


def _seconds(work: Callable[[], object]) -> float:
    """CPU time of the fastest of some turns, after one that loads the kernels."""
    work()
    times = []
    for _ in range(TURNS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def _scores(
    name: str,
    stamp: SimulatedStamp,
    fitted: tuple[StaticScene, FrameFit],
    budget: tuple[float | None, float | None, float | None],
) -> list[Figure]:
    """Noise, pull, depth and leak of one case; budgets of noise, depth and leak."""
    scene, fit = fitted
    usable = (stamp.quality == 0) & np.isfinite(stamp.time)
    rows = scene.rows[fit.free.rows]
    floor = least_errors(stamp, set(rows.tolist()))
    light = fit.value[usable][:, fit.free.group] * fit.free.share
    error = np.sqrt(fit.variance[usable][:, fit.free.group]) * fit.free.share
    found, true = [], stamp.star_flux[usable]
    changes = [k for k, star in enumerate(stamp.setup.stars) if star.variation != "constant"]
    for k, star in ((0, "target"), (1, "eclipsing star")):
        if k and (not changes or 1 not in rows):
            continue
        j = int(np.flatnonzero(rows == k)[0])
        away = light[:, j] - true[:, k]
        scale = true[:, k].max()
        found.append(Figure(f"{name}: noise of {star} over the floor", np.std(away) / floor[k], at_most=budget[0]))
        pull = float(np.std((away - away.mean()) / error[:, j]))
        low, high = (0.95, 1.06) if budget[0] and budget[0] < 1.1 else (None, None)
        found.append(Figure(f"{name}: pull of {star}", pull, at_least=low, at_most=high))
        if changes:
            change = true[:, 1] / true[:, 1].max() - 1.0
            slope = float(np.polyfit(change, away / scale, 1)[0])
            if k:
                found.append(Figure(f"{name}: depth, relative error", slope, within=budget[1], digits=4))
            else:
                found.append(Figure(f"{name}: leak at a tenth", 0.1 * slope, within=budget[2], digits=5))
    return found
