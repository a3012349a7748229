import numpy as np
import pytest

from gaiaflux.core.aperture.choice import (
    choose_apertures,
    fixed_apertures,
    fold_scatter,
    pick_aperture,
    with_fixed,
)
from gaiaflux.core.aperture.scatter import frame_trends

RADII_FWHM = np.array([0.6, 0.8, 1.0, 1.25, 1.6, 2.2])


def growth(radius, fwhm, beta=3.0):
    core2 = fwhm**2 / (4 * (2 ** (1 / beta) - 1))
    return 1 - (1 + radius**2 / core2) ** (1 - beta)


@pytest.fixture
def seeing():
    return 4.0 + 2.0 * (0.5 + 0.5 * np.sin(np.arange(120) / 7.0))


def test_fixed_apertures_lie_between_the_measured_ones(seeing):
    radii = seeing[:, None] * RADII_FWHM
    fixed = fixed_apertures(radii, seeing)
    assert fixed.radii.size >= 3
    assert ((fixed.share >= -1e-6) & (fixed.share <= 1 + 1e-6)).all()
    frames = np.arange(len(seeing))
    for radius, inner, share in zip(fixed.radii, fixed.inner, fixed.share, strict=True):
        small, large = radii[frames, inner], radii[frames, inner + 1]
        between = (small <= radius) & (radius <= large)
        assert between.mean() > 0.65
        # The light of the two apertures, mixed so, is that inside of the fixed one.
        light = share * growth(small, seeing) + (1 - share) * growth(large, seeing)
        mixed = share * 1.0 + (1 - share) * 1.0
        np.testing.assert_allclose(mixed, 1.0)
        inside = share / growth(small, seeing) * growth(radius, seeing) * growth(small, seeing)
        inside = inside + (1 - share) * growth(radius, seeing)
        np.testing.assert_allclose(inside[between], growth(radius, seeing)[between], rtol=1e-5)
        assert (light[between] <= growth(large, seeing)[between]).all()


def test_none_where_they_would_say_nothing(seeing):
    radii = seeing[:, None] * RADII_FWHM
    assert fixed_apertures(np.repeat(RADII_FWHM[None] * 4, 120, axis=0), seeing).radii.size == 0  # fixed already
    assert fixed_apertures(radii[:, :2], seeing).radii.size == 0
    steady = np.full(120, 4.0) + 0.05 * np.sin(np.arange(120))
    assert fixed_apertures(steady[:, None] * RADII_FWHM, steady).radii.size == 0
    assert fixed_apertures(np.full((120, 6), np.nan), seeing).radii.size == 0
    some = radii.copy()
    some[5] = np.nan
    assert fixed_apertures(some, np.where(np.arange(120) == 5, np.nan, seeing)).radii.size >= 3


def test_one_radius_that_changes_is_enough(seeing):
    # The smallest is two pixels in all frames, the others grow with the seeing.
    radii = seeing[:, None] * RADII_FWHM
    radii[:, 0] = 2.0
    assert fixed_apertures(radii, seeing).radii.size >= 3
    # Two frames and three radii are the least.
    two = fixed_apertures(radii[[0, 11]][:, [0, 2, 5]], seeing[[0, 11]])
    assert two.radii.size >= 1
    assert fixed_apertures(radii[:1], seeing[:1]).radii.size == 0
    # The seeing has to change by a tenth from good to bad frames.
    for change, some in ((1.09, False), (1.12, True)):
        steps = np.where(np.arange(120) % 2 == 0, 4.0, 4.0 * change)
        assert bool(fixed_apertures(steps[:, None] * RADII_FWHM, steps).radii.size) is some


