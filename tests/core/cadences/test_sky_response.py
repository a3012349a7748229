"""Truth: static stars, light of the Earth with periods of 13.7 and 1 day, responses of single pixels, cosmic rays."""

import numpy as np
import pytest

from gaiaflux.core.cadences.sky_response import PixelResponse, ResponsePrior, fit_response, plane_series
from gaiaflux.io.tess.target_pixels import read_target_pixels

N, SIDE = 1300, 16
CUT_OUT = "tesscut_s01_c4_3/tess-s0001-4-3_107.27_-70.0_5x5_astrocut.fits"
TIME = np.arange(N) / 48.0
NOISE = 0.45


class Tile:
    """A tile of the sky whose pixels respond to it."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.sky = 92.0 + 50.0 * (1 + np.sin(2 * np.pi * TIME / 13.7)) + 25.0 * (1 + np.sin(2 * np.pi * TIME + 0.4))
        self.slopes = np.stack([0.05 * np.sin(2 * np.pi * TIME / 13.7 + 1.0), 0.03 * np.cos(2 * np.pi * TIME)], axis=1)
        self.shifts = rng.normal(0.0, 0.02, (N, 2)) + 0.05 * np.sin(2 * np.pi * TIME / 5.0)[:, None]
        self.truth = rng.normal(0.0, 1.0, (3, SIDE, SIDE)) * np.array([0.003, 1.0, 1.0])[:, None, None]
        self.static = 5.0 * rng.random((SIDE, SIDE))
        self.good = rng.random(N) > 0.02
        self.rng = rng

    def response(self):
        terms = np.stack([self.sky - self.sky[self.good].mean(), *(self.slopes - self.slopes[self.good].mean(0)).T])
        return np.einsum("kn,kji->nji", terms, self.truth)

    def residual(self, extra=0.0, hits=1e-3):
        shape = (N, SIDE, SIDE)
        moved = np.einsum("nk,kji->nji", self.shifts, 20.0 * np.stack(np.gradient(self.static)))
        noise = self.rng.normal(0.0, NOISE, shape) + (self.rng.random(shape) < hits) * self.rng.exponential(30, shape)
        # Frames that are not good are so for a reason.
        noise[~self.good] += 50.0
        return (self.static + moved + self.response() + noise + extra).astype(np.float32)

    def fit(self, residual, **options):
        variance = np.full((SIDE, SIDE), NOISE**2)
        return fit_response(residual, self.sky, self.slopes, self.shifts, variance, self.good, **options)

    def light(self, response):
        return response.light(self.sky, self.slopes)


def test_response_and_its_errors():
    tile = Tile(1)
    fitted = tile.fit(tile.residual())
    pull = (fitted.terms - tile.truth) / fitted.errors
    assert np.sqrt((pull**2).mean(axis=(1, 2))) == pytest.approx(np.ones(3), abs=0.15)
    assert np.abs(fitted.terms[0] - tile.truth[0]).std() < 5e-4
    left = (tile.light(fitted) - tile.response())[tile.good]
    assert left.std() < 0.1 * tile.response()[tile.good].std() + 0.03


def test_the_mean_image_stays_what_it_is():
    tile = Tile(2)
    light = tile.light(tile.fit(tile.residual()))
    assert np.abs(light[tile.good].mean(axis=0)).max() < 1e-3
    assert light.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "signal"),
    [
        ("sine of 2 days", 20.0 * np.sin(2 * np.pi * TIME / 2.0)),
        ("sine of 1 day", 20.0 * np.sin(2 * np.pi * TIME)),
        ("sine of 13.7 days", 20.0 * np.sin(2 * np.pi * TIME / 13.7 + 0.3)),
        ("transit", -10.0 * (np.abs((TIME - 1.0) % 3.5 - 1.75) < 0.06)),
        ("eclipse", -300.0 * (np.abs((TIME - 1.0) % 3.5 - 1.75) < 0.06)),
        ("flare", 500.0 * np.exp(-np.clip(TIME - 11.0, 0, None) / 0.05) * (TIME > 11.0)),
    ],
)
def test_a_stars_own_changes_survive(name, signal):
    tile = Tile(3)
    star = np.exp(-0.5 * (np.hypot(*(np.indices((SIDE, SIDE)) - 7.0)) / 0.9) ** 2)
    light = np.asarray(signal[:, None, None] * star)
    changed = tile.light(tile.fit(tile.residual(light)))
    # The same noise without the star's changes.
    again = Tile(3)
    plain = again.light(again.fit(again.residual()))
    lost = ((changed - plain) * star).sum(axis=(1, 2))[tile.good]
    there = (light * star).sum(axis=(1, 2))[tile.good]
    share = (lost @ (there - there.mean())) / ((there - there.mean()) @ there)
    assert abs(share) < 0.01, name


def test_a_column_above_a_strap_has_a_response_of_its_own():
    tile = Tile(4)
    tile.truth[0, :, 5] += 0.04
    fitted = tile.fit(tile.residual())
    np.testing.assert_allclose(fitted.terms[0, :, 5].mean(), 0.04 + (tile.truth[0, :, 5].mean() - 0.04), rtol=0.02)
    # A single pixel that asks for as much does not get it.
    tile = Tile(4)
    tile.truth[0, 5, 5] += 0.04
    assert abs(tile.fit(tile.residual()).terms[0, 5, 5]) < 0.01


def test_of_few_frames_or_a_constant_sky_nothing_is_learnt():
    tile = Tile(5)
    residual = tile.residual()
    tile.good = np.arange(N) < 29
    none = tile.fit(residual)
    assert not none.terms.any()
    np.testing.assert_allclose(none.errors[:, 0, 0], [0.003, 1.0, 1.0])
    assert not tile.light(none).any()
    tile = Tile(5)
    tile.sky, tile.slopes, tile.shifts = np.full(N, 92.0), np.zeros((N, 2)), np.zeros((N, 2))
    constant = tile.fit(tile.residual())
    np.testing.assert_allclose(constant.terms, 0.0, atol=1e-6)
    np.testing.assert_allclose(constant.errors[0], 0.003, rtol=1e-3)


def test_missing_pixels_and_a_sky_of_pixels():
    tile = Tile(6)
    residual = tile.residual()
    whole = tile.fit(residual)
    holed = residual.copy()
    holed[tile.rng.random(holed.shape) < 0.05] = np.nan
    holed[:, 3, 3] = np.nan
    some = tile.fit(holed)
    away = np.ones((SIDE, SIDE), bool)
    away[3, 3] = False
    assert np.isfinite(some.terms).all()
    assert (some.terms[0] - whole.terms[0])[away].std() < 1e-4
    assert some.terms[0, 3, 3] == pytest.approx(0.0, abs=3e-3)
    tile.sky = tile.sky[:, None, None] * np.ones((SIDE, SIDE))
    np.testing.assert_allclose(tile.fit(residual).terms, whole.terms, atol=1e-6)
    tile.sky = tile.sky[:, 0, 0].copy()
    tile.sky[7] = np.nan
    assert np.isfinite(tile.fit(residual).terms).all()
    assert not tile.light(whole)[7].any() or np.isfinite(tile.light(whole)[7]).all()


def test_planes_of_frames():
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:5, :5] - 2.0
    level, slope = rng.uniform(90, 200, 400), rng.normal(0, 1, (400, 2))
    truth = level[:, None, None] + slope[:, 0, None, None] * x + slope[:, 1, None, None] * y
    static = rng.normal(0.0, 10.0, (5, 5))
    design = np.stack([np.ones(25), x.ravel(), y.ravel()], axis=1)
    static -= (design @ np.linalg.pinv(design) @ static.ravel()).reshape(5, 5)
    images = truth + static + rng.normal(0, 0.4, truth.shape)
    images[rng.random(truth.shape) < 0.002] += 500.0
    images[10] = np.nan
    images[11, 2, 2] = np.nan
    found = plane_series(images)
    known = np.arange(400) != 10
    assert (found.mean - level)[known].std() == pytest.approx(0.4 / 5.0, rel=0.15)
    assert (found.slopes - slope)[known].std() == pytest.approx(0.4 / np.sqrt(50.0), rel=0.15)
    assert (found.static - static).std() < 0.05
    assert np.isnan(found.mean[10])
    np.testing.assert_allclose(found.values()[5], truth[5], atol=1.0)


def test_light_is_relative_to_the_mean_sky():
    response = PixelResponse(np.ones((3, 1, 2), np.float32), np.ones((3, 1, 2), np.float32), np.array([10.0, 1.0, 2.0]))
    light = response.light(np.array([10.0, 13.0, np.nan]), np.array([[1.0, 2.0], [1.0, 2.5], [1.0, 2.0]]))
    np.testing.assert_allclose(light[:, 0], [[0.0, 0.0], [3.5, 3.5], [0.0, 0.0]])


def test_scattered_light_of_a_real_sector(tess_data):
    path = tess_data / CUT_OUT
    if not path.exists():
        pytest.skip(f"{path} is not there")
    series = read_target_pixels(path).series
    good = series.quality == 0
    images = series.flux.astype(np.float64)
    planes = plane_series(images)
    residual = images - planes.values()
    variance = np.median(series.flux_err.astype(np.float64) ** 2, axis=0)
    no_shifts = np.zeros((len(images), 2))
    fitted = fit_response(residual.astype(np.float32), planes.mean, planes.slopes, no_shifts, variance, good)
    loud = good & (planes.mean >= np.percentile(planes.mean[good], 90.0))

    def scatter(left):
        pull = (left - np.median(left[good], axis=0)) / series.flux_err
        # A plane takes 3 of 25 degrees of freedom.
        pull = pull * np.sqrt(25.0 / 22.0)
        calm = good & (np.abs(pull) < 6.0).all(axis=(1, 2))
        return [np.sqrt((pull[calm & which] ** 2).mean(axis=0)) for which in (good, loud)]

    plain, plain_loud = scatter(residual)
    with_response, response_loud = scatter(residual - fitted.light(planes.mean, planes.slopes))
    assert np.median(plain) > 1.08
    assert plain.max() > 1.6
    for found in (with_response, response_loud):
        assert np.median(found) <= 1.05
        assert found.max() <= 1.25
    assert plain_loud.max() > response_loud.max()


def test_what_pixels_may_do_is_a_choice():
    tile = Tile(8)
    tight = tile.fit(tile.residual(), prior=ResponsePrior(1e-6, 1e-6))
    assert np.abs(tight.terms).max() < 1e-4


def test_a_star_that_moves_by_tenths_of_a_pixel_hides_no_response():
    """Its light in a pixel is no straight line then."""
    tile = Tile(11)
    tile.shifts = np.stack([np.linspace(-0.3, 0.3, N), 0.25 * np.sin(2 * np.pi * TIME / 20.0)], axis=1)
    tile.shifts += tile.rng.normal(0.0, 0.005, (N, 2))
    y, x = np.indices((SIDE, SIDE))
    away = np.hypot(x - 7.2 - tile.shifts[:, 0, None, None], y - 7.9 - tile.shifts[:, 1, None, None])
    light = 1000.0 * np.exp(-0.5 * (away / 0.9) ** 2) / (2 * np.pi * 0.9**2)
    fitted = tile.fit(tile.residual(light))
    core = np.hypot(x - 7.2, y - 7.9) < 2.0
    assert (fitted.terms[0] - tile.truth[0])[core].std() < 8e-4
    pull = ((fitted.terms[0] - tile.truth[0]) / fitted.errors[0])[core]
    assert np.sqrt((pull**2).mean()) < 1.5
