"""The source of a kernel, and a key that changes when its machine code would.

The key is made from the compiled Python code of the function and of all device functions that it calls, the constants
that they use, the options of compilation, the versions of the compilers, and the processor. Comments, docstrings and
the place in a file do not count.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

import numpy as np

from gaiaflux.core.kernels.signature import Signature

__all__ = ["OPTIONS", "Device", "Source", "names_in"]

# Raise it whenever this package compiles, stores or calls in another way.
CONVENTION = 2
# Options of numba for every kernel and device function.
OPTIONS = {"nogil": True, "error_model": "numpy"}
# Variables of numba that say nothing of the machine code; every other one might.
OTHER_VARIABLES = {"NUMBA_NUM_THREADS", "NUMBA_DISABLE_JIT", "NUMBA_CACHE_DIR"}


class Device:
    """A function that only kernels call, compiled with the types of the caller; in Python it is the function itself."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = cast(FunctionType, function)
        self.__doc__ = function.__doc__

    def __call__(self, *arguments: Any) -> Any:
        """Run in Python."""
        return self.function(*arguments)


@dataclass(frozen=True)
class Source:
    """What is compiled.

    Attributes
    ----------
    function : function
        The kernel in Python.
    signature : Signature
        Its types.
    fastmath : bool or set of str
        See `gaiaflux.core.kernels.compile.Kernel`.
    """

    function: FunctionType
    signature: Signature
    fastmath: bool | set[str]

    @property
    def name(self) -> str:
        """Dotted name."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def key(self) -> str:
        """20 hexadecimal digits that stand for all that the machine code depends on."""
        fastmath = sorted(self.fastmath) if isinstance(self.fastmath, set) else self.fastmath
        parts = [_compilers(), _processor(), _variables(), self.name, self.signature.text, repr(fastmath)]
        found = [self.function]
        for function in found:
            parts += _describe_code(function.__code__, function.__doc__)
            parts.append(_describe((function.__defaults__, function.__kwdefaults__)))
            cells = function.__closure__ or ()
            parts += [_describe(cell.cell_contents) for cell in cells]
            for name in sorted(names_in(function)):
                value = function.__globals__.get(name)
                if isinstance(value, Device):
                    if value.function not in found:
                        found.append(value.function)
                    parts.append(f"{name}: device {found.index(value.function)}")
                elif isinstance(value, ModuleType):
                    inside = vars(value)
                    parts += [f"{name}.{one}: {_describe(inside.get(one))}" for one in sorted(names_in(function))]
                elif value is not None:
                    parts.append(f"{name}: {_describe(value)}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def names_in(function: FunctionType) -> set[str]:
    """Names of globals and attributes in a function.

    Parameters
    ----------
    function : function
        In Python.

    Returns
    -------
    set of str
        Names.
    """
    return {name for code in _codes(function.__code__) for name in code.co_names}


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _describe_code(code: CodeType, documentation: str | None) -> Iterator[str]:
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_argcount, code.co_flags))
    for position, constant in enumerate(code.co_consts):
        if isinstance(constant, CodeType):
            yield from _describe_code(constant, None)
        elif position or constant != documentation:
            yield _describe(constant)


def _describe(value: object) -> str:
    """A constant as text; of anything else only the type: numba takes no constant of it."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, np.generic | np.ndarray):
        return f"{value.dtype.str} {value.shape} {value.tobytes().hex()}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_describe, value))})"
    if isinstance(value, dict):
        return _describe(tuple(value.items()))
    if isinstance(value, frozenset):  # in an order of its own in each process
        return f"{{{', '.join(sorted(map(_describe, value)))}}}"
    return type(value).__qualname__


@cache
def _compilers() -> str:
    import llvmlite

    return repr((CONVENTION, OPTIONS, sys.implementation.cache_tag, llvmlite.__version__, _numba_version()))


def _numba_version() -> str:
    """What numba's file of its version says: to import `importlib.metadata` takes longer than all keys together."""
    found = find_spec("numba")
    path = Path(found.origin).with_name("_version.py") if found is not None and found.origin else None
    if path is not None and path.is_file() and "version_json" in (text := path.read_text(encoding="utf-8")):
        return text
    from importlib.metadata import version

    return version("numba")


@cache
def _processor() -> str:
    from llvmlite import binding

    features = binding.get_host_cpu_features().flatten()
    return "\n".join((binding.get_process_triple(), binding.get_host_cpu_name(), features))


def _variables() -> str:
    return repr(sorted((k, v) for k, v in os.environ.items() if k.startswith("NUMBA_") and k not in OTHER_VARIABLES))
