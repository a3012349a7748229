import numpy as np
import pytest

from gaiaflux.core.calibration.noise_budget import (
    _clipped_mean,
    _photon_factor,
    _star_variances,
    _StarVariances,
    fit_noise,
    frame_factors,
    noise_curves,
)


def light_curves(floor=0.0, gain_error=1.0, common=0.0, n=120, m=100, variables=0.1, seed=1, least=3.0):
    """Constant stars and some variables; photon noise, sky, and what the errors do not know."""
    rng = np.random.default_rng(seed)
    star = 10 ** rng.uniform(least, 6.0, n)
    cloud = rng.uniform(0.4, 1.0, m)
    electrons = star[:, None] * cloud
    sky = 200.0**2
    stated = np.sqrt(electrons + sky) / electrons
    true = np.sqrt(electrons * gain_error + sky) / electrons
    truth = np.ones((n, m))
    varies = rng.uniform(size=n) < variables
    truth[varies] += 0.02 * np.sin(np.arange(m) * 0.3)
    noise = np.hypot(true, floor) * rng.normal(size=(n, m))
    flux = star[:, None] * (truth + noise)
    error = star[:, None] * np.hypot(stated, common)
    return flux, error, np.ones((n, m), dtype=bool), electrons


@pytest.mark.parametrize("floor", [0.0, 0.002, 0.005])
def test_the_floor_is_found_and_the_errors_hold(floor):
    flux, error, use, electrons = light_curves(floor)
    fit = fit_noise(flux, error, use, electrons)
    assert fit.floor == pytest.approx(floor, rel=0.15, abs=4e-4)
    assert fit.photon_note == "ok"
    level = np.median(flux, axis=1, keepdims=True)
    total = np.sqrt((error / level) ** 2 + fit.excess)
    pull = np.std((flux / level - 1) / total, axis=1)
    bright = (level[:, 0] > 1e5) & (np.std(flux / level, axis=1) < 0.01)
    assert bright.sum() > 30
    assert 0.95 < np.sqrt(np.mean(pull[bright] ** 2)) < 1.10


def test_a_common_part_of_the_errors_is_taken_off():
    fit = fit_noise(*light_curves(common=0.003))
    assert fit.floor == 0.0
    assert fit.common == pytest.approx(0.003, rel=0.2)
    assert "common" in fit.note


@pytest.mark.parametrize(("gain_error", "text"), [(1.8, "too large"), (0.5, "too small")])
def test_a_wrong_gain_is_noticed(gain_error, text):
    fit = fit_noise(*light_curves(0.001, gain_error))
    assert fit.photon_factor == pytest.approx(gain_error, rel=0.15)
    assert abs(fit.photon_factor - gain_error) < 5 * fit.photon_factor_err
    assert text in fit.photon_note
    assert f"{fit.photon_factor:.2f} times" in fit.photon_note


def test_a_right_gain_is_not_accused():
    said = [fit_noise(*light_curves(floor, seed=seed)).photon_note for seed in range(6) for floor in (0.0, 0.003)]
    assert said == ["ok"] * 12


def test_stars_without_photon_noise_say_nothing_of_the_gain():
    flux, error, use, electrons = light_curves(0.01)
    fit = fit_noise(flux, error * 10, use, electrons * 100)
    assert "not known" in fit.photon_note
    assert np.isnan(fit.photon_factor)
    assert "too little is known of the gain" in fit_noise(flux, error, use, None).photon_note


@pytest.mark.parametrize("case", ["none", "few", "short", "nan"])
def test_too_little_is_said(case):
    flux, error, use, electrons = light_curves(0.01)
    if case == "none":
        flux, error, use, electrons = (array[:0] for array in (flux, error, use, electrons))
    elif case == "few":
        use[7:] = False
    elif case == "short":
        use[:, 5:] = False
    else:
        flux[:] = np.nan
    fit = fit_noise(flux, error, use, electrons)
    assert (fit.floor, fit.common) == (0.0, 0.0)
    assert fit.note.startswith("no floor: ")
    assert np.isnan(fit.photon_factor)


