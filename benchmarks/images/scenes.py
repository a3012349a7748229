"""Simulated CCDs that the benchmark measures."""

from dataclasses import replace

import numpy as np

from gaiaflux.sim.tess.ccd_presets import benchmark_ccd
from gaiaflux.sim.tess.ccd_setup import CcdSetup
from gaiaflux.sim.tess.ccd_sky import SkySetup
from gaiaflux.sim.tess.ccd_stars import pair
from gaiaflux.sim.tess.stars import StampStar

__all__ = ["PAIRED", "SINE", "TRANSIT", "dark_scene", "lone_stars", "many_stars", "pairs", "plain_frames"]

STEP_PIX = 24.0  # between placed stars
CLEAR_PIX = 10.0  # without a drawn star around each
SINE, TRANSIT = 9001, 9002
PAIRED = 1000  # numbers of stars in pairs are above it: 1001 and 1002, 1003 and 1004 ...
SEPARATIONS = (1.0, 1.5, 2.0, 3.0)
FAINTER = (0.0, 1.0, 2.0)


def _lattice(side: int, seed: int) -> np.ndarray:
    """Places that are well apart, in a random order, shape (n, 2)."""
    rng = np.random.default_rng([seed, 77])
    line = np.arange(16.0, side - 15.0, STEP_PIX)
    places = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    return rng.permutation(places) + rng.uniform(-2.0, 2.0, places.shape)


def _setup(n_times: int, side: int, stars: tuple[StampStar, ...], sky: SkySetup, seed: int) -> CcdSetup:
    return replace(
        benchmark_ccd(n_times, (64, 64), seed=seed), shape=(side, side), stars=stars, clear_pix=CLEAR_PIX, sky=sky
    )


def lone_stars(n_times: int, seed: int, side: int = 192) -> CcdSetup:
    """Isolated stars T 8 to 13 and 14.5, a sine of 2 days and a transit, with scattered light and straps."""
    places = _lattice(side, seed)
    length = n_times / 48.0
    signals = [
        StampStar(SINE, *places[0], 11.0, "waves", 0.01, 2.0, 0.1, 0.3),
        StampStar(TRANSIT, *places[1], 10.0, "transits", 0.005, 0.37 * length, 0.25, 0.2 * length),
    ]
    mags = np.resize([8.0, 8.5, 9.0, 9.4, 10.0, 10.3, 10.3, 11.0, 11.5, 12.0, 12.5, 13.0, 14.5], len(places) - 2)
    lone = [StampStar(k + 1, *at, float(mag)) for k, (at, mag) in enumerate(zip(places[2:], mags, strict=True))]
    return _setup(n_times, side, (*signals, *lone), SkySetup(), seed)


def dark_scene(n_times: int, seed: int, side: int = 128) -> CcdSetup:
    """Isolated stars of T 14.5 on a sky of 92 electron/s without scattered light."""
    places = _lattice(side, seed)
    stars = tuple(StampStar(k + 1, *at, 14.5) for k, at in enumerate(places))
    return _setup(n_times, side, stars, SkySetup(zodiacal=92.0, scattered=0.0), seed)


def pairs(n_times: int, seed: int, side: int = 144) -> CcdSetup:
    """Pairs of all separations and differences, the brighter of T 9 to 11."""
    rng = np.random.default_rng([seed, 78])
    places = _lattice(side, seed)
    stars: list[StampStar] = []
    for k, at in enumerate(places):
        apart, fainter = SEPARATIONS[k % len(SEPARATIONS)], FAINTER[k // len(SEPARATIONS) % len(FAINTER)]
        first = StampStar(PAIRED + 2 * k + 1, *at, float(rng.uniform(9.0, 11.0)))
        stars += pair(first, first.starid + 1, apart, fainter, rng.uniform(0.0, 2.0 * np.pi))
    return _setup(n_times, side, tuple(stars), SkySetup(), seed)


def many_stars(n_times: int, seed: int) -> CcdSetup:
    """A field as full as a real one 42 degrees from the plane of the Galaxy."""
    return benchmark_ccd(n_times, (128, 128), seed=seed, density=0.05)


def plain_frames(n_times: int, side: int, seed: int) -> CcdSetup:
    """Few frames without gaps and dumps, whose preparation is timed."""
    setup = benchmark_ccd(n_times, (side, side), seed=seed, density=0.02)
    return replace(setup, dump_every_d=2.5, orbit_d=13.7, gap_d=0.0, missing=0)
