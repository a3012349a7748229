"""What an import loads, seen by a new interpreter."""

import ast
import subprocess
import sys

import pytest

import gaiaflux

HEAVY = {"numpy", "astropy", "h5py", "numba", "photutils", "scipy", "pandas", "matplotlib", "pyarrow", "yaml"}


def loaded(code):
    script = f"import sys\n{code}\nprint(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(ast.literal_eval(done.stdout))


def heavy(code):
    return {name.split(".")[0] for name in loaded(code)} & HEAVY


def test_the_package_alone_is_light():
    modules = loaded("import gaiaflux; dir(gaiaflux); gaiaflux.__version__")
    assert not {name.split(".")[0] for name in modules} & HEAVY
    assert {name for name in modules if name.startswith("gaiaflux")} == {"gaiaflux"}


@pytest.mark.parametrize(
    ("name", "loads"),
    [
        ("AperturePhotometryDataset", {"numpy", "h5py"}),
        ("run_aperture_photometry", {"numpy"}),
        ("read_psf", {"numpy", "h5py"}),
    ],
)
def test_a_name_loads_what_it_needs(name, loads):
    assert heavy(f"from gaiaflux import {name}") == loads


def test_the_analyst_loads_neither_the_others_needs_nor_the_other_family():
    modules = loaded("from gaiaflux import AperturePhotometryAnalyst")
    assert not {"h5py", "photutils", "scipy", "pandas", "matplotlib"} & {name.split(".")[0] for name in modules}
    assert "astropy.table" not in modules
    assert not [name for name in modules if name.startswith(("gaiaflux.tess", "gaiaflux.report"))]


def test_public_names():
    assert set(gaiaflux.__all__) <= set(dir(gaiaflux))
    for name in gaiaflux.__all__:
        assert getattr(gaiaflux, name) is getattr(gaiaflux, name)
    with pytest.raises(AttributeError, match="module 'gaiaflux' has no attribute 'HaloPhotometry'"):
        gaiaflux.HaloPhotometry  # noqa: B018
