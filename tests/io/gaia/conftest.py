import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent


def _load(name):
    spec = importlib.util.spec_from_file_location(f"gaiaflux_tests_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tap():
    """The module `tap_server`, which pytest's importlib mode keeps off the path."""
    return _load("tap_server")


@pytest.fixture
def serve(tap, gaia_rows):
    """Start TAP servers that stop at the end of the test: serve(behaviour..., table=, table_name=, names=)."""
    servers = []

    def start(table=None, table_name="gaiadr3.gaia_source", names=None, **behaviour):
        table = gaia_rows if table is None else table
        servers.append(tap.TapServer(table, table_name, tap.Behaviour(**behaviour), names or {}))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def gaia_rows():
    """Rows with Gaia's columns around (0.1, -30) deg: the field crosses ra = 0; 1 in 10 has no motion."""
    rng = np.random.default_rng(20)
    number = 600
    names = ["ra", "dec", "ref_epoch", "ra_error", "dec_error", "pmra", "pmdec", "pmra_error", "pmdec_error"]
    names += ["parallax", "phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag", "ruwe"]
    rows = np.zeros(number, dtype=[("source_id", "i8")] + [(name, "f8") for name in names])
    # Neighbours in the last digit, beyond what float64 can hold.
    rows["source_id"] = 5853498713190525696 + np.arange(number)
    rows["ra"] = (0.1 + rng.uniform(-0.5, 0.5, number)) % 360.0
    rows["dec"] = -30.0 + rng.uniform(-0.4, 0.4, number)
    rows["ref_epoch"] = 2016.0
    rows["phot_g_mean_mag"] = rng.uniform(10.0, 21.0, number)
    rows["phot_bp_mean_mag"] = rows["phot_g_mean_mag"] + 0.5
    rows["phot_rp_mean_mag"] = rows["phot_g_mean_mag"] - 0.75
    rows["ruwe"] = 1.0
    for name in ("ra_error", "dec_error", "pmra_error", "pmdec_error"):
        rows[name] = rng.uniform(0.02, 0.5, number)
    for name in ("pmra", "pmdec", "parallax"):
        rows[name] = rng.normal(0.0, 5.0, number)
    for name in ("pmra", "pmdec", "parallax", "pmra_error", "pmdec_error", "ruwe"):
        rows[name][::10] = np.nan
    return rows
