import numpy as np
import pytest

from gaiaflux.core.image.local_sky import (
    MIN_PIXELS,
    AnnulusSky,
    combine_sky,
    measure_annuli,
    paint_discs,
    rough_sky,
)
from gaiaflux.core.maths.surface import fit_surface

SHAPE = (200, 240)


def trend(level=100.0):
    x, y = np.array([0.0, 239.0, 0.0, 239.0, 120.0]), np.array([0.0, 0.0, 199.0, 199.0, 100.0])
    return fit_surface(x, y, np.full(5, level), np.full(5, 1.0), SHAPE, 0)


def annuli(n, level=100.0, error=0.5):
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 239, n), rng.uniform(0, 199, n)
    levels = level + error * rng.normal(size=n)
    return x, y, AnnulusSky(levels, np.full(n, error), np.full(n, 300))


@pytest.mark.parametrize(("n", "enough"), [(9, False), (10, True), (200, True)])
def test_few_annuli_stand_for_themselves(n, enough):
    x, y, sky = annuli(n, level=103.0)
    found = combine_sky(x, y, sky, np.full(n, 0.25), trend(), 20.0)
    assert not found.unreliable.any()
    if not enough:
        np.testing.assert_allclose(found.level, sky.level - 0.25)
        np.testing.assert_allclose(found.error, sky.error)
        # Nothing is known of the sky's structure: a tenth of the noise.
        assert found.scatter == 2.0
    else:
        assert np.std(found.level) < 0.8 * np.std(sky.level)
        assert (found.error < sky.error).all()
        assert np.mean(found.level) == pytest.approx(102.75, abs=0.3)


def test_a_star_without_an_annulus_has_the_trend():
    x, y, sky = annuli(60)
    sky.level[3] = np.nan
    found = combine_sky(x, y, sky, np.zeros(60), trend(50.0), 20.0)
    assert np.flatnonzero(found.unreliable).tolist() == [3]
    assert found.level[3] == pytest.approx(100.0, abs=0.4)
    few = AnnulusSky(sky.level[:5], sky.error[:5], sky.n_pixels[:5])
    alone = combine_sky(x[:5], y[:5], few, np.zeros(5), trend(50.0), 20.0)
    assert alone.level[3] == pytest.approx(50.0)
    assert alone.error[3] == pytest.approx(np.hypot(2.0, trend(50.0).error(x[3:4], y[3:4])[0]))


@pytest.mark.parametrize(("off", "own"), [(2.0, False), (8.0, True)])
def test_an_annulus_far_off_the_trend_is_a_place_of_its_own(off, own):
    x, y, sky = annuli(300, error=0.5)
    sky.level[7] = 100.0 + off * 0.5
    found = combine_sky(x, y, sky, np.zeros(300), trend(), 20.0)
    if own:
        assert found.level[7] == pytest.approx(104.0)
        assert found.error[7] == pytest.approx(0.5)
    else:
        assert found.level[7] < 100.6


def test_as_many_clean_pixels_as_are_needed():
    image = np.random.default_rng(2).normal(100.0, 1.0, SHAPE).clip(98.0, 102.0).astype(np.float32)
    avoid = np.ones(SHAPE, np.uint8)
    jj, ii = np.mgrid[: SHAPE[0], : SHAPE[1]]
    d2 = (ii - 100) ** 2 + (jj - 100) ** 2
    inside = np.flatnonzero((d2 >= 25) & (d2 <= 100))
    for n in (MIN_PIXELS - 1, MIN_PIXELS):
        avoid[:] = 1
        avoid.flat[inside[:n]] = 0
        sky = measure_annuli(image, avoid, np.array([100.0]), np.array([100.0]), (5.0, 10.0))
        assert np.isfinite(sky.level[0]) == (n == MIN_PIXELS)
        assert sky.n_pixels[0] == (n if n == MIN_PIXELS else 0)


