import pytest


@pytest.fixture(scope="session")
def small(ccd_files, tmp_path_factory):
    """A part of a CCD at its corner, 24 frames, prepared; no test changes it."""
    made = ccd_files.CcdFiles.make(tmp_path_factory.mktemp("ccd") / "small")
    made.frames = made.prepare()
    return made


@pytest.fixture
def copy(small, tmp_path):
    """The same files, which a test may change; nothing is prepared of them."""
    return small.copy(tmp_path / "copy")


@pytest.fixture(scope="session")
def kit(small):
    from gaiaflux.tess.images.frame import FrameKit
    from gaiaflux.tess.images.nominal import response_or_nominal

    reference = small.settle()
    return FrameKit.of(reference, response_or_nominal(small.instrument, reference))


@pytest.fixture
def image(small):
    """A good image, as it is read."""
    from gaiaflux.io.tess.ccd_image import read_ccd_image

    return read_ccd_image(small.paths[3])
