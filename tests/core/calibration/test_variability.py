import numpy as np
import pytest

from gaiaflux.core.calibration.variability import (
    VariabilityIndices,
    join_indices,
    running_significance,
    trend_correlation,
    variability_indices,
    variability_score,
)


def one(flux, error=1.0, mjd=None, use=None):
    flux = np.atleast_2d(np.asarray(flux, dtype=float))
    mjd = np.arange(flux.shape[1], dtype=float) if mjd is None else np.asarray(mjd, dtype=float)
    use = np.ones(flux.shape, dtype=bool) if use is None else np.atleast_2d(use)
    return variability_indices(flux, np.broadcast_to(np.asarray(error, dtype=float), flux.shape), use, mjd)


def test_a_light_curve_by_hand():
    found = one([100.0, 102.0, 98.0, 101.0, 99.0, 100.0], error=2.0)
    # Mean 100, deviations 0 2 -2 1 -1 0, differences 2 -4 3 -2 1.
    assert found.n_points[0] == 6
    assert found.level[0] == 100.0
    assert found.chi2[0] == pytest.approx(10.0 / 4 / 5)
    # Without the first of the two that are 2 off the mean is 99.6.
    trimmed = sum((value - 99.6) ** 2 for value in (100, 98, 101, 99, 100)) / 4 / 4
    assert found.trimmed_chi2[0] == pytest.approx(trimmed)
    assert found.von_neumann[0] == pytest.approx((4 + 16 + 9 + 4 + 1) / 10)
    pulls = np.array([0, 1, -1, 0.5, -0.5, 0]) * np.sqrt(6 / 5)
    products = pulls[1:] * pulls[:-1]
    assert found.stetson_j[0] == pytest.approx(np.mean(np.sign(products) * np.sqrt(np.abs(products))))
    assert found.scatter_mag[0] == pytest.approx(1.4826 * 1.0 * 1.0857362 / 100, rel=1e-6)
    assert found.expected_mag[0] == pytest.approx(2.0 * 1.0857362 / 100, rel=1e-6)
    assert found.noise_mag[0] == pytest.approx(1.4826 * 2.0 / np.sqrt(2) * 1.0857362 / 100, rel=1e-6)
    low, high = np.percentile([100, 102, 98, 101, 99, 100], [2.5, 97.5])
    assert found.amplitude_mag[0] == pytest.approx(2.5 * np.log10(high / low))


def test_points_that_do_not_count_leave_no_trace():
    rng = np.random.default_rng(2)
    flux, mjd = 50 + rng.normal(size=12), np.sort(rng.uniform(0, 3, 12))
    alone = one(flux, mjd=mjd)
    for spoil in ("nan", "flag", "error", "time"):
        mixed = np.insert(flux, [0, 4, 12], [1e6, -1e6, 9e5])
        error, times, use = np.ones(15), np.insert(mjd, [0, 4, 12], [mjd[0], mjd[4], mjd[-1]]), np.ones(15, dtype=bool)
        bad = [0, 5, 14]
        if spoil == "nan":
            mixed[bad] = np.nan
        elif spoil == "flag":
            use[bad] = False
        elif spoil == "error":
            error[bad] = [np.nan, 0.0, -1.0]
        else:
            times[bad] = np.nan
        found = one(mixed, error, times, use)
        for name, value in vars(alone).items():
            if name == "stetson_j" and spoil != "time":
                continue  # its weights know the times of all frames
            np.testing.assert_allclose(getattr(found, name), value, rtol=1e-12, err_msg=f"{spoil} {name}")


def test_few_points_and_none():
    found = one(np.array([[1.0, 2.0, 3.0, 4.0, np.nan], [np.nan] * 5]))
    np.testing.assert_array_equal(found.n_points, [4, 0])
    np.testing.assert_array_equal(found.level, [2.5, np.nan])
    for name in ("scatter_mag", "noise_mag", "chi2", "trimmed_chi2", "von_neumann", "stetson_j", "amplitude_mag"):
        assert np.isnan(getattr(found, name)).all(), name
    nothing = one(np.zeros((3, 0)))
    assert np.isnan(nothing.level).all()
    nobody = join_indices([])
    assert nobody.n_points.size == nobody.level.size == 0
    assert np.issubdtype(nobody.n_points.dtype, np.integer)
    assert np.issubdtype(nobody.level.dtype, np.floating)
    negative = one([-3.0, -2.0, -4.0, -3.0, -3.0])
    assert np.isnan(negative.scatter_mag[0])
    assert np.isfinite(negative.chi2[0])


def test_noise_has_the_values_of_noise():
    rng = np.random.default_rng(8)
    error = np.exp(rng.normal(0, 0.3, (4000, 60)))
    found = one(1000 + error * rng.normal(size=(4000, 60)), error)
    assert abs(np.mean(found.chi2) - 1.0) < 0.01
    assert abs(np.mean(found.von_neumann) - 2.0) < 0.02
    assert abs(np.mean(found.stetson_j) - 0.0) < 0.03
    alike = one(1000 + rng.normal(size=(4000, 60)))
    assert abs(np.median(alike.noise_mag / alike.expected_mag) - 1.0) < 0.03
    assert abs(np.median(alike.scatter_mag / alike.expected_mag) - 1.0) < 0.03