def test_curves_over_magnitude():
    mag = np.array([14.1, 14.2, 14.3, 15.6, 15.7, np.nan, 18.0])
    curves = noise_curves(mag, {"a": np.array([1, 2, np.nan, 4, 6, 9, 9.0]), "b": np.full(7, np.nan)}, least=2)
    np.testing.assert_allclose(curves["magnitude"], [14.25, 15.75])
    np.testing.assert_array_equal(curves["n_stars"], [3, 2])
    np.testing.assert_allclose(curves["a"], [1.5, 5.0])
    assert np.isnan(curves["b"]).all()
    assert noise_curves(np.zeros(0), {"a": np.zeros(0)})["magnitude"].size == 0


def test_errors_of_a_bad_frame_are_raised_and_of_no_other():
    rng = np.random.default_rng(2)
    n, m = 300, 80
    level = 10 ** rng.uniform(3, 5, n)[:, None]
    error = np.repeat(0.01 * level, m, axis=1)
    wide = np.ones(m)
    wide[[5, 30, 31]] = 1.5, 4.0, 2.0
    flux = level + np.hypot(error, 0.006 * level) * wide * rng.normal(size=(n, m))
    use = rng.random((n, m)) > 0.1
    use[8:, 60] = False  # a frame with few stars says nothing
    use[7, 60] = False
    flux[:, 60] += 5.0 * error[:, 60]
    factor = frame_factors(flux, error, use, 0.006**2)
    quiet = np.delete(np.arange(m), [5, 30, 31])
    assert factor[quiet].max() < 1.1
    assert (factor[quiet] == 1.0).mean() > 0.85
    assert factor[60] == 1.0
    # What may be chance is taken off.
    assert factor[30] == pytest.approx(4.0, rel=0.15)
    assert factor[31] == pytest.approx(2.0, rel=0.15)
    assert 1.2 < factor[5] < 1.55
    assert (factor >= 1.0).all()


def test_errors_that_are_too_large_are_not_reduced():
    rng = np.random.default_rng(3)
    flux = 1e4 + 20.0 * rng.normal(size=(50, 40))
    assert (frame_factors(flux, np.full(flux.shape, 100.0), np.ones(flux.shape, bool), 0.0) == 1.0).all()
    # A part that is taken off all of them counts.
    excess = (20.0 / 1e4) ** 2 - (100.0 / 1e4) ** 2
    assert np.median(frame_factors(flux, np.full(flux.shape, 100.0), np.ones(flux.shape, bool), excess)) == 1.0
    assert (frame_factors(flux[:5], flux[:5] * 1e-4, np.ones((5, 40), bool), 0.0) == 1.0).all()


def steady(stated, excess=0.0, m=40, level=1e5):
    """Stars that jump by the same from frame to frame, so that their variances are exactly the stated ones and more."""
    stated = np.asarray(stated, float)
    size = np.sqrt((stated + excess) * (m - 1) / m)
    flux = level * (1.0 + size[:, None] * np.where(np.arange(m) % 2, 1.0, -1.0))
    return flux, level * np.repeat(np.sqrt(stated)[:, None], m, axis=1), np.ones(flux.shape, bool)


def test_the_floor_follows_from_the_bright_stars():
    floor2 = 4e-6
    # Up to four times the variance of the best ones; what the others have too much of is not looked at.
    stated = np.concatenate([np.full(30, 1e-6), np.full(30, 3.9e-6), np.full(30, 4.1e-6)])
    fit = fit_noise(*steady(stated, np.where(stated < 4e-6, floor2, 1e-4)), None)
    assert (fit.n_stars, fit.note) == (60, "ok")
    assert fit.floor == pytest.approx(np.sqrt(floor2), rel=1e-3)
    # At least twenty of them, however much the errors differ.
    fit = fit_noise(*steady(1e-6 * 1.5 ** np.arange(40), floor2), None)
    assert fit.n_stars == 20
    assert fit.floor == pytest.approx(np.sqrt(floor2), rel=1e-3)


