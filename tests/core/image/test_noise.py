import numpy as np
import pytest

from gaiaflux.core.image.local_sky import AnnulusSky, combine_sky, measure_annuli, paint_discs, rough_sky
from gaiaflux.core.image.noise import error_slope, noise_model, pixel_noise
from gaiaflux.core.maths.surface import fit_surface
from gaiaflux.sim.moffat_field import PsfField, add_stars

SHAPE = (512, 600)


def sky_image(rng, sky=400.0, noise=20.0, slope=0.0):
    ramp = slope * (np.arange(SHAPE[1]) - SHAPE[1] / 2)
    return (sky + ramp + rng.normal(0, noise, SHAPE)).astype(np.float32)


def no_flags():
    return np.zeros(SHAPE, np.uint8)


def add_field(image, rng, n, low=300.0, high=3e5):
    y, x = rng.uniform(0, SHAPE[0], n), rng.uniform(0, SHAPE[1], n)
    flux = np.exp(rng.uniform(np.log(low), np.log(high), n))
    zero = np.zeros(6)
    add_stars(image, PsfField(SHAPE, 3.0, np.array([4.0, 0, 0, 0, 0, 0]), zero, zero), x, y, flux, faintest=0.1)
    return x, y, flux


@pytest.mark.parametrize("n_stars", [0, 200, 1500])
def test_noise_and_trend_do_not_see_the_stars(n_stars):
    rng = np.random.default_rng(1)
    image = sky_image(rng, slope=0.2)
    add_field(image, rng, n_stars)
    trend = rough_sky(image, no_flags())
    assert pixel_noise(image, no_flags(), trend) == pytest.approx(20.0, rel=0.06)
    middle = trend.value(np.array([299.5]), np.array([255.5]))[0]
    assert middle == pytest.approx(400.0, abs=1.0 + 0.013 * n_stars)


def test_no_usable_pixels():
    image = np.zeros(SHAPE, np.float32)
    bad = np.ones(SHAPE, np.uint8)
    assert rough_sky(image, bad) is None
    trend = rough_sky(image, no_flags())
    assert np.isnan(pixel_noise(image, bad, trend))
    assert pixel_noise(image, no_flags(), trend) == 0


def test_noise_model_in_electrons():
    model = noise_model(400.0, np.sqrt(464.0), unit="electron", read_noise=8.0)
    assert (model.floor, model.slope) == (pytest.approx(64.0), 1.0)
    assert model.source == "gain and read noise"
    # The sky was taken off the image before: its noise is still there.
    model = noise_model(0.3, 20.0, unit="electron", read_noise=8.0)
    assert model.floor == pytest.approx(400.0, rel=0.01)
    assert model.source == "gain and the sky's noise"
    # No read noise given: what the sky shows.
    assert noise_model(400.0, np.sqrt(464.0), unit="electron", read_noise=np.nan).floor == pytest.approx(64.0)
    # Nothing measured: what is known.
    assert noise_model(400.0, np.nan, unit="electron", read_noise=5.0).floor == 25.0


@pytest.mark.parametrize("read_noise", [np.nan, 0.0, 9.0])
def test_unknown_gain_is_found_from_the_sky(read_noise):
    gain, sky_adu = 2.5, 300.0
    sigma = np.sqrt(sky_adu / gain + (np.nan_to_num(read_noise) / gain) ** 2)
    model = noise_model(sky_adu, sigma, unit="adu", read_noise=read_noise)
    assert model.slope == pytest.approx(1 / gain)
    assert model.floor + model.slope * sky_adu == pytest.approx(sigma**2)


def test_no_gain_and_no_sky():
    model = noise_model(0.0, 12.0, unit="adu", read_noise=np.nan)
    assert (model.floor, model.slope) == (pytest.approx(144.0), 0.0)
    known = noise_model(300.0, np.nan, unit="adu", read_noise=10.0, gain=2.0)
    assert (known.floor, known.slope) == (25.0, 0.5)
    with pytest.raises(ValueError, match="unit"):
        noise_model(1.0, 1.0, unit="counts", read_noise=1.0)


