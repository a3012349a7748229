import os
import subprocess
import sys

import numpy as np
import pytest

from gaiaflux.core import compiled
from gaiaflux.core.compiled import device, kernel

SCALE = 3.0


@device
def _weight(x: float, power: int = 2) -> float:
    return SCALE * x**power


@device
def _twice(x: float) -> float:
    return 2.0 * _weight(x)


@kernel("float64(float64[:, ::1], float32[::1], boolean[::1], int64, float64[::1])")
def _weighted(grid, values, use, first, out):
    total = 0.0
    for j in range(grid.shape[0]):
        row = grid[j]
        for i in range(first, len(values)):
            if use[i]:
                out[j] += _twice(row[i]) + values[i]
        total += out[j]
    return total


@kernel("void(int64[::1])")
def _allocates(x):
    y = np.zeros(len(x) + 5)
    y[0] = x[0]
    x[1] = int(y[0] + y[-1])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "_folders", lambda: iter([tmp_path]))
    return tmp_path


def arguments():
    rng = np.random.default_rng(1)
    return rng.normal(size=(3, 5)), rng.normal(size=5).astype(np.float32), rng.uniform(size=5) > 0.4, 1, np.zeros(3)


def expected(grid, values, use, first, out):
    part = np.where(use, 2 * SCALE * grid**2 + values, 0.0)[:, first:]
    return out + part.sum(axis=1)


def test_compiled_loaded_and_plain_agree(folder, monkeypatch):
    for fresh in (True, False):
        args = arguments()
        again = kernel(_weighted.signature)(_weighted.function)
        total = again(*args)
        np.testing.assert_allclose(args[-1], expected(*arguments()), rtol=1e-14)
        assert total == pytest.approx(args[-1].sum(), rel=1e-14)
        assert len(list(folder.iterdir())) == 1, fresh
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    args = arguments()
    assert _weighted(*args) == pytest.approx(total, rel=1e-14)


def test_other_constants_are_other_code(folder, monkeypatch):
    kernel(_weighted.signature)(_weighted.function)(*arguments())
    (first,) = folder.iterdir()
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    compiled._dispatcher.cache_clear()
    args = arguments()
    kernel(_weighted.signature)(_weighted.function)(*args)
    np.testing.assert_allclose(args[-1], expected(*arguments()), rtol=1e-14)
    (second,) = folder.iterdir()
    assert first.name != second.name


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, np.zeros((3, 5), np.float32)),
        (0, np.zeros((5, 3)).T),
        (1, np.zeros((2, 2), np.float32)),
        (2, np.zeros(5, np.uint8)),
    ],
)
def test_wrong_arrays_are_refused(position, value):
    args = list(arguments())
    args[position] = value
    with pytest.raises(TypeError, match=r"_weighted: .* is due"):
        _weighted(*args)
    with pytest.raises(TypeError, match="takes 5 arguments"):
        _weighted(*args[:-1])


def test_a_kernel_that_allocates_is_refused(folder):
    with pytest.raises(TypeError, match=r"_allocates is no kernel: it needs .*NRT_MemInfo_alloc"):
        _allocates(np.arange(3))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("signature", ["void(float64[:])", "float64", "void(complex128[::1])"])
def test_wrong_signatures_are_refused(signature):
    with pytest.raises(ValueError, match="signature"):
        kernel(signature)(lambda x: None)


def test_another_process_needs_no_numba():
    compiled.compile_all()
    code = "import sys; from gaiaflux.core.compiled import compile_all; compile_all(); sys.exit('numba' in sys.modules)"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
