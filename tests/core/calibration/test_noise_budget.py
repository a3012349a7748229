import numpy as np
import pytest

from gaiaflux.core.calibration.noise_budget import fit_noise, frame_factors, noise_curves


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