def test_each_kind_of_change_moves_its_indices():
    time = np.arange(80.0)
    rng = np.random.default_rng(3)
    noise = rng.normal(size=80)
    still, wave = one(1000 + noise), one(1000 + noise + 10 * np.sin(time / 8))
    flash = one(1000 + noise + 60 * (time == 30))
    jitter = one(1000 + noise + 5 * rng.choice([-1, 1], 80))
    assert wave.stetson_j > 5 > 1 > still.stetson_j
    assert wave.von_neumann < 0.3 < 1.5 < still.von_neumann
    assert flash.chi2 > 10 > 2 > flash.trimmed_chi2
    assert jitter.chi2 > 10
    assert jitter.von_neumann > 1.3
    assert wave.noise_mag < 0.4 * wave.scatter_mag


def test_stetson_j_does_not_pair_the_ends_of_nights():
    # Two nights: a star that is brighter in the first, at points that alternate, has no related neighbours in time.
    night = np.arange(20) * 0.002
    mjd = np.concatenate([night, 1.0 + night])
    sign = np.where(np.arange(40) % 2, 1.0, -1.0)
    assert one(100 + 3 * sign, mjd=mjd).stetson_j == pytest.approx(-3.0 * np.sqrt(40 / 39), rel=1e-3)
    pair = one([104.0, 104.0, 96.0, 96.0, 104.0, 104.0, 96.0, 96.0], mjd=[0, 0.001, 9, 9.001, 18, 18.001, 27, 27.001])
    near = one([104.0, 104.0, 96.0, 96.0, 104.0, 104.0, 96.0, 96.0], mjd=np.arange(8))
    assert pair.stetson_j > 4.0 > near.stetson_j > 0


def test_blocks_of_stars_give_the_same_as_all_at_once():
    rng = np.random.default_rng(5)
    flux, error = 100 + rng.normal(size=(50, 30)), np.ones((50, 30))
    use, mjd = rng.random((50, 30)) < 0.8, np.arange(30.0)
    whole = variability_indices(flux, error, use, mjd)
    parts = [variability_indices(flux[k : k + 7], error[k : k + 7], use[k : k + 7], mjd) for k in range(0, 50, 7)]
    for name, value in vars(join_indices(parts)).items():
        np.testing.assert_array_equal(value, getattr(whole, name))


def test_correlation_with_the_seeing():
    rng = np.random.default_rng(6)
    seeing = rng.uniform(3, 6, 40)
    flux = np.stack([100 + 5 * seeing, 100 - 5 * seeing, rng.normal(size=40), np.full(40, 7.0)])
    flux[0, 3] = np.nan
    use = np.ones(flux.shape, dtype=bool)
    found = trend_correlation(flux, use, np.where(np.arange(40) == 9, np.nan, seeing))
    np.testing.assert_allclose(found[:2], [1, -1])
    known = np.arange(40) != 9
    assert found[2] == pytest.approx(np.corrcoef(flux[2][known], seeing[known])[0, 1])
    assert np.isnan(found[3])


def test_significance_is_relative_to_stars_of_like_brightness():
    rng = np.random.default_rng(7)
    mag = rng.uniform(12, 20, 2000)
    # The usual index and its spread change along the magnitude.
    index = 0.3 * (mag - 12) + (0.2 + 0.05 * (mag - 12)) * rng.normal(size=2000)
    index[77] = np.nan
    found = running_significance(index, mag)
    assert np.isnan(found[77])
    for low in (12, 16, 18):
        some = found[(mag > low) & (mag < low + 2) & np.isfinite(found)]
        assert abs(some.mean()) < 0.2
        assert abs(some.std() - 1) < 0.15
    below = running_significance(np.linspace(-2, -1, 100), np.arange(100.0), least_usual=0.0)
    assert (below < 0).all()
    assert np.isnan(running_significance(np.array([1.0, 2.0]), np.array([np.nan, np.nan]))).all()


def test_the_score_finds_variables_and_leaves_bad_points_and_seeing_alone():
    rng = np.random.default_rng(11)
    n, m = 600, 60
    mag, seeing = np.sort(rng.uniform(13, 18, n)), 4 + np.cumsum(rng.normal(0, 0.2, m))
    error = 10.0 + np.zeros((n, m))
    flux = 1000 + error * rng.normal(size=(n, m))
    time = np.arange(float(m))
    wave, outliers, blend = [50, 200, 350], [51, 201, 351], [52, 202, 352]
    flux[wave] += 25 * np.sin(time / 5)
    flux[np.repeat(outliers, 2), np.tile([10, 40], 3)] += 300
    flux[blend] += 40 * (seeing - seeing.mean()) / seeing.std()
    use = np.ones((n, m), dtype=bool)
    found = variability_indices(flux, error, use, time)
    trend = trend_correlation(flux, use, seeing)
    score = variability_score(found, mag, np.zeros(n), trend, m)
    order = np.argsort(-score)
    assert set(order[:3]) == set(wave)
    constant = np.setdiff1d(np.arange(n), wave + outliers + blend)
    assert np.abs(np.median(score[constant])) < 0.3
    assert score[wave].min() > 2 * np.max(score[np.r_[outliers, blend]])
    # The same star with a quarter of its points is less certain.
    use[50] = time % 4 == 0
    fewer = variability_score(variability_indices(flux, error, use, time), mag, np.zeros(n), trend, m)
    assert fewer[50] < score[50]


