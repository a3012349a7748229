"""Simulated full-frame images of a CCD, or of a part of it, with known truth; they are made one by one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.imperfect_camera import bleed
from gaiaflux.sim.tess.ccd_light import add_halos, add_stars, star_shapes
from gaiaflux.sim.tess.ccd_motion import CcdMotion, simulate_motion
from gaiaflux.sim.tess.ccd_rays import ray_tracks
from gaiaflux.sim.tess.ccd_setup import CcdSetup, plate_solution
from gaiaflux.sim.tess.ccd_sky import PixelResponse, SkyLight, pixel_response, sky_light
from gaiaflux.sim.tess.ccd_stars import MARGIN, CcdStars, draw_stars, relative_lights
from gaiaflux.sim.tess.stamp import LIVE, QUALITY_DUMP, SATURATION, pixel_variance

__all__ = ["SimulatedCcd", "SimulatedFrame", "exposure_s", "frames", "simulate_ccd"]

QUALITY_SAFE = 2
# Part of a cadence that gathers light: the readout takes a hundredth; the rejection of rays on board drops the highest
# and the lowest of ten, and what is left is weighted so that it counts as `LIVE`.
NOT_READ, KEPT = 0.99, 0.8
NOT_REJECTED = 0.01
# The seeds' second numbers.
STARS, MOTION, PIXELS, FRAME, SLOTS = range(5)


@dataclass(frozen=True)
class SimulatedFrame:
    """A frame and its truth.

    Attributes
    ----------
    index : int
        From 0.
    cadenceno : int
    btjd : float
        Mid-exposure at the spacecraft [BTJD].
    quality : int
        The mission's bits.
    flux, flux_err : ndarray of float32, shape (ny, nx)
        As the mission gives them, with the sky [electron/s].
    stars, sky : ndarray of float64, shape (ny, nx)
        True light of the stars (with what ran over) and of the sky as the pixels see it [electron/s]; what is seen
        in a frame that is all zero, too.
    hit : ndarray of bool, shape (ny, nx)
        Pixels with something of a cosmic ray.
    """

    index: int
    cadenceno: int
    btjd: float
    quality: int
    flux: np.ndarray
    flux_err: np.ndarray
    stars: np.ndarray
    sky: np.ndarray
    hit: np.ndarray


@dataclass(frozen=True)
class SimulatedCcd:
    """What all frames have in common, and what is true of each.

    Attributes
    ----------
    setup : CcdSetup
    plate : TanSip
        True plate solution at shift 0, in coordinates of the CCD.
    catalogued : CcdStars
        All stars, those that no catalogue lists too.
    relative : ndarray of float64, shape (n_times, n_placed)
        Light of the placed stars, 1 where nothing happens; all others are constant.
    btjd : ndarray of float64, shape (n_times,)
        Mid-exposures at the spacecraft [BTJD].
    cadenceno : ndarray of int64, shape (n_times,)
        From 0; gaps and missing frames are left out.
    quality : ndarray of int32, shape (n_times,)
    motion : CcdMotion
    response : PixelResponse
    shapes : ndarray of float64, shape (n_stars, 3, 5)
        From `star_shapes`.
    """

    setup: CcdSetup
    plate: TanSip
    catalogued: CcdStars
    relative: np.ndarray
    btjd: np.ndarray
    cadenceno: np.ndarray
    quality: np.ndarray
    motion: CcdMotion
    response: PixelResponse
    shapes: np.ndarray

    @property
    def columns(self) -> np.ndarray:
        """Columns of the CCD that are imaged."""
        return self.setup.first_column + np.arange(self.setup.shape[1])

    @property
    def rows(self) -> np.ndarray:
        """Rows of the CCD that are imaged."""
        return self.setup.first_row + np.arange(self.setup.shape[0])

    def star_flux(self, k: int) -> np.ndarray:
        """True light of all stars in frame k [electron/s]."""
        flux = self.catalogued.flux.copy()
        flux[: self.relative.shape[1]] *= self.relative[k]
        return flux

    def star_places(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean places of all stars in frame k, x and y in the part that is imaged [pixel]."""
        setup, stars = self.setup, self.catalogued
        shift_x, shift_y = self.motion.moved(k, stars.x + setup.first_column, stars.y + setup.first_row)
        x, y = stars.x + shift_x, stars.y + shift_y
        if k in setup.safe_frames:
            # What leaves on one side comes in on the other: there are stars everywhere.
            ny, nx = setup.shape
            x = (x + MARGIN) % (nx + 2.0 * MARGIN) - MARGIN
            y = (y + MARGIN) % (ny + 2.0 * MARGIN) - MARGIN
        return x, y

    def sky_at(self, k: int, columns: np.ndarray, rows: np.ndarray) -> SkyLight:
        """True light of the sky in frame k on a grid of pixels of the CCD."""
        setup = self.setup
        orbit, since = divmod(float(self.btjd[k] - setup.start_btjd), setup.orbit_d)
        # The light is at its strongest where the gap begins.
        phase = min(since / (setup.orbit_d - setup.gap_d), 0.999999)
        return sky_light(setup.sky, columns, rows, self.motion.centre, orbit + phase)

    def star_light(self, k: int) -> np.ndarray:
        """True light of the stars in the pixels of frame k, shape (ny, nx) [electron/s]."""
        x, y = self.star_places(k)
        places = self.motion.places(k)
        image = np.zeros(self.setup.shape)
        flux = self.star_flux(k) / len(places)
        for at in places:
            add_stars(image, np.stack([x + at[0], y + at[1], flux], axis=1), self.shapes)
        if self.setup.halo > 0.0:
            add_halos(image, np.stack([x, y, self.star_flux(k)], axis=1), self.setup.halo)
        return bleed(image, SATURATION)

    def frame(self, k: int) -> SimulatedFrame:
        """Make frame k; it is the same whatever was made before.

        Parameters
        ----------
        k : int

        Returns
        -------
        SimulatedFrame
        """
        setup = self.setup
        rng = np.random.default_rng([setup.seed, FRAME, k])
        stars = self.star_light(k)
        sky = self.sky_at(k, self.columns, self.rows).seen(self.response)
        live = LIVE if setup.mitigated else NOT_READ
        spread = pixel_variance(stars + sky, setup.cadence_s, live)
        flux = stars + sky + rng.standard_normal(setup.shape, np.float32) * np.sqrt(spread)
        rate = setup.rays * setup.cadence_s * (NOT_REJECTED if setup.mitigated else 1.0)
        rays = ray_tracks(setup.shape, rate, rng) / exposure_s(setup)
        flux += rays
        flux_err = np.sqrt(pixel_variance(np.maximum(flux, 0.0), setup.cadence_s, live))
        if k in setup.zero_frames:
            flux[:], flux_err[:] = 0.0, 0.0
        return SimulatedFrame(
            k,
            int(self.cadenceno[k]),
            float(self.btjd[k]),
            int(self.quality[k]),
            flux.astype(np.float32),
            flux_err.astype(np.float32),
            stars,
            sky,
            rays > 0.0,
        )


