from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.image.background import BoxBackground, estimate_background
from gaiaflux.core.image.pixel_flags import near_saturation
from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.psf.fluxes import solve_fluxes, stars_within_reach, take_off
from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.core.psf.stamps import add_light, lost_light, make_stamps
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.model.flags import PixelFlag
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.workflow.settings import complete_section

DEFAULTS = psf_options(complete_section(PsfSettings))
SHAPE = (300, 320)
FWHM = 4.0
SKY = 400.0
PSF = moffat_psf(SHAPE, FWHM)
OPTIONS = replace(DEFAULTS, background=BoxBackground(64)).for_width(FWHM, 6)


def exposure(x, y, flux, seed=0, sky=SKY):
    light = np.zeros(SHAPE, np.float32)
    add_light(light, make_stamps(PSF, x, y, 40.0), flux, np.full(len(x), 100.0))
    rng = np.random.default_rng(seed)
    image = rng.poisson(light + sky).astype(np.float32)
    return Pixels(image, np.zeros(SHAPE, np.uint8), 0.0, 1.0, float(np.sqrt(sky)))


def test_weight_is_the_inverse_variance_of_the_models_light():
    image = np.array([[10.0, 20.0, 30.0, 40.0]], np.float32)
    residual = np.array([[4.0, 25.0, 0.0, 0.0]], np.float32)
    flags = np.array([[0, 0, 0, 1]], np.uint8)
    # Light of 6, none (the model is not negative), 30; the last pixel is masked.
    expected = [1 / (5 + 0.5 * 6), 1 / 5, 1 / (5 + 0.5 * 30), 0.0]
    np.testing.assert_allclose(Pixels(image, flags, 5.0, 0.5, 1.0).weight(residual)[0], expected, rtol=1e-6)
    floor = np.array([[5.0, 6.0, 7.0, 8.0]], np.float32)
    expected = [1 / (5 + 0.5 * 6), 1 / 6, 1 / (7 + 0.5 * 30), 0.0]
    np.testing.assert_allclose(Pixels(image, flags, floor, 0.5, 1.0).weight(residual)[0], expected, rtol=1e-6)
    assert Pixels(image, flags, 0.0, 1.0, 1.0).weight(residual)[0, 1] == 0.0
    assert not Pixels(image, flags, 5.0, 0.5, 1.0).with_flags(np.ones((1, 4), np.uint8)).weight(residual).any()


def test_a_saturated_pixel_within_half_a_width_counts():
    flags = np.zeros((40, 50), np.uint8)
    flags[20, 30] = PixelFlag.SATURATED
    flags[5, 5] = PixelFlag.BAD
    x = np.array([30.0, 32.0, 32.6, 31.6, 30.0, 28.0, 5.0, np.round(-3.0), 60.0])
    y = np.array([20.0, 20.0, 20.0, 21.6, 22.4, 18.0, 5.0, 20.0, 20.0])
    # Half of a FWHM of 4: two pixels; (32.6, 20) rounds to three, (31.6, 21.6) and (28, 18) lie across the corner.
    assert near_saturation(flags, x, y, 4.0).tolist() == [True, True, False, False, True, False, False, False, False]
    # A narrow star has its next pixels at least.
    assert near_saturation(flags, np.array([31.0, 32.0]), np.array([20.0, 20.0]), 0.5).tolist() == [True, False]
    # At the rim nothing is beyond.
    flags[:] = 0
    flags[0, 0] = PixelFlag.SATURATED
    assert near_saturation(flags, np.array([49.0, 1.0]), np.array([39.0, 0.0]), 4.0).tolist() == [False, True]


def test_stars_within_reach_come_from_bottom_to_top():
    x = np.array([100.0, -9.0, -11.0, 328.0, 330.0, 50.0, np.nan, 20.0])
    y = np.array([200.0, 10.0, 10.0, 20.0, 20.0, -9.5, 5.0, 310.0])
    assert stars_within_reach(x, y, SHAPE, 10.0).tolist() == [5, 1, 3, 0]
    assert stars_within_reach(x[:1], y[:1], SHAPE, 0.0).tolist() == [0]


