"""How machine code is linked into the process and called, with llvmlite and ctypes alone."""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gaiaflux.core.kernels import cache as kept
from gaiaflux.core.kernels.numba_code import DESTRUCTOR, InterfaceError, emit
from gaiaflux.core.kernels.signature import C_TYPES, Signature, check_array
from gaiaflux.core.kernels.source import Source

__all__ = ["load_function"]


def load_function(source: Source) -> Callable[..., int | float | None]:
    """Function of a kernel: from its machine code that was kept, or by compiling and keeping it.

    Parameters
    ----------
    source : Source
        The kernel.

    Returns
    -------
    callable
        Takes the arguments of the signature; raises TypeError where they do not fit.

    Raises
    ------
    InterfaceError
        numba or llvmlite have other private members than those that are used here.
    """
    key = source.key()
    stored = kept.find(source.name, key)
    if stored is None:
        stored = emit(source)
        kept.store(source.name, key, stored)
    symbol, _, code = stored.partition(b"\0")
    try:
        engine, address = _link(code, symbol.decode())
    except (AttributeError, RuntimeError, TypeError) as error:
        raise InterfaceError(f"llvmlite does not link the machine code: {error}") from error
    return _caller(source.function.__name__, source.signature, address, engine)


def _caller(name: str, signature: Signature, address: int, engine: Any) -> Callable[..., int | float | None]:
    """Function that turns its arguments into those of the machine code, which lives as long as its engine.

    numba's machine code takes where the result goes, where an error goes, scalars as they are, and an array as owner,
    parent, size, item size, data, shape and strides.
    """
    types: list[Any] = [ctypes.c_void_p, ctypes.c_void_p]
    for dtype, ndim in signature.arguments:
        if ndim:
            types += [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 2 + [ctypes.c_void_p] + [ctypes.c_int64] * 2 * ndim
        else:
            types.append(C_TYPES[dtype])
    function = ctypes.CFUNCTYPE(ctypes.c_int, *types)(address)
    result_type: Any = C_TYPES[signature.result] if signature.result else ctypes.c_void_p
    due = [
        (np.dtype("bool" if dtype == "boolean" else dtype), ndim, float if dtype.startswith("float") else int)
        for dtype, ndim in signature.arguments
    ]
    byref, data_address = ctypes.byref, _data_address()

    def call(*arguments: Any, engine: Any = engine) -> int | float | None:
        if len(arguments) != len(due):
            raise TypeError(f"{name} takes {len(due)} arguments, not {len(arguments)}")
        result = result_type()
        values: list[Any] = [byref(result), byref(ctypes.c_void_p())]
        for (dtype, ndim, scalar), argument in zip(due, arguments, strict=True):
            if ndim:
                check_array(name, dtype, ndim, argument)
                values += (None, None, argument.size, argument.itemsize, data_address(argument))
                values += argument.shape
                values += argument.strides
            else:
                values.append(scalar(argument))
        if function(*values):
            raise RuntimeError(f"{name} failed: kernels must not raise")
        return result.value

    return call


@cache
def _data_address() -> Callable[[np.ndarray], int]:
    """How to find the address of an array's data.

    It is the first field of the array in numpy's C interface, and read there in an eighth of the time that
    ``array.ctypes.data`` takes, which is used should that not be so.
    """
    field = object.__basicsize__
    pointer = ctypes.c_void_p.from_address

    def read(array: np.ndarray) -> int:
        return pointer(id(array) + field).value or 0

    sample = np.zeros((2, 3))
    return read if read(sample[1]) == sample[1].ctypes.data else lambda array: array.ctypes.data


def _link(code: bytes, symbol: str) -> tuple[Any, int]:
    """Load machine code; it lives as long as the first result."""
    binding, _ = _target()
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(symbol)
    if not address:
        raise RuntimeError(f"no function {symbol}")
    return engine, address


@cache
def _target() -> tuple[Any, Any]:
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    nothing = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
    binding.add_symbol(DESTRUCTOR, ctypes.cast(nothing, ctypes.c_void_p).value)
    return binding, nothing