def exposure_s(setup: CcdSetup) -> float:
    """Time in which a frame gathers the light that its counts are of [s]."""
    return setup.cadence_s * NOT_READ * (KEPT if setup.mitigated else 1.0)


def simulate_ccd(setup: CcdSetup) -> SimulatedCcd:
    """Draw everything but the frames themselves.

    Parameters
    ----------
    setup : CcdSetup

    Returns
    -------
    SimulatedCcd
    """
    rng = {kind: np.random.default_rng([setup.seed, kind]) for kind in (STARS, MOTION, PIXELS, SLOTS)}
    slots = _slots(setup, rng[SLOTS])
    elapsed = slots * setup.exposure_d
    motion = simulate_motion(setup, elapsed, rng[MOTION])
    stars = draw_stars(setup, rng[STARS])
    quality = np.where(motion.dump, QUALITY_DUMP, 0).astype(np.int32)
    quality[list(setup.safe_frames)] |= QUALITY_SAFE
    quality[list(setup.zero_frames)] = 0
    columns = setup.first_column + np.arange(setup.shape[1])
    return SimulatedCcd(
        setup,
        plate_solution(setup),
        stars,
        relative_lights(setup, elapsed),
        setup.start_btjd + elapsed,
        slots,
        quality,
        motion,
        pixel_response(setup.sky, columns, setup.shape[0], rng[PIXELS]),
        star_shapes(stars.x + setup.first_column, stars.y + setup.first_row),
    )


def _slots(setup: CcdSetup, rng: np.random.Generator) -> np.ndarray:
    """Numbers of the cadences of which there are frames, shape (n_times,)."""
    n_missing = min(setup.missing, setup.n_times // 2)
    n = setup.n_times + n_missing
    kept = np.delete(
        np.arange(n), rng.choice(np.arange(1, n - 1), n_missing, replace=False) if n_missing else np.empty(0, int)
    )
    # The gap is at the end of each orbit, and what comes after it is later by as much.
    gap, per_orbit = round(setup.gap_d / setup.exposure_d), round(setup.orbit_d / setup.exposure_d)
    seen = max(per_orbit - gap, 1)
    return kept + gap * (kept // seen)


def frames(setup: CcdSetup) -> Iterator[SimulatedFrame]:
    """Make the frames one by one.

    Parameters
    ----------
    setup : CcdSetup

    Yields
    ------
    SimulatedFrame
        In the order of time.
    """
    ccd = simulate_ccd(setup)
    for k in range(setup.n_times):
        yield ccd.frame(k)
