"""What happens when numba's or llvmlite's private members are not what they were."""

import logging
from types import SimpleNamespace

import numba
import numpy as np
import pytest

from gaiaflux.core.kernels import cache, canary, machine_code
from gaiaflux.core.kernels.compile import Kernel
from gaiaflux.core.kernels.numba_code import emit
from gaiaflux.core.kernels.signature import parse_signature
from gaiaflux.core.kernels.source import Source


def _add(x, y):
    for i in range(len(x)):
        x[i] += y


def _multiply(x, y):
    for i in range(len(x)):
        x[i] *= y


def _four(grid, weights, use, cube, first, scale, doubled, out):
    return 4.0


def _right_but_for_out(grid, weights, use, cube, first, scale, doubled, out):
    return 77.25


def runs_by_numba(caplog, works):
    """Two kernels work, and one warning says why they are slow."""
    assert canary.machine_code_works() is works
    for function, answer in ((_add, 5.0), (_multiply, 6.0)):
        one, x = Kernel(function, "void(float64[::1], float64)", False), np.full(3, 2.0)
        one(x, 3)
        np.testing.assert_array_equal(x, answer)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    return caplog.text


def test_the_answers_are_those_of_plain_python():
    for function, answer in canary.ANSWERS.items():
        out = np.zeros(2, np.uint16)
        assert (function(*canary._arguments(), 1, 0.75, True, out), out.tolist()) == answer


def test_numba_that_does_not_give_its_code_away(folders, fresh, caplog, monkeypatch):
    whole = numba.njit

    def njit(*signature, **options):
        if "no_cfunc_wrapper" not in options:
            return whole(*signature, **options)
        return lambda function: SimpleNamespace(overloads={"": SimpleNamespace(library=object())})

    monkeypatch.setattr(numba, "njit", njit)
    assert "'object' object has no attribute '_final_module'" in runs_by_numba(caplog, works=False)
    assert not list(folders[0].path.parent.glob("*/*"))


def test_numba_that_knows_other_options(folders, fresh, caplog, monkeypatch):
    whole = numba.njit

    def njit(*signature, **options):
        if "no_cpython_wrapper" in options:
            raise KeyError("Unrecognized options: no_cpython_wrapper")
        return whole(*signature, **options)

    monkeypatch.setattr(numba, "njit", njit)
    assert "Unrecognized options" in runs_by_numba(caplog, works=False)


def test_llvmlite_that_does_not_link(folders, fresh, caplog, monkeypatch):
    monkeypatch.delattr("llvmlite.binding.ObjectFileRef")
    assert "ObjectFileRef" in runs_by_numba(caplog, works=False)


@pytest.mark.parametrize("function", canary.ANSWERS)
def test_stored_code_with_a_wrong_answer(folders, fresh, caplog, function):
    signature = parse_signature(canary.SIGNATURE)
    source = Source(function, signature, False)
    cache.store(source.name, source.key(), emit(Source(_four, signature, False)))
    assert f"a kernel gives 4.0 and [0, 0] where {canary.ANSWERS[function][0]}" in runs_by_numba(caplog, works=False)


def test_stored_code_that_writes_elsewhere(folders, fresh, caplog):
    signature = parse_signature(canary.SIGNATURE)
    source = Source(canary._contents, signature, False)
    cache.store(source.name, source.key(), emit(Source(_right_but_for_out, signature, False)))
    assert "a kernel gives 77.25 and [0, 0] where 77.25 and [1, 11] are known" in runs_by_numba(caplog, works=False)


def test_arrays_that_are_passed_in_another_way(folders, fresh, caplog, monkeypatch):
    """Without the axes of the first array all that follows is elsewhere; no content is read there."""
    whole = machine_code._caller
    layout = parse_signature(canary.SIGNATURE.replace("float64[:, ::1]", "float64[::1]"))

    def caller(name, signature, address, engine):
        call = whole(name, layout if signature.text == canary.SIGNATURE else signature, address, engine)
        return lambda grid, *others: call(grid.ravel(), *others)

    monkeypatch.setattr(machine_code, "_caller", caller)
    assert canary.machine_code_works() is False
    assert "where 3017.25 and [0, 0] are known" in caplog.text


def test_a_later_kernel_that_cannot_be_linked(folders, fresh, caplog, monkeypatch):
    assert canary.machine_code_works()

    def link(code, symbol):
        raise RuntimeError("no memory for code")

    monkeypatch.setattr(machine_code, "_link", link)
    assert "no memory for code" in runs_by_numba(caplog, works=True)


@pytest.mark.parametrize("fastmath", [False, {"contract"}])
def test_numba_gets_the_same_options(folders, fresh, monkeypatch, fastmath):
    seen, whole = [], numba.njit
    monkeypatch.setattr(numba, "njit", lambda *types, **options: seen.append(options) or whole(*types, **options))
    Kernel(_add, "void(float64[::1], float64)", fastmath)(np.zeros(1), 1.0)
    canary.machine_code_works.cache_clear()
    monkeypatch.setattr("gaiaflux.core.kernels.compile.machine_code_works", lambda: False)
    Kernel(_add, "void(float64[::1], float64)", fastmath)(np.zeros(1), 1.0)
    public = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    assert seen[-1] == public
    assert {name: value for name, value in seen[-2].items() if name in public} == public
