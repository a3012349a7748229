"""Simulated CCDs for the embedded demo and for benchmarks."""

import numpy as np

from gaiaflux.sim.tess.ccd_setup import CcdSetup
from gaiaflux.sim.tess.ccd_sky import SkySetup
from gaiaflux.sim.tess.ccd_stars import pair
from gaiaflux.sim.tess.stars import StampStar

__all__ = ["benchmark_ccd", "demo_ccd"]

# Constant stars of the demo, which an ensemble needs, stand on a lattice, apart from those that change.
COMPARISONS, APART_PIX = 6, 11.0


def demo_ccd(seed: int = 1) -> CcdSetup:
    """A corner of a CCD for two short orbits: an eclipsing star in a blend, a transit, a sine, a saturated star.

    Parameters
    ----------
    seed : int

    Returns
    -------
    CcdSetup
        120 frames of 30 minutes; its placed stars are 1001 (blended with the eclipsing 1002), 2001 (transits), 3001
        (a sine of 2 days), 4001 (saturated), and from 101 on constant ones of T 8.5 to 11.5 that stand alone.
    """
    eclipsing = StampStar(1002, 41.3, 37.8, 11.5, "eclipses", 0.3, 0.9, 0.16, 0.35)
    stars = (
        *pair(eclipsing, 1001, 1.9, -0.6, angle=2.3),
        StampStar(2001, 84.2, 46.6, 9.6, "transits", 0.01, 1.1, 0.14, 0.55),
        StampStar(3001, 62.4, 92.1, 12.0, "waves", 0.04, 2.0),
        StampStar(4001, 103.7, 96.4, 4.8),
    )
    rng = np.random.default_rng([seed, 1001])
    lattice = np.linspace(8.0, 119.0, COMPARISONS)
    places = [(x + rng.uniform(-2.0, 2.0), y + rng.uniform(-2.0, 2.0)) for x in lattice for y in lattice]
    free = [place for place in places if all(np.hypot(place[0] - s.x, place[1] - s.y) > APART_PIX for s in stars)]
    placed = rng.permutation(free).tolist()
    constant = [StampStar(101 + k, x, y, 8.5 + 3.0 * k / len(placed)) for k, (x, y) in enumerate(placed)]
    return CcdSetup(
        shape=(128, 128),
        first_column=44,
        first_row=0,
        n_times=120,
        stars=(*stars, *constant),
        missing=2,
        gap_d=0.125,
        orbit_d=1.4,
        dump_every_d=1.0,
        zero_frames=(33,),
        safe_frames=(88,),
        seed=seed,
    )


def benchmark_ccd(
    n_times: int = 300,
    shape: tuple[int, int] = (256, 256),
    cadence_s: float = 1800.0,
    seed: int = 1,
    *,
    density: float = 0.01,
    zodiacal: float = 90.0,
) -> CcdSetup:
    """The middle of a CCD with isolated stars and pairs of all kinds among the field's.

    Parameters
    ----------
    n_times : int
    shape : tuple of int
        (ny, nx), at least 64 each.
    cadence_s : float
    seed : int
    density : float
        Stars per pixel to T 16.
    zodiacal : float
        [electron/s/pixel].

    Returns
    -------
    CcdSetup
        Stars 1 to 6 are isolated, of T 8 to 13; 11, 21, ... have a neighbour 12, 22, ... 0.8 to 4 pixels away; 61
        eclipses, 71 has transits, 81 is a sine; 91 is saturated. Sector 1, 27 or 56 by the cadence.
    """
    rng = np.random.default_rng([seed, 1000])
    ny, nx = shape
    # Places on a lattice, so that no two are closer than 15 pixels or so.
    lattice = [(x, y) for y in np.linspace(18, ny - 19, 5) for x in np.linspace(18, nx - 19, 5)]
    places = iter([(x + rng.uniform(-2.0, 2.0), y + rng.uniform(-2.0, 2.0)) for x, y in rng.permutation(lattice)])
    stars = [StampStar(k + 1, *next(places), 8.0 + k) for k in range(6)]
    for k, (separation, fainter) in enumerate(((0.8, 1.0), (1.5, 0.0), (2.0, 2.0), (3.0, 1.0), (4.0, -1.0))):
        first = StampStar(10 * k + 11, *next(places), 11.0)
        stars += pair(first, first.starid + 1, separation, fainter, rng.uniform(0.0, 2.0 * np.pi))
    length = n_times * cadence_s / 86400.0
    stars += [
        StampStar(61, *next(places), 11.0, "eclipses", 0.25, 0.31 * length, 0.04 * length, 0.1 * length),
        StampStar(71, *next(places), 9.5, "transits", 0.005, 0.4 * length, 0.05 * length, 0.2 * length),
        StampStar(81, *next(places), 12.0, "waves", 0.03, min(2.0, 0.5 * length)),
        StampStar(91, *next(places), 4.5),
    ]
    sector, start = min(
        ((1, 1325.3231), (27, 2036.28), (56, 2825.26)), key=lambda one: abs(np.log(_cadence_of(one[0]) / cadence_s))
    )
    return CcdSetup(
        shape=shape,
        n_times=n_times,
        cadence_s=cadence_s,
        sector=sector,
        stars=tuple(stars),
        density=density,
        sky=SkySetup(zodiacal=zodiacal),
        orbit_d=min(13.7, 0.5 * length + 0.2),
        gap_d=min(1.0, 0.05 * length),
        dump_every_d=min(2.5, 0.21 * length),
        start_btjd=start,
        seed=seed,
    )


def _cadence_of(sector: int) -> float:
    """Cadence of the full-frame images of a sector [s]."""
    return 1800.0 if sector < 27 else 600.0 if sector < 56 else 200.0
