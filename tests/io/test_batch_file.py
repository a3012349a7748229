import numpy as np
import pytest

from gaiaflux.io.batch_file import BatchReader, BatchWriter

TABLE = np.array([(1, 2.5), (9007199254740993, np.nan)], dtype=[("star_id", "i8"), ("flux", "f4")])


def test_frames_come_back_as_written(tmp_path):
    path = tmp_path / "new" / "0001.h5"
    with BatchWriter(path, kind="stars") as out:
        out.add(
            "b", {"status": "ok", "fwhm_pix": np.float32(3.5), "airmass": float("nan"), "filter": "é"}, {"stars": TABLE}
        )
        out.add("a", {"status": "cannot be read"})
    with BatchReader(path) as batch:
        assert batch.kind == "stars"
        assert batch.frame_ids == ["a", "b"]
        assert "a" in batch
        assert "c" not in batch
        assert batch.attrs("a") == {"status": "cannot be read"}
        attrs = batch.attrs("b")
        assert attrs["fwhm_pix"] == 3.5
        assert np.isnan(attrs["airmass"])
        assert attrs["filter"] == "é"
        table = batch.array("b", "stars")
        assert table.dtype == TABLE.dtype
        for name in TABLE.dtype.names:
            np.testing.assert_array_equal(table[name], TABLE[name])
        assert batch.names("b") == ["stars"]


def test_a_failure_leaves_no_file(tmp_path):
    path = tmp_path / "0001.h5"
    with pytest.raises(ValueError, match="no status"), BatchWriter(path, kind="wcs") as out:
        out.add("a", {})
    assert list(tmp_path.iterdir()) == []
