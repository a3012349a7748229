import h5py
import numpy as np
import pytest

from gaiaflux.core.sky.projection import linear_tan
from gaiaflux.io.tess.frame_batch import TILE_PIX, LostFrame, read_frame_batch, write_frame_batch
from gaiaflux.io.tess.frame_parts import FrameParts
from gaiaflux.io.tess.prepared_field import BatchRows, PreparedField, StoredArray, write_prepared_field
from gaiaflux.model.errors import InputError
from gaiaflux.model.prepared_frame import CENTROIDS, FRAME_FACTS, CentroidTable, PreparedFrame

SHAPE = (37, 50)
FILE = {"size": 10, "mtime_ns": 20}


def frame(k, stars=3):
    rng = np.random.default_rng(k)
    facts = {name: float(k) for name in FRAME_FACTS} | {"path": f"{k}.fits", "origin": "spoc-ffi"}
    flux = rng.normal(100, 10, SHAPE).astype(np.float32)
    flux[k, k] = np.nan
    wcs = linear_tan((10.0 + k, -20.0), (3.0, 4.0), [[-0.005, 0.0], [0.0, 0.005]], SHAPE) if k % 2 else None
    centroids = CentroidTable(np.arange(stars) + 10**10, *(rng.normal(size=stars) for _ in CENTROIDS))
    sky = {"level": rng.normal(size=(2, 3)).astype(np.float32), "glow": np.zeros(0, np.float32)}
    return PreparedFrame(facts, flux, np.sqrt(np.abs(flux)), sky, centroids, wcs, (f"odd {k}",) if k else ())


@pytest.fixture
def parts(tmp_path):
    made = FrameParts(tmp_path / "b.parts", "key")
    for k in range(4):
        made.add(f"f{k}", frame(k), FILE)
    return made


def test_a_batch_holds_what_was_prepared(tmp_path, parts):
    write_frame_batch(tmp_path / "b.h5", parts, ["f2", "f0", "f1"], [LostFrame("f9", "9.fits", "cut off")], (5, 44))
    batch = read_frame_batch(tmp_path / "b.h5")
    assert batch.frame_id == ["f2", "f0", "f1"]
    assert batch.corner == (5, 44)
    assert batch.shape == SHAPE
    assert batch.lost == [LostFrame("f9", "9.fits", "cut off")]
    assert batch.remarks == [("odd 2",), (), ("odd 1",)]
    assert [wcs is None for wcs in batch.wcs] == [True, True, False]
    assert batch.wcs[2].crval == (11.0, -20.0)
    assert batch.facts["path"] == ["2.fits", "0.fits", "1.fits"]
    np.testing.assert_array_equal(batch.facts["mjd_tdb"], [2.0, 0.0, 1.0])
    for row, k in enumerate((2, 0, 1)):
        np.testing.assert_array_equal(batch.sky["level"][row], frame(k).sky["level"])
        for name in ("star_id", *CENTROIDS):
            np.testing.assert_array_equal(getattr(batch.centroids[row], name), getattr(frame(k).centroids, name))
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["images"].chunks == (3, TILE_PIX, TILE_PIX)
        np.testing.assert_array_equal(file["images"][1], frame(0).flux)
        np.testing.assert_allclose(file["images_err"][2], frame(1).flux_err, rtol=6e-4)


def test_a_batch_without_frames_names_the_lost_ones(tmp_path, parts):
    write_frame_batch(tmp_path / "b.h5", parts, [], [LostFrame("f9", "9.fits", "cut off")], (0, 44))
    batch = read_frame_batch(tmp_path / "b.h5")
    assert batch.frame_id == []
    assert [one.reason for one in batch.lost] == ["cut off"]


def test_frames_stay_for_the_next_job_unless_something_changed(tmp_path, parts):
    assert FrameParts(tmp_path / "b.parts", "key").has("f1", FILE)
    assert not parts.has("f1", FILE | {"mtime_ns": 21})
    assert not parts.has("f7", FILE)
    assert not FrameParts(tmp_path / "b.parts", "other").has("f1", FILE)
    parts.remove()
    assert not (tmp_path / "b.parts").exists()


def test_a_frame_counts_only_when_all_of_it_is_there(tmp_path, parts):
    (tmp_path / "b.parts" / "f3.npz").unlink()
    assert not parts.has("f3", FILE)


@pytest.fixture
def field(tmp_path, parts):
    """Two batches whose frames take turns in time; the last of them does not count."""
    batches = []
    for name, ids, rows in (("b1", ["f0", "f2"], [0, 2]), ("b2", ["f1", "f3"], [1, -1])):
        write_frame_batch(tmp_path / f"{name}.h5", parts, ids, [], (0, 44))
        batches.append(BatchRows(tmp_path / f"{name}.h5", np.array(rows)))
    arrays = {
        "frames/mjd_tdb": StoredArray(np.arange(3.0), "d", "mid-exposure"),
        "frames/frame_id": StoredArray(np.array(["a", "b", "c"]), "", "name"),
        "mean_image": StoredArray(np.zeros((600, 700), np.float32), "electron/s", "mean"),
    }
    write_prepared_field(tmp_path / "prepared.h5", {"sector": 7, "shape": SHAPE}, arrays, batches)
    return tmp_path / "prepared.h5"


def test_pixels_of_all_batches_come_in_the_order_of_the_frames(field):
    with PreparedField(field) as opened:
        assert opened.head["sector"] == 7
        assert opened.n_frames == 3
        assert opened.array("frames/frame_id").tolist() == ["a", "b", "c"]
        assert "response/terms" not in opened
        found = opened.pixels("images", slice(10, 30), slice(13, 20))
        for k in range(3):
            np.testing.assert_array_equal(found[k], frame(k).flux[10:30, 13:20])
    opened.close()


def test_the_files_may_move_together(field, tmp_path):
    (tmp_path / "moved").mkdir()
    for path in tmp_path.glob("*.h5"):
        path.rename(tmp_path / "moved" / path.name)
    with PreparedField(tmp_path / "moved" / "prepared.h5") as opened:
        assert np.isfinite(opened.pixels("images", slice(5, 7), slice(20, 23))).all()


def test_a_missing_or_damaged_batch_is_named(field, tmp_path):
    with (tmp_path / "b2.h5").open("r+b") as stream:
        stream.seek(-3000, 2)
        stream.write(b"\xff" * 2000)
    with PreparedField(field) as opened, pytest.raises(InputError, match=r"b2\.h5.*prepare its images anew"):
        opened.pixels("images_err", slice(0, SHAPE[0]), slice(0, SHAPE[1]))
    (tmp_path / "b1.h5").unlink()
    with PreparedField(field) as opened, pytest.raises(InputError, match=r"b1\.h5"):
        opened.pixels("images", slice(0, 3), slice(0, 3))


def test_what_is_no_prepared_field_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no prepared images"):
        PreparedField(tmp_path / "none.h5")
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    with pytest.raises(InputError, match="not made by this version"):
        PreparedField(tmp_path / "other.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(InputError, match="cannot be read"):
        PreparedField(tmp_path / "text.h5")
