"""What is one star although it was found beside a given one, and what is two."""

import numpy as np
import pytest

from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.psf.fluxes import solve_fluxes
from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.core.psf.stamps import add_light, make_stamps
from gaiaflux.core.stars import completion
from gaiaflux.core.stars.close_pairs import apart, halves
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.workflow.settings import complete_section

OPTIONS = psf_options(complete_section(PsfSettings))
SHAPE = (120, 130)
FWHM = 4.0
NOISE = 15.0
PSF = moffat_psf(SHAPE, FWHM)
# Flux of a star alone that has a signal-to-noise ratio of 1.
ALONE = NOISE * np.sqrt(5 * np.pi * (0.5 * FWHM) ** 2 / (2 ** (1 / 3) - 1) / 4)
FIELD = np.array([20.0, 60.0, 100.0]), np.array([30.0, 70.0, 95.0])


def pixels_of(x, y, snr, seed=0):
    light = np.zeros(SHAPE, np.float32)
    add_light(light, make_stamps(PSF, x, y, 30.0), np.asarray(snr) * ALONE, np.full(len(x), 30.0))
    noise = np.random.default_rng([6, seed]).normal(0, NOISE, SHAPE)
    return Pixels((light + 100.0 + noise).astype(np.float32), np.zeros(SHAPE, np.uint8), NOISE**2, 0.0, NOISE)


def one(pixels, x, y, place_error=(np.inf,) * 3, needed=25.0):
    once = OPTIONS.for_width(FWHM, 1)
    solution = solve_fluxes(pixels, PSF, np.asarray(x), np.asarray(y), np.zeros(len(x)), once)
    return halves(pixels, PSF, solution, np.array(place_error), FWHM, np.full(len(x), needed), once)


def test_places_apart_from_stars():
    stars = np.array([10.0, 40.0]), np.array([50.0, 20.0])
    alone = apart(np.array([11.9, 12.1, 40.0, 40.0]), np.array([50.0, 50.0, 21.9, 22.1]), *stars, 2.0)
    assert alone.tolist() == [False, True, False, True]
    assert apart(np.array([1.0]), np.array([1.0]), np.zeros(0), np.zeros(0), 2.0).all()


def test_a_star_beside_its_given_place_is_one():
    x, y = FIELD
    pixels = pixels_of(x, y, [300.0, 40.0, 300.0])
    # The given places are 0.1 of the width off, and what was found lies on the other sides.
    given = x + np.array([0.4, 0.4, 0.0])
    found = one(pixels, np.append(given, x[:2] - 0.8), np.append(y, y[:2]))
    assert found.tolist() == [False, False, False, True, True]


@pytest.mark.parametrize(("snr", "together"), [(300.0, False), (30.0, True)])
def test_two_stars_are_two_where_the_pixels_tell(snr, together):
    x, y = np.append(FIELD[0], FIELD[0][0] + 0.4 * FWHM), np.append(FIELD[1], FIELD[1][0])
    found = one(pixels_of(x, y, [snr, 300.0, 300.0, 0.4 * snr]), x, y)
    assert found.tolist() == [False, False, False, together]


def test_the_pair_must_be_as_much_better_as_is_needed():
    x, y = np.append(FIELD[0], FIELD[0][0] + 0.4 * FWHM), np.append(FIELD[1], FIELD[1][0])
    pixels = pixels_of(x, y, [300.0, 300.0, 300.0, 120.0])
    # The second moment of two stars: 0.3 and 0.7 of the light, 0.4 of the width apart.
    assert [bool(one(pixels, x, y, needed=value)[3]) for value in (100.0, 300.0, 3000.0)] == [False, False, True]


def test_light_that_is_too_far_from_a_sure_place_is_a_second_star():
    x, y = FIELD
    # One star 0.2 of the width beside its place, or two that cannot be told apart by their form.
    for beside, error, together in (
        *((0.2, 0.03, False), (0.2, 0.04, True)),
        # The plate solution's error alone: a fiftieth of the width.
        *((0.08, 0.0, True), (0.12, 0.0, False)),
    ):
        given = x + np.array([beside * FWHM, 0.0, 0.0])
        pixels = pixels_of(x, y, [60.0, 300.0, 300.0])
        found = one(pixels, np.append(given, x[0] - 0.2 * FWHM), np.append(y, y[0]), [error * FWHM] * 3)
        assert found[3] == together


@pytest.mark.parametrize(("distance", "together"), [(0.24, True), (0.26, False)])
def test_nearer_than_a_quarter_of_the_width_nothing_tells(distance, together):
    # Light that is wider than the point-spread function is described better by two of them, wherever they are.
    x, y = FIELD
    ends = np.array([x[0] - 0.4 * FWHM, x[0] + 0.65 * FWHM])
    pixels = pixels_of(np.append(x[1:], ends), np.append(y[1:], y[[0, 0]]), [300.0, 300.0, 1500.0, 1500.0])
    found = one(pixels, np.append(x, x[0] + distance * FWHM), np.append(y, y[0]))
    assert found.tolist() == [False, False, False, together]


def test_beyond_the_separation_of_peaks_no_pair_is_doubted():
    x, y = FIELD
    pixels = pixels_of(x, y, [300.0, 300.0, 300.0])
    for distance, together in ((0.44, True), (0.46, False)):
        found = one(pixels, np.append(x, x[0] + distance * FWHM), np.append(y, y[0]))
        assert found.tolist() == [False, False, False, together]
    # Without given stars there is nothing to be a half of.
    assert not one(pixels, np.append(x, x[0] + 0.1), np.append(y, y[0]), place_error=()).any()


@pytest.mark.parametrize("place_error", [None, 0.2 * FWHM])
def test_a_completed_list_has_a_star_once(monkeypatch, place_error):
    rng = np.random.default_rng(4)
    x, y = (a.ravel() + rng.uniform(-3, 3, 30) for a in np.meshgrid(np.arange(12, 125, 21.0), np.arange(12, 110, 21.0)))
    pixels = pixels_of(x, y, np.full(30, 300.0))
    given = x.copy()
    given[7] += 0.15 * FWHM
    peaks = iter([np.array([[x[7] - 0.5 * FWHM], [y[7]]])])
    monkeypatch.setattr(completion, "_new_peaks", lambda *_: next(peaks, np.zeros((2, 0))))
    asked = []
    monkeypatch.setattr(completion, "halves", lambda *given: asked.append(given[3]) or halves(*given))
    none, errors = np.zeros(0), None if place_error is None else np.full(30, place_error)
    magnitudes = completion.Magnitudes(np.full(30, 15.0), none, none, none, errors)
    found = completion.complete_stars(pixels, given, y, FWHM, OPTIONS, 5.0, magnitudes)
    assert len(found.x) == 30
    assert found.solution.flux[7] == pytest.approx(300.0 * ALONE, rel=0.05)
    np.testing.assert_array_equal(asked[0], np.full(30, np.inf if place_error is None else place_error))
