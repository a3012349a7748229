import json
import logging

import h5py
import numpy as np
import pytest

import gaiaflux
from gaiaflux.core.sky.spacecraft import barycentric_btjd
from gaiaflux.io.dataset import FRAME_COLUMNS, DatasetReader
from gaiaflux.io.export.dataset_tables import dataset_tables
from gaiaflux.io.export.fits_file import read_fits_export, write_fits_export
from gaiaflux.model.cadences import BTJD_ZERO_MJD
from gaiaflux.model.flags import FrameFlag, StarFlag
from gaiaflux.model.methods import TESS_METHODS, methods_named
from gaiaflux.report.html.page import write_report
from gaiaflux.series.frames_table import write_frames_csv
from gaiaflux.series.variability_table import rank_stars
from gaiaflux.tess import field_dataset, field_members
from gaiaflux.tess.field_dataset import Provenance, assemble_field
from gaiaflux.tess.field_members import TARGET_COLUMNS

LARGE = 2**33 + 5  # beyond 32 bits, and beyond 2^31
METHODS = methods_named(["psf", "aperture"], TESS_METHODS)
SECOND = np.delete(np.arange(200, 260), 17)


def assemble(path, batches, stars):
    return assemble_field(
        path,
        "tess/F/c120",
        batches,
        stars,
        METHODS,
        {"methods": ["psf", "aperture"], "ensemble": True},
        Provenance("abc"),
    )


@pytest.fixture(scope="module")
def field(field_parts, tmp_path_factory):
    """Three stars in two sectors, two batches; one star is in both sectors; the others miss some cadences."""
    folder = tmp_path_factory.mktemp("field")
    catalog, target, write_batch = field_parts
    stars = catalog([11, 12, 13, LARGE])
    made = {
        "s1-11": target(stars, 11, np.arange(100, 150)),
        "s1-12": target(stars, 12, np.arange(120, 180)),
        "s2-11": target(stars, 11, SECOND, sector=2, camera=3, ccd=2),
        "s1-large": target(stars, LARGE, np.arange(100, 150)),
    }
    bad = ({"status": "it is broken", "path": "/data/bad.fits", "starid": 13}, {})
    first = {"s1-large": made["s1-large"], "bad": bad, "s2-11": made["s2-11"]}
    batches = [write_batch(folder / "1.h5", first)]
    batches += [write_batch(folder / "2.h5", {name: made[name] for name in ("s1-12", "s1-11")})]
    table = assemble(folder / "dataset.h5", batches, stars)
    return folder, stars, made, batches, table


@pytest.fixture
def file(field):
    with h5py.File(field[0] / "dataset.h5") as file:
        yield file


def texts(dataset):
    return dataset.asstr()[()].tolist()


def test_frames_are_the_cadences_of_all_ccds_each_once(file):
    ids = [f"s0001-4-1-c{k:08d}" for k in range(100, 180)] + [f"s0002-3-2-c{k:08d}" for k in SECOND]
    assert texts(file["frames/frame_id"]) == ids
    mjd = file["frames/mjd_utc"][()]
    assert (np.diff(mjd) > 0).all()
    # TDB is 32.184 s and the leap seconds (37 s in 2018) ahead.
    assert file["frames/mjd_tdb"][()] - mjd == pytest.approx(69.184 / 86400.0, abs=3e-3 / 86400.0)
    assert texts(file["frames/camera"])[:1] + texts(file["frames/camera"])[-1:] == ["4-1", "3-2"]
    assert set(texts(file["frames/status"])) == {"ok"}
    assert not file["frames/flags"][()].any()
    assert file["frames/n_measured"][()].tolist() == [2] * 20 + [3] * 30 + [1] * 30 + [1] * 59
    assert set(file["frames/exptime_s"][()]) == {95.0}


def test_a_frame_of_one_file_names_it(file):
    paths = texts(file["frames/path"])
    assert paths[0] == ""
    assert paths[70] == "/data/12-s1.fits"
    assert paths[-1] == "/data/11-s2.fits"
    assert texts(file["stars/paths"])[0] == "/data/11-s1.fits, /data/11-s2.fits"


def test_stars_by_their_tic_number(file, field):
    stars = field[1]
    assert file["stars/star_id"].dtype == np.int64
    assert file["stars/star_id"][()].tolist() == [11, 12, LARGE]
    assert file["stars/source_id"][()].tolist() == [11007, 12007, LARGE * 1000 + 7]
    assert file["stars/tmag"][()].tolist() == [stars.mag[0], stars.mag[1], stars.mag[3]]
    assert texts(file["stars/tmag_source"]) == ["catalogue"] * 3


