"""Kernels in machine code, by numba and in plain Python: the same numbers, and the same refusals."""

import os
import subprocess
import sys

import numpy as np
import pytest

from gaiaflux.core.kernels import cache, canary
from gaiaflux.core.kernels.cache import Folder
from gaiaflux.core.kernels.compile import Kernel, device, kernel

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


@kernel("int64(float64[:, :, :, ::1], float32[:, :, ::1], uint8[:, :, ::1], boolean, float32, float64[:, ::1])")
def _sum_stamps(cubes, weights, flags, negative, scale, out):
    """Weighted sums of the good pixels of every stamp (n, ny, nx) in every cadence."""
    n_used = 0
    for i in range(cubes.shape[0]):
        for j in range(cubes.shape[1]):
            total = 0.0
            for y in range(cubes.shape[2]):
                for x in range(cubes.shape[3]):
                    if flags[j, y, x] == 0:
                        total += cubes[i, j, y, x] * weights[j, y, x]
                        n_used += 1
            out[i, j] = -scale * total if negative else scale * total
    return n_used


@kernel("float64(float64, uint8[::1])")
def _divides(x, small):
    small[0] += small[1]
    return x / (x - x)


def again(one: Kernel) -> Kernel:
    """The same kernel, not loaded."""
    return Kernel(one.function, one.signature, False)


def arguments():
    rng = np.random.default_rng(1)
    return rng.normal(size=(3, 5)), rng.normal(size=5).astype(np.float32), rng.uniform(size=5) > 0.4, 1, np.zeros(3)


def expected(grid, values, use, first, out):
    part = np.where(use, 2 * SCALE * grid**2 + values, 0.0)[:, first:]
    return out + part.sum(axis=1)


@pytest.fixture(params=["machine code", "numba", "python"])
def way(request, folders, monkeypatch):
    """Each way in which a kernel can run."""
    if request.param == "numba":
        monkeypatch.setattr("gaiaflux.core.kernels.compile.machine_code_works", lambda: False)
    if request.param == "python":
        monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    return request.param


@pytest.fixture(scope="module", params=[True, False], ids=["machine code", "numba"])
def loaded(request, tmp_path_factory):
    """A kernel that is compiled once for all its tests."""
    folder = Folder(tmp_path_factory.mktemp("machine_code"), 0o755, frozenset({os.getuid()}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "_folders", lambda: iter([folder]))
        patch.setattr("gaiaflux.core.kernels.compile.machine_code_works", lambda: request.param)
        one = again(_weighted)
        one.load()
    return one


def test_every_way_gives_the_same_numbers(way, folders):
    for _ in ("compiled", "loaded"):
        args = arguments()
        total = again(_weighted)(*args)
        np.testing.assert_allclose(args[-1], expected(*arguments()), rtol=1e-14)
        assert total == pytest.approx(args[-1].sum(), rel=1e-14)
        kept = list(folders[0].path.glob("*_weighted*"))
        assert len(kept) == (way == "machine code")


def test_a_kernel_takes_a_stack_of_stamps_and_of_cadences(way):
    rng = np.random.default_rng(2)
    cubes, weights = rng.normal(size=(4, 3, 5, 6)), rng.uniform(size=(3, 5, 6)).astype(np.float32)
    flags, out = rng.integers(0, 2, size=(3, 5, 6), dtype=np.uint8), np.zeros((4, 3))
    assert again(_sum_stamps)(cubes, weights, flags, True, 0.5, out) == 4 * np.sum(flags == 0)
    np.testing.assert_allclose(out, -0.5 * np.einsum("ijyx,jyx->ij", cubes, weights * (flags == 0)), rtol=1e-13)
    none = np.zeros((4, 0))
    assert again(_sum_stamps)(cubes[:, :0].copy(), weights[:0], flags[:0], False, 1.0, none) == 0


def test_division_by_zero_and_overflow_are_no_errors(way):
    small = np.array([255, 2], np.uint8)
    assert again(_divides)(np.float64(2.0), small) == np.inf
    assert small[0] == 1


def test_arrays_that_are_only_read_may_be_read_only(way):
    args = arguments()
    for array in args[:3]:
        array.flags.writeable = False
    again(_weighted)(*args)
    np.testing.assert_allclose(args[-1], expected(*arguments()), rtol=1e-14)


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, np.zeros((3, 5), np.float32)),
        (0, np.zeros((5, 3)).T),
        (0, [[1.0, 2.0]]),
        (1, np.zeros((2, 2), np.float32)),
        (1, np.zeros(5, ">f4")),
        (2, np.zeros(5, np.uint8)),
        (4, np.float64(1.0)),
    ],
)
def test_wrong_arrays_are_refused(position, value, loaded):
    args = list(arguments())
    args[position] = value
    with pytest.raises(TypeError, match=r"_weighted: .* is due"):
        loaded(*args)
    with pytest.raises(TypeError, match="takes 5 arguments, not 4"):
        loaded(*args[:-1])


def test_a_kernel_that_allocates_is_refused(folders):
    with pytest.raises(TypeError, match=r"_allocates is no kernel: it needs .*NRT_MemInfo_alloc"):
        _allocates(np.arange(3))
    assert not list(folders[0].path.glob("*_allocates*"))


@pytest.mark.parametrize(
    "signature",
    ["void(float64[:])", "float64", "void(complex128[::1])", "complex128(float64)", "void(float64[:, 3, ::1])"],
)
def test_wrong_signatures_are_refused(signature):
    with pytest.raises(ValueError, match="signature"):
        kernel(signature)(lambda x: None)


def test_damaged_machine_code_is_compiled_again(folders):
    totals = []
    for _ in range(2):
        totals.append(again(_weighted)(*arguments()))
        (path,) = folders[0].path.glob("*_weighted*")
        path.write_bytes(path.read_bytes()[:-100])
    assert totals[0] == totals[1]


def test_in_plain_python_a_process_needs_no_compiler():
    code = (
        "import sys, numpy as np; from gaiaflux.core.aperture.overlap import _overlaps; area = np.zeros(1);"
        "_overlaps(np.zeros(1), np.zeros(1), 9.0, area); print(area[0], {'numba', 'llvmlite'} & set(sys.modules))"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.0", "set()"]


def test_the_canary_works_here():
    assert canary.machine_code_works()
