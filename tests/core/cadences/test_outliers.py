import numpy as np
import pytest

from gaiaflux.core.cadences.outliers import usual_residual, worst_pixels

N, PIXELS = 3000, 6


@pytest.fixture(scope="module")
def known():
    """Residuals that follow the shift, with outliers."""
    rng = np.random.default_rng(8)
    shift = np.column_stack([np.linspace(-0.4, 0.1, N), 0.1 * np.sin(np.arange(N) / 50)]) + 0.01 * rng.normal(
        size=(N, 2)
    )
    terms = rng.normal(0, 20, (3, PIXELS))
    error = 1.0 + 0.5 * (np.arange(N) > 2000)
    noise = np.linspace(1.0, 3.0, PIXELS)
    static = np.concatenate([np.ones((N, 1)), shift - shift.mean(axis=0)], axis=1) @ terms
    residual = static + error[:, None] * noise * rng.normal(size=(N, PIXELS))
    hit = rng.random((N, PIXELS)) < 0.01
    residual[hit] += 60 * np.tile(noise, (N, 1))[hit]
    residual[5] = np.nan
    hit[5] = False
    return residual.astype(np.float32), error, noise, shift, terms, hit


def learn(known, good=None, sigma=5.0):
    residual, error, noise, shift = known[:4]
    return usual_residual(residual, error, noise, shift, np.ones(len(error), bool) if good is None else good, sigma)


def test_what_pixels_always_leave_is_learned(known):
    usual = learn(known)
    np.testing.assert_allclose(usual.static.terms, known[4], atol=2.0)
    np.testing.assert_allclose(usual.static.terms[0], known[4][0], atol=0.3)
    np.testing.assert_allclose(usual.scatter, known[2], rtol=0.06)
    np.testing.assert_array_equal(usual.away[known[5].any(axis=1)], True)
    assert usual.away.sum() < 1.01 * known[5].any(axis=1).sum()


def test_outliers_are_far_from_it_and_nothing_else(known):
    residual, error, _, shift, _, hit = known
    usual = learn(known)
    left = residual - usual.static.at(shift).astype(np.float32)
    distance = usual.distance(left, error, shift)
    assert (distance[hit] > 20).all()
    assert np.sum(distance[~hit] > 5) <= 2
    assert not distance[5].any()


def test_frames_that_do_not_count_say_nothing(known):
    good = np.arange(N) < 1500
    spoiled = known[0].copy()
    spoiled[1500:] += 1000
    usual = learn((spoiled, *known[1:]), good)
    np.testing.assert_allclose(usual.scatter, known[2], rtol=0.1)
    assert usual.away[1500:].all()


def test_few_frames_do_not_say_how_much_a_pixel_scatters():
    rng = np.random.default_rng(3)
    n = 6
    residual = (7.0 + 1e-3 * rng.normal(size=(n, 4))).astype(np.float32)
    residual[2, 1] += 3.0
    residual[4, 2] += 300.0
    some = usual_residual(residual, np.ones(n), np.ones(4), np.zeros((n, 2)), np.ones(n, bool), 5.0)
    np.testing.assert_allclose(some.static.terms[0], 7.0, atol=1.0)
    assert not some.static.terms[1:].any()
    assert some.away.tolist() == [False, False, False, False, True, False]
    too_few = usual_residual(residual[:3], np.ones(3), np.ones(4), np.zeros((3, 2)), np.ones(3, bool), 5.0)
    assert not too_few.away.any()
    assert np.isnan(too_few.scatter).all()


def test_the_worst_go_first():
    distance = np.array([[3.0, 30.0, 8.0], [6.0, 5.5, 1.0], [4.0, 1.0, 2.0]])
    assert worst_pixels(distance, 5.0).tolist() == [[False, True, False], [True, True, False], [False] * 3]
