import numpy as np
import pytest

from gaiaflux.core.aperture.scatter import (
    candidate_reasons,
    choose_stars,
    frame_trends,
    predicted_error,
    recommend_radius,
    trend_factors,
)


def reasons(**changed):
    """Reason of one star beside five that were chosen; all is well with it but for what is changed."""
    star = {"snr": 100.0, "n_good": 40, "n_points": 40, "n_saturated": 0, "isolated": True, "placed": True, **changed}
    others = {"snr": 50.0, "n_good": 40, "n_points": 40, "n_saturated": 0, "isolated": True, "placed": True}
    columns = {name: np.array([others[name]] * 5 + [star[name]]) for name in star}
    return candidate_reasons(np.arange(5), **columns)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, "not needed: others do better here"),
        ({"isolated": False}, "not a candidate: neighbours"),
        ({"snr": 49.0}, "not a candidate: too faint"),
        ({"snr": 50.0}, "not needed: others do better here"),
        ({"snr": 4.9}, "not a candidate: S/N below 5"),
        ({"n_good": 11, "n_points": 20}, "not a candidate: few good points"),
        ({"n_good": 12, "n_points": 20}, "not needed: others do better here"),
        # Exactly half is not most.
        ({"n_good": 20, "n_points": 40}, "not needed: others do better here"),
        ({"n_good": 19, "n_points": 40}, "not a candidate: flagged in most frames"),
        ({"n_good": 20, "n_saturated": 20}, "not needed: others do better here"),
        ({"n_good": 19, "n_saturated": 21}, "not a candidate: saturated in most frames"),
        ({"placed": False}, "not a candidate: place unknown"),
        ({"n_good": 0, "n_points": 0}, "not a candidate: never measured"),
    ],
)
def test_each_star_that_was_not_offered_has_its_reason(changed, text):
    found = reasons(**changed)
    assert found[5] == text
    assert (found[:5] == "").all()


def test_of_nobody_nothing_is_asked():
    # Without any candidate there is no standard to fall short of.
    found = candidate_reasons(
        np.zeros(0, int), np.array([9.0, 2.0]), np.array([3, 3]), np.array([3, 3]), np.zeros(2, int),
        np.ones(2, bool), np.ones(2, bool),
    )  # fmt: skip
    assert found.tolist() == ["not a candidate: too faint", "not a candidate: S/N below 5"]


def test_precise_isolated_and_often_measured_stars_first():
    n = 200
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 1000, (2, n))
    snr = np.where(np.arange(n) < 60, 30.0, 12.0)
    n_good = np.full(n, 100)
    isolated = np.ones(n, bool)
    keywords = {"min_stars": 10, "max_stars": 400}
    # Enough with S/N 20: the others are not needed; with 29 they are.
    assert choose_stars(snr, n_good, x, y, isolated, **keywords).tolist() == list(range(60))
    few = np.where(np.arange(n) < 29, 30.0, 12.0)
    assert len(choose_stars(few, n_good, x, y, isolated, **keywords)) == n
    # Rarely measured ones are left out: less than 0.3 of the points of the best.
    n_good[:3], n_good[3] = 29, 30
    assert choose_stars(snr, n_good, x, y, isolated, **keywords).tolist() == list(range(3, 60))
    # Disturbed ones, where 40 others are left.
    n_good[:] = 100
    isolated[:20] = False
    assert choose_stars(snr, n_good, x, y, isolated, **keywords).tolist() == list(range(20, 60))
    isolated[20] = False
    assert choose_stars(snr, n_good, x, y, isolated, **keywords).tolist() == list(range(60))
    # Of equal ones as many of each part of the field.
    x[:60] = np.where(np.arange(60) < 50, 10.0, 900.0)
    y[:60] = 500.0
    isolated[:] = True
    rows = choose_stars(snr, n_good, x, y, isolated, min_stars=10, max_stars=20)
    assert len(rows) == 20
    assert np.count_nonzero(rows >= 50) == 10


def test_trends_of_the_frames_over_the_field():
    rng = np.random.default_rng(2)
    n, m = 80, 6
    x, y = rng.uniform(0, 1000, (2, n))
    u, v = x / 500 - 1, y / 500 - 1
    tilt = 0.05 * rng.normal(size=(3, m))
    factor = np.exp(tilt[0][:, None] + tilt[1][:, None] * u + tilt[2][:, None] * u * v)
    flux = (10 ** rng.uniform(4, 5, n) * factor * (1 + 1e-3 * rng.normal(size=(m, n))))[:, :, None]
    flux[2, :8] *= 3.0  # cosmic rays
    usable = np.ones(flux.shape, bool)
    usable[4, 29:] = False
    usable[5, 30:] = False
    trend = frame_trends(flux, usable, x, y)
    found, known = trend_factors(x, y, trend[0], (x, y))
    assert known.tolist() == [True, True, True, True, False, True]
    np.testing.assert_array_equal(found[:, 4], 1.0)
    ratio = np.log(found[:, :4]) - np.log(factor[:4].T)
    # But for a constant of each star: the trends say how a frame differs from the others.
    ratio -= ratio.mean(axis=1, keepdims=True)
    assert np.abs(ratio).max() < 3e-3
    # Beyond the calibrators the polynomial is held.
    far = trend_factors(np.array([x.max() + 5000.0]), np.array([y.min() - 100.0]), trend[0], (x, y))[0]
    np.testing.assert_array_equal(far, trend_factors(x.max(keepdims=True), y.min(keepdims=True), trend[0], (x, y))[0])
    alone = trend_factors(x[:3], y[:3], np.zeros((m, 1)), (x[:0], y[:0]))
    np.testing.assert_array_equal(alone[0], np.ones((3, m)))


def test_predicted_error_holds_photons_neighbours_and_missing_points():
    flux = np.full((9, 1, 2), 1e4, np.float32)
    error = np.full((9, 1, 2), 20.0, np.float32)
    usable, neighbour = np.ones(flux.shape, bool), np.zeros(flux.shape, bool)
    assert predicted_error(flux, error, usable, neighbour) == pytest.approx(np.hypot(20.0, 10.0))
    neighbour[:, :, 1] = True
    assert predicted_error(flux, error, usable, neighbour)[0, 1] == pytest.approx(np.sqrt(500.0 + 50.0**2))
    usable[:5, :, 0] = False
    assert predicted_error(flux, error, usable, neighbour)[0, 0] == pytest.approx(np.hypot(20.0, 10.0) * np.sqrt(9 / 4))
    # Within 2 % of the best the smaller radius is taken.
    error[:, :, 0] = np.sqrt(550.0 + 49.0**2)
    index, _ = recommend_radius(flux, error, np.ones(flux.shape, bool), neighbour)
    assert index.tolist() == [0]
    error[:, :, 0] *= 1.05
    assert recommend_radius(flux, error, np.ones(flux.shape, bool), neighbour)[0].tolist() == [1]