def test_sixty_one_stars_of_like_brightness_say_what_is_usual():
    # An index that grows evenly: usual is that of the star itself, at the ends that of the 31st from there.
    mag = np.random.default_rng(12).permutation(200).astype(float)
    found = running_significance(mag, mag)
    by_rank = found[np.argsort(mag)]
    np.testing.assert_allclose(by_rank[30:170], 0.0, atol=1e-12)
    # Deviations of 61 in a row from their middle: 15 is the median.
    np.testing.assert_allclose(by_rank[:30], (np.arange(30) - 30) / (1.4826 * 15))
    np.testing.assert_allclose(by_rank[170:], (np.arange(1, 31)) / (1.4826 * 15))
    # A spread is at least 0.05, of whatever all have.
    alike = np.full(61, 3.0)
    alike[8], alike[9] = 3.1, 2.95
    found = running_significance(alike, np.arange(61.0))
    np.testing.assert_allclose(found[[8, 9, 10]], [2.0, -1.0, 0.0])
    np.testing.assert_allclose(running_significance(alike, np.arange(61.0), least_usual=3.05)[[8, 10]], [1.0, -1.0])
    assert running_significance(alike, np.arange(61.0), least_spread=0.2)[8] == pytest.approx(0.5)
    # As many as there are where they are few.
    few = running_significance(np.arange(5.0), np.arange(5.0))
    np.testing.assert_allclose(few, (np.arange(5) - 2) / 1.4826)


def test_the_score_is_the_median_of_three_significances():
    n = 61
    names = ("scatter_mag", "expected_mag", "noise_mag", "chi2", "level", "amplitude_mag")
    indices = VariabilityIndices(
        n_points=np.full(n, 50), trimmed_chi2=np.ones(n), stetson_j=np.zeros(n), von_neumann=np.full(n, 2.0),
        **{name: np.ones(n) for name in names},
    )  # fmt: skip
    # Of spreads of 0.05: 2, 3 and 5.
    indices.trimmed_chi2[7], indices.stetson_j[7], indices.von_neumann[7] = np.exp(0.2), 0.15, 2.0 * np.exp(-0.25)
    indices.trimmed_chi2[8], indices.stetson_j[8] = np.exp(-0.2), -0.15
    trend = np.zeros(n)
    score = variability_score(indices, np.arange(float(n)), np.zeros(n), trend, 50)
    assert score[7] == pytest.approx(3.0)
    assert score[8] == pytest.approx(-2.0)
    np.testing.assert_allclose(np.delete(score, [7, 8]), 0.0, atol=1e-9)
    # What follows the seeing does not count, nor what as weak a correlation has by chance; missing frames do.
    trend[7] = trend[8] = -0.6
    score = variability_score(indices, np.arange(float(n)), np.zeros(n), trend, 100)
    assert score[7] == pytest.approx(3.0 * (1 - 0.36) * 49 / 48 * np.sqrt(0.5))
    assert score[8] == pytest.approx(-2.0)
    trend[7] = 1.0
    assert variability_score(indices, np.arange(float(n)), np.zeros(n), trend, 100)[7] == 0.0
    # Beside none but itself it is nothing special.
    alone = np.zeros(n)
    alone[7] = 1.0
    assert variability_score(indices, np.arange(float(n)), alone, 0.0 * trend, 50)[7] == 0.0
    # Quieter than constant is no standard: usual is what constant stars have.
    indices.trimmed_chi2[:], indices.von_neumann[:], indices.stetson_j[:] = np.exp(-0.2), 2.0 * np.exp(0.1), -0.1
    score = variability_score(indices, np.arange(float(n)), np.zeros(n), 0.0 * trend, 50)
    np.testing.assert_allclose(score, -2.0)


@pytest.mark.parametrize("n", [4, 5])
def test_five_points_have_indices_and_a_correlation(n):
    flux = np.where(np.arange(9) < n, 100.0 + np.arange(9) ** 2, np.nan)
    assert np.isfinite(one(flux).chi2[0]) == (n == 5)
    assert np.isfinite(one(flux).amplitude_mag[0]) == (n == 5)
    assert np.isfinite(trend_correlation(flux[None], np.ones((1, 9), bool), np.arange(9.0))[0]) == (n == 5)
    # A range that reaches zero has no magnitude.
    assert np.isnan(one(np.array([0.0] * 5 + [1.0] * 4)).amplitude_mag[0])
