import json

import numpy as np
import pytest

from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.io.tess.prepared_catalog import write_prepared_catalog
from gaiaflux.tess.input_folder import FIELD_FILE, find_inputs
from gaiaflux.tess.photometry import LinPSFPhotometry


def prepare(field, folder, **changes):
    """Folder of a field of the workflow: no pixels in it, but the names of the files."""
    folder.mkdir()
    write_prepared_catalog(folder / "catalog.h5", read_tess_catalog(field.folder / "catalog.csv"))
    stated = {
        "targets": [str(field.pixels)],
        "images": [],
        "catalog": str(folder / "catalog.h5"),
        "prf": str(field.folder / "prf"),
        "pointing": "",
    }
    (folder / FIELD_FILE).write_text(json.dumps(stated | changes))
    return folder


def test_the_folder_of_a_field_of_the_workflow(field, tmp_path):
    folder = prepare(field, tmp_path / "FIELD")
    (folder / "c120").mkdir()
    (folder / "c120" / "dataset.h5").write_bytes(b"")
    found = LinPSFPhotometry(1001, folder, tmp_path / "out", datasource="tpf")
    other = LinPSFPhotometry(1001, field.folder, tmp_path / "out", datasource="tpf")
    assert list(found.catalog["starid"]) == list(other.catalog["starid"])
    found.photometry()
    other.photometry()
    np.testing.assert_array_equal(found.lightcurve["flux"], other.lightcurve["flux"])


def test_a_field_without_response_functions(field, tmp_path):
    assert find_inputs(1001, prepare(field, tmp_path / "FIELD", prf="")).prf_folder is None


@pytest.mark.parametrize("changes", [{"targets": []}, {"catalog": ""}, {"catalog": "/nowhere/catalog.h5"}])
def test_a_field_that_lacks_files(field, tmp_path, changes):
    with pytest.raises(FileNotFoundError, match="There is no"):
        find_inputs(1001, prepare(field, tmp_path / "FIELD", **changes))


def test_a_field_whose_target_file_is_gone(field, tmp_path):
    folder = prepare(field, tmp_path / "FIELD")
    field.pixels.unlink()
    with pytest.raises(FileNotFoundError, match=r"tess2018.*_tp\.fits\.gz"):
        LinPSFPhotometry(1001, folder, tmp_path, datasource="tpf")


def test_a_field_file_that_is_none(field, tmp_path):
    folder = prepare(field, tmp_path / "FIELD")
    for text in ("", "{}", "[1]"):
        (folder / FIELD_FILE).write_text(text)
        with pytest.raises(ValueError, match="make it again"):
            LinPSFPhotometry(1001, folder, tmp_path, datasource="tpf")


def test_linked_folders_count_once_and_may_lead_back(field, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "data").symlink_to(field.folder)
    (linked / "again").symlink_to(field.folder)
    (field.folder / "back").symlink_to(linked)
    found = find_inputs(1001, linked)
    assert found.pixels.name == field.pixels.name
    assert found.prf_folder is not None
    assert LinPSFPhotometry(1001, linked, tmp_path, datasource="tpf").samples is not None


def test_endings_in_capitals(field):
    (field.folder / "catalog.csv").rename(field.folder / "STARS.CSV")
    assert find_inputs(1001, field.folder).catalog.name == "STARS.CSV"
    assert LinPSFPhotometry(1001, field.folder, field.folder, datasource="tpf").starid == 1001


def test_files_of_other_stars_are_not_opened(field, monkeypatch):
    import gaiaflux.tess.input_folder as module

    looked = []
    original = module.read_head
    monkeypatch.setattr(module, "read_head", lambda path: looked.append(path) or original(path))
    other = field.folder / field.pixels.name.replace("1001-0120", "1234-0120")
    other.write_bytes(b"")
    find_inputs(1001, field.folder)
    assert looked == [field.pixels]
