import numpy as np
import pytest

from gaiaflux.core.calibration.ensemble_stars import candidate_reasons, choose_stars


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


def test_choice_of_stars_spreads_over_the_field_and_prefers_isolated():
    rng = np.random.default_rng(0)
    n = 5000
    x, y = rng.uniform(0, 1000, (2, n))
    snr = 10 ** rng.uniform(0.3, 3, n)
    snr[x < 500] *= 0.3
    n_good = np.full(n, 50)
    n_good[::7] = 3
    isolated = rng.uniform(size=n) < 0.5
    rows = choose_stars(snr, n_good, x, y, isolated, min_stars=10, max_stars=300)
    assert rows.size == 300
    assert isolated[rows].all()
    assert (n_good[rows] == 50).all()
    assert 0.4 < (x[rows] < 500).mean() < 0.6
    mixed = rng.permutation(n)
    again = choose_stars(snr[mixed], n_good[mixed], x[mixed], y[mixed], isolated[mixed], min_stars=10, max_stars=300)
    assert set(mixed[again]) == set(rows)
    few = choose_stars(snr[:5], n_good[:5], x[:5], y[:5], np.zeros(5, dtype=bool), min_stars=10)
    assert set(few) <= set(range(5))
    assert choose_stars(np.array([np.nan]), np.array([3]), x[:1], y[:1], isolated[:1], min_stars=10).size == 0