def test_the_typical_seeing_sets_the_sizes_that_lie_inside_in_most_frames():
    seeing = np.where(np.arange(100) < 69, 4.0, 8.0)
    # Inside of the measured apertures in at least 70 of 100 frames: 0.8, 1, 1.25 and 1.6 times 4 pixels, of which the
    # two smallest are too small where the seeing is 8.
    fixed = fixed_apertures(seeing[:, None] * RADII_FWHM, seeing)
    np.testing.assert_allclose(fixed.radii, [5.0, 6.4])
    seeing[69] = 4.0
    fixed = fixed_apertures(seeing[:, None] * RADII_FWHM, seeing)
    np.testing.assert_allclose(fixed.radii, [3.2, 4.0, 5.0, 6.4])
    # Between 0.8 and 1 FWHM; where all are larger the smallest one is taken as it is.
    assert fixed.inner[:, 0].tolist() == [0, 1, 2, 3]
    assert fixed.inner[:2, 99].tolist() == [0, 0]
    assert fixed.share[:2, 99].tolist() == [1.0, 1.0]
    # Of the light inside of the fixed radius the part that the mean of both apertures' totals has there.
    small, at, large = (growth(r, 4.0) for r in (0.8 * 4.0, 4.0, 4.0))
    assert fixed.share[1, 0] == pytest.approx((large - at) / (large - small) * small / at, abs=1e-6)
    assert fixed.overlap[1, 0] == pytest.approx(small / large)
    small, at, large = growth(1.25 * 8.0 / 2, 8.0), growth(5.0, 8.0), growth(0.8 * 8.0, 8.0)
    small = growth(0.6 * 8.0, 8.0)
    assert fixed.share[2, 99] == pytest.approx((large - at) / (large - small) * small / at, rel=1e-5)
    assert fixed.overlap[2, 99] == pytest.approx(small / large)


def test_halves_of_a_series_need_fifteen_points_each():
    rng = np.random.default_rng(9)
    n = 40
    x, y = rng.uniform(0, 100, (2, n))
    flux = 1e4 * (1 + 0.01 * rng.normal(size=(60, n, 1)))
    usable = np.ones(flux.shape, bool)
    usable[30::2, 0] = False  # 15 even frames are left
    usable[28::2, 1] = False  # 14
    usable[29::2, 2] = False  # 14 odd ones
    trends = frame_trends(flux, usable, x, y)
    scatter, count = fold_scatter(flux, usable, x, y, trends, (x, y))
    assert count[:, :3, 0].tolist() == [[15, 14, 30], [30, 30, 14]]
    assert np.isnan(scatter[:, :3, 0]).tolist() == [[False, True, False], [False, False, True]]
    # The trends of 40 stars have taken a part of it.
    np.testing.assert_allclose(np.nanmean(scatter), 100.0 * np.sqrt(1 - 6 / 40), rtol=0.05)


def nested(seeing, n_stars, flux, sky, rng):
    """Sums of nested apertures with their shared noise, as total fluxes; a neighbour at 5 pixel beside each star."""
    radii = seeing[:, None] * RADII_FWHM
    light = growth(radii, seeing[:, None])[:, None, :]
    # Noise of each ring on its own.
    ring = np.diff(np.concatenate([np.zeros((len(seeing), 1, 1)), light * flux + np.pi * radii[:, None] ** 2 * sky], 2))
    noise = np.cumsum(np.sqrt(ring) * rng.normal(size=(len(seeing), n_stars, len(RADII_FWHM))), axis=2)
    error = np.sqrt(light * flux + np.pi * radii[:, None] ** 2 * sky) / light
    return radii, flux + noise / light, np.broadcast_to(error, noise.shape).astype("f4")


def test_the_errors_of_fixed_apertures_hold(seeing):
    rng = np.random.default_rng(1)
    for flux, sky in ((1e5, 10.0), (3e3, 100.0)):
        radii, total, error = nested(seeing, 200, flux, sky, rng)
        fixed = fixed_apertures(radii, seeing)
        flags = np.zeros(total.shape, dtype="u4")
        flags[3, 2, 0] = 2
        values, errors, bits = with_fixed(total.astype("f4"), error, flags, fixed, np.arange(len(seeing)))
        assert values.shape[2] == 6 + fixed.radii.size
        np.testing.assert_array_equal(values[:, :, :6], total.astype("f4"))
        pull = ((values - flux) / errors)[:, :, 6:]
        assert 0.95 < pull.std() < 1.05
        assert bits[3, 2, 6:].any() == (fixed.inner[:, 3] == 0).any()
        picked = pick_aperture(total.astype("f4"), error, flags, np.arange(200) % values.shape[2], fixed)
        for k in range(values.shape[2]):
            rows = np.arange(200) % values.shape[2] == k
            np.testing.assert_allclose(picked[0][rows], values[:, rows, k].T, rtol=1e-6)
            np.testing.assert_allclose(picked[1][rows], errors[:, rows, k].T, rtol=1e-6)


