"""Every kernel is found, in whatever package it is, and compiled before any job needs it."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gaiaflux
from gaiaflux.core.kernels.collect import PACKAGES, compile_all, find_kernels

KERNEL = """
from gaiaflux.core.kernels.compile import device, kernel

@device
def square(x):
    return x * x

@kernel("void(float64[::1])")
def {name}(x):
    x[0] = square(x[0])
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with kernels at each depth; one is imported by another module, one module runs when it is imported."""
    files = {
        "__init__.py": KERNEL.format(name="top"),
        "one.py": KERNEL.format(name="first"),
        "__main__.py": "raise SystemExit('was run')",
        "inner/__init__.py": "",
        "inner/two.py": KERNEL.format(name="second") + "from written_kernels.one import first\n",
        "inner/deep/__init__.py": "",
        "inner/deep/three.py": KERNEL.format(name="third"),
    }
    for name, text in files.items():
        path = tmp_path / "written_kernels" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path / "written_kernels"
    for name in [name for name in sys.modules if name.startswith("written_kernels")]:
        del sys.modules[name]


def test_kernels_are_found_at_every_depth_and_once(package):
    found = find_kernels(["written_kernels", "written_nowhere"])
    assert list(found) == [
        "written_kernels.top",
        "written_kernels.inner.deep.three.third",
        "written_kernels.inner.two.second",
        "written_kernels.one.first",
    ]
    assert [one.function.__name__ for one in found.values()] == ["top", "third", "second", "first"]


def test_a_package_that_cannot_be_imported_is_an_error(package):
    (package / "inner" / "deep" / "__init__.py").write_text("import written_nowhere\n")
    with pytest.raises(ModuleNotFoundError, match="written_nowhere"):
        find_kernels(["written_kernels"])


def test_no_module_of_the_library_with_kernels_is_left_out():
    root = Path(gaiaflux.__file__).parent
    with_kernels = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any("kernel(" in ast.unparse(one) for one in node.decorator_list):
                module = ".".join(("gaiaflux", *path.relative_to(root).with_suffix("").parts))
                with_kernels.add(f"{module}.{node.name}")
    assert set(find_kernels(PACKAGES)) == with_kernels
    assert len(with_kernels) >= 47


def test_another_process_needs_no_numba():
    compile_all()
    code = (
        "import sys; from gaiaflux.core.kernels.collect import compile_all; compile_all();"
        "sys.exit('numba' in sys.modules)"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_the_command_compiles_all():
    done = subprocess.run([sys.executable, "-m", "gaiaflux.core.kernels"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
