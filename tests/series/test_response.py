"""Steps of the response of a series' detectors: found, taken off, flagged, told."""

import json

import numpy as np
import pytest

from gaiaflux.core.sky.projection import linear_tan, pixel_to_sky
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip
from gaiaflux.model.flags import FrameFlag, StarFlag
from gaiaflux.model.units import MAG_PER_RELATIVE
from gaiaflux.series import calibration
from gaiaflux.series.response import SeriesResponse, _detectors, _some_frames, response_sentences

CD = np.array([[-1e-4, 2e-6], [3e-6, 1e-4]])
DITHER_PIX = 60.0


def plate(column, row):
    return linear_tan((150.0, -20.0), (column, row), CD, (1000, 1000))


def dithered(assembled, step, turn=False, **options):
    """A series with plate solutions whose detector has an upper half with a response of its own, ln `step`.

    With `turn` every second frame is by another camera without steps.
    """
    series = assembled.Series(**{"n": 150, "m": 24, "seed": 3, **options})
    series.stars["ra_deg"], series.stars["dec_deg"] = pixel_to_sky(
        plate(499.5, 499.5), series.stars["x_ref"], series.stars["y_ref"]
    )
    series.stars["ref_epoch"] = np.full(series.n, 2016.0)
    series.frames["nx"], series.frames["ny"] = np.full(series.m, 1000), np.full(series.m, 1000)
    shift = DITHER_PIX * np.random.default_rng(8).normal(size=(2, series.m))
    shift[:, 0] = 0.0  # the reference image
    for j in range(series.m):
        cards = cards_from_tan_sip(plate(499.5 + shift[0, j], 499.5 + shift[1, j]))
        series.frames["wcs_header"][j] = cards
    series.row = series.stars["y_ref"][:, None] + shift[1]
    stepped = np.ones(series.m, dtype=bool)
    if turn:
        stepped = np.arange(series.m) % 2 == 0
        series.frames["camera"] = np.where(stepped, "fa15", "fa16").astype(object)
    series.field = series.field + step * (series.row > 499.5) * stepped
    return series, stepped


@pytest.fixture(scope="module")
def uneven(assembled, tmp_path_factory):
    series, _ = dithered(assembled, 0.08)
    folder = tmp_path_factory.mktemp("uneven")
    return series, series.run(folder), folder


def constant(series):
    return np.flatnonzero(~series.variable)[:60]


def test_light_curves_are_without_the_step_and_fluxes_as_measured(uneven, assembled, tmp_path, monkeypatch):
    series, data, folder = uneven
    rows = constant(series)
    clean = np.where(data["aperture/flags"][rows] == 0, data["aperture/flux_cal"][rows], np.nan)
    data = {**data, "aperture/flux_cal": np.full_like(data["aperture/flux_cal"], np.nan)}
    data["aperture/flux_cal"][rows] = clean
    assert np.std(assembled.pulls(data, rows)) < 1.15
    # As measured: what the file of the measurements has.
    with DatasetReader(folder / "measured.h5") as source:
        measured = source.array("aperture/flux")
    own = np.take_along_axis(measured, data["aperture/recommended_radius"][None, :, None].clip(0, 2), 2)[:, :, 0].T
    here = data["aperture/recommended_radius"] < 3
    np.testing.assert_array_equal(data["aperture/flux"][here], own[here])
    # Without the term each crossing shows.
    monkeypatch.setattr(calibration, "find_response", lambda *_: None)
    crooked = dithered(assembled, 0.08)[0].run(tmp_path)
    assert np.std(assembled.pulls(crooked, rows)) > 2.0
    assert "aperture.response_steps" not in crooked


def test_what_is_written_and_said(uneven):
    _, data, folder = uneven
    steps = json.loads(data["aperture.response_steps"])
    (found,) = steps["cameras"]
    assert (found["camera"], found["columns"], found["rows"]) == ("fa15", [], [499.5])
    half = 0.5 * MAG_PER_RELATIVE * 0.08
    np.testing.assert_allclose(np.array(found["value_mag"])[:, 0], [half, -half], atol=0.003)
    assert 0 < np.max(found["error_mag"]) < 0.003
    assert "flux / 10^(-0.4 value_mag" in steps["use"]
    span = np.ptp(found["value_mag"])
    np.testing.assert_allclose(data["aperture/response_span"], span)
    with DatasetReader(folder / "dataset.h5") as source:
        (said,) = response_sentences(source.attributes("aperture"))
    assert said.startswith(
        f"The response of camera fa15 steps by up to {100 * span / MAG_PER_RELATIVE:.1f} % at row 499.5, as between"
    )
    assert "uneven_response" in said
    assert response_sentences({}) == []


