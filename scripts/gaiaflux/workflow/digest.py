"""A number that changes when, and only when, the code changes that a rule runs.

The code of a rule is its script and every module of the package that it imports, however deep. Comments, docstrings and
the layout of the text do not count. Left out are the package's own ``__init__`` (names that are imported on first use)
and `gaiaflux.workflow` (what happens around a computation, not in it).
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from gaiaflux.model.errors import InputError

__all__ = ["code_digest", "import_closure", "imported_names"]

PACKAGE = "gaiaflux"
LEFT_OUT = f"{PACKAGE}.workflow"


def code_digest(script: str | Path) -> str:
    """Digest of the code that a script runs.

    Parameters
    ----------
    script : str or Path
        Script of a rule; the package `gaiaflux` is beside it.

    Returns
    -------
    str
        16 hexadecimal digits.

    Raises
    ------
    InputError
        The script is not there or cannot be parsed: a digest of nothing would never change.
    """
    script = Path(script)
    total = hashlib.sha256(_module(script).digest.encode())
    for name, path in sorted(import_closure(script).items()):
        total.update(f"{name} {_module(path).digest}\n".encode())
    return total.hexdigest()[:16]


def import_closure(script: str | Path) -> dict[str, Path]:
    """Modules of the package that a script imports, directly or through others.

    Parameters
    ----------
    script : str or Path
        Script of a rule.

    Returns
    -------
    dict of str to Path
        File of each module by its dotted name.
    """
    root = Path(script).parent
    found: dict[str, Path] = {}
    waiting = list(imported_names(Path(script), ""))
    while waiting:
        name = waiting.pop()
        for module in _modules_of(name):
            path = _file_of(root, module)
            if path is None or module in found:
                continue
            found[module] = path
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            waiting += imported_names(path, package)
    return found


def imported_names(path: Path, package: str) -> tuple[str, ...]:
    """Dotted names that a file imports anywhere in it; ``from a import b`` counts as a.b.

    Parameters
    ----------
    path : Path
        Python file.
    package : str
        Package that the file is in, for relative imports.

    Returns
    -------
    tuple of str
        Names; each is a module or something inside one.
    """
    names: dict[str, None] = {}
    for level, module, imported in _module(path).imports:
        above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
        base = ".".join([*above, *([module] if module else [])])
        names.update(dict.fromkeys(f"{base}.{name}" if base else name for name in imported))
    return tuple(names)


def _modules_of(name: str) -> Iterator[str]:
    """The module itself and the packages that Python runs on the way to it."""
    parts = name.split(".")
    if parts[0] == PACKAGE and not f"{name}.".startswith(f"{LEFT_OUT}."):
        for length in range(2, len(parts) + 1):
            yield ".".join(parts[:length])


@cache
def _file_of(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


class _Module(NamedTuple):
    """Digest of a file's code, and its imports: level, module and names of each."""

    digest: str
    imports: tuple[tuple[int, str, tuple[str, ...]], ...]


@cache
def _module(path: Path) -> _Module:
    # The tree is not kept: Python's garbage collector would walk through those of all files again and again.
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path}: the code of a rule cannot be read ({error})") from None
    words: list[str] = []
    statements: list[ast.Import | ast.ImportFrom] = []
    _collect(tree, words, statements)
    imports = tuple(
        (getattr(one, "level", 0), getattr(one, "module", None) or "", tuple(alias.name for alias in one.names))
        for one in statements
    )
    return _Module(hashlib.sha256(" ".join(words).encode()).hexdigest(), imports)


def _collect(node: object, words: list[str], imports: list[ast.Import | ast.ImportFrom]) -> None:
    """What a tree says, the same in every version of Python, unlike `ast.dump`; and its imports."""
    if isinstance(node, ast.AST):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        words.append(node.__class__.__name__)
        for field in node._fields:
            value = getattr(node, field, None)
            # None, and lists that only newer versions have, say nothing; whether a name is read or written is seen.
            if value is not None and value != [] and field != "ctx":
                words.append(f"({field}")
                _collect(value, words, imports)
                words.append(")")
    elif isinstance(node, list):
        for item in node:
            if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)):
                words.append(",")
                _collect(item, words, imports)
    else:
        words.append(repr(node))