def blended(seeing, rng, n_stars=120):
    """Bright stars; a neighbour of 10 % at the smallest seeing's width beside every second one."""
    radii, flux, error = nested(seeing, n_stars, 1e6, 2e4, rng)
    x = np.linspace(-15, 15, 61)
    xx, yy = np.meshgrid(x, x)
    near = np.zeros(radii.shape)
    for j, fwhm in enumerate(seeing):
        core2 = fwhm**2 / (4 * (2 ** (1 / 3) - 1))
        image = 2 / (np.pi * core2) * (1 + ((xx - 4.0) ** 2 + yy**2) / core2) ** -3.0 * 0.25
        for k, radius in enumerate(radii[j]):
            near[j, k] = image[np.hypot(xx, yy) <= radius].sum() / growth(radius, fwhm)
    flux = flux + 0.1e6 * near[:, None, :] * (np.arange(n_stars) % 2)[:, None]
    return radii, flux.astype("f4"), error


def test_a_fixed_aperture_is_chosen_where_a_neighbour_comes_and_goes_with_the_seeing(seeing):
    rng = np.random.default_rng(2)
    radii, flux, error = blended(seeing, rng)
    fixed = fixed_apertures(radii, seeing)
    flags = np.zeros(flux.shape, dtype="u4")
    flux, error, flags = with_fixed(flux, error, flags, fixed, np.arange(len(seeing)))
    usable = flags == 0
    x, y = rng.uniform(0, 1000, (2, flux.shape[1]))
    alone = np.arange(flux.shape[1]) % 2 == 0
    trends = frame_trends(flux[:, alone], usable[:, alone], x[alone], y[alone])
    scatter, count = fold_scatter(flux, usable, x, y, trends, (x[alone], y[alone]))
    stated = np.median(error, axis=0)
    level = np.median(flux[:, :, 0], axis=0)
    choice = choose_apertures(scatter, count, stated, level, stated)
    relative = np.sqrt((scatter**2).mean(axis=0)) / level[:, None]
    best = relative[np.arange(len(level)), choice.index]
    scaled = relative[:, :6].min(axis=1)
    # As good as the best for all, and clearly better than by any aperture that follows the seeing for the blended.
    assert np.median(best[~alone] / scaled[~alone]) < 0.9
    assert np.median(best / relative.min(axis=1)) < 1.05
    assert (choice.index[~alone] >= 6).mean() > 0.7


def test_the_held_out_scatter_is_not_better_than_the_truth():
    """Pure noise, much the same in ten apertures: choosing the least scatter must not make it look smaller."""
    rng = np.random.default_rng(3)
    n, k, m = 2000, 10, 60
    deviation = 0.95 * rng.normal(size=(2, n, 1, m // 2)) + 0.3122 * rng.normal(size=(2, n, k, m // 2))
    scatter, count = np.std(deviation, axis=3), np.full((2, n, k), m // 2)
    stated, level = np.full((n, k), 1.0), np.full(n, 100.0)
    choice = choose_apertures(scatter, count, stated, level, stated)
    assert np.sqrt(np.mean(choice.held_out**2)) == pytest.approx(np.sqrt(np.mean(scatter**2)), rel=0.01)
    chosen = np.sqrt((scatter**2).mean(axis=0))[np.arange(n), choice.index]
    least = np.sqrt((scatter**2).mean(axis=0)).min(axis=1)
    assert least.mean() < 0.95
    assert chosen.mean() > 0.97


def test_stars_without_points_get_the_middle_aperture():
    nothing = np.full((2, 3, 5), np.nan)
    choice = choose_apertures(nothing, np.zeros((2, 3, 5), int), np.zeros((3, 5)), np.zeros(3), np.full((3, 5), np.inf))
    np.testing.assert_array_equal(choice.index, 2)
    assert np.isnan(choice.held_out).all()
    assert not choice.agreed.any()


@pytest.mark.parametrize(("worse", "chosen"), [(1.05, 1), (1.5, 0)])
def test_stated_errors_decide_within_the_error_of_the_scatter_alone(worse, chosen):
    # The second aperture has the least stated error; the first one the least scatter over 200 points.
    scatter = np.array([[[100.0, 100.0 * worse, 300.0]]] * 2)
    count = np.full((2, 1, 3), 100)
    stated = np.array([[100.0, 95.0, 250.0]])
    found = choose_apertures(scatter, count, stated, np.array([1e3]), stated)
    assert found.index.tolist() == [chosen]
    assert found.agreed.tolist() == [True]
    assert found.held_out[0] == pytest.approx(scatter[0, 0, chosen])
