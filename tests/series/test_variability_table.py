import csv
import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from gaiaflux.core.calibration.variability import VariabilityIndices
from gaiaflux.io.dataset import FRAME_COLUMNS, STAR_COLUMNS, DatasetReader, DatasetWriter, empty_frames
from gaiaflux.io.export.light_curves import write_columns
from gaiaflux.io.export.parquet import read_parquet, write_parquet
from gaiaflux.model.flags import UNUSABLE, FrameFlag, StarFlag
from gaiaflux.series.method_choice import REASONS
from gaiaflux.series.variability_table import _beside_variable, _flux_change, _measure, _typical, rank_stars

N, M = 300, 50
WAVE, GHOST, SPOILED, SEEING, LOST = 40, 41, 90, 120, 150
BIG_ID = 4087000865421648000


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """300 stars in 50 frames: a variable one and its shadow, one with bad points, one that follows the seeing."""
    rng = np.random.default_rng(4)
    mag = np.sort(rng.uniform(13, 18, N))
    level = 10 ** (-0.4 * (mag - 25))
    error = np.repeat(np.hypot(np.sqrt(level / 50), 3.0)[:, None], M, axis=1)
    frames = empty_frames(M)
    frames["frame_id"][:] = [f"f{j}" for j in range(M)]
    frames["status"][:] = "ok"
    frames["mjd_utc"] = 60000 + np.arange(M) * 0.004
    frames["fwhm_pix"] = 4 + np.cumsum(rng.normal(0, 0.15, M))
    frames["flags"][[3, 30]] = FrameFlag.NO_CALIBRATION, FrameFlag.POOR_SEEING
    stars = {name: np.zeros(N) for name in STAR_COLUMNS} | {
        "star_id": 7000 + np.arange(N),
        "source_id": BIG_ID + np.arange(N),
    }
    stars |= {"x_ref": rng.uniform(0, 4000, N), "y_ref": rng.uniform(0, 4000, N), "phot_g_mean_mag": mag}
    stars["bp_rp"] = np.full(N, 1.0)
    stars["x_ref"][GHOST], stars["y_ref"][GHOST] = stars["x_ref"][WAVE] + 4, stars["y_ref"][WAVE] + 3
    flux = level[:, None] + error * rng.normal(size=(N, M))
    wave = 0.1 * np.sin(np.arange(M) / 5)
    flux[WAVE] += level[WAVE] * wave
    flux[GHOST] += 0.3 * level[WAVE] * wave
    flux[SPOILED, [10, 11, 12, 13]] += 3 * level[SPOILED]
    flux[:, 3] *= 4
    seeing = frames["fwhm_pix"]
    flux[SEEING] *= 1 + 0.15 * (seeing - seeing.mean())
    flags = np.zeros((N, M), dtype="u4")
    flags[SPOILED, [10, 11, 12, 13]] = StarFlag.COSMIC_RAY
    flux[LOST], flags[LOST] = np.nan, StarFlag.NOT_MEASURED
    flags[200:260] = StarFlag.NEIGHBOUR
    path = tmp_path_factory.mktemp("data") / "dataset.h5"
    with DatasetWriter(path) as out:
        out.attributes({"format": "gaiaflux", "schema_version": 2, "series": "S", "versions": json.dumps({})})
        out.table("frames", frames, FRAME_COLUMNS)
        out.table("stars", stars, STAR_COLUMNS)
        for name, codes, code in (("method", {"none": -1, "aperture": 0, "psf": 1}, 1), ("method_reason", REASONS, 2)):
            dtype = np.dtype("i1", metadata={"enum": codes})
            out.array(f"stars/recommended_{name}", np.full(N, code, dtype=dtype), "", "")
        for method, factor in (("aperture", 1.0), ("psf", 0.8)):
            noisy = level[:, None] + factor * (flux - level[:, None])
            for name, values in (("flux_cal", noisy), ("flux_cal_err", factor * error), ("flags", flags)):
                out.grid(f"{method}/{name}", (N, M), "u4" if name == "flags" else "f4", "electron/s", "")[...] = values
            facts = {"zero_point_mag": 25.0, "zero_point_scatter_mag": 0.01, "zero_point_n_stars": N}
            out.attributes({**facts, "magnitude_system": "Gaia G", "zero_point_note": "ok"}, method)
    return path