def test_frames_are_flagged_and_the_points_beside_the_seam(uneven):
    series, data, _ = uneven
    assert (data["frames/flags"] & FrameFlag.UNEVEN_RESPONSE).all()
    beside = np.abs(series.row - 499.5) < 5.0 * 4.0  # of the seeing
    edge = np.abs(np.abs(series.row - 499.5) - 20.0) < 1e-3
    seam = (data["aperture/flags"] & StarFlag.SEAM) != 0
    np.testing.assert_array_equal(seam[~edge], beside[~edge])
    assert 0 < seam.mean() < 0.1


def test_a_step_of_less_than_a_percent_is_taken_off_without_a_flag(assembled, tmp_path):
    series, _ = dithered(assembled, 0.008, n=200, m=64)
    data = series.run(tmp_path)
    (found,) = json.loads(data["aperture.response_steps"])["cameras"]
    assert np.ptp(found["value_mag"]) / MAG_PER_RELATIVE == pytest.approx(0.008, abs=0.0015)
    assert not (data["frames/flags"] & FrameFlag.UNEVEN_RESPONSE).any()
    assert not (data["aperture/flags"] & StarFlag.SEAM).any()
    with DatasetReader(tmp_path / "dataset.h5") as source:
        (said,) = response_sentences(source.attributes("aperture"))
    assert said.endswith("light curves are corrected.")


def test_a_series_without_steps_is_left_as_it_is(assembled, tmp_path, monkeypatch):
    plain = []
    for name in ("as_it_is", "not_looked"):
        (tmp_path / name).mkdir()
        plain.append(dithered(assembled, 0.0)[0].run(tmp_path / name))
        monkeypatch.setattr(calibration, "find_response", lambda *_: None)
    assert plain[0].keys() == plain[1].keys()
    assert "aperture.response_steps" not in plain[0]
    for name in ("flux", "flux_cal", "flux_cal_err", "flags", "pscale"):
        np.testing.assert_array_equal(plain[0][f"aperture/{name}"], plain[1][f"aperture/{name}"])


def test_only_the_camera_with_the_step_is_corrected(assembled, tmp_path):
    series, stepped = dithered(assembled, 0.08, turn=True, m=40)
    data = series.run(tmp_path)
    (found,) = json.loads(data["aperture.response_steps"])["cameras"]
    assert (found["camera"], found["rows"]) == ("fa15", [499.5])
    np.testing.assert_array_equal((data["frames/flags"] & FrameFlag.UNEVEN_RESPONSE) != 0, stepped)
    np.testing.assert_array_equal(data["aperture/response_span"] > 0, stepped)
    assert not (data["aperture/flags"][:, ~stepped] & StarFlag.SEAM).any()


def test_places_follow_plate_solution_and_proper_motion(assembled):
    series, _ = dithered(assembled, 0.0, m=4)
    series.frames["mjd_utc"] = np.array([57388.5, 57388.5, np.nan, 57388.5])  # 2016.0
    series.frames["wcs_header"][3] = ""
    series.stars["pmdec"][5] = 360.0  # mas, 1e-4 deg a year: a pixel
    frames = np.arange(4)
    place = SeriesResponse(_detectors(series.frames), series.frames, series.stars).places(slice(None), frames)
    np.testing.assert_allclose(place[1, :, :2], series.row[:, :2], atol=0.01)
    assert np.isnan(place[:, :, 2:]).all()
    series.frames["mjd_utc"] += 10 * 365.25
    later = SeriesResponse(_detectors(series.frames), series.frames, series.stars).places(np.array([5, 6]), frames[:1])
    np.testing.assert_allclose((later - place[:, 5:7, :1])[1, :, 0], [10.0, 0.0], atol=0.02)


def test_each_detector_has_its_share_of_the_frames(assembled):
    series, _ = dithered(assembled, 0.0, m=40, turn=True)
    series.frames["nx"][10:14] = 500  # binned
    detectors = _detectors(series.frames)
    assert [(d.camera, d.shape, int(d.frames.sum())) for d in detectors] == [
        ("fa15", (1000, 500), 2), ("fa15", (1000, 1000), 18), ("fa16", (1000, 500), 2), ("fa16", (1000, 1000), 18),
    ]  # fmt: skip
    chosen = _some_frames(detectors, 20)
    assert [int(d.frames[chosen].sum()) for d in detectors] == [2, 9, 2, 9]
    np.testing.assert_array_equal(_some_frames(detectors, 1000), np.arange(40))
