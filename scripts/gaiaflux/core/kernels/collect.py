"""All kernels of the package, in whatever sub-package they are."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from types import ModuleType

from gaiaflux.core.kernels.compile import Kernel

__all__ = ["PACKAGES", "compile_all", "find_kernels"]

PACKAGES = ("gaiaflux.core", "gaiaflux.sim", "gaiaflux.ground", "gaiaflux.tess")


def compile_all() -> list[str]:
    """Compile every kernel of the package whose machine code is not there yet.

    Returns
    -------
    list of str
        Names of the kernels.
    """
    kernels = find_kernels(PACKAGES)
    for one in kernels.values():
        one.load()
    return list(kernels)


def find_kernels(packages: Iterable[str]) -> dict[str, Kernel]:
    """Kernels of packages and of all packages inside them; every module is imported.

    Parameters
    ----------
    packages : iterable of str
        Dotted names; one that does not exist is left out.

    Returns
    -------
    dict of str to Kernel
        By dotted name, each where it is defined.
    """
    return {
        f"{module.__name__}.{name}": value
        for package in packages
        if find_spec(package) is not None
        for module in _modules(importlib.import_module(package))
        for name, value in vars(module).items()
        if isinstance(value, Kernel) and value.function.__module__ == module.__name__
    }


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    """A package and all modules in it. `pkgutil.walk_packages` would pass over a package that cannot be imported."""
    yield package
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if found.ispkg:
            yield from _modules(importlib.import_module(found.name))
        elif not found.name.endswith(".__main__"):
            yield importlib.import_module(found.name)
