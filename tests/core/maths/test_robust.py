import numpy as np
import pytest

from gaiaflux.core.maths.robust import (
    MAD_TO_SIGMA,
    chi2_about_mean,
    clipped_mean,
    clipped_scatter,
    masked_median,
    relative_steps,
    robust_scatter,
    weighted_median,
    weighted_medians,
)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(7, 8), (8, 7), (1, 5), (6, 1)])
def test_median_of_what_is_used(axis, shape):
    rng = np.random.default_rng(1)
    values, use = rng.normal(size=shape), rng.random(shape) > 0.3
    expected = np.ma.median(np.ma.array(values, mask=~use), axis=axis).filled(np.nan)
    np.testing.assert_allclose(masked_median(values, use, axis), expected)
    np.testing.assert_allclose(masked_median(values, np.ones(shape, bool), axis), np.median(values, axis=axis))
    assert np.isnan(masked_median(values, np.zeros(shape, bool), axis)).all()


def test_median_of_nothing():
    assert masked_median(np.zeros((0, 3)), np.zeros((0, 3), bool), 0).shape == (3,)
    assert np.isnan(masked_median(np.zeros((0, 3)), np.zeros((0, 3), bool), 0)).all()
    assert masked_median(np.zeros((0, 3)), np.zeros((0, 3), bool), 1).shape == (0,)


def test_scatter_of_numbers():
    values = np.array([5.0, 1.0, 2.0, 3.0, 100.0])
    assert robust_scatter(values) == pytest.approx(MAD_TO_SIGMA * 2.0)
    assert np.isnan(robust_scatter(np.zeros(0)))
    assert robust_scatter(np.random.default_rng(2).normal(0, 3, 20_000)) == pytest.approx(3.0, rel=0.03)


def test_mean_without_outliers():
    values = np.array([9.0, 10.0, 11.0, 10.5, 9.5, 50.0, np.nan])
    mean, scatter, n = clipped_mean(values)
    assert (mean, n) == (pytest.approx(10.0), 5)
    assert scatter == pytest.approx(np.std(values[:5], ddof=1))
    # The limit is in units of 1.4826 times the median deviation of 0.75 from the median of 10.25.
    assert clipped_mean(values, clip_sigma=1.25 / (0.75 * MAD_TO_SIGMA) + 0.01)[2] == 5
    assert clipped_mean(values, clip_sigma=1.25 / (0.75 * MAD_TO_SIGMA) - 0.01)[2] == 4
    # Where most are equal nothing is an outlier.
    assert clipped_mean(np.array([1.0, 1.0, 1.0, 7.0]))[2] == 4
    mean, scatter, n = clipped_mean(np.array([4.0, np.inf]))
    assert (mean, n) == (4.0, 1)
    assert np.isnan(scatter)
    nothing = clipped_mean(np.full(3, np.nan))
    assert np.isnan(nothing[:2]).all()
    assert nothing[2] == 0


def test_scatter_of_rows_without_outliers():
    rng = np.random.default_rng(3)
    deviation = rng.normal(0, 2.0, (4, 40_000))
    use = np.ones(deviation.shape, bool)
    deviation[1, ::50] = 1e3
    deviation[2, ::2], use[2, ::2] = 1e3, False
    use[3] = False
    found = clipped_scatter(deviation, use)
    np.testing.assert_allclose(found[:3], 2.0, rtol=0.015)
    assert np.isnan(found[3])
    few = np.array([[1.0, -1.0, 1.0, 3.5 * MAD_TO_SIGMA + 0.01], [1.0, -1.0, 1.0, 3.5 * MAD_TO_SIGMA - 0.01]])
    found = clipped_scatter(few, np.ones(few.shape, bool))
    assert found[0] == pytest.approx(1.0 / 0.9946)
    assert found[1] == pytest.approx(np.sqrt((3 + few[1, 3] ** 2) / 4) / 0.9946)


def test_chi_squared_about_the_weighted_mean():
    x = np.array([[1.0, 2.0, 4.0], [7.0, 1.0, 5.0], [3.0, 3.0, 3.0]])
    sigma = np.array([[1.0, 1.0, 2.0], [1.0, np.inf, 1.0], [np.inf, np.inf, np.inf]])
    chi2, pull = chi2_about_mean(x, sigma)
    mean = (1.0 + 2.0 + 1.0) / 2.25
    np.testing.assert_allclose(pull[0], [1 - mean, 2 - mean, (4 - mean) / 2])
    np.testing.assert_allclose(pull[1], [1.0, 0.0, -1.0])
    np.testing.assert_allclose(chi2, [(pull[0] ** 2).sum(), 2.0, 0.0])


def test_half_of_the_weight_lies_below_the_weighted_median():
    values = np.array([5.0, 1.0, 3.0, 100.0])
    assert weighted_median(values, np.ones(4)) == 3.0
    assert weighted_median(values, np.array([1.0, 1.0, 1.0, 4.0])) == 100.0
    assert weighted_median(values, np.array([0.0, 0.0, 1.0, 0.0])) == 3.0
    table = np.stack([values, -values], axis=1)
    weight = np.stack([np.array([1.0, 3.0, 1.0, 0.0]), np.zeros(4)], axis=1)
    assert weighted_medians(table, weight).tolist() == [1.0, 0.0]
    assert weighted_medians(np.zeros((0, 2)), np.zeros((0, 2))).tolist() == [0.0, 0.0]


def test_steps_relative_to_the_size():
    assert relative_steps(np.array([10.0, 11.0, np.nan, 9.0, 10.0])) == pytest.approx(0.1)
    assert relative_steps(np.array([5.0, 5.0])) == 0.0
    for none in ([], [3.0], [-1.0, -2.0], [np.nan, np.nan, 1.0]):
        assert relative_steps(np.array(none)) == np.inf
