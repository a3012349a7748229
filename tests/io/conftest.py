from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from gaiaflux.io import transport


@pytest.fixture(scope="session")
def byte_server():
    """The module `byte_server`, which pytest's importlib mode keeps off the path."""
    spec = spec_from_file_location("gaiaflux_tests_byte_server", Path(__file__).with_name("byte_server.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server(byte_server):
    server = byte_server.Server()
    yield server
    server.close()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(transport, "PAUSES_S", (0.01, 0.01))
