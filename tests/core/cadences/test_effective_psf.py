from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.cadences.effective_psf import effective_psf, with_unlisted
from gaiaflux.core.cadences.frames import mean_image
from gaiaflux.core.cadences.measure import MeasureOptions, measure_stamp
from gaiaflux.sim.tess.stamp import simulate_stamp

from .conftest import setup, target_of


@pytest.fixture(scope="module")
def alone():
    made = setup(separation=0, n_times=800, rays=0.0)
    return simulate_stamp(replace(made, stars=made.stars[:1]))


def test_the_mean_of_the_frames_is_what_it_makes_of_the_star(alone):
    target = target_of(alone)
    made = measure_stamp(target, None, MeasureOptions(methods=()))
    left = np.abs(made.mean.image - made.scene.model)
    assert left.max() < 0.01 * made.mean.image.max()
    assert made.psf.samples.sum() / 81 == pytest.approx(1.0)
    # The place of a star is where its light is, which is not where the mission's function has it.
    assert np.hypot(*(made.scene.common - [0.12, 0.02])) < 0.05


def test_without_any_light_there_is_a_function_all_the_same(alone):
    target = target_of(alone)
    mean = replace(mean_image(target.frames), image=np.full((11, 11), np.nan))
    assert effective_psf(target.frames, mean, target.stars, target.corner).samples.max() > 0


def test_a_star_is_measured_with_it(alone):
    made = measure_stamp(target_of(alone), None, MeasureOptions(methods=("psf", "linpsf")))
    assert made.effective
    usable = (alone.quality == 0) & np.isfinite(alone.time)
    for table in made.tables.values():
        flux = table.flux[usable] / alone.star_flux[0, 0]
        # Its far wings are no part of the function: they count as background.
        assert np.median(flux) == pytest.approx(1.0, abs=0.07)
        assert np.median(np.abs(np.diff(flux))) < 1.2 * np.median(table.flux_err[usable]) / alone.star_flux[0, 0]


def test_summits_without_a_star_of_the_catalogue_are_stars():
    made = setup(n_times=300, rays=0.0)
    stamp = simulate_stamp(made)
    target = target_of(stamp)
    short = target.stars.of(np.array([0, 1]))
    found = with_unlisted(mean_image(target.frames), short, target.frames.mean_shift)
    assert len(found) == 5
    for star in made.stars[2:]:
        assert np.hypot(found.x[2:] - star.x, found.y[2:] - star.y).min() < 1.0
    again = with_unlisted(mean_image(target.frames), found, target.frames.mean_shift)
    assert len(again) == 5
    empty = mean_image(target.frames)
    none = replace(empty, image=np.full((11, 11), np.nan))
    assert len(with_unlisted(none, short, np.zeros(2))) == 2