def test_light_on_lost_pixels_and_on_the_image():
    x, y = np.array([100.0, 100.0, 0.0, 200.0]), np.array([100.0, 200.0, 150.0, 299.0])
    stamps = make_stamps(PSF, x, y, 12.0)
    flags = np.zeros(SHAPE, np.uint8)
    flags[:, 100] = PixelFlag.SATURATED
    flags[200, 101:104] = PixelFlag.BAD
    lost, inside = lost_light(flags, stamps, PixelFlag.SATURATED)
    half = (stamps.values.shape[1] - 1) // 2
    full = stamps.values.sum(axis=(1, 2))
    column = stamps.values[:, :, half].sum(axis=1)
    np.testing.assert_allclose(lost, [column[0], column[1], 0.0, 0.0], rtol=1e-5)
    assert inside[:2] == pytest.approx(full[:2], rel=1e-5)
    # Half of the light and half of the middle column, row.
    assert inside[2] == pytest.approx(0.5 * (full[2] + column[2]), rel=1e-4)
    assert inside[3] == pytest.approx(0.5 * (full[3] + stamps.values[3, half].sum()), rel=1e-4)
    both = lost_light(flags, stamps, PixelFlag.SATURATED | PixelFlag.BAD)[0]
    assert both[1] == pytest.approx(column[1] + stamps.values[1, half, half + 1 : half + 4].sum(), rel=1e-5)


def test_stars_are_taken_off_to_where_they_fade():
    x, y, flux = np.array([80.0, 200.0]), np.array([90.0, 210.0]), np.array([3e5, 3e3])
    pixels = exposure(x, y, flux)
    stamps = make_stamps(PSF, x, y, 2.2 * FWHM)
    residual, light, sky = take_off(pixels, stamps, flux, OPTIONS)
    assert np.abs(sky.level - SKY).max() < 3.0
    assert np.std(residual) == pytest.approx(20.0, rel=0.03)
    # A star of no light is left; a sky that is given is taken.
    given = estimate_background(np.random.default_rng(1).normal(100.0, 1.0, SHAPE).astype(np.float32), pixels.flags, 64)
    residual, light, sky = take_off(pixels, stamps, np.zeros(2), OPTIONS, sky=given)
    assert sky is given
    assert not light.any()
    assert np.median(residual) == pytest.approx(SKY - 100.0, abs=1.0)
    # To where it is a fiftieth of the noise: a bright star far, a faint one hardly beyond its circle.
    _, light, _ = take_off(pixels, stamps, np.array([3e5, 0.0]), OPTIONS)
    assert light[light > 0].min() == pytest.approx(0.4, rel=0.05)
    assert np.count_nonzero(light[90]) == 43
    _, light, _ = take_off(pixels, stamps, np.array([0.0, 3e3]), OPTIONS)
    assert np.count_nonzero(light[210]) == 19
    # But not farther than 25 FWHM.
    _, light, _ = take_off(pixels, stamps, np.array([1e12, 0.0]), OPTIONS)
    assert np.flatnonzero(light[90]).max() == 180


@pytest.mark.parametrize("sky", [100.0, 2000.0])
def test_fluxes_and_sky_of_a_crowded_field_settle(sky):
    rng = np.random.default_rng(3)
    n = 900
    x, y = rng.uniform(-5, SHAPE[1] + 5, n), rng.uniform(-5, SHAPE[0] + 5, n)
    flux = 10 ** rng.uniform(3.3, 5.0, n)
    pixels = exposure(x, y, flux, sky=sky)
    solution = solve_fluxes(pixels, PSF, x, y, np.zeros(n), OPTIONS)
    # Half of the pixels hold stars: before they are taken off the sky is far too high.
    before = estimate_background(pixels.image, pixels.flags, 64)
    assert np.median(before.level) - sky > 10 * abs(np.median(solution.background.level) - sky)
    assert np.median(solution.background.level) == pytest.approx(sky, abs=0.15 * np.sqrt(sky))
    inside = (x > 8) & (y > 8) & (x < SHAPE[1] - 9) & (y < SHAPE[0] - 9)
    pull = ((solution.flux - flux) / solution.error)[inside]
    assert 0.9 < 1.4826 * np.median(np.abs(pull)) < 1.2
    assert abs(np.median(pull)) < 0.25
