import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("GAIAFLUX_DATA", Path(__file__).parents[2] / "shared" / "data")).resolve()
DATA = SHARED / "ground"


@pytest.fixture(scope="session")
def real_data():
    """Folder of shared real data; the test skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA} (set GAIAFLUX_DATA)")
    return DATA


@pytest.fixture(scope="session")
def tess_data():
    """Folder of shared real data of TESS; the test skips where it is absent."""
    folder = SHARED / "tess"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set GAIAFLUX_DATA)")
    return folder


def _module(name):
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def field_files():
    """Module that makes fields of TESS (``field_files.py`` beside this one)."""
    return _module("field_files")


@pytest.fixture(scope="session")
def ccd_files():
    """Module that makes full-frame images of a small part of a CCD (``ccd_field_files.py`` beside this one)."""
    return _module("ccd_field_files")


@pytest.fixture(scope="session")
def field_parts(field_files):
    """Functions that make catalogues, targets and batches of a field of TESS."""
    return field_files.catalog, field_files.target, field_files.write_batch


@pytest.fixture(scope="session")
def make_field_files(field_files):
    """Class of a small field of TESS as files, to be given a folder."""
    return field_files.FieldFiles


@pytest.fixture
def as_first_version():
    """Function that makes a dataset in its place what the first version of the schema was: flags of 16 bits."""
    import h5py

    def convert(path):
        with h5py.File(path, "r+") as file:
            file.attrs["schema_version"] = 1
            for name in [f"{group}/flags" for group in file if "flags" in file[group]]:
                values, attrs = file[name][()].astype("u2"), dict(file[name].attrs)
                del file[name]
                file[name] = values
                file[name].attrs.update(attrs)
        return path

    return convert


def pytest_generate_tests(metafunc):
    """Run a test with the argument `survey_image` on each image of the surveys' folder; it skips without any."""
    if "survey_image" in metafunc.fixturenames:
        images = sorted((DATA / "legacypipe_decam").glob("*/images/*_ooi_*"))
        metafunc.parametrize("survey_image", images, ids=lambda path: path.name)
