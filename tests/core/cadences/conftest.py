"""Simulated stamps, and how well anyone could measure them."""

from dataclasses import dataclass, fields, replace

import numpy as np
import pytest

from gaiaflux.core.cadences.centroids import CentroidOptions, Centroids, PixelNoise, measure_centroids, motion_stars
from gaiaflux.core.cadences.frames import StampFrames
from gaiaflux.core.cadences.measure import MeasureOptions, StampTarget, measure_stamp
from gaiaflux.core.cadences.motion import measured_shifts
from gaiaflux.core.cadences.motion_terms import StarPlaces
from gaiaflux.core.cadences.scene import SceneStars
from gaiaflux.core.psf.sampled import sampled_psf
from gaiaflux.sim.tess.floor import least_errors
from gaiaflux.sim.tess.response import Response, response_grid
from gaiaflux.sim.tess.stamp import LIVE, READ_VARIANCE_120, SimulatedStamp, StampSetup, simulate_stamp
from gaiaflux.sim.tess.star_frames import StarFrames, moved_places, star_responses
from gaiaflux.sim.tess.stars import StampStar, tess_flux

N_TIMES = 4000
TMAG = 10.5


@pytest.fixture(scope="session")
def response():
    """What the files of the mission would give."""
    samples, columns, rows = response_grid()
    return sampled_psf(samples, 9, columns, rows, (2048, 2092))


def setup(separation=1.5, n_times=N_TIMES, **keywords):
    """A target, an eclipsing star of the same light beside it, and three fainter ones."""
    stars = [StampStar(1, 5.2, 4.9, TMAG)]
    if separation:
        place = 5.2 + 0.8 * separation, 4.9 + 0.6 * separation
        stars.append(StampStar(2, *place, TMAG, "eclipses", 0.1, 1.37, 0.4))
    stars += [StampStar(3, 1.4, 8.8, 12.0), StampStar(4, 9.3, 1.6, 12.5), StampStar(5, 8.9, 8.7, 13.0)]
    return StampSetup(**{"stars": tuple(stars), "n_times": n_times, "seed": 3, "missing": 0.01, **keywords})


def target_of(stamp: SimulatedStamp, displaced=(0.0, 0.0)) -> StampTarget:
    """What the fits are given: nothing of the truth but a catalogue that is 3 % too bright."""
    shifts = measured_shifts(stamp.pos_corr, stamp.time)
    known = shifts.known if shifts.known.any() else np.ones(len(stamp.time), bool)
    good = (stamp.quality == 0) & np.isfinite(stamp.time) & known
    frames = StampFrames(stamp.flux, stamp.flux_err, stamp.background_err, good, shifts.shift)
    stars = stamp.setup.stars
    flux = np.array([tess_flux(star.tmag) for star in stars])
    x, y = np.array([star.x for star in stars]), np.array([star.y for star in stars])
    corner = stamp.setup.first_column + displaced[0], stamp.setup.first_row + displaced[1]
    return StampTarget(frames, shifts.known, SceneStars(x, y, 1.03 * flux, 0.05 * flux, np.full(len(x), 0.02)), corner)


@dataclass
class Scored:
    """A measurement and the truth of it; attributes of `scores` are relative to the floor or to the star's light."""

    stamp: SimulatedStamp
    made: object

    @property
    def usable(self):
        return (self.stamp.quality == 0) & np.isfinite(self.stamp.time)

    def scores(self, method):
        """Noise over the floor, pull, bias, and what the target takes of the neighbour's change."""
        table, true = self.made.tables[method], self.stamp.star_flux[:, 0]
        floor = least_errors(self.stamp, set(self.made.scene.rows[self.made.fit.free.rows]))[0]
        away = (table.flux - true)[self.usable]
        pull = away / table.flux_err[self.usable]
        neighbour = self.stamp.star_flux[:, 1][self.usable]
        change = neighbour / neighbour.max() - 1
        leak = np.polyfit(change, away / true[0], 1)[0] if np.ptp(change) > 0 else 0.0
        return {
            "noise": np.std(away) / floor,
            "pull": np.std(pull - pull.mean()),
            "bias": away.mean() / true[0],
            "leak": leak,
            "missing": np.isnan(away).sum(),
        }