def test_annulus_level_is_unbiased_with_the_right_error():
    rng = np.random.default_rng(2)
    image = rng.poisson(100.0, SHAPE).astype(np.float32)
    y, x = (grid.ravel() for grid in np.mgrid[30:480:30, 30:570:30])
    sky = measure_annuli(image, no_flags(), x + 0.3, y - 0.2, (8.0, 14.0))
    pull = (sky.level - 100.0) / sky.error
    assert np.std(pull) == pytest.approx(1.0, abs=0.15)
    assert abs(np.mean(pull)) < 0.2
    np.testing.assert_allclose(sky.error, 10.0 / np.sqrt(np.pi * (14**2 - 8**2)), rtol=0.13)


def test_annulus_pixels_are_those_whose_centres_are_in_it():
    rng = np.random.default_rng(3)
    image = np.clip(rng.normal(0, 1, SHAPE), -2.2, 2.2).astype(np.float32)  # nothing to cut
    x, y = rng.uniform(-10, 620, 200), rng.uniform(-10, 520, 200)
    x[:4], y[:4] = [0.0, 599.0, 300.0, 0.5], [0.0, 511.0, 300.0, 255.5]
    avoid = no_flags()
    avoid[:, 300:310] = 1
    sky = measure_annuli(image, avoid, x, y, (5.0, 10.0))
    jj, ii = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for s in range(200):
        d2 = (ii - x[s]) ** 2 + (jj - y[s]) ** 2
        values = image[(d2 >= 25) & (d2 <= 100) & (avoid == 0)].astype(float)
        if len(values) < 40:
            assert np.isnan(sky.level[s])
            continue
        assert sky.n_pixels[s] == len(values)
        assert sky.level[s] == pytest.approx(values.mean(), abs=1e-5)


def test_annulus_next_to_stars_and_bad_pixels():
    rng = np.random.default_rng(4)
    image = sky_image(rng)
    x, y, flux = add_field(image, rng, 300)
    image[100:110] = 1e6
    avoid = no_flags()
    avoid[100:110] = 1
    paint_discs(avoid, x, y, 4.0 * (flux / 300.0) ** 0.25)
    sky = measure_annuli(image, avoid, x, y, (14.0, 22.0))
    good = np.isfinite(sky.level)
    assert good.sum() > 200
    assert abs(np.mean(sky.level[good]) - 400.0) < 0.6
    blind = measure_annuli(image, no_flags(), x, y, (14.0, 22.0))
    assert np.nanmean(blind.level) - 400.0 > 1.5


def test_gradient_is_carried_to_the_star_at_the_edge():
    rng = np.random.default_rng(5)
    image = sky_image(rng, noise=2.0, slope=0.3)
    y = np.arange(20.0, 500.0, 10.0)
    x = np.zeros(len(y))
    true = 400.0 - 0.3 * 300.0
    plain = measure_annuli(image, no_flags(), x, y, (8.0, 14.0))
    sloped = measure_annuli(image, no_flags(), x, y, (8.0, 14.0), slope_x=0.3)
    assert np.mean(plain.level) - true > 1.5
    assert abs(np.mean(sloped.level) - true) < 0.15


def test_annulus_of_whole_numbers_and_off_image():
    rng = np.random.default_rng(6)
    image = np.rint(rng.normal(100, 0.4, SHAPE)).astype(np.float32)
    x, y = np.array([100.0, -100.0, np.nan]), np.array([100.0, 5.0, 5.0])
    sky = measure_annuli(image, no_flags(), x, y, (8.0, 14.0))
    assert sky.level[0] == pytest.approx(100.0, abs=0.1)
    assert sky.error[0] > 0
    assert np.isnan(sky.level[1:]).all()
    assert measure_annuli(image, no_flags(), np.zeros(0), np.zeros(0), (8.0, 14.0)).level.shape == (0,)
    with pytest.raises(ValueError, match="inner"):
        measure_annuli(image, no_flags(), x, y, (8.0, 8.0))
    with pytest.raises(ValueError, match="shape"):
        measure_annuli(image, no_flags()[:5], x, y, (8.0, 14.0))