@pytest.mark.parametrize("method", ["psf", "aperture"])
def test_each_flux_is_where_its_star_and_cadence_are(file, method):
    numbers = [int(frame_id[-8:]) for frame_id in texts(file["frames/frame_id"])]
    expected = np.full((3, len(numbers)), np.nan)
    for row, (star, seen) in enumerate([(1, {*range(100, 150), *SECOND}), (2, {*range(120, 180)})]):
        expected[row] = [1000.0 * star + k if k in seen else np.nan for k in numbers]
    expected[2] = [4000.0 + k if 100 <= k < 150 else np.nan for k in numbers]
    group = file[method]
    for name in ("flux", "flux_cal"):
        assert group[name].dtype == np.float32
        assert np.array_equal(group[name][()], expected, equal_nan=True)
    assert np.array_equal(np.isfinite(group["flux_cal_err"][()]), np.isfinite(expected))
    assert group["flags"].dtype == np.uint32
    assert np.array_equal(group["flags"][()] == StarFlag.NOT_MEASURED, np.isnan(expected))
    assert np.array_equal(group["pscale"][()], np.ones(len(numbers)))
    assert np.array_equal(group["epscale"][()], np.zeros(len(numbers)))
    assert group["n_measured"][()].tolist() == np.isfinite(expected).sum(axis=0).tolist()


def test_quality_of_the_mission_is_unchanged(file):
    quality = file["mission_quality"]
    assert quality.dtype == np.int32
    assert quality[:, 0].tolist() == [129, -1, 132]
    assert quality[:, 20].tolist() == [129, 130, 132]
    assert quality[:, 21].tolist() == [0, 0, 0]
    # Of a frame, what its targets have in common.
    assert file["frames/mission_quality"][()][[0, 20, 21, 70]].tolist() == [128, 128, 0, 130]


def test_times_of_each_star_are_those_of_its_file(file, field):
    _, stars, made, _, _ = field
    mjd, observer = file["frames/mjd_tdb"][()], file["frames/observer_au"][()]
    ids = texts(file["frames/frame_id"])
    for name, prefix in (("s1-11", "s0001-4-1"), ("s1-12", "s0001-4-1"), ("s2-11", "s0002"), ("s1-large", "s0001")):
        attrs, arrays, time = made[name]
        row = int(np.flatnonzero(stars.star_id == attrs["starid"])[0])
        at = [k for k, i in enumerate(ids) if i.startswith(prefix) and int(i[-8:]) in arrays["cadenceno"]]
        own = barycentric_btjd(mjd[at], observer[at], float(stars.ra_deg[row]), float(stars.dec_deg[row]))
        assert np.abs(own - time).max() * 86400.0 < 0.02


def test_a_place_that_no_target_tells_is_the_centre_of_the_earth(field_parts, tmp_path):
    catalog, target, write_batch = field_parts
    stars = catalog([11])
    one = target(stars, 11, np.arange(5), timecorr_ra=None, timecorr_dec=None)
    assemble(tmp_path / "d.h5", [write_batch(tmp_path / "1.h5", {"a": one})], stars)
    with h5py.File(tmp_path / "d.h5") as file:
        mjd, observer = file["frames/mjd_tdb"][()], file["frames/observer_au"][()]
    late = barycentric_btjd(mjd, observer, 90.0, -66.0) - one[2]
    assert 0.1 < np.abs(late).max() * 86400.0 < 1.4


def test_everything_is_described(file):
    found = []

    def look(name, item):
        if isinstance(item, h5py.Dataset):
            found.append(name)
            assert isinstance(item.attrs["unit"], str), name
            assert item.attrs["description"], name
            if item.shape == (3, 139):
                assert item.chunks == (3, 139), name

    file.visititems(look)
    assert {f"frames/{name}" for name in FRAME_COLUMNS} <= set(found)
    assert {"format", "schema_version", "series", "config", "versions", "catalog_sha256"} <= set(file.attrs)
    assert (file.attrs["format"], file.attrs["series"], file.attrs["family"]) == ("gaiaflux", "tess/F/c120", "tess")
    assert file["psf/flux"].attrs["unit"] == "electron/s"
    assert json.loads(file.attrs["config"]) == {"methods": ["psf", "aperture"], "ensemble": True}


def test_targets_that_are_left_out_are_counted(field, file, caplog):
    folder, stars, _, batches, table = field
    assert [row["member"] for row in table] == ["bad", "s1-11", "s1-12", "s1-large", "s2-11"]
    assert [row["status"] for row in table] == ["it is broken", *["ok"] * 4]
    assert all(set(row) == set(TARGET_COLUMNS) for row in table)
    assert table[1]["remarks"] == "a remark"
    assert json.loads(file.attrs["left_out"]) == {"bad": "it is broken"}
    assert file.attrs["n_targets"] == 5
    with caplog.at_level(logging.INFO):
        assemble(folder / "again.h5", batches, stars)
    assert "bad: left out: it is broken" in caplog.text
    assert "4 of 5 targets are in the dataset, 1 left out" in caplog.text