@pytest.fixture(scope="module")
def table(dataset):
    with DatasetReader(dataset) as source:
        return rank_stars(source)


def row_of(table, star):
    return int(np.flatnonzero(table["star_id"][0] == 7000 + star)[0])


def test_the_variable_star_is_first_and_what_only_looks_like_one_is_not(table):
    order = table["star_id"][0] - 7000
    assert order[0] == WAVE
    np.testing.assert_array_equal(table["rank"][0], np.arange(1, N + 1))
    score = table["score"][0]
    assert score[0] > 10
    for star in (SPOILED, SEEING):
        assert score[row_of(table, star)] < 0.3 * score[0]
    constant = ~np.isin(order, (WAVE, GHOST, SPOILED, SEEING, LOST))
    assert np.abs(score[constant]).max() < 5
    assert (np.diff(score[np.isfinite(score)]) <= 0).all()


def test_a_star_in_the_light_of_a_variable_one_says_so(table):
    beside = table["beside_star_id"][0]
    assert beside[row_of(table, GHOST)] == 7000 + WAVE
    assert beside[row_of(table, WAVE)] == -1
    assert (beside >= 0).sum() == 1
    ghost = row_of(table, GHOST)
    assert table["score"][0][ghost] == pytest.approx(0.5 * table["psf_score"][0][ghost])


def test_points_of_frames_that_cannot_be_used_do_not_count(table):
    star = row_of(table, 20)
    assert table["aperture_n_measured"][0][star] == M - 1
    assert table["aperture_chi2"][0][star] < 3
    spoiled = row_of(table, SPOILED)
    assert table["psf_n_good"][0][spoiled] == M - 5
    assert table["psf_spoiled"][0][spoiled] == pytest.approx(4 / 49)
    assert table["psf_chi2"][0][spoiled] < 3


def test_identifiers_and_methods(table):
    assert table["star_id"][0].dtype == table["source_id"][0].dtype == np.int64
    np.testing.assert_array_equal(table["source_id"][0] - BIG_ID, table["star_id"][0] - 7000)
    assert set(table["recommended_method"][0]) == {"psf"}
    assert set(table["recommended_method_reason"][0]) == {"less scatter in held-out frames"}
    # A star without any point comes last, and every star is there.
    assert table["star_id"][0][-1] == 7000 + LOST
    assert np.isnan(table["score"][0][-1])
    assert sorted(table["star_id"][0]) == list(range(7000, 7000 + N))
    np.testing.assert_allclose(table["psf_mag"][0][0], table["phot_g_mean_mag"][0][0], atol=0.05)
    assert all(text for _, _, text in table.values())


def test_small_blocks_give_the_same_table(dataset, table, monkeypatch):
    monkeypatch.setattr("gaiaflux.series.variability_table._BLOCK_VALUES", 1)
    with DatasetReader(dataset) as source:
        again = rank_stars(source)
    for name, (values, _, _) in table.items():
        np.testing.assert_array_equal(values, again[name][0], err_msg=name)


