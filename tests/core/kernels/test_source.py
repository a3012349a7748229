"""The key of machine code changes with everything that the code depends on, and with nothing else."""

import subprocess
import sys
from types import FunctionType

import numpy as np
import pytest

from gaiaflux.core.kernels import source
from gaiaflux.core.kernels.collect import PACKAGES, find_kernels
from gaiaflux.core.kernels.signature import parse_signature
from gaiaflux.core.kernels.source import Source

TYPES = "float64(float64[::1])"
MODULE = '''
import numpy as np
from types import ModuleType

from gaiaflux.core.kernels.compile import device, kernel

SCALE, TABLE, LIMITS, UNUSED = 3.0, np.array([1.0, 2.0]), (1, 2.5), 7
settings = ModuleType("settings")
settings.DEPTH = 4


@device
def _power(x, n=2):
    """Power."""
    return SCALE * x**n


@device
def _twice(x):
    return 2.0 * _power(x)


@kernel("float64(float64[::1])")
def total(x):
    """Sum."""
    result = 0.0
    for i in range(len(x)):
        if x[i] in (1.0, 2.0):  # a remark
            result += _twice(x[i]) + TABLE[0] + LIMITS[1] + settings.DEPTH
    return result
'''


def key_of(text, types=TYPES, fastmath=False):
    names = {"__name__": "written.module"}
    exec(compile(text, "module.py", "exec"), names)
    return Source(names["total"].function, parse_signature(types), fastmath).key()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("result = 0.0", "result = 1.0"),
        ("result = 0.0", "result = -0.0"),
        ("result = 0.0", "result = 0"),
        ("(1.0, 2.0)", "(1.0, 3.0)"),
        ("_twice(x[i]) +", "_twice(x[i]) -"),
        ("len(x)", "len(x) - 1"),
        ("return 2.0 * _power(x)", "return 2.0 * _power(x, 3)"),
        ("x, n=2", "x, n=3"),
        ("return SCALE * x**n", "return SCALE / x**n"),
        ("TABLE, LIMITS, UNUSED = 3.0", "TABLE, LIMITS, UNUSED = 3.5"),
        ("np.array([1.0, 2.0])", "np.array([1.0, 2.5])"),
        ("np.array([1.0, 2.0])", "np.array([1.0, 2.0], np.float32)"),
        ("(1, 2.5)", "(1, 2.6)"),
        ("settings.DEPTH = 4", "settings.DEPTH = 5"),
        ("x[i] in (1.0, 2.0)", "x[i] in {1.0, 2.0}"),
    ],
)
def test_a_change_of_what_is_computed_changes_the_key(old, new):
    assert old in MODULE
    assert key_of(MODULE.replace(old, new)) != key_of(MODULE)


@pytest.mark.parametrize(
    ("old", "new"),
    [("Sum.", "The sum."), ("Power.", "A power."), ("a remark", "another"), ("2.5), 7", "2.5), 8"), ("\n\n\n", "\n")],
)
def test_a_change_of_words_does_not(old, new):
    assert old in MODULE
    assert key_of(MODULE.replace(old, new)) == key_of(MODULE)


def test_types_options_and_the_function_called_count(monkeypatch):
    keys = [key_of(MODULE), key_of(MODULE, "float64(float32[::1])")]
    keys += [key_of(MODULE, fastmath=value) for value in (True, {"nsz"}, {"nsz", "contract"})]
    swapped = MODULE + "\n_power, _twice = _twice, _power\n_power.function.__globals__.update(globals())\n"
    keys.append(key_of(swapped))
    for name, value in (("CONVENTION", 99), ("OPTIONS", {"nogil": False})):
        with monkeypatch.context() as patch:
            patch.setattr(source, name, value)
            source._compilers.cache_clear()
            keys.append(key_of(MODULE))
        source._compilers.cache_clear()
    for name in ("_compilers", "_processor"):
        with monkeypatch.context() as patch:
            patch.setattr(source, name, lambda: "another")
            keys.append(key_of(MODULE))
    monkeypatch.setenv("NUMBA_OPT", "0")
    keys.append(key_of(MODULE))
    assert len(set(keys)) == len(keys)
    monkeypatch.delenv("NUMBA_OPT")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "17")
    assert key_of(MODULE) == keys[0]


def test_it_counts_which_of_its_device_functions_a_kernel_calls_where():
    text = MODULE.replace("+= _twice(x[i])", "+= _twice(x[i]) + _power(x[i]) + other(x[i])")
    assert key_of(text + "\nother = _power\n") != key_of(text + "\nother = _twice\n")


def test_a_set_is_described_in_one_order():
    names = [f"name {i}" for i in range(50)]
    assert (
        source._describe(frozenset(names))
        == source._describe(frozenset(names[::-1]))
        == f"{{{str(sorted(names))[1:-1]}}}"
    )


def test_a_value_from_around_the_function_counts():
    def make(value):
        def inner(x):
            return x[0] + value

        return Source(inner, parse_signature(TYPES), False)

    assert make(1.0).key() == make(1.0).key() != make(2.0).key()


def test_all_that_kernels_see_is_described():
    """A constant of another kind would be forgotten by the key."""
    for name, kernel in find_kernels(PACKAGES).items():
        functions: list[FunctionType] = [kernel.function]
        for function in functions:
            for used in source.names_in(function) & function.__globals__.keys():
                value = function.__globals__[used]
                if isinstance(value, source.Device):
                    functions += [value.function] if value.function not in functions else []
                else:
                    assert isinstance(value, int | float | tuple | np.generic | type(np)), (name, used)


def test_the_key_is_the_same_in_every_process():
    code = (
        "from gaiaflux.core.kernels.collect import PACKAGES, find_kernels\n"
        "print([one._source.key() for one in find_kernels(PACKAGES).values()])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**source.os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert len(said) == 1


def test_without_numbas_file_of_its_version_its_metadata_count(monkeypatch, tmp_path):
    from importlib.metadata import version

    assert version("numba") in source._numba_version()
    monkeypatch.setattr(source, "find_spec", lambda name: None)
    assert source._numba_version() == version("numba")
