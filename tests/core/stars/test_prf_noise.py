import numpy as np
import pytest

from gaiaflux.core.psf.stamps import make_stamps
from gaiaflux.core.stars.prf_noise import ResidualNoise, function_error, matched_snr, spread, structure

SHAPE = (80, 90)


@pytest.fixture(scope="module")
def psf(ccd_psf, ccd_image):
    return ccd_psf.part(ccd_image.CORNER, SHAPE)


def noise(scatter=1.0, seed=1):
    return (scatter * np.random.default_rng(seed).normal(size=SHAPE)).astype(np.float32)


def test_the_brightest_neighbour_counts():
    light = np.zeros((5, 6), np.float32)
    light[2, 3] = 7.0
    due = np.zeros_like(light)
    due[1:4, 2:5] = 7.0
    np.testing.assert_array_equal(spread(light), due)


def test_the_error_of_a_function_is_a_part_of_the_light():
    light = np.full(SHAPE, 5e4, np.float32)
    weight = np.ones(SHAPE, np.float32)
    assert function_error(noise(1.0) + 0.02 * light * noise(seed=2), light, weight) == pytest.approx(0.02, rel=0.05)
    assert function_error(noise(1.0), light, weight) == 0.002
    assert function_error(noise(1.0), light / 1000, weight) == 0.01  # nothing is bright enough to tell


def test_structure_is_what_dark_pixels_scatter_beyond_their_noise():
    dark, weight = np.zeros(SHAPE, np.float32), np.full(SHAPE, 4.0, np.float32)
    assert structure(noise(0.5) + noise(2.0, 2), dark, weight) == pytest.approx(2.0, rel=0.04)
    assert structure(noise(0.5), dark, weight) < 0.1
    assert structure(noise(9.0), dark + 100, weight) == 0.0


def test_matched_light_is_that_of_the_star(psf):
    light = 500.0 * _star(psf, 40.0, 30.0)
    weight = np.full(SHAPE, 0.25, np.float32)
    snr, flux = matched_snr(light + noise(2.0), weight, psf)
    power = 0.25 * float(np.sum(_star(psf, 40.0, 30.0) ** 2))
    assert flux[30, 40] == pytest.approx(500.0, abs=3.5 * power**-0.5)
    assert snr[30, 40] == pytest.approx(500.0 * power**0.5, abs=4.0)
    empty, _ = matched_snr(noise(2.0), weight, psf)
    assert empty[5:-5, 5:-5].std() == pytest.approx(1.0, abs=0.12)
    nothing, _ = matched_snr(light, np.zeros_like(weight), psf)
    assert not nothing.any()


def test_errors_count_misfit_and_what_is_too_faint_to_be_found(psf):
    weight, dark = np.ones(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    flux, misfit = np.array([100.0, 100.0, 1e6]), np.array([0.5, 4.0, 1.0])
    plain = ResidualNoise(noise(), dark, weight)
    np.testing.assert_allclose(plain.light_errors(np.ones(3), flux, misfit, psf), [1.02, 2.02, 2000.0], rtol=0.08)
    rng = np.random.default_rng(4)
    unseen = noise()
    for x, y in rng.uniform(0, 80, (400, 2)):
        unseen += 12.0 * _star(psf, x, y)
    crowded = ResidualNoise(unseen, dark, weight)
    assert crowded.fit_weight().max() < 0.8
    assert crowded.light_errors(np.ones(3), flux, misfit, psf)[0] > 1.2


def _star(psf, x, y):
    image = np.zeros(SHAPE, np.float32)
    stamps = make_stamps(psf, np.array([x]), np.array([y]), 5.0)
    stamps.psf.add_light(image, stamps, np.ones(1), np.array([9.0]))
    return image
