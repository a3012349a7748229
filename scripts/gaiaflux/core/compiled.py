"""How a numerical kernel is compiled and loaded.

A kernel has an explicit signature, takes C-contiguous arrays and scalars, writes into arrays that it is given, and
allocates nothing. numba compiles it once, and its machine code is kept beside the module; from then on a process loads
that with llvmlite alone, because importing numba costs more than most jobs' arithmetic. A change of the source, of a
constant, of numba or of the processor gives the code another name, and it is compiled again.

``python -m gaiaflux.core.compiled`` compiles all kernels of the package. With ``NUMBA_DISABLE_JIT=1`` kernels run as
plain Python, for debugging.
"""

import ctypes
import hashlib
import importlib
import inspect
import os
import pkgutil
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

__all__ = ["Kernel", "compile_all", "device", "kernel"]

PACKAGES = ("gaiaflux.core", "gaiaflux.sim")
C_TYPES = {
    "float64": ctypes.c_double,
    "float32": ctypes.c_float,
    "int64": ctypes.c_int64,
    "int32": ctypes.c_int32,
    "uint16": ctypes.c_uint16,
    "uint8": ctypes.c_uint8,
    "boolean": ctypes.c_uint8,
}
# Functions that machine code may call. A kernel that needs others (memory, errors) breaks the rules above.
MATHS = {"sqrt", "exp", "log", "pow", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "hypot", "floor", "ceil"}
MATHS |= {f"{name}f" for name in MATHS} | {"memcpy", "memset", "memmove"}
DESTRUCTOR = "NRT_MemInfo_call_dtor"  # named in the code, never called: the arrays are not numba's


class Device:
    """A function that only kernels call, compiled with the types of the caller; in Python it is the function itself."""

    def __init__(self, function: FunctionType) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)


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

    def __init__(self, function: FunctionType, signature: str, fastmath: bool | set[str]) -> None:
        self.function = function
        self.signature = signature
        self.fastmath = fastmath
        self.__doc__ = function.__doc__
        self._result, self._arguments = _parse(signature)
        self._call: Callable[..., int] | None = None
        self._keep: Any = None

    def __call__(self, *arguments: Any) -> int | float | None:
        """Run; arrays must have the dtype and number of axes of the signature and be C-contiguous.

        Raises
        ------
        TypeError
            An array has another dtype, number of axes or layout, or their number is wrong.
        """
        if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
            return self.function(*arguments)
        if self._call is None:
            self.load()
        if len(arguments) != len(self._arguments):
            raise TypeError(f"{self.function.__name__} takes {len(self._arguments)} arguments, not {len(arguments)}")
        values: list[Any] = []
        for (dtype, ndim), argument in zip(self._arguments, arguments, strict=True):
            if ndim:
                values += _flatten(self.function.__name__, dtype, ndim, argument)
            else:
                values.append(float(argument) if dtype.startswith("float") else int(argument))
        result = C_TYPES[self._result]() if self._result else ctypes.c_void_p()
        failure = ctypes.c_void_p()
        if self._call(ctypes.byref(result), ctypes.byref(failure), *values):
            raise RuntimeError(f"{self.function.__name__} failed: kernels must not raise")
        return result.value if self._result else None

    def load(self) -> None:
        """Get the machine code ready: from its file, or by compiling it."""
        name = f"{self.function.__module__}.{self.function.__qualname__}"
        stored = _find(name, self._key())
        if stored is None:
            stored = self._compile()
            _store(name, self._key(), stored)
        symbol, _, code = stored.partition(b"\0")
        self._keep, address = _link(code, symbol.decode())
        types: list[Any] = [ctypes.c_void_p, ctypes.c_void_p]
        for dtype, ndim in self._arguments:
            types += (
                [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 2 + [ctypes.c_void_p] + [ctypes.c_int64] * 2 * ndim
                if ndim
                else [C_TYPES[dtype]]
            )
        self._call = ctypes.CFUNCTYPE(ctypes.c_int, *types)(address)

    def _key(self) -> str:
        """What the machine code depends on."""
        from llvmlite import binding

        parts = [
            self.signature,
            str(sorted(self.fastmath) if isinstance(self.fastmath, set) else self.fastmath),
            version("numba"),
            version("llvmlite"),
            binding.get_host_cpu_name(),
        ]
        parts.append(binding.get_host_cpu_features().flatten())
        for function in _closure(self.function):
            parts.append(inspect.getsource(function))
            values = (function.__globals__.get(name) for name in sorted(_names(function)))
            parts += [repr(value) for value in values if isinstance(value, bool | int | float | np.generic)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]

    def _compile(self) -> bytes:
        """Symbol and machine code, joined by a zero byte."""
        import numba

        compiled = numba.njit(
            self.signature,
            nogil=True,
            error_model="numpy",
            fastmath=self.fastmath,
            no_cpython_wrapper=True,
            no_cfunc_wrapper=True,
        )(_with_dispatchers(self.function))
        (overload,) = compiled.overloads.values()
        library = overload.library
        module = library._final_module
        outside = {function.name for function in module.functions if function.is_declaration}
        outside = {name for name in outside if not name.startswith("llvm.")} - MATHS - {DESTRUCTOR}
        if outside:
            raise TypeError(f"{self.function.__name__} is no kernel: it needs {', '.join(sorted(outside))}")
        code = library._codegen._tm.emit_object(module)
        return overload.fndesc.llvm_func_name.encode() + b"\0" + code


def kernel(signature: str, *, fastmath: bool | set[str] = False) -> Callable[[FunctionType], Kernel]:
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


def device(function: FunctionType) -> Device:
    """Decorator for a function that only kernels call; see `Device`."""
    return Device(function)


def compile_all() -> list[str]:
    """Compile every kernel of the package whose machine code is not there yet.

    Returns
    -------
    list of str
        Names of the kernels.
    """
    names = []
    for package in map(importlib.import_module, PACKAGES):
        for found in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{found.name}")
            for name, value in vars(module).items():
                if isinstance(value, Kernel) and value.function.__module__ == module.__name__:
                    value.load()
                    names.append(f"{module.__name__}.{name}")
    return names


def _parse(signature: str) -> tuple[str, list[tuple[str, int]]]:
    """Result and arguments as (dtype, number of axes); 0 axes is a scalar, an empty result nothing."""
    form = re.fullmatch(r"\s*(\w+)\((.*)\)\s*", signature, re.DOTALL)
    if form is None:
        raise ValueError(f"signature {signature!r}")
    arguments = []
    for text in re.findall(r"\w+(?:\[[^\]]*\])?", form[2]):
        dtype, _, axes = text.partition("[")
        if dtype not in C_TYPES or (axes and not axes.replace(" ", "").endswith("::1]")):
            raise ValueError(f"argument {text!r} of signature {signature!r}")
        arguments.append((dtype, axes.count(",") + 1 if axes else 0))
    return ("" if form[1] == "void" else form[1]), arguments


def _flatten(name: str, dtype: str, ndim: int, array: np.ndarray) -> list[int | None]:
    """An array as numba's machine code takes it: owner, parent, size, item size, data, shape, strides."""
    expected = "bool" if dtype == "boolean" else dtype
    if array.dtype != expected or array.ndim != ndim or not array.flags.c_contiguous:
        raise TypeError(f"{name}: {array.dtype} array of {array.ndim} axes where {dtype} of {ndim}, contiguous, is due")
    return [None, None, array.size, array.itemsize, array.ctypes.data, *array.shape, *array.strides]


def _names(function: FunctionType) -> set[str]:
    code = [function.__code__]
    for inner in code:
        code += [constant for constant in inner.co_consts if inspect.iscode(constant)]
    return {name for inner in code for name in inner.co_names}


def _closure(function: FunctionType) -> Iterator[FunctionType]:
    """The function and all device functions that it calls, each once."""
    found = [function]
    for one in found:
        for name in sorted(_names(one)):
            value = one.__globals__.get(name)
            if isinstance(value, Device) and value.function not in found:
                found.append(value.function)
    yield from found


@cache
def _dispatcher(function: FunctionType) -> Any:
    import numba

    return numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True)(_with_dispatchers(function))


