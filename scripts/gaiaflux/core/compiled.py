"""How a numerical kernel is compiled: once at set-up, then loaded from the cache.

A kernel has an explicit signature, takes C-contiguous arrays and scalars, writes into arrays that it is given, and
allocates nothing. ``python -m gaiaflux.core.compiled`` compiles all kernels of the package.
"""

import importlib
import pkgutil
from collections.abc import Callable

import numba

__all__ = ["compile_all", "device", "kernel"]


def kernel(signature: str, *, fastmath: bool = False) -> Callable:
    """Compile a function for one signature, for example ``void(float32[:, ::1], float64[::1])``.

    Parameters
    ----------
    signature : str
        Types of result and arguments in numba's notation; every array C-contiguous.
    fastmath : bool
        Allow reordered sums; only where no NaN can occur.

    Returns
    -------
    callable
        Decorator.
    """
    return numba.njit(signature, cache=True, nogil=True, error_model="numpy", fastmath=fastmath)


def device(function: Callable) -> Callable:
    """Compile a function that only kernels call, with the types of the caller."""
    return numba.njit(cache=True, nogil=True, error_model="numpy")(function)


def compile_all() -> list[str]:
    """Import every module that holds kernels, which compiles and caches them.

    Returns
    -------
    list of str
        Names of the modules.
    """
    packages = [importlib.import_module(name) for name in ("gaiaflux.core", "gaiaflux.sim")]
    names = [
        f"{package.__name__}.{module.name}" for package in packages for module in pkgutil.iter_modules(package.__path__)
    ]
    for name in names:
        importlib.import_module(name)
    return names


if __name__ == "__main__":
    compile_all()