def levels(rng, structure, n=600):
    x, y = rng.uniform(0, SHAPE[1], n), rng.uniform(0, SHAPE[0], n)
    true = 400 + 0.05 * (x - 300) + rng.normal(0, structure, n)
    error = rng.uniform(0.5, 1.5, n)
    measured = true + rng.normal(0, error)
    trend = fit_surface(x, y, np.full(n, 400.0), np.ones(n), SHAPE, 0)
    return x, y, true, AnnulusSky(measured, error, np.full(n, 500)), trend


@pytest.mark.parametrize("structure", [0.0, 1.0, 20.0])
def test_best_sky_is_better_than_the_annulus_alone(structure):
    x, y, true, ring, trend = levels(np.random.default_rng(7), structure)
    sky = combine_sky(x, y, ring, np.zeros(len(x)), trend, 20.0)
    off, alone = np.std(sky.level - true), np.std(ring.level - true)
    assert off < {0.0: 0.25, 1.0: 0.8, 20.0: 1.03}[structure] * alone
    assert np.std((sky.level - true) / sky.error) < 1.1
    assert not sky.unreliable.any()


def test_missing_annuli_take_the_trend():
    x, y, true, ring, trend = levels(np.random.default_rng(8), 0.0)
    ring.level[:20] = np.nan
    ring.error[:20] = np.nan
    own = np.full(len(x), 7.0)
    sky = combine_sky(x, y, ring, own, trend, 20.0)
    assert sky.unreliable.sum() == 20
    np.testing.assert_allclose(sky.level, true - 7.0, atol=0.6)
    # A place that really differs keeps its annulus.
    ring.level[50] += 30
    assert combine_sky(x, y, ring, own, trend, 20.0).level[50] == pytest.approx(ring.level[50] - 7.0)


def test_few_annuli_stand_alone():
    x, y, _, ring, trend = levels(np.random.default_rng(9), 0.0, n=5)
    ring.level[0] = np.nan
    sky = combine_sky(x, y, ring, np.zeros(5), trend, 20.0)
    np.testing.assert_array_equal(sky.level[1:], ring.level[1:])
    np.testing.assert_allclose(sky.error[1:], ring.error[1:])
    assert sky.level[0] == pytest.approx(400.0)
    assert sky.unreliable.tolist() == [True, False, False, False, False]


@pytest.mark.parametrize(("slope", "n_stars"), [(1.0, 300), (0.4, 300), (0.0, 300), (1.0, 0), (0.4, 0)])
def test_error_image_tells_how_its_variance_grows(slope, n_stars):
    rng = np.random.default_rng(11)
    image = sky_image(rng)
    add_field(image, rng, n_stars)
    error = np.sqrt(400.0 + slope * (image - 400.0).clip(-390)).astype(np.float32)
    flags = no_flags()
    image[:, 100:110], error[:, 100:110], flags[:, 100:110] = 6e4, 1e4, 1
    assert error_slope(image, error, flags) == pytest.approx(slope, abs=0.02)
    # Errors that fall with the counts are not of photons; nor do few pixels or equal ones say anything.
    assert error_slope(image, np.sqrt(400.0 - 0.1 * (image - 400.0).clip(None, 3000)).astype(np.float32), flags) == 0.0
    assert error_slope(image, error, np.ones(SHAPE, np.uint8)) == 0.0
    assert error_slope(np.full(SHAPE, 5.0, np.float32), error, no_flags()) == 0.0