def _with_dispatchers(function: FunctionType) -> FunctionType:
    """Copy of a function that sees numba's dispatchers in place of device functions."""
    names = function.__globals__
    called = {name: value for name in _names(function) if isinstance(value := names.get(name), Device)}
    replaced = names | {name: _dispatcher(value.function) for name, value in called.items()}
    return FunctionType(function.__code__, replaced, function.__name__, function.__defaults__, function.__closure__)


def _folders() -> Iterator[Path]:
    """Where machine code is kept: beside the module, or for a user who may not write there in a folder of his own."""
    yield Path(__file__).parent / "__pycache__"
    yield Path(tempfile.gettempdir()) / f"gaiaflux-kernels-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def _find(name: str, key: str) -> bytes | None:
    for folder in _folders():
        path = folder / f"{name}-{key}.kernel"
        if path.is_file() and (
            not hasattr(os, "getuid") or path.stat().st_uid in (os.getuid(), Path(__file__).stat().st_uid)
        ):
            return path.read_bytes()
    return None


def _store(name: str, key: str, content: bytes) -> None:
    """Write the machine code where that is possible; what an older source left there goes."""
    for folder in _folders():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=folder)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
            for old in folder.glob(f"{name}-*.kernel"):
                old.unlink(missing_ok=True)
            Path(temporary).replace(folder / f"{name}-{key}.kernel")
        except OSError:
            continue
        return


@cache
def _target() -> tuple[Any, Any]:
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    nothing = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
    binding.add_symbol(DESTRUCTOR, ctypes.cast(nothing, ctypes.c_void_p).value)
    return binding, nothing


def _link(code: bytes, symbol: str) -> tuple[Any, int]:
    """Load machine code; it lives as long as the first result."""
    binding, _ = _target()
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(symbol)
    if not address:
        raise RuntimeError(f"no function {symbol} in the machine code")
    return engine, address


if __name__ == "__main__":
    # Through the package: here the class is `__main__.Kernel`, of which no kernel is an instance.
    importlib.import_module("gaiaflux.core.compiled").compile_all()
