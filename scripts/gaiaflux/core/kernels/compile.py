"""A numerical kernel: a Python function that becomes machine code.

A kernel has an explicit signature, takes C-contiguous arrays and scalars, writes into arrays that it is given, and
allocates nothing. numba compiles it once and its machine code is kept; from then on a process loads that with llvmlite
alone, because importing numba costs more than most jobs' arithmetic. A change of the source, of a constant, of numba or
of the processor gives the code another key, and it is compiled again. Should the private members of numba and llvmlite
that this takes not be what they were (`gaiaflux.core.kernels.canary`), kernels are numba's own functions.

A call costs about 10 us, whatever the arrays' size: a kernel for many small stamps or cadences takes all of them at
once, as an array of 3 or 4 axes.

With ``NUMBA_DISABLE_JIT=1`` kernels run as plain Python, for debugging.
"""

import os
from collections.abc import Callable
from types import FunctionType
from typing import Any, cast

import numpy as np

from gaiaflux.core.kernels.canary import give_up, machine_code_works
from gaiaflux.core.kernels.machine_code import load_function
from gaiaflux.core.kernels.numba_code import InterfaceError, plain
from gaiaflux.core.kernels.signature import C_TYPES, check_array, parse_signature
from gaiaflux.core.kernels.source import Device, Source

__all__ = ["Kernel", "device", "kernel"]


class Kernel:
    """A compiled function.

    Parameters
    ----------
    function : function
        Its source.
    signature : str
        Types of result and arguments in numba's notation, for example ``void(float32[:, ::1], float64[::1], int64)``.
    fastmath : bool or set of str
        Allow reordered sums, all of it only where no NaN can occur; or LLVM's names of what is allowed.

    Raises
    ------
    ValueError
        The signature has another form.
    """

    def __init__(self, function: Callable[..., Any], signature: str, fastmath: bool | set[str]) -> None:
        self.function = cast(FunctionType, function)
        self.signature = signature
        self.__doc__ = function.__doc__
        self._source = Source(self.function, parse_signature(signature), fastmath)
        self._call: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Run; arrays must have the dtype and number of axes of the signature and be C-contiguous.

        Raises
        ------
        TypeError
            An array has another dtype, number of axes or layout, or their number is wrong.
        """
        return (self._call or self.load())(*arguments)

    def load(self) -> Callable[..., Any]:
        """Get the function ready: from machine code that was kept, or by compiling it.

        Returns
        -------
        callable
            What a call of the kernel calls.
        """
        self._call = self._load()
        return self._call

    def _load(self) -> Callable[..., Any]:
        if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
            return _in_python(self.function)
        if machine_code_works():
            try:
                return load_function(self._source)
            except InterfaceError as error:
                give_up(str(error))
        return _by_numba(self._source)


def kernel(signature: str, *, fastmath: bool | set[str] = False) -> Callable[[Callable[..., Any]], Kernel]:
    """Decorator for a kernel; see `Kernel`.

    Parameters
    ----------
    signature : str
        Types of result and arguments in numba's notation; every array C-contiguous.
    fastmath : bool or set of str
        Allow reordered sums, all of it only where no NaN can occur; or LLVM's names of what is allowed.

    Returns
    -------
    callable
        Decorator.
    """
    return lambda function: Kernel(function, signature, fastmath)


def device(function: Callable[..., Any]) -> Device:
    """Decorator for a function that only kernels call, compiled with the types of the caller.

    Parameters
    ----------
    function : function
        In Python it stays what it is.

    Returns
    -------
    Device
        To be called by kernels and other device functions.
    """
    return Device(function)


def _in_python(function: FunctionType) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        # As in machine code a division by zero gives infinity or NaN, and integers wrap around.
        with np.errstate(all="ignore"):
            return function(*arguments)

    return call


def _by_numba(source: Source) -> Callable[..., Any]:
    """Function that takes and refuses what machine code takes and refuses."""
    function, name, signature = plain(source), source.function.__name__, source.signature
    due = [(np.dtype("bool" if dtype == "boolean" else dtype), ndim) for dtype, ndim in signature.arguments]

    def call(*arguments: Any) -> Any:
        if len(arguments) != len(due):
            raise TypeError(f"{name} takes {len(due)} arguments, not {len(arguments)}")
        values = []
        for (dtype, ndim), argument in zip(due, arguments, strict=True):
            if ndim:
                check_array(name, dtype, ndim, argument)
            values.append(argument if ndim else dtype.type(argument))
        result = function(*values)
        return C_TYPES[signature.result](result).value if signature.result else None

    return call
