"""The plain script, and what compares gaiaflux with it."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.real import plain
from benchmarks.real.figures import Compared, figures, plain_scatter, real_figures, robust_scatter


def test_the_script_is_short_and_sums_a_star():
    assert len(Path(plain.__file__).read_text(encoding="utf-8").splitlines()) <= 80
    yy, xx = np.mgrid[:100, :120]
    star = 5e4 / (2 * np.pi * 2.0**2) * np.exp(-0.5 * ((xx - 60.3) ** 2 + (yy - 50.2) ** 2) / 2.0**2)
    image = 300.0 + 0.3 * xx + star + np.random.default_rng(1).normal(0, 1.0, star.shape)
    flux = plain.sums(image, np.array([60.3, 5.0]), np.array([50.2, 50.0]))
    inside = 1 - np.exp(-0.5 * (np.array(plain.RADII_PIX) / 2.0) ** 2)
    np.testing.assert_allclose(flux[0], 5e4 * inside, rtol=0.03)  # of pixels
    # The annulus of the larger circles reaches over the edge.
    assert np.isnan(flux[1, 2:]).all()


def test_the_script_takes_the_radius_with_the_least_scatter_in_even_frames():
    rng = np.random.default_rng(2)
    n, m = 40, 30
    noise = np.full(len(plain.RADII_PIX), 0.03)
    noise[3] = 0.01
    cloud = np.exp(-rng.random(m))[:, None]
    flux = 1e4 * cloud * (1 + noise * rng.normal(size=(n, m, len(noise))))
    flux[:, 1::2, 3] *= 1 + 0.2 * rng.normal(size=(n, m // 2))
    mag = plain.light_curves(flux, np.arange(30))
    assert np.median(np.nanstd(mag[:, ::2], axis=1)) == pytest.approx(1.0857 * 0.01, rel=0.15)
    assert np.median(np.nanstd(mag[:, 1::2], axis=1)) > 0.15


def curves(noise, n=60, m=40, seed=3):
    rng = np.random.default_rng(seed)
    values = 15.0 + noise * rng.normal(size=(n, m))
    values[:, ::2] += 5.0 * rng.normal(size=(n, m // 2))  # the frames that chose are not looked at
    return values


def test_the_figures_are_of_the_points_of_both_in_odd_frames():
    ours, script = curves(0.010), curves(0.020, seed=4)
    script[:, 3] += 1.0
    ours[:, 3] = np.nan
    found = {figure.name: figure for figure in figures(Compared({"recommended": ours}, script))}
    assert len(found) == 6
    for figure in found.values():
        assert figure.measured == pytest.approx(10.0, rel=0.15)
        assert figure.peer == pytest.approx(20.0, rel=0.15)
        assert figure.met
    worse = figures(Compared({"recommended": script, "psf": script}, ours))
    assert [figure.met for figure in worse] == [False, False, None, None] * 3
    few = figures(Compared({"recommended": ours[:7]}, script[:7]))
    assert few == []


def test_scatters():
    values = np.array([[0.0, 1.0, -1.0, 2.0, -2.0, 50.0, 0.0], [1.0, np.nan, np.nan, np.nan, 1.0, 1.0, 1.0]])
    assert robust_scatter(values)[0] == pytest.approx(1.4826)
    assert plain_scatter(values)[0] == pytest.approx(np.sqrt(2510 / 7))
    assert np.isnan([robust_scatter(values)[1], plain_scatter(values)[1]]).all()


def test_absent_data_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GAIAFLUX_DATA", str(tmp_path / "nowhere"))
    assert real_figures(tmp_path) == []
    assert "NOT RUN" in capsys.readouterr().out
