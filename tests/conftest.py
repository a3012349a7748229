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


def pytest_generate_tests(metafunc):
    """Run a test with the argument `survey_image` on each image of the surveys' folder; it skips without any."""
    if "survey_image" in metafunc.fixturenames:
        images = sorted((DATA / "legacypipe_decam").glob("*/images/*_ooi_*"))
        metafunc.parametrize("survey_image", images, ids=lambda path: path.name)
