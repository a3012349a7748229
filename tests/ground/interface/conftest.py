import pytest
from astropy.table import Table

from gaiaflux.io.image.banzai_writer import write_banzai
from gaiaflux.sim.conditions import Night
from gaiaflux.sim.detector import Camera
from gaiaflux.sim.field import FieldConfig
from gaiaflux.sim.series import Series, SeriesConfig
from gaiaflux.sim.truth import banzai_catalog


@pytest.fixture(scope="session")
def series():
    return Series(
        SeriesConfig(
            seed=4,
            camera=Camera(shape=(512, 480), distortion_arcsec=1.5, bad_columns=1),
            field=FieldConfig(stars_in_frame=450),
            night=Night(fwhm_pix=(4.0, 5.0)),
            name="api",
        )
    )


@pytest.fixture(scope="session")
def made(series):
    """A simulated frame and the truth about it."""
    return series.frame(0)


@pytest.fixture(scope="session")
def gaia(series):
    """Stars of the field in Gaia's columns."""
    return Table(series.gaia)


@pytest.fixture(scope="session")
def masters(made, tmp_path_factory):
    """The frame as BANZAI writes it, by kind of compression; nobody changes these files."""
    folder = tmp_path_factory.mktemp("masters")
    catalog = banzai_catalog(made)
    paths = {}
    for ending in (".fits", ".fits.fz", ".fits.gz"):
        paths[ending] = folder / f"frame{ending}"
        write_banzai(paths[ending], made.frame, header=made.header, catalog=catalog)
    paths["bare"] = folder / "bare.fits"
    write_banzai(paths["bare"], made.frame, header=made.header)
    return paths