@pytest.mark.parametrize(("sky", "known"), [(31.0, True), (29.0, False)])
def test_a_sky_of_three_sigma_tells_of_the_gain(sky, known):
    model = noise_model(sky, 10.0, unit="adu", read_noise=np.nan)
    assert (model.source == "gain estimated from the sky's noise") == known
    assert model.slope == pytest.approx(100.0 / sky if known else 0.0)
    assert model.floor == pytest.approx(0.0 if known else 100.0, abs=1e-9)
    # Where no noise was measured nothing is known of it.
    assert noise_model(sky, np.nan, unit="adu", read_noise=np.nan).source == "sky's noise alone"
    # A gain that is none is not known.
    assert noise_model(sky, 10.0, unit="adu", read_noise=1.0, gain=0.0).source == model.source


@pytest.mark.parametrize(("floor", "source"), [(210.0, "gain and read noise"), (260.0, "gain and the sky's noise")])
def test_a_sky_that_is_noisier_than_the_detector_is_said(floor, source):
    # More than 1.2 times the read noise's variance, and a tenth of all that was measured: 120 + 0.1 * (1000 + floor).
    model = noise_model(1000.0, np.sqrt(1000.0 + floor), unit="electron", read_noise=10.0)
    assert (model.floor, model.slope, model.source) == (pytest.approx(floor), 1.0, source)
    # A negative sky has no photons to be taken off.
    assert noise_model(-50.0, 20.0, unit="electron", read_noise=1.0).floor == pytest.approx(400.0)


def flat_trend(shape):
    return fit_surface(np.arange(3.0), np.arange(3.0), np.full(3, 50.0), np.ones(3), shape, 0)


@pytest.mark.parametrize("good", [9, 10])
def test_ten_pairs_tell_the_noise(good):
    image = np.full((1, 12), 50.0, np.float32) + np.array([[0, 0, 4, 4] * 3], np.float32)
    flags = np.zeros(image.shape, np.uint8)
    flags[0, good:10] = 1
    noise = pixel_noise(image, flags, flat_trend(image.shape))
    # Pixels two apart differ by four.
    assert noise == pytest.approx(1.4826 * 4.0 / np.sqrt(2.0)) if good == 10 else np.isnan(noise)
    assert np.isnan(pixel_noise(image[:, :2], flags[:, :2], flat_trend((1, 2))))


def test_the_darkest_third_of_the_pairs_tells_the_noise():
    # Pairs of low sum differ by 2, those of stars by far more; a third of them are dark.
    image = np.tile(np.array([50, 50, 52, 52], np.float32), (300, 1))
    image[105:, 2:] += np.linspace(20, 900, 195, dtype=np.float32)[:, None]
    assert pixel_noise(image, np.zeros(image.shape, np.uint8), flat_trend(image.shape)) == pytest.approx(
        1.4826 * 2.0 / np.sqrt(2.0)
    )


def test_the_brightest_thousandth_tells_of_the_errors_photons():
    rng = np.random.default_rng(12)
    image = rng.normal(100.0, 10.0, (100, 100)).astype(np.float32)
    image[image > 145.0] = 100.0
    variance = np.full(image.shape, 100.0)
    # Ten bright pixels of a slope of 2; five of them are enough, all more than five sigma bright.
    for n, height, slope in ((10, 60.0, 2.0), (5, 60.0, 2.0), (4, 60.0, 0.0), (10, 40.0, 0.0)):
        bright, own = image.copy(), variance.copy()
        bright[3, :n] = 100.0 + height
        own[3, :n] += 2.0 * height
        found = error_slope(bright, np.sqrt(own).astype(np.float32), np.zeros(image.shape, np.uint8))
        assert found == pytest.approx(slope, abs=0.02)
    some = np.zeros((10, 10), np.uint8)
    small = np.full((10, 10), 100.0, np.float32)
    small[0, :8] = 500.0
    error = np.sqrt(np.where(small > 100, 500.0, 100.0)).astype(np.float32)
    assert error_slope(small, error, some) == pytest.approx(1.0)
    some[9, 9] = 1
    assert error_slope(small, error, some) == 0.0
