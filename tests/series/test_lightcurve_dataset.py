import logging

import h5py
import numpy as np
import pytest
from astropy.table import Table

from gaiaflux import AperturePhotometryDataset
from gaiaflux.io.dataset import FORMAT, FRAME_COLUMNS, SCHEMA_VERSION, STAR_COLUMNS, DatasetWriter, empty_frames
from gaiaflux.model.errors import InputError

BIG_ID = 5853498713190525697  # not a float64
FLUX = np.array([[90.0, np.nan, 110.0, 120.0], [np.nan] * 4, [5.0, 6.0, -1.0, 8.0]], np.float32)
PSCALE = np.array([0.9, 1.0, 1.1, np.nan])


def write(path, method="aperture"):
    frames = empty_frames(4)
    frames["mjd_utc"] = np.array([59000.1, 59000.2, 59000.3, 59000.4])
    frames["exptime_s"] = np.array([30.0, 30.0, 60.0, 60.0])
    stars = {name: np.zeros(3, dtype=column.dtype) for name, column in STAR_COLUMNS.items()}
    stars["source_id"] = np.array([BIG_ID, BIG_ID + 1, -1])
    stars["ra_deg"], stars["dec_deg"] = np.array([10.0, 11.0, 12.0]), np.array([-5.0, -6.0, -7.0])
    stars["x_ref"], stars["y_ref"] = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    with DatasetWriter(path) as out:
        out.attributes({"format": FORMAT, "schema_version": SCHEMA_VERSION})
        out.table("frames", frames, FRAME_COLUMNS)
        out.table("stars", stars, STAR_COLUMNS)
        arrays = {"flux": FLUX, "flux_err": 0.1 * np.abs(FLUX), "flux_cal": FLUX / PSCALE}
        arrays |= {"flux_cal_err": 0.1 * np.abs(FLUX) / PSCALE, "pscale": PSCALE, "epscale": 0.01 * PSCALE}
        for name, values in arrays.items():
            out.array(f"{method}/{name}", values, "electron/s", name)
        out.attributes({"zero_point_mag": 25.0, "magnitude_system": "Gaia G"}, method)
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "dataset.h5")


def test_members_without_a_file():
    empty = AperturePhotometryDataset()
    columns = {
        "source_id": ["ID"],
        "wcs_positions": ["ra", "dec"],
        "positions": ["x", "y"],
        "timestamps": ["MJD"],
        "exptimes": ["exptime"],
    }
    for name, expected in columns.items():
        table = getattr(empty, name)
        assert isinstance(table, Table)
        assert table.colnames == expected
        assert len(table) == 0
    for name in ("flux", "err_flux", "pscale", "epscale"):
        assert getattr(empty, name).size == 0
    with pytest.raises(IndexError):
        empty.get_lightcurve(0, "rp")


def test_members_of_a_file(path):
    dataset = AperturePhotometryDataset(path)
    assert dataset.source_id["ID"].tolist() == [BIG_ID, BIG_ID + 1, -1]
    assert dataset.wcs_positions["ra"].tolist() == [10.0, 11.0, 12.0]
    assert dataset.wcs_positions["dec"].unit == "deg"
    assert dataset.positions["y"].tolist() == [4.0, 5.0, 6.0]
    assert dataset.timestamps["MJD"].tolist() == [59000.1, 59000.2, 59000.3, 59000.4]
    assert dataset.exptimes["exptime"].tolist() == [30.0, 30.0, 60.0, 60.0]
    np.testing.assert_array_equal(dataset.flux, FLUX)
    np.testing.assert_array_equal(dataset.err_flux, 0.1 * np.abs(FLUX))
    np.testing.assert_array_equal(dataset.pscale, PSCALE)
    np.testing.assert_array_equal(dataset.epscale, 0.01 * PSCALE)


def test_load_gives_the_object_and_leaves_the_file_free(path):
    dataset = AperturePhotometryDataset()
    assert dataset.load_hdf5(str(path)) is dataset
    assert len(dataset.source_id) == 3
    with h5py.File(path, "r+"):
        pass


def test_files_that_are_not_there_or_something_else(path, tmp_path):
    with pytest.raises(FileNotFoundError, match="no dataset"):
        AperturePhotometryDataset(tmp_path / "none.h5")
    dataset = AperturePhotometryDataset(path)
    with pytest.raises(FileNotFoundError):
        dataset.load_hdf5(str(tmp_path))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["flux"] = [1.0]
    with pytest.raises(ValueError, match="not a gaiaflux dataset"):
        dataset.load_hdf5(tmp_path / "other.h5")
    with pytest.raises(ValueError, match="no aperture photometry, only psf"):
        dataset.load_hdf5(write(tmp_path / "psf.h5", "psf"))
    assert len(dataset.source_id) == 3


def test_the_version_before_is_read_and_a_later_one_refused(path, as_first_version):
    now = AperturePhotometryDataset(path)
    before = AperturePhotometryDataset().load_hdf5(as_first_version(path))
    np.testing.assert_array_equal(before.flux, now.flux)
    assert before.get_lightcurve(0, "rp")["mag"].tolist() == now.get_lightcurve(0, "rp")["mag"].tolist()
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION + 1
    with pytest.raises(InputError, match="install a gaiaflux that knows it"):
        before.load_hdf5(path)


def test_light_curve_is_calibrated_and_has_no_gaps(path, caplog):
    dataset = AperturePhotometryDataset(path)
    with caplog.at_level(logging.INFO):
        curve = dataset.get_lightcurve(0, "rp", log=logging.getLogger("mine"))
    assert curve.colnames == ["MJD", "flux", "err_flux", "mag", "err_mag"]
    assert curve.meta["filter"] == "rp"
    assert curve.meta["source_id"] == BIG_ID
    # Not measured in the second frame; the fourth has no scale.
    assert curve["MJD"].tolist() == [59000.1, 59000.3]
    np.testing.assert_allclose(curve["flux"], [100.0, 100.0])
    np.testing.assert_allclose(curve["err_flux"], [10.0, 10.0], rtol=1e-6)
    np.testing.assert_allclose(curve["mag"], 20.0)
    np.testing.assert_allclose(curve["err_mag"], 0.1 * 2.5 / np.log(10), rtol=1e-6)
    assert [record.name for record in caplog.records] == ["mine"]
    assert "2 of 4" in caplog.text


def test_light_curves_of_nothing_and_of_noise(path):
    dataset = AperturePhotometryDataset(path)
    assert len(dataset.get_lightcurve(1, "rp")) == 0
    faint = dataset.get_lightcurve(np.int64(2), "rp")
    assert np.isfinite(faint["flux"]).tolist() == [True] * 3
    assert np.isfinite(faint["mag"]).tolist() == [True, True, False]


@pytest.mark.parametrize("row", [3, -1, BIG_ID])
def test_rows_that_are_not_there(path, row):
    with pytest.raises(IndexError, match="not a row of the 3 stars"):
        AperturePhotometryDataset(path).get_lightcurve(row, "rp")
