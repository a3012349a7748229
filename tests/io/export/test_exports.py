"""Exports keep every number, text, unit and attribute of a dataset."""

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from gaiaflux.io.dataset import FRAME_COLUMNS, STAR_COLUMNS, DatasetReader, DatasetWriter, empty_frames
from gaiaflux.io.export.dataset_tables import dataset_tables, escape_text, unescape_text
from gaiaflux.io.export.ecsv import read_ecsv_export, write_ecsv_export
from gaiaflux.io.export.fits_file import read_fits_export, write_fits_export
from gaiaflux.io.export.parquet import read_parquet, write_parquet_export
from gaiaflux.model.errors import InputError

BIG_ID = 4087000865421648899
TEXTS = [
    "CTYPE1  = 'RA---TAN'\nCRVAL1  = 5.0 / café",
    "",
    "  both ends ",
    "back\\slash \\n",
    "na\tu\u2019",
    'quote " , ;',
    " ",
]


def write(path, n=300, m=7):
    rng = np.random.default_rng(1)
    frames = empty_frames(m)
    frames["frame_id"][:] = [f"night {j} é-{j:03d}" for j in range(m)]
    frames["wcs_header"][:] = [TEXTS[j % len(TEXTS)] for j in range(m)]
    frames["mjd_utc"] = 60000 + rng.random(m)
    frames["observer_au"] = rng.normal(size=(m, 3))
    frames["flags"] = rng.integers(0, 2**32, m)
    stars = {name: rng.normal(size=n) for name in STAR_COLUMNS}
    stars |= {"star_id": 2**62 + np.arange(n), "source_id": BIG_ID + np.arange(n)}
    stars["bp_rp"][::3] = np.nan
    with DatasetWriter(path) as out:
        out.attributes({"format": "gaiaflux", "schema_version": 2, "series": "Sérïe", "config": json.dumps({"a": [1]})})
        out.table("frames", frames, FRAME_COLUMNS)
        out.table("stars", stars, STAR_COLUMNS)
        for method in ("aperture", "psf"):
            values = rng.normal(1e4, 10, (n, m)).astype("f4")
            values[rng.random((n, m)) < 0.1] = np.nan
            values[:1, :1] = np.inf
            for name, dtype, grid in (
                ("flux_cal", "f4", values),
                ("flags", "u4", rng.integers(0, 2**32, (n, m))),
                ("chi2", "f2", values / 1e4),
            ):
                out.grid(f"{method}/{name}", (n, m), dtype, "electron/s" if name == "flux_cal" else "", name)[...] = (
                    grid
                )
            out.array(
                f"{method}/pscale", np.where(np.arange(m) == 2, np.nan, rng.random(m)), "", "scale, long: " + "x" * 90
            )
            out.array(f"{method}/spatial_order", np.full(m, -1, "i1"), "", "order")
            out.array(f"{method}/spatial_covariance", rng.normal(size=(m, 3, 2)), "count/pixel", "covariance")
            out.array(f"{method}/solved", np.arange(m) % 2 == 0, "", "solved")
            out.array(f"{method}/calibration_status", np.array(["ok"] * m, dtype=object), "", "")
            out.array(f"{method}/ensemble_status", np.array(["used", ""] * n, dtype=object)[:n], "", "status")
            out.array(f"{method}/recommended_radius", np.arange(n).astype("i2"), "", "index")
            out.attributes({"zero_point_mag": float("nan"), "note": 'a "note"', "number": 3, "long": "y" * 400}, method)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "dataset.h5")


def same(first, second):
    assert first.dtype == second.dtype
    assert first.shape == second.shape
    np.testing.assert_array_equal(first, second)


def compare(source, tables, attributes):
    wanted = dataset_tables(source)
    assert sorted(tables) == sorted(table.name for table in wanted)
    for table in wanted:
        assert list(tables[table.name]) == list(table.paths)
        for name, (values, unit, text) in table.read().items():
            found = tables[table.name][name]
            same(found[0], values)
            assert found[1:] == (unit, text), (table.name, name)
    for group in ("/", *source.methods):
        np.testing.assert_equal(attributes[group], source.attributes(group))


SIZES = {"ordinary": (300, 7), "square": (7, 7), "no star": (0, 4), "no frame": (3, 0), "one": (1, 1)}


@pytest.mark.parametrize("size", list(SIZES))
def test_fits_comes_back(size, tmp_path, monkeypatch):
    monkeypatch.setattr("gaiaflux.io.export.dataset_tables._BLOCK_VALUES", 1)  # so that blocks of 256 stars are written
    with DatasetReader(write(tmp_path / "d.h5", *SIZES[size])) as source:
        write_fits_export(source, tmp_path / "d.fits")
        compare(source, *read_fits_export(tmp_path / "d.fits"))