@pytest.mark.parametrize(("n", "m", "known"), [(8, 8, True), (7, 8, False), (8, 7, False)])
def test_eight_stars_of_eight_points(n, m, known):
    fit = fit_noise(*steady(np.full(n, 1e-6), 4e-6, m), None)
    assert (fit.note == "ok") == known
    assert fit.floor == pytest.approx(2e-3 if known else 0.0, rel=1e-3)
    # Negative levels are no stars.
    flux, error, use = steady(np.full(n, 1e-6), 4e-6, m)
    assert fit_noise(-flux, error, use, None).n_stars == 0


def test_a_star_that_varies_says_nothing_of_the_floor():
    # Of 201 points a variance is known to 10 %, and like stars differ by as much: 14 % in all, of which one sigma is
    # believed where the others agree.
    for factor, n_stars in ((1.12, 60), (1.17, 59), (0.87, 60), (0.83, 59)):
        excess = np.full(60, 3e-6)
        excess[7] = factor * 4e-6 - 1e-6
        assert fit_noise(*steady(np.full(60, 1e-6), excess, 201), None).n_stars == n_stars


def variances(factor, n_points, n_light=20, share=0.5):
    """Stars whose variance is photon noise by some share, and as many without any, with a wrong gain."""
    light = np.concatenate([np.full(n_light, share * 1e-5), np.zeros(20)])
    rest = np.concatenate([np.full(n_light, (1 - share) * 1e-5), np.full(20, 1e-6)])
    return _StarVariances(rest + factor * light + 1e-8, light, rest, np.full(len(light), n_points))


def test_ten_stars_whose_noise_is_a_third_of_photons_tell_of_the_gain():
    assert _photon_factor(variances(1.0, 1000, 10), 0.0).note == "ok"
    assert _photon_factor(variances(1.0, 1000, 9), 0.0).note.startswith("not known: 9 stars")
    assert _photon_factor(variances(1.0, 1000, share=0.31), 0.0).note == "ok"
    assert _photon_factor(variances(1.0, 1000, share=0.29), 0.0).note.startswith("not known: 0 stars")
    # The floor is a part of the noise; what is taken off is none.
    assert _photon_factor(variances(1.0, 1000, share=0.31), 1e-6).note.startswith("not known: 0 stars")
    assert _photon_factor(variances(1.0, 1000, share=0.29), -1e-6).note.startswith("not known: 0 stars")


@pytest.mark.parametrize(
    ("factor", "n_points", "said"),
    [
        (1.2, 1000, "ok"), (1.3, 1000, "too large"), (0.82, 1000, "ok"), (0.75, 1000, "too small"),
        (1.3, 12, "ok"),  # by chance
    ],
)  # fmt: skip
def test_a_gain_is_wrong_where_a_quarter_more_or_less_is_no_chance(factor, n_points, said):
    found = _photon_factor(variances(factor, n_points), 5e-7)
    assert found.factor == pytest.approx(factor, rel=1e-6)
    assert said in found.note
    # The floor is fitted along where the gain is wrong, and kept where it is not.
    assert found.floor2 == pytest.approx(5e-7 if said == "ok" else 1e-8, rel=1e-4)


