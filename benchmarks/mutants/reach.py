"""Which test files can reach a module, and over how many imports."""

import ast
from functools import cache
from pathlib import Path

PACKAGE = "gaiaflux"


def distances(root: Path, tests: list[Path], module: str) -> dict[Path, int]:
    """How far each test file is from a module.

    Parameters
    ----------
    root : Path
        Of the repository.
    tests : list of Path
        Test files.
    module : str
        Path in the package, for example ``core/plate/check.py``.

    Returns
    -------
    dict of Path to int
        0 for the file that mirrors the module (``tests/core/plate/test_check.py``), 1 for those that import it (or
        whose ``conftest.py`` does), and so on; files that cannot reach it are missing.
    """
    place = Path(module)
    mirror = root / "tests" / place.parent / f"test_{place.name}"
    scripts = root / "scripts"
    name = ".".join((PACKAGE, *place.with_suffix("").parts)).removesuffix(".__init__")
    found = {}
    for test in tests:
        distance = 0 if test == mirror else _steps(scripts, test, root / "tests", name)
        if distance is not None:
            found[test] = distance
    return found


def _steps(scripts: Path, test: Path, top: Path, wanted: str) -> int | None:
    """Imports from a test file to a module, by the shortest way; None where there is none."""
    folders = [folder for folder in test.parents if folder == top or top in folder.parents]
    files = [test, *(folder / "conftest.py" for folder in folders if (folder / "conftest.py").is_file())]
    ring = {name for file in files for name in imports(scripts, file)}
    seen, step = set(), 1
    while ring:
        if wanted in ring:
            return step
        seen |= ring
        ring = {name for module in ring for name in imports(scripts, file_of(scripts, module))} - seen
        step += 1
    return None


@cache
def imports(scripts: Path, path: Path) -> frozenset[str]:
    """Modules of the package that a file imports anywhere in it.

    The package's own ``__init__`` names its public classes' modules in strings: these count where they are whole.
    """
    names = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and path.name == "__init__.py":
            names.add(node.value)
    return frozenset(name for name in names if name.split(".")[0] == PACKAGE and file_of(scripts, name) is not None)


@cache
def file_of(scripts: Path, module: str) -> Path | None:
    """Source of a dotted module, or None."""
    path = scripts / Path(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None
