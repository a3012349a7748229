import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("GAIAFLUX_DATA", Path(__file__).parents[2] / "shared" / "data")).resolve() / "ground"


@pytest.fixture(scope="session")
def real_data():
    """Folder of shared real data; the test skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA} (set GAIAFLUX_DATA)")
    return DATA


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