def test_neither_order_nor_blocks_change_anything(field, field_parts, monkeypatch):
    folder, stars, made, _, _ = field
    monkeypatch.setattr(field_dataset, "star_blocks", lambda n, m: (slice(k, k + 1) for k in range(n)))
    write_batch = field_parts[2]
    names = sorted(made, reverse=True)
    batches = [write_batch(folder / f"one-{name}.h5", {name: made[name]}) for name in names]
    assemble(folder / "blocks.h5", batches, stars)
    with h5py.File(folder / "dataset.h5") as one, h5py.File(folder / "blocks.h5") as other:

        def compare(name, item):
            if isinstance(item, h5py.Dataset):
                same = item[()], other[name][()]
                nan = item.dtype.kind == "f"
                assert np.array_equal(*same, equal_nan=nan), name

        one.visititems(compare)


def test_the_place_of_the_spacecraft_is_solved_in_pieces(field, monkeypatch, tmp_path):
    monkeypatch.setattr(field_members, "_CORRECTIONS", 50)
    assemble(tmp_path / "pieces.h5", field[3], field[1])
    with h5py.File(field[0] / "dataset.h5") as one, h5py.File(tmp_path / "pieces.h5") as other:
        assert other["frames/observer_au"][()] == pytest.approx(one["frames/observer_au"][()], abs=1e-9)


def test_of_two_files_of_one_star_and_sector_the_first_counts(field_parts, tmp_path):
    catalog, target, write_batch = field_parts
    stars = catalog([11])
    made = {"b": target(stars, 11, np.arange(9)), "a": target(stars, 11, np.arange(5))}
    table = assemble(tmp_path / "d.h5", [write_batch(tmp_path / "1.h5", made)], stars)
    assert [row["status"] for row in table] == ["ok", "a is of the same star and sector and counts in its place"]
    with h5py.File(tmp_path / "d.h5") as file:
        assert file["psf/flux"].shape == (1, 5)


def test_a_star_without_any_flux_is_there(field_parts, tmp_path):
    catalog, target, write_batch = field_parts
    stars = catalog([11])
    attrs, arrays, _ = target(stars, 11, np.arange(5), status="nothing could be measured")
    for method in ("psf", "aperture"):
        arrays[f"{method}_flux"][:] = np.nan
    table = assemble(tmp_path / "d.h5", [write_batch(tmp_path / "1.h5", {"a": (attrs, arrays)})], stars)
    assert table[0]["status"] == "nothing could be measured"
    with h5py.File(tmp_path / "d.h5") as file:
        assert file["frames/flags"][()].tolist() == [FrameFlag.NOT_MEASURED] * 5
        assert set(texts(file["frames/status"])) == {"no star was measured"}


@pytest.fixture(params=["three stars", "nothing"])
def any_dataset(request, field, field_parts, tmp_path):
    if request.param == "three stars":
        return field[0] / "dataset.h5", 3
    bad = {"bad": ({"status": "it is broken", "path": "/data/bad.fits"}, {})}
    path = tmp_path / "empty.h5"
    table = assemble(path, [field_parts[2](tmp_path / "1.h5", bad)], field_parts[0]([11]))
    assert [row["status"] for row in table] == ["it is broken"]
    return path, 0


def test_what_is_made_of_datasets_is_made_of_these_too(any_dataset, tmp_path):
    path, n = any_dataset
    write_frames_csv(path, tmp_path / "frames.csv")
    assert len((tmp_path / "frames.csv").read_text().splitlines()) == (140 if n else 1)
    with DatasetReader(path) as source:
        ranked = rank_stars(source)
        tables = {table.name: table for table in dataset_tables(source)}
        write_fits_export(source, tmp_path / "d.fits")
        quality = source.array("mission_quality")
    assert sorted(ranked["star_id"][0].tolist()) == [11, 12, LARGE][:n]
    assert ranked["tmag"][1:] == ("mag", "TESS magnitude; NaN where unknown")
    assert tables["lightcurves"].paths == {"star_id": "stars/star_id", "mission_quality": "mission_quality"}
    again, attributes = read_fits_export(tmp_path / "d.fits")
    assert np.array_equal(again["lightcurves"]["mission_quality"][0].reshape(quality.shape), quality)
    assert attributes["/"]["family"] == "tess"
    write_report(tmp_path / "report.html", path)
    page = (tmp_path / "report.html").read_text()
    assert "1 file could not be measured" in page
    assert "it is broken" in page
    assert "Reference image" not in page
    assert "Astrometry" not in page


def test_light_curves_by_the_interface_of_the_ground(field):
    found = gaiaflux.AperturePhotometryDataset().load_hdf5(field[0] / "dataset.h5")
    assert found.source_id["ID"].tolist() == [11007, 12007, LARGE * 1000 + 7]
    assert found.flux.shape == (3, 139)
    curve = found.get_lightcurve(1, "TESS")
    assert len(curve) == 60
    assert curve["flux"].tolist() == [2000.0 + k for k in range(120, 180)]
    assert curve["mag"][0] == pytest.approx(20.44 - 2.5 * np.log10(2120.0))
    assert curve.meta["magnitude_system"] == "TESS T"


def test_times_at_the_spacecraft_count_from_the_epoch_of_tess(file):
    assert file["frames/mjd_tdb"][0] == pytest.approx(BTJD_ZERO_MJD + 1325.0 + 100 / 720.0, abs=1e-6)