def test_fits_is_standard_and_reads_like_any_table(path, tmp_path):
    with DatasetReader(path) as source:
        write_fits_export(source, tmp_path / "d.fits")
        flux, flags = source.array("aperture/flux_cal"), source.array("aperture/flags")
    with fits.open(tmp_path / "d.fits", checksum=True) as hdus:
        hdus.verify("exception")
        for hdu in hdus:
            hdu.header.tostring()
    table = Table.read(tmp_path / "d.fits", hdu="APERTURE_LIGHTCURVES")
    same(np.asarray(table["flux_cal"]).astype("f4"), flux)
    names = ["star_id", *sorted(table.colnames[1:])]
    assert table.colnames == names
    number = 1 + names.index("flux_cal")
    assert table.meta[f"TCOMM{number}"] == "flux_cal"
    assert table.meta[f"TGUNI{number}"] == "electron/s"
    np.testing.assert_array_equal(table["flags"], flags)
    assert table["star_id"].dtype.kind == "i"
    assert table["star_id"].dtype.itemsize == 8
    frames = Table.read(tmp_path / "d.fits", hdu="FRAMES")
    assert frames["observer_au"].shape == (7, 3)
    assert Table.read(tmp_path / "d.fits", hdu="APERTURE_FRAMES")["spatial_covariance"].shape == (7, 3, 2)


@pytest.mark.parametrize("size", list(SIZES))
def test_ecsv_comes_back(size, tmp_path):
    with DatasetReader(write(tmp_path / "d.h5", *SIZES[size])) as source:
        if size.startswith("no "):
            pytest.skip("astropy reads no ECSV file of empty vectors")
        write_ecsv_export(source, tmp_path / "ecsv")
        compare(source, *read_ecsv_export(tmp_path / "ecsv"))


def test_ecsv_refuses_what_is_too_large(path, tmp_path, monkeypatch):
    monkeypatch.setattr("gaiaflux.io.export.ecsv.MOST_VALUES", 5000)
    with DatasetReader(path) as source, pytest.raises(InputError, match="export fits or parquet"):
        write_ecsv_export(source, tmp_path / "ecsv")
    assert not (tmp_path / "ecsv").exists()


@pytest.mark.parametrize("size", list(SIZES))
def test_parquet_comes_back(size, tmp_path, monkeypatch):
    monkeypatch.setattr("gaiaflux.io.export.dataset_tables._BLOCK_VALUES", 1)
    with DatasetReader(write(tmp_path / "d.h5", *SIZES[size])) as source:
        write_parquet_export(source, tmp_path / "pq")
        tables, frame_id = {}, source.array("frames/frame_id")
        n, m = SIZES[size]
        for file in (tmp_path / "pq").iterdir():
            columns, meta = read_parquet(file)
            if file.stem.endswith("_lightcurves"):
                same(columns.pop("frame_id")[0], np.tile(frame_id, n))
                stars = columns["star_id"][0].reshape(n, m)
                if m:
                    assert (stars == stars[:, :1]).all()
                columns = {name: (values.reshape(n, m), *facts) for name, (values, *facts) in columns.items()}
                columns["star_id"] = (source.array("stars/star_id"), *columns["star_id"][1:])
            tables[file.stem] = columns
        compare(source, tables, json.loads(meta["attributes"]))


def test_parquet_reads_one_star_without_the_others(path, tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    monkeypatch.setattr("gaiaflux.io.export.dataset_tables._BLOCK_VALUES", 1)
    with DatasetReader(path) as source:
        write_parquet_export(source, tmp_path / "pq")
        flux = source.array("psf/flux_cal")[280]
    file = tmp_path / "pq" / "psf_lightcurves.parquet"
    one = pq.read_table(file, filters=[("star_id", "=", 2**62 + 280)]).to_pandas()
    assert len(one) == 7
    np.testing.assert_array_equal(one["flux_cal"].to_numpy(), flux)
    statistics = [pq.ParquetFile(file).metadata.row_group(k).column(0).statistics for k in range(2)]
    assert [(s.min - 2**62, s.max - 2**62) for s in statistics] == [(0, 255), (256, 299)]


@pytest.mark.parametrize("text", [*TEXTS, "plain", "\x00", "a" * 200])
def test_texts_in_ascii(text):
    found = escape_text(text)
    assert found.isascii()
    assert found.isprintable()
    assert found == found.strip()
    assert unescape_text(found) == text
    if text == "plain":
        assert found == text


def test_an_array_of_neither_stars_nor_frames_is_refused(tmp_path):
    with DatasetWriter(tmp_path / "d.h5") as out:
        out.attributes({"format": "gaiaflux", "schema_version": 2})
        out.table("frames", empty_frames(2), FRAME_COLUMNS)
        out.table("stars", {name: np.zeros(3) for name in STAR_COLUMNS}, STAR_COLUMNS)
        out.array("aperture/strange", np.zeros(5), "", "")
    with DatasetReader(tmp_path / "d.h5") as source, pytest.raises(ValueError, match="neither to stars nor to frames"):
        dataset_tables(source)


def test_a_light_curve_touches_few_chunks_of_the_dataset(tmp_path):
    """One chunk in ten thousand columns of a big dataset would do; ten small ones, not compressed, take under a ms."""
    with DatasetWriter(tmp_path / "d.h5") as out:
        out.attributes({"format": "gaiaflux", "schema_version": 2})
        for name in ("flux_cal", "flags"):
            out.grid(f"aperture/{name}", (20_000, 1_000), "f4" if name == "flux_cal" else "u4", "", "")
    with DatasetReader(tmp_path / "d.h5") as source:
        for name in ("flux_cal", "flags"):
            grid = source.grid(f"aperture/{name}")
            rows, columns = grid.chunks
            assert grid.compression is None
            assert -(-1000 // columns) <= 10
            assert rows * columns * grid.dtype.itemsize <= 128 * 1024
