"""Small changes of a source file that its tests ought to notice, and a draw of them."""

import ast
import copy
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMPARISONS = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
# With or without the value itself: of real numbers that is the same, of counts it is not.
BOUNDARIES = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
SWAPPED = {"min": "max", "minimum": "maximum", "fmin": "fmax", "nanmin": "nanmax", "argmin": "argmax"}
SWAPPED |= {new: old for old, new in SWAPPED.items()}
COUNTERS = ("len", "sum", "count_nonzero")
# What no test has to hold: annotations, decorators, and the words of an error.
LEFT_OUT = {"annotation", "returns", "decorator_list"}
NO_CODE = (ast.Raise, ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom)
BODIES = ("body", "orelse", "finalbody", "handlers", "decorator_list")
COLLECTIONS = (ast.List, ast.Tuple, ast.Dict, ast.Set, ast.JoinedStr)


@dataclass(frozen=True)
class Mutation:
    """One change of a file.

    Attributes
    ----------
    file : str
        Path in the package.
    line : int
        Where the changed part begins.
    kind : str
        ``comparison``, ``arithmetic``, ``constant``, ``condition``, ``logic``, ``dropped`` or ``extreme``.
    before, after : str
        The statement, or the head of a compound one, on one line.
    start, end : int
        Bytes of the source that are replaced.
    text : str
        By what.
    """

    file: str
    line: int
    kind: str
    before: str
    after: str
    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        """The file with the change."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutations_of(source: bytes, file: str) -> list[Mutation]:
    """All changes of a source file, in its order.

    Parameters
    ----------
    source : bytes
        Python, UTF-8.
    file : str
        Its name in the results.
    """
    tree = ast.parse(source)
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for statement, node, place, kind, new in _changes(tree, None, None):
        before = _head(statement)
        if place is None:
            after = _head(new)
        else:
            parent, field, index = place
            _put(parent, field, index, new)
            after = _head(statement)
            _put(parent, field, index, node)
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        text = ast.unparse(new) if isinstance(new, ast.stmt | ast.Constant) else f"({ast.unparse(new)})"
        if after != before:
            found.append(Mutation(file, node.lineno, kind, before, after, start, end, text))
    return found


def draw(sources: dict[str, bytes], number: int, seed: int) -> list[Mutation]:
    """As many changes of each kind, not two of one line, in an order that the seed and their own text decide.

    Neither the names of the files nor code elsewhere matter for the order: after a move the draw is the same.

    Parameters
    ----------
    sources : dict of str to bytes
        Files by their paths.
    number : int
        Of changes; fewer where there are not so many.
    seed : int
    """
    ranked = defaultdict(list)
    times: dict[tuple[str, str], int] = defaultdict(int)
    for file, source in sorted(sources.items()):
        for mutation in mutations_of(source, file):
            key = mutation.before, mutation.after
            times[key] += 1
            rank = hashlib.sha256(f"{seed} {times[key]} {key}".encode()).hexdigest()
            ranked[mutation.kind].append((rank, mutation))
    queues = [[mutation for _, mutation in sorted(ranked[kind], key=lambda item: item[0])] for kind in sorted(ranked)]
    chosen: list[Mutation] = []
    lines = set()
    while any(queues) and len(chosen) < number:
        for queue in queues:
            while queue and len(chosen) < number:
                mutation = queue.pop(0)
                if (mutation.file, mutation.line) not in lines:
                    lines.add((mutation.file, mutation.line))
                    chosen.append(mutation)
                    break
    return chosen


def package_sources(package: Path, layers: tuple[str, ...]) -> dict[str, bytes]:
    """Source of every module of some layers, in sub-packages too, by its path in the package."""
    paths = (path for layer in layers for path in sorted((package / layer).rglob("*.py")))
    return {path.relative_to(package).as_posix(): path.read_bytes() for path in paths}


def _changes(node: ast.AST, statement: ast.stmt | None, place: tuple | None) -> Iterator[tuple]:
    """(statement, node, place in the parent or None for a whole statement, kind, new node) below a node."""
    if isinstance(node, NO_CODE) or _is_never_run(node):
        return
    if isinstance(node, ast.stmt):
        statement = node
        for kind, new in _of_statement(node):
            yield statement, node, None, kind, new
    elif isinstance(node, ast.expr):
        for kind, new in _of_expression(node, place):
            yield statement, node, place, kind, new
    for field, value in ast.iter_fields(node):
        if field in LEFT_OUT:
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST):
                yield from _changes(child, statement, (node, field, index if isinstance(value, list) else None))


def _is_never_run(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test) or "__name__" in ast.unparse(node.test)
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def _of_statement(node: ast.stmt) -> Iterator[tuple[str, ast.stmt]]:
    if isinstance(node, ast.AugAssign):
        yield "dropped", ast.Pass()
        if type(node.op) in ARITHMETIC:
            yield "arithmetic", ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value)
    elif isinstance(node, ast.Assign) and all(isinstance(t, ast.Subscript | ast.Attribute) for t in node.targets):
        yield "dropped", ast.Pass()


def _of_expression(node: ast.expr, place: tuple) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(place[0], ast.If | ast.IfExp | ast.While) and place[1] == "test":
        yield "condition", ast.Constant(False)
        if not isinstance(place[0], ast.While):  # which would only hang
            yield "condition", ast.Constant(True)
    if isinstance(node, ast.Compare):
        for k, operator in enumerate(node.ops):
            tables = [COMPARISONS]
            if any(map(_is_count, (node.left, *node.comparators)[k : k + 2])):
                tables.append(BOUNDARIES)
            for table in tables:
                if type(operator) in table:
                    yield "comparison", _with(node, ops=[*node.ops[:k], table[type(operator)](), *node.ops[k + 1 :]])
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        if not any(isinstance(side, COLLECTIONS) or _is_text(side) for side in (node.left, node.right)):
            yield "arithmetic", _with(node, op=ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield "logic", _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp):
        if isinstance(node.op, ast.Not | ast.Invert):
            yield "logic", node.operand
        elif isinstance(node.op, ast.USub):
            yield "arithmetic", node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for value in _other_values(node.value):
            yield "constant", ast.Constant(value)
    elif isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in SWAPPED:
            field = {"attr": SWAPPED[name]} if isinstance(node.func, ast.Attribute) else {"id": SWAPPED[name]}
            yield "extreme", _with(node, func=_with(node.func, **field))


def _other_values(value: float) -> tuple[float, ...]:
    if isinstance(value, int):
        return (value + 1, value - 1) if 0 < value < 10 else ((1,) if value == 0 else (2 * value, value // 2))
    return (2.0 * value, 0.5 * value) if value else (1.0,)


def _is_count(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) is int
    if isinstance(node, ast.Call):
        return getattr(node.func, "id", getattr(node.func, "attr", "")) in COUNTERS
    name = getattr(node, "id", getattr(node, "attr", ""))
    return name.startswith(("n_", "min_", "max_")) or name in ("n", "count")


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


def _with(node: ast.AST, **fields: object) -> ast.AST:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _put(parent: ast.AST, field: str, index: int | None, value: ast.AST) -> None:
    if index is None:
        setattr(parent, field, value)
    else:
        getattr(parent, field)[index] = value


def _head(statement: ast.stmt) -> str:
    """A statement on one line; of a compound one what stands before its colon."""
    bodies = [name for name in BODIES if hasattr(statement, name)]
    empty = _with(statement, **{name: [ast.Pass()] if name == "body" else [] for name in bodies})
    text = " ".join(ast.unparse(empty).split())
    return text.removesuffix(" pass") if bodies else text