def test_outliers_in_an_annulus_are_cut_at_three_and_a_half_sigma():
    rng = np.random.default_rng(3)
    image = rng.normal(100.0, 2.0, SHAPE).astype(np.float32)
    x, y = np.array([60.0]), np.array([60.0])
    plain = measure_annuli(image, np.zeros(SHAPE, np.uint8), x, y, (6.0, 14.0))
    image[60, 68], image[68, 60], image[52, 60] = 160.0, 500.0, 20.0
    cut = measure_annuli(image, np.zeros(SHAPE, np.uint8), x, y, (6.0, 14.0))
    assert cut.level[0] == pytest.approx(plain.level[0], abs=0.05)
    assert cut.error[0] == pytest.approx(plain.error[0], rel=0.03)
    assert plain.n_pixels[0] - cut.n_pixels[0] in (2, 3, 4, 5)


def test_discs_are_the_pixels_whose_centres_are_in_them():
    x = np.array([50.0, 100.3, -2.0, 238.0, 120.0, 300.0, 30.0])
    y = np.array([50.0, 80.7, 10.0, 199.0, 120.0, 50.0, np.nan])
    radius = np.array([5.0, 0.9, 4.0, 6.5, 0.0, 20.0, 5.0])
    mask = np.zeros(SHAPE, np.uint8)
    mask[0, 100] = 2
    paint_discs(mask, x, y, radius)
    jj, ii = np.mgrid[: SHAPE[0], : SHAPE[1]]
    expected = np.zeros(SHAPE, np.uint8)
    expected[0, 100] = 2
    for k in (0, 1, 2, 3):
        expected[(ii - x[k]) ** 2 + (jj - y[k]) ** 2 <= radius[k] ** 2] = 1
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(("sigmas", "own"), [(4.3, False), (4.75, True)])
def test_a_place_of_its_own_is_four_and_a_half_sigma_off(sigmas, own):
    n, error = 400, 0.5
    x, y = np.random.default_rng(4).uniform(0, [[239.0], [199.0]], (2, n))
    # Annuli that deviate from a plain sky by less than their errors: there is no structure.
    level = 100.0 + 0.3 * error * np.where(np.arange(n) % 2, 1.0, -1.0)
    level[7] = 100.0 + sigmas * error
    found = combine_sky(x, y, AnnulusSky(level, np.full(n, error), np.full(n, 300)), np.zeros(n), trend(), 20.0)
    assert found.scatter < 0.05
    assert found.level[7] == pytest.approx(level[7] if own else 100.0, abs=0.1)
    assert found.error[7] == pytest.approx(error, rel=1e-6) if own else found.error[7] < 0.3


def test_a_structured_sky_is_a_mean_of_annulus_and_trend():
    n, error, structure = 1000, 0.5, 1.5
    rng = np.random.default_rng(5)
    x, y = rng.uniform(0, [[239.0], [199.0]], (2, n))
    level = 100.0 + np.hypot(error, structure) * rng.normal(size=n)
    found = combine_sky(x, y, AnnulusSky(level, np.full(n, error), np.full(n, 300)), np.zeros(n), trend(), 20.0)
    assert found.scatter == pytest.approx(structure, rel=0.1)
    # Each counts by the inverse of its variance.
    share = found.scatter**2 / (found.scatter**2 + error**2)
    near = np.abs(level - 100.0) < 2.0
    slope = np.polyfit(level[near], found.level[near], 1)[0]
    assert slope == pytest.approx(share, rel=0.02)
    assert np.median(found.error) == pytest.approx(np.hypot(share * error, (1 - share) * found.scatter), rel=0.02)


def test_a_rough_sky_is_a_surface_of_second_order_through_a_sample():
    jj, ii = np.mgrid[: SHAPE[0], : SHAPE[1]]
    level = 300.0 + 0.2 * ii - 0.1 * jj + 1e-3 * (ii - 120.0) ** 2
    image = level.astype(np.float32)
    flags = np.zeros(SHAPE, np.uint8)
    # A bright star and masked rows: neither matters.
    image[50:60, 50:60] += 5000.0
    image[100:110], flags[100:110] = 1e6, 1
    found = rough_sky(image, flags)
    x, y = np.array([0.0, 120.0, 239.0, 10.0]), np.array([0.0, 100.0, 199.0, 180.0])
    assert found.order == 2
    np.testing.assert_allclose(found.value(x, y), 300.0 + 0.2 * x - 0.1 * y + 1e-3 * (x - 120.0) ** 2, atol=0.05)
    assert rough_sky(image, np.ones(SHAPE, np.uint8)) is None