def test_files_come_back(table, tmp_path):
    write_parquet(tmp_path / "stars.parquet", table, {"series": "S"})
    columns, meta = read_parquet(tmp_path / "stars.parquet")
    assert meta["series"] == "S"
    assert list(columns) == list(table)
    for name, (values, unit, text) in table.items():
        np.testing.assert_array_equal(columns[name][0], values, err_msg=name)
        assert columns[name][0].dtype == values.dtype
        assert columns[name][1:] == (unit, text)
    write_columns(tmp_path / "stars.csv", table)
    with (tmp_path / "stars.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["source_id"]) for row in rows] == table["source_id"][0].tolist()
    assert float(rows[0]["score"]) == pytest.approx(table["score"][0][0], rel=1e-6)
    assert rows[-1]["score"] == ""


def test_a_dataset_without_stars_or_frames(tmp_path):
    for n, m in ((0, 4), (4, 0), (5, 1)):
        path = tmp_path / f"{n}.h5"
        with DatasetWriter(path) as out:
            out.attributes({"format": "gaiaflux", "schema_version": 2, "series": "S"})
            out.table("frames", empty_frames(m), FRAME_COLUMNS)
            out.table("stars", {name: np.zeros(n) for name in STAR_COLUMNS}, STAR_COLUMNS)
            for name in ("flux_cal", "flux_cal_err", "flags"):
                out.grid(f"aperture/{name}", (n, m), "u4" if name == "flags" else "f4", "", "")
            out.attributes({"zero_point_mag": 25.0, "magnitude_system": "Gaia G"}, "aperture")
        with DatasetReader(path) as source:
            table = rank_stars(source)
        assert len(table["rank"][0]) == n
        write_parquet(path.with_suffix(".parquet"), table)
        assert len(read_parquet(path.with_suffix(".parquet"))[0]["rank"][0]) == n


def beside(score, change, x, reach=8.0):
    places = {"x_ref": np.asarray(x, float), "y_ref": np.zeros(len(x))}
    return _beside_variable(places, np.asarray(score, float), np.asarray(change, float), reach).tolist()


def test_a_certain_variable_that_is_near_and_changes_by_more_light():
    nan = np.nan
    # Three stars around a variable one, the last of them too far; the second changes by more light than it.
    assert beside([9.0, 0.0, 0.0, 0.0], [5.0, 6.0, 1.0, 1.0], [0, 3, -7.9, 8.1]) == [-1, -1, 0, -1]
    # Certain is a score above five; one that is not known is not.
    assert beside([4.9, 1.0], [5.0, 1.0], [0, 3]) == [-1, -1]
    assert beside([5.1, 1.0], [5.0, 1.0], [0, 3]) == [-1, 0]
    assert beside([nan, 1.0], [5.0, 1.0], [0, 3]) == [-1, -1]
    # Of two the nearer one, whichever is the more certain.
    assert beside([9.0, 20.0, 0.0], [5.0, 9.0, 1.0], [3, -4, 0])[2] == 0
    assert beside([20.0, 9.0, 0.0], [9.0, 5.0, 1.0], [4, -3, 0])[2] == 1


def test_light_that_a_star_changes_by_beyond_its_errors():
    values = {name: np.ones(4) for name in VariabilityIndices.__dataclass_fields__}
    values |= {"scatter_mag": np.array([0.05, 0.03, np.nan, 0.05]), "expected_mag": np.array([0.03, 0.05, 0.1, 0.04])}
    values["level"] = np.array([100.0, 100.0, 100.0, -10.0])
    np.testing.assert_allclose(_flux_change(VariabilityIndices(**values)), [4.0, 0.0, 0.0, 0.3])


def test_the_typical_seeing():
    assert _typical(np.array([3.0, np.nan, 4.0, 9.0])) == 4.0
    assert _typical(np.full(2, np.nan)) == 0.0


def test_parts_of_the_points_and_what_counts_as_blended(dataset):
    with h5py.File(dataset, "r") as file:
        frames = {name: file[f"frames/{name}"][()] for name in ("flags", "mjd_utc", "fwhm_pix")}
    m = len(frames["flags"])
    usable = np.flatnonzero((frames["flags"] & UNUSABLE) == 0)
    flags = np.zeros((3, m), "u4")
    flags[0, usable[:24]], flags[1, usable[:25]] = StarFlag.NEIGHBOUR, StarFlag.BLENDED
    flags[2, usable[:7]] = StarFlag.SATURATED
    grids = {"flux_cal": np.full((3, m), 10.0), "flux_cal_err": np.ones((3, m)), "flags": flags}
    grids["flux_cal"][:, usable[-1]], grids["flux_cal_err"][2, usable[30]] = np.nan, 0.0
    source = SimpleNamespace(grid=lambda name: grids[name.removeprefix("aperture/")])
    found = _measure(source, "aperture", frames)
    assert found.n_measured.tolist() == [48, 48, 47]
    assert (found.n_measured.dtype, found.blended.dtype) == (np.int64, bool)
    # More than half of 48.
    assert found.blended.tolist() == [False, True, False]
    np.testing.assert_allclose(found.saturated, [0.0, 0.0, 7 / 47])
    assert found.spoiled[2] == pytest.approx(7 / 47)
