"""Calibration of series with few stars or frames, clouds, gaps and unknown facts."""

import numpy as np
import pytest


def test_all_frames_cloudy(assembled, tmp_path):
    series = assembled.Series(n=100, m=30, seed=8)
    series.scale *= 0.02
    data = series.run(tmp_path)
    assert set(assembled.complete(data)) == {"ok"}
    ratio = data["aperture/pscale"] / series.scale
    assert np.std(ratio / np.median(ratio)) < 0.01


def test_half_the_frames_miss_a_star(assembled, tmp_path):
    series = assembled.Series(n=100, m=40, seed=9)
    brightest = np.flatnonzero(~series.variable)[:6]
    series.missing[brightest, 20:] = True
    data = series.run(tmp_path)
    assembled.complete(data)
    ratio = data["aperture/pscale"] / series.scale
    half = np.median(ratio[20:]) / np.median(ratio[:20])
    assert abs(half - 1) < 3e-3
    rest = np.setdiff1d(np.flatnonzero(~series.variable), brightest)[:30]
    flux = data["aperture/flux_cal"][rest]
    step = np.median(np.median(flux[:, 20:], axis=1) / np.median(flux[:, :20], axis=1))
    assert abs(step - 1) < 1e-3
    assert 0.93 < assembled.pulls(data, rest).std() < 1.10


@pytest.mark.parametrize(
    ("n", "m", "note"),
    [(4, 20, "usable stars, 10 needed"), (60, 1, "one frame"), (1, 20, "1 usable stars"), (1, 1, "1"), (0, 9, "0 us")],
)
def test_few_stars_and_few_frames(assembled, tmp_path, n, m, note):
    series = assembled.Series(n=n, m=m, seed=10)
    data = series.run(tmp_path)
    assembled.complete(data)
    assert note in data["aperture.calibration"]
    assert (data["aperture/pscale"] == 1).all()
    assert data["aperture.noise_floor_mag"] == 0
    assert data["aperture.noise_note"].startswith("no floor: ")
    assert all(row["note"].startswith("left out") for row in assembled.terms_of(data).values())


@pytest.mark.parametrize(
    ("fact", "term"),
    [
        ("bp_rp", "0 stars of the ensemble with a colour"),
        ("airmass", "the air mass is not known"),
        ("aperture_m", None),
        ("site_height_m", None),
        ("exptime_s", None),
        ("phot_g_mean_mag", None),
        ("fwhm_pix", None),
    ],
)
def test_what_is_not_known_is_left_out_and_said(assembled, tmp_path, fact, term):
    series = assembled.Series(n=80, m=30, seed=11, tint=0.0)
    table = series.stars if fact in series.stars else series.frames
    table[fact] = np.full(len(table[fact]), np.nan)
    data = series.run(tmp_path)
    assert set(assembled.complete(data)) == {"ok"}
    if term:
        assert term in assembled.terms_of(data)["colour * airmass"]["note"]
    if fact in ("airmass", "aperture_m", "site_height_m", "exptime_s"):
        assert data["aperture.scintillation_note"] == f"left out in 30 of 30 frames: {fact} not known"
        assert np.isnan(data["aperture/scintillation"]).all()
        assert np.isnan(data["aperture/noise_scintillation"]).all()
    constant = np.flatnonzero(~series.variable)[:40]
    assert 0.90 < assembled.pulls(data, constant).std() < 1.10


def test_nothing_measured(assembled, tmp_path):
    series = assembled.Series(n=20, m=5, seed=12)
    series.missing[:] = True
    data = series.run(tmp_path)
    assembled.complete(data)
    assert np.isnan(data["aperture/flux_cal"]).all()
    assert (data["stars/recommended_method"] == -1).all()
    assert set(assembled.texts(data["aperture/ensemble_status"])) == {"not a candidate: never measured"}
