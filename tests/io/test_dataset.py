import h5py
import numpy as np
import pytest

from gaiaflux.io.dataset import (
    FORMAT,
    FRAME_COLUMNS,
    SCHEMA_VERSION,
    STAR_COLUMNS,
    DatasetReader,
    DatasetWriter,
    empty_frames,
)
from gaiaflux.model.errors import InputError

BIG_ID = 5853498713190525696 + 1  # not a float64


def write_example(path, n_frames=3):
    frames = empty_frames(n_frames)
    frames["frame_id"][:] = ["b", "a", "é"][:n_frames]
    frames["wcs_header"][:] = "CTYPE1  = 'RA---TAN-SIP'\nCTYPE2  = 'DEC--TAN-SIP'"
    frames["mjd_utc"][:1] = 58000.25
    stars = {name: np.arange(2, dtype=column.dtype) for name, column in STAR_COLUMNS.items()}
    stars["source_id"][1] = BIG_ID
    with DatasetWriter(path) as out:
        out.attributes({"format": FORMAT, "schema_version": SCHEMA_VERSION, "series": "S"})
        out.table("frames", frames, FRAME_COLUMNS)
        out.table("stars", stars, STAR_COLUMNS)
        grid = out.grid("aperture/flux", (2, n_frames), "f4", "electron/s", "flux")
        if n_frames:
            grid[0, :1] = 7.0
        out.grid("aperture/flags", (2, n_frames), "u4", "", "bits")


def test_reads_with_h5py_alone(tmp_path):
    path = tmp_path / "new" / "dataset.h5"
    write_example(path)
    with h5py.File(path) as file:
        assert file.attrs["format"] == "gaiaflux"
        assert list(file["frames/frame_id"].asstr()) == ["b", "a", "é"]
        assert file["frames/wcs_header"].asstr()[0].splitlines()[1].startswith("CTYPE2")
        assert file["frames/observer_au"].shape == (3, 3)
        assert file["stars/source_id"][1] == BIG_ID
        np.testing.assert_array_equal(file["aperture/flux"], [[7.0, np.nan, np.nan], [np.nan] * 3])
        assert (file["aperture/flags"][()] == 0).all()
        bare = []
        file.visititems(
            lambda name, item: (
                bare.append(name)
                if isinstance(item, h5py.Dataset) and (not item.attrs["description"] or "unit" not in item.attrs)
                else None
            )
        )
        assert bare == []
        contract = {"frame_id", "path", "sha256", "camera", "filter", "mjd_utc", "mjd_tdb", "observer_au", "exptime_s",
                    "airmass", "fwhm_pix", "sky", "zero_point", "wcs_header", "wcs_rms_mas", "wcs_n_stars", "status",
                    "n_measured"}  # fmt: skip
        assert contract <= set(file["frames"])
        contract = {"star_id", "source_id", "ra_deg", "dec_deg", "ref_epoch", "pmra", "pmdec", "parallax",
                    "phot_g_mean_mag", "bp_rp", "x_ref", "y_ref"}  # fmt: skip
        assert contract | {"mag_ref", "place"} == set(file["stars"])


def test_reader_gives_back_what_was_written(tmp_path):
    path = tmp_path / "dataset.h5"
    write_example(path)
    with DatasetReader(path) as data:
        assert data.methods == ["aperture"]
        assert data.attributes() == {"format": "gaiaflux", "schema_version": 2, "series": "S"}
        frames = data.table("frames")
        assert list(frames["frame_id"]) == ["b", "a", "é"]
        assert frames["mjd_utc"][0] == 58000.25
        assert np.isnan(frames["mjd_utc"][1])
        assert data.table("stars")["source_id"].dtype == np.int64
        assert "aperture/flux" in data
        assert "psf" not in data


def test_a_series_without_frames_can_be_written(tmp_path):
    path = tmp_path / "dataset.h5"
    write_example(path, n_frames=0)
    with DatasetReader(path) as data:
        assert data.grid("aperture/flux").shape == (2, 0)


def test_a_failure_leaves_no_file(tmp_path):
    with pytest.raises(RuntimeError), DatasetWriter(tmp_path / "dataset.h5"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_flags_of_the_first_version_are_read_as_they_are_now(tmp_path, as_first_version):
    path = tmp_path / "dataset.h5"
    write_example(path)
    with h5py.File(path, "r+") as file:
        file["aperture/flags"][0] = [2048, 129, 0]
        file["frames/flags"][1] = 512
    with DatasetReader(as_first_version(path)) as data:
        assert data.attributes()["schema_version"] == 1
        grid = data.grid("aperture/flags")
        assert grid.shape == (2, 3)
        assert grid.attrs["description"] == "bits"
        parts = (
            data.array("aperture/flags"),
            grid[()],
            data.rows("aperture/flags", 0, 2),
            data.table("frames")["flags"],
        )
        assert {part.dtype for part in (*parts, grid, grid[0, 1])} == {np.dtype(np.uint32)}
        for part in parts[:3]:
            np.testing.assert_array_equal(part, [[2048, 129, 0], [0, 0, 0]])
        assert parts[3].tolist() == [0, 512, 0]
        # A flag that 16 bits cannot hold.
        assert (grid[0] & 2**31 == 0).all()
        assert data.grid("aperture/flux").dtype == np.float32


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1, None])
def test_other_versions_are_refused_in_a_sentence(tmp_path, version):
    path = tmp_path / "dataset.h5"
    write_example(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["schema_version"]
        if version is not None:
            file.attrs["schema_version"] = version
    with pytest.raises(InputError, match=f"schema version {version}, and this gaiaflux reads 1 and 2: ") as caught:
        DatasetReader(path)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    with pytest.raises(ValueError, match="not a gaiaflux dataset"):
        DatasetReader(tmp_path / "other.h5")
