import numpy as np
import pytest

from gaiaflux.io.tess.scene_file import read_scene, write_scene
from gaiaflux.model.ccd_scene import CcdScene
from gaiaflux.model.errors import InputError


def scene():
    values = np.array([1.5, 2.5, np.nan])
    ids = np.array([5, 9_007_199_254_740_993, 90_000_000_000_000_007])
    return CcdScene(ids, values, values, values, values, values, values, np.ones((1, 2, 2)), np.zeros((1, 2)))


def test_what_is_written_is_read(tmp_path):
    write_scene(tmp_path / "scene.h5", scene())
    read = read_scene(tmp_path / "scene.h5")
    for name, values in vars(scene()).items():
        np.testing.assert_array_equal(getattr(read, name), values)
        assert getattr(read, name).dtype == values.dtype
    write_scene(tmp_path / "none.h5", CcdScene.none())
    assert len(read_scene(tmp_path / "none.h5")) == 0


def test_what_is_no_scene_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="run the workflow"):
        read_scene(tmp_path / "scene.h5")
    (tmp_path / "scene.h5").write_bytes(b"no")
    with pytest.raises(InputError, match="solve the stars"):
        read_scene(tmp_path / "scene.h5")


def test_rows_of_stars_with_light():
    np.testing.assert_array_equal(scene().rows_of(np.array([9_007_199_254_740_993, 4, 5, 6])), [1, -1, 0, -1])
    np.testing.assert_array_equal(scene().rows_of(np.array([90_000_000_000_000_007])), [-1])
    np.testing.assert_array_equal(CcdScene.none().rows_of(np.array([5])), [-1])
