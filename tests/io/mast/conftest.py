import io
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.io import transport
from gaiaflux.io.mast import carrier
from gaiaflux.model.settings.gaia import GaiaSettings
from gaiaflux.model.settings.tess_download import TessDownloadSettings
from gaiaflux.model.typed import typed
from gaiaflux.workflow.config import check, load_schema
from gaiaflux.workflow.settings import complete_section

HERE = Path(__file__).parent
SCHEMA = HERE.parents[2] / "schemas" / "config.schema.yaml"
TARGET = 25155310
RA, DEC = 63.37389, -69.22680


def _load(path):
    spec = spec_from_file_location(f"gaiaflux_tests_{path.stem}", path)
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def mast():
    """The module `mast_server`, which pytest's importlib mode keeps off the path."""
    return _load(HERE / "mast_server.py")


@pytest.fixture(scope="session")
def tap():
    """The module `tap_server` of Gaia's tests."""
    return _load(HERE.parent / "gaia" / "tap_server.py")


def file_bytes(checksum=True, shift=0.0, **cards):
    """A small FITS file of two parts."""
    hdus = fits.HDUList(
        [fits.PrimaryHDU(), fits.ImageHDU(np.arange(4000, dtype="f4") + np.float32(shift), name="PIXELS")]
    )
    for key, value in cards.items():
        hdus[0].header[key] = value
    stream = io.BytesIO()
    hdus.writeto(stream, checksum=checksum)
    return stream.getvalue()


@pytest.fixture(scope="session")
def make_file():
    return file_bytes


def prf_bytes(camera, ccd, row, column):
    cards = {"CAM": float(camera), "CCD": float(ccd), "CCD_RREF": float(row), "CCD_CREF": float(column), "NSAMP": 9.0}
    stream = io.BytesIO()
    fits.PrimaryHDU(np.ones((9, 9), "f4"), header=fits.Header(list(cards.items()))).writeto(stream)
    return stream.getvalue()


@pytest.fixture(scope="session")
def prf_folder():
    """Function that gives the files of a CCD's folder at the archive, with foreign ones among them."""

    def make(folder="start_s0001", camera=4, ccd=1):
        home = f"{folder}/cam{camera}_ccd{ccd}"
        files = {
            f"{home}/tess2018243163601-prf-{camera}-{ccd}-row{row:04d}-col{column:04d}.fits": prf_bytes(
                camera, ccd, row, column
            )
            for row in (1, 513, 1025, 1536, 2048)
            for column in (45, 557, 1069, 1580, 2092)
        }
        foreign = ("tess-prf-phot-4-1.fits", "tess2018243163601-prf-1-3-row0001-col0045.fits", "README.txt")
        return files | {f"{home}/{name}": b"something else" for name in foreign}

    return make


@pytest.fixture
def serve(mast):
    """Start MAST servers that stop at the end of the test: serve(files=..., at=, how=, ...)."""
    servers = []

    def start(**options):
        content = {
            key: options.pop(key) for key in ("stars", "sectors", "files", "sizes", "prf", "cutout") if key in options
        }
        servers.append(mast.MastServer(behaviour=mast.Behaviour(**options), **content))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(transport, "PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(carrier, "FIRST_PAUSE_S", 0.01)


@pytest.fixture
def carrier_of():
    """Function that starts a transport; it ends with the test."""
    started = []

    def start(timeout_s=5.0, deadline_s=20.0):
        started.append(transport.Transport(timeout_s, deadline_s))
        return started[-1].__enter__()

    yield start
    for one in started:
        one.__exit__(None, None, None)


@pytest.fixture
def settings_of():
    """Function that makes the settings of a download from a server."""

    def make(server, **settings):
        places = {"mast": server.url, "tesscut": f"{server.url}/tesscut"}
        places |= {"scripts": f"{server.url}/scripts", "prf": f"{server.url}/prf"}
        own = {"targets": [TARGET], "timeout_s": 5.0, "deadline_s": 30.0, "servers": places} | settings
        given = {key: value for key, value in own.items() if value is not None}
        field = {"download": given, "catalog_file": "x", "tpfs": "x"}
        complete = check({"tess": {"F": field}}, load_schema(SCHEMA))
        return typed(TessDownloadSettings, complete["tess"]["F"]["download"])

    return make


@pytest.fixture
def gaia_settings():
    """Function that makes the settings of Gaia's archive."""

    def make(*servers):
        urls = tuple(getattr(server, "url", server) for server in servers)
        return complete_section(GaiaSettings, servers=urls, timeout_s=5.0, deadline_s=20.0)

    return make
