"""What numba does for a kernel: machine code that can be kept, or, where that does not work, a function of its own."""

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

from gaiaflux.core.kernels.source import OPTIONS, Device, Source, names_in

__all__ = ["InterfaceError", "emit", "plain"]

# Functions that machine code may call. A kernel that needs others (memory, errors) breaks the rules.
MATHS = {"sqrt", "exp", "log", "pow", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "hypot", "floor", "ceil"}
MATHS |= {f"{name}f" for name in MATHS} | {"memcpy", "memset", "memmove"}
DESTRUCTOR = "NRT_MemInfo_call_dtor"  # named in the code, never called: the arrays are not numba's


class InterfaceError(Exception):
    """The private members of numba or llvmlite that are used here are not what they were."""


def emit(source: Source) -> bytes:
    """Compile to machine code.

    Parameters
    ----------
    source : Source
        The kernel.

    Returns
    -------
    bytes
        Symbol and object file, joined by a zero byte.

    Raises
    ------
    TypeError
        The function needs more than mathematics: it is no kernel.
    InterfaceError
        numba does not give its machine code away.
    """
    compiled = _njit(source.signature.text, fastmath=source.fastmath, no_cpython_wrapper=True, no_cfunc_wrapper=True)(
        _with_dispatchers(source.function, only_called=True)
    )
    try:
        (overload,) = compiled.overloads.values()
        module = overload.library._final_module
        outside = {function.name for function in module.functions if function.is_declaration}
        symbol = overload.fndesc.llvm_func_name.encode()
        code = overload.library._codegen._tm.emit_object(module)
    except (AttributeError, ValueError) as error:
        raise InterfaceError(f"numba does not give its machine code away: {error}") from error
    outside = {name for name in outside if not name.startswith("llvm.")} - MATHS - {DESTRUCTOR}
    if outside:
        raise TypeError(f"{source.function.__name__} is no kernel: it needs {', '.join(sorted(outside))}")
    return symbol + b"\0" + code


def plain(source: Source) -> Callable[..., Any]:
    """Function of numba's public interface, compiled in this process for the arguments that it gets.

    Parameters
    ----------
    source : Source
        The kernel.

    Returns
    -------
    callable
        Takes scalars of exactly the types of the signature, and arrays that may be read-only.
    """
    return _njit(fastmath=source.fastmath)(_with_dispatchers(source.function, only_called=False))


def _njit(*signature: str, **options: Any) -> Callable[[FunctionType], Any]:
    import numba

    compiler: Any = numba.njit
    return compiler(*signature, **OPTIONS, **options)


@cache
def _dispatcher(function: FunctionType, only_called: bool) -> Any:
    """Device function of numba; one that only machine code calls needs no wrapper for Python."""
    more = {"no_cpython_wrapper": True} if only_called else {}
    return _njit(**more)(_with_dispatchers(function, only_called))


def _with_dispatchers(function: FunctionType, only_called: bool) -> FunctionType:
    """Copy of a function that sees numba's dispatchers in place of device functions."""
    names = function.__globals__
    called = {name: value for name in names_in(function) if isinstance(value := names.get(name), Device)}
    replaced = names | {name: _dispatcher(value.function, only_called) for name, value in called.items()}
    return FunctionType(function.__code__, replaced, function.__name__, function.__defaults__, function.__closure__)