@pytest.fixture(scope="session")
def scored(response):
    """Simulate a stamp and measure it."""

    def make(methods=("psf", "linpsf"), displaced=(0.0, 0.0), options=None, **keywords):
        stamp = simulate_stamp(setup(**keywords))
        options = options or MeasureOptions(methods=methods)
        return Scored(stamp, measure_stamp(target_of(stamp, displaced), response, options))

    return make


@pytest.fixture(scope="session")
def pair(scored):
    """The blend of the budgets."""
    return scored()


CORNER = 1000, 700  # of simulated frames on the CCD


@dataclass
class StarField:
    """Stars on a grid of cells, frames of them, and where they truly are."""

    x: np.ndarray
    y: np.ndarray
    setup: StarFrames
    pivot: np.ndarray

    @property
    def catalogue(self):
        return np.stack([self.x, self.y, self.setup.flux])

    def motion_at(self, xy, shift, roll):
        """True motion of places, mean zero; shape (n_frames, n, 2)."""
        moved = np.moveaxis(moved_places(xy[:, 0], xy[:, 1], shift, roll, self.pivot), 0, -1) - xy
        return moved - moved.mean(axis=0)


@pytest.fixture(scope="session")
def star_field():
    """Frames of a part of a CCD: `n_stars` in cells, that move by `shift` and `roll`."""

    def make(n_stars, shift, roll=None, *, shape=(256, 256), tmag=(8.0, 12.0), seed=1, **keywords):
        rng = np.random.default_rng(seed)
        side = int(np.ceil(np.sqrt(n_stars)))
        row, column = np.divmod(rng.permutation(side * side)[:n_stars], side)
        cell = np.array(shape) / side
        x = (column + 0.5) * cell[1] + rng.uniform(-0.5, 0.5, n_stars) * (cell[1] - 17)
        y = (row + 0.5) * cell[0] + rng.uniform(-0.5, 0.5, n_stars) * (cell[0] - 17)
        flux = np.array([tess_flux(mag) for mag in rng.uniform(*tmag, n_stars)])
        pivot = (np.array(shape[::-1]) - 1) / 2
        moved = moved_places(x, y, shift, np.zeros(len(shift)) if roll is None else roll, pivot)
        setup = StarFrames(*moved, flux, star_responses(x, y, CORNER), shape, seed=seed, **keywords)
        return StarField(x, y, setup, pivot)

    return make


@pytest.fixture(scope="session")
def wide_response():
    """A function that is 2 % wider than the true one, as no measured function is quite right."""
    grid = response_grid()
    samples = [
        [
            replace(true, width_x=1.02 * true.width_x, width_y=1.02 * true.width_y).samples()
            for true in (Response.at(column, row) for column in grid.columns)
        ]
        for row in grid.rows
    ]
    return sampled_psf(np.array(samples), 9, grid.columns, grid.rows, (2048, 2092))


@pytest.fixture(scope="session")
def measured(wide_response):
    """Centroids of all stars in all frames of a field, as arrays; keywords go to the measurement."""

    def measure(field, images, catalogue=None, psf=None, options=None, **keywords):
        options = options or CentroidOptions()
        catalogue = field.catalogue if catalogue is None else catalogue
        rows = np.arange(len(field.x))
        stars = motion_stars(psf or wide_response, catalogue, rows, CORNER, options)
        cadence = field.setup.cadence_s
        noise = PixelNoise(1.0 / (LIVE * cadence), READ_VARIANCE_120 * 120.0 / cadence)
        made = [measure_centroids(image, stars, noise, options, **keywords) for image in images]
        return Centroids(*(np.stack([getattr(one, field.name) for one in made]) for field in fields(Centroids)))

    return measure


def places_of(catalogue, found, stars=slice(None), frames=slice(None)):
    """What `solve_motion` takes."""
    return StarPlaces(
        catalogue[0, stars],
        catalogue[1, stars],
        *(values[frames][:, stars] for values in (found.x, found.y, found.x_err, found.y_err)),
    )


@pytest.fixture(scope="session")
def star_places():
    return places_of
