import numpy as np
import pytest

from gaiaflux.tess.stamp.metrics import edge_flux, performance, scatter_on_timescale

DAY_S = 86400.0


def light_curve(n=5000, noise=10.0, seed=3):
    rng = np.random.default_rng(seed)
    time = 1325.0 + np.arange(n) * 120.0 / DAY_S
    flux = 1e4 + rng.normal(0, noise, n)
    return time, flux, np.full(n, noise), np.tile([1000.0, 500.0], (n, 1)), np.zeros(n, np.int32)


def test_figures_of_white_noise():
    found = performance(*light_curve())
    assert found["mean_flux"] == pytest.approx(1e4, abs=1)
    assert found["variance"] == pytest.approx(1e-6, rel=0.1)
    assert found["rms_hour"] == pytest.approx(1e-3 / np.sqrt(30), rel=0.25)
    assert found["ptp"] == pytest.approx(1e-3 * np.sqrt(2) * 0.6745, rel=0.05)
    assert found["variability"] == pytest.approx(1.0, rel=0.05)
    assert found["pos_centroid"] == [1000.0, 500.0]


def test_flagged_and_missing_points_do_not_count():
    time, flux, error, places, quality = light_curve()
    expected = performance(time[20:], flux[20:], error[20:], places[20:], quality[20:])
    flux[:10], quality[10:20], places[:20] = np.nan, 8, np.nan
    flux[10:20] = 1e9
    assert performance(time, flux, error, places, quality) == expected


def test_a_slow_change_is_no_variability():
    time, flux, error, places, quality = light_curve()
    phase = np.linspace(-1, 1, len(time))
    found = performance(time, flux * (1 + 0.1 * phase + 0.1 * phase**3), error, places, quality)
    assert found["variability"] == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_points_say_nothing(n):
    found = performance(*(values[:n] for values in light_curve()))
    assert np.isnan(found["rms_hour"])
    assert np.isnan(found["variability"])


def test_bins_are_as_long_as_asked_for():
    time = np.arange(60) * 1800.0 / DAY_S
    flux = np.tile([1.0, 3.0], 30)
    assert scatter_on_timescale(time, flux, 3600.0 / DAY_S) == 0.0
    assert scatter_on_timescale(time, flux, 1800.0 / DAY_S) == pytest.approx(1.4826)
    assert np.isnan(scatter_on_timescale(time[:2], flux[:2], 3600.0 / DAY_S))


def test_light_on_the_rim():
    image = np.ones((4, 5))
    image[0, 0] = np.nan
    mask = np.zeros((4, 5), bool)
    mask[0, :3] = mask[1, 1:3] = True
    assert edge_flux(image, mask) == 2.0
