"""The types that a kernel takes and gives, in numba's notation."""

import ctypes
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["C_TYPES", "Signature", "check_array", "parse_signature"]

C_TYPES: dict[str, Any] = {
    "float64": ctypes.c_double,
    "float32": ctypes.c_float,
    "int64": ctypes.c_int64,
    "int32": ctypes.c_int32,
    "uint32": ctypes.c_uint32,
    "uint16": ctypes.c_uint16,
    "uint8": ctypes.c_uint8,
    "boolean": ctypes.c_uint8,
}


@dataclass(frozen=True)
class Signature:
    """Types of a kernel.

    Attributes
    ----------
    text : str
        As it was written.
    result : str
        Type of the result; empty where there is none.
    arguments : tuple of (str, int)
        Type and number of axes of each argument; 0 axes is a scalar.
    """

    text: str
    result: str
    arguments: tuple[tuple[str, int], ...]


def parse_signature(text: str) -> Signature:
    """Read a signature.

    Parameters
    ----------
    text : str
        For example ``void(float32[:, ::1], float64[::1], int64)``; every array C-contiguous, of any number of axes.

    Returns
    -------
    Signature
        Its parts.

    Raises
    ------
    ValueError
        The signature has another form, or a type that kernels do not take.
    """
    form = re.fullmatch(r"\s*(\w+)\((.*)\)\s*", text, re.DOTALL)
    if form is None or form[1] not in ("void", *C_TYPES):
        raise ValueError(f"signature {text!r}")
    arguments = []
    for argument in re.findall(r"\w+(?:\[[^\]]*\])?", form[2]):
        dtype, _, axes = argument.partition("[")
        if dtype not in C_TYPES or (axes and not re.fullmatch(r"(:,)*::1\]", axes.replace(" ", ""))):
            raise ValueError(f"argument {argument!r} of signature {text!r}")
        arguments.append((dtype, axes.count(",") + 1 if axes else 0))
    return Signature(text, "" if form[1] == "void" else form[1], tuple(arguments))


def check_array(name: str, dtype: np.dtype, ndim: int, array: np.ndarray) -> None:
    """Refuse what a kernel cannot take.

    Parameters
    ----------
    name : str
        Of the kernel.
    dtype : dtype
        The type that is due.
    ndim : int
        Its number of axes.
    array : ndarray
        Argument, any shape.

    Raises
    ------
    TypeError
        It is no array, has another dtype or number of axes, or is not C-contiguous.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: {type(array).__name__} where an array, {dtype} of {ndim} axes, is due")
    if array.dtype != dtype or array.ndim != ndim or not array.flags.c_contiguous:
        raise TypeError(f"{name}: {array.dtype} array of {array.ndim} axes where {dtype} of {ndim}, contiguous, is due")
