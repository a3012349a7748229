"""Terms of the noise of single stars, by hand, and which frames tell of the floor."""

from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.core.calibration.ensemble import apply_ensemble, solve_ensemble
from gaiaflux.core.calibration.terms import StarFacts
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.settings.calibrate import CalibrateSettings
from gaiaflux.series.calibration import frame_zero_points
from gaiaflux.series.light_curves import Calibration, _budget, fit_series_noise, photons_per_unit
from gaiaflux.series.star_summary import Measured

N, M = 40, 30
SETTINGS = CalibrateSettings(spatial_order=0, max_iterations=8, min_stars=10, clip_sigma=4.0)


def test_electrons_of_a_flux_of_one():
    frames = {"exptime_s": np.array([60.0, np.nan, 0.0, 10.0])}
    np.testing.assert_array_equal(photons_per_unit(frames, "electron/s"), [60.0, np.nan, np.nan, 10.0])
    assert photons_per_unit(frames, "adu/s") is None
    assert photons_per_unit({"exptime_s": np.full(3, np.nan)}, "electron/s") is None


@pytest.fixture
def series():
    """Stars that are measured to 1 %, of which photons are 0.6 %, under a steady sky."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 1000, (2, N))
    level = 10 ** np.linspace(3, 4, N)[:, None]
    error = 0.01 * level * np.ones((N, M))
    flux = level + error * rng.normal(size=(N, M))
    good = np.ones((N, M), bool)
    solution = solve_ensemble(flux, error, good, x, y, SETTINGS)
    stars = {"x_ref": x, "y_ref": y, "colour": np.full(N, np.nan)}
    return Measured(flux, error, np.zeros((N, M), "u4")), solution, stars


def budget(measured, solution, stars, photons=None, scintillation=np.nan):
    twinkling = np.full(M, scintillation)
    calibration = Calibration(solution, np.full(N, -1), twinkling, photons)
    facts = StarFacts(stars["x_ref"], stars["y_ref"], stars["colour"])
    values = apply_ensemble(solution, measured.flux, measured.flux_err, facts, np.full(N, -1))
    return _budget(calibration, slice(None), facts, measured, *values), values


def test_terms_of_the_noise_of_a_star(series):
    solution = series[1]
    level = 10 ** np.linspace(3, 4, N)
    found, (flux_cal, error_cal) = budget(*series, photons=np.full(M, 1 / 0.006**2 / level[5]), scintillation=0.004)
    mag = 1.0857362
    assert found["noise_photon"][5] == pytest.approx(mag * 0.006, rel=0.02)
    assert found["noise_background"][5] == pytest.approx(mag * 0.008, rel=0.02)
    np.testing.assert_allclose(found["noise_scintillation"], mag * 0.004, rtol=1e-5)
    zero_point = np.median(np.sqrt(solution.covariance[:, 0, 0]))
    np.testing.assert_allclose(found["noise_zero_point"], mag * zero_point, rtol=1e-4)
    np.testing.assert_allclose(found["noise_total"], mag * np.median(error_cal / flux_cal, axis=1), rtol=1e-5)
    scatter = mag * np.std(flux_cal, axis=1) / np.median(flux_cal, axis=1)
    assert np.median(found["scatter"] / scatter) == pytest.approx(1.0, abs=0.03)
    # Photons are no more than all of it.
    everything, _ = budget(*series, photons=np.full(M, 1e-3))
    np.testing.assert_allclose(everything["noise_photon"], mag * 0.01, rtol=0.02)
    np.testing.assert_allclose(everything["noise_background"], 0.0, atol=1e-5)
    unknown, _ = budget(*series)
    assert np.isnan(unknown["noise_photon"]).all()
    assert np.isnan(unknown["noise_scintillation"]).all()
    np.testing.assert_allclose(unknown["noise_background"], mag * 0.01, rtol=0.02)


def test_points_that_tell_of_the_noise(series):
    measured, _, _ = series
    usual = budget(*series)[0]["noise_total"]
    measured.flags[3, :20] = StarFlag.COSMIC_RAY
    measured.flux_err[3, :20] *= 50.0
    measured.flags[4, 1:], measured.flags[5, 2:] = StarFlag.COSMIC_RAY, StarFlag.COSMIC_RAY
    measured.flux[6] = -measured.flux[6]
    found, _ = budget(*series)
    assert found["noise_total"][3] == pytest.approx(usual[3], rel=0.05)
    # A scatter takes two points, and a level.
    assert np.isfinite(found["scatter"][[3, 4, 5, 6]]).tolist() == [True, False, True, False]
    assert np.isfinite(found["noise_total"][[4, 6]]).tolist() == [True, False]


@pytest.mark.parametrize(("bad", "left_out"), [(14, True), (17, False)])
def test_frames_of_more_scatter_tell_nothing_of_the_floor_unless_they_are_most(bad, left_out):
    rng = np.random.default_rng(2)
    n = 120
    x, y = rng.uniform(0, 1000, (2, n))
    wide = np.where(np.arange(M) < bad, 3.0, 1.0)
    flux = 1e4 * (1.0 + 0.01 * wide * rng.normal(size=(n, M)))
    measured = Measured(flux, np.full((n, M), 100.0), np.zeros((n, M), "u4"))
    solution = solve_ensemble(flux, measured.flux_err, np.ones((n, M), bool), x, y, SETTINGS)
    calibration = Calibration(solution, np.arange(n), np.full(M, np.nan), None)
    stars = {"x_ref": x, "y_ref": y, "colour": np.full(n, np.nan)}
    noise, factor = fit_series_noise(calibration, np.arange(n), measured, stars)
    if left_out:
        # By the quiet half there is no floor, and the others have three times the errors.
        assert noise.excess < 0.003**2
        assert np.median(factor[:bad]) > 2.4
    else:
        assert noise.excess > 0.004**2
    assert np.median(factor[bad:]) == 1.0


def solved(pscale, star_flux, solved=True):
    return SimpleNamespace(
        with_flux=np.ones(len(star_flux), bool), star_flux=np.asarray(star_flux), solved=solved,
        pscale=np.asarray(pscale),
    )  # fmt: skip


def test_zero_points_of_frames_follow_their_scales_or_their_own_stars():
    mag = np.array([10.0, 11.0, 12.0, 13.0, np.nan])
    star = 10 ** (-0.4 * (mag - 20.0))
    star[4] = 5.0
    flux = star[:, None] * np.array([1.0, 0.5, 0.25, 0.125])
    good = np.ones(flux.shape, bool)
    good[2:, 2] = False  # two stars are left
    good[3:, 3], flux[3, 1] = False, -1.0
    zero_points = frame_zero_points(solved([1.0, 0.8, np.nan, np.nan], star), flux, good, mag, star, mag)
    assert zero_points.series.mean == pytest.approx(20.0)
    assert zero_points.series.n == 4
    expected = [20.0, 20.0 + 2.5 * np.log10(0.8), np.nan, 20.0 + 2.5 * np.log10(0.125)]
    np.testing.assert_allclose(zero_points.per_frame, expected)
    # What is not solved has scales of one that say nothing.
    alone = frame_zero_points(solved(np.ones(4), star, solved=False), flux, good, mag, star, mag)
    np.testing.assert_allclose(alone.per_frame[:2], [20.0, 20.0 + 2.5 * np.log10(0.5)])
    # Where the ensemble has no G, all stars tell.
    others = frame_zero_points(solved(np.ones(4), star), flux, good, np.full(5, np.nan), star, mag - 1.0)
    assert others.series.mean == pytest.approx(19.0)
    np.testing.assert_allclose(others.per_frame, 19.0)