def test_variance_of_a_star_and_what_is_stated_of_it():
    value = np.array([[0.9, 1.1, 1.0, 1.2, 0.8, 9.0]])
    use = np.array([[True] * 5 + [False]])
    error2 = np.array([[0.02, 0.02, 0.03, 0.03, 0.03, 0.01]])
    photons = np.array([[100.0, 100.0, 50.0, 50.0, 50.0, 0.0]])
    found = _star_variances(value, error2, use, 0.01, photons)
    weight = 1.0 / (error2[0, :5] + 0.01)
    mean = np.average(value[0, :5], weights=weight)
    expected = np.average((value[0, :5] - mean) ** 2, weights=weight) * 5 / 4
    light = np.average(1.0 / photons[0, :5], weights=weight)
    assert found.variance[0] == pytest.approx(expected)
    assert found.light[0] == pytest.approx(light)
    assert found.rest[0] == pytest.approx(np.average(error2[0, :5], weights=weight) - light)
    assert found.n_points[0] == 5
    # The photons are a part of what is stated, at most all of it; of less than one photon nothing is known.
    few = _star_variances(value, error2, use, 0.01, photons * 1e-4)
    assert few.light[0] == pytest.approx(np.average(error2[0, :5], weights=weight))
    # Where something is taken off, a quarter of what is stated stays.
    taken = _star_variances(value, error2, use, -1.0, None)
    mean = np.average(value[0, :5], weights=1.0 / error2[0, :5])
    assert taken.variance[0] == pytest.approx(
        np.average((value[0, :5] - mean) ** 2, weights=1.0 / error2[0, :5]) * 5 / 4
    )
    assert taken.light[0] == 0.0


def test_four_times_the_usual_deviation_is_an_outlier():
    # Limits are 4 times 1.4826 of the usual deviation; where the errors are far too large, 4 times 0.3 of them.
    for usual, inside, outside in ((1.0, 5.8, 6.1), (0.1, 1.15, 1.25)):
        for deviation, n in ((inside, 62), (outside, 60)):
            value = np.append(usual * np.where(np.arange(60) % 2, 1.0, -1.0), [deviation, -deviation])[None]
            found = _clipped_mean(value, np.ones((1, 62)), np.ones((1, 62), bool))
            assert (found.weight > 0).sum() == n


def test_the_factor_of_a_frame_is_its_chi_without_what_may_be_chance():
    n, m, error = 64, 40, 0.01
    pull = 0.6745 * np.where(np.arange(m) % 2, 1.0, -1.0) * np.ones((n, 1))
    # Two frames in which all stars deviate by two errors, once up and once down.
    pull[:, [10, 11]] *= 2.0 / 0.6745
    level = 10 ** np.linspace(3, 5, n)[:, None]
    flux, errors, use = level * (1.0 + error * pull), level * error * np.ones((n, m)), np.ones((n, m), bool)
    factor = frame_factors(flux, errors, use, 0.0)
    chi2 = (1.4826 * 2.0) ** 2 * m / (m - 1)
    # Chi squared of 64 stars is known to 2 * 1.17 / 8 by absolute medians; twice that is chance.
    assert factor[10] == pytest.approx(np.sqrt(chi2 - 4 * 1.17 / 8), rel=1e-3)
    np.testing.assert_array_equal(np.delete(factor, [10, 11]), 1.0)
    # Eight stars are enough, eight points of each as well.
    for stars, points, told in ((8, 40, True), (7, 40, False), (64, 8, True), (64, 7, False)):
        some = use & (np.arange(n)[:, None] < stars) & (np.arange(m) >= 10) & (np.arange(m) < 10 + points)
        strong = level * (1.0 + error * np.where(np.arange(m) == 12, 30.0, pull))
        assert (frame_factors(strong, errors, some, 0.0)[12] > 3.0) == told


def test_a_bin_of_the_curves_has_five_stars_and_is_half_a_magnitude_wide():
    mag = np.array([14.0, 14.1, 14.2, 14.3, 14.49, 14.5, 14.6, 14.7, 14.8])
    curves = noise_curves(mag, {"a": np.arange(9.0)})
    assert curves["magnitude"].tolist() == [14.25]
    assert curves["n_stars"].tolist() == [5]
    assert curves["a"].tolist() == [2.0]
