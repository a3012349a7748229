"""How long files and functions may be, how much a function takes and gives, and that docstrings say what it takes."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OUT = ROOT / "benchmarks" / "out"  # what benchmarks leave, copies of the repository among it
PYTHON = sorted(
    path
    for folder in ("scripts", "benchmarks", "docs", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if OUT not in path.parents
)
# Tests make series and frames by functions with a keyword for everything that can be odd.
PROGRAM = [path for path in PYTHON if path.relative_to(ROOT).parts[0] != "tests"]

MOST_LINES, MOST_BODY_LINES, MOST_PARAMETERS = 400, 60, 7
# Machine code passes arrays and numbers one by one, and a function that is called costs registers.
COMPILED = {"kernel", "device", "Device"}
# Functions that may be longer or take more, with the reason.
LARGER = {
    "scripts/gaiaflux/core/kernels/canary.py: _lengths": "a kernel, of which the module itself makes machine code",
    "scripts/gaiaflux/core/kernels/canary.py: _contents": "likewise",
    "scripts/gaiaflux/tess/base_photometry.py: __init__": "the documented arguments of the TASOC photometry module",
}


def ids(path):
    return str(path.relative_to(ROOT))


def is_compiled(function):
    """Whether a function becomes machine code, by its decorators."""
    names = (node.func if isinstance(node, ast.Call) else node for node in function.decorator_list)
    return bool(COMPILED & {ast.unparse(name).rpartition(".")[2] for name in names})


def parameters(function):
    """Names of the parameters, without that of the object that a method belongs to."""
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg) if one]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def body_lines(function):
    """Lines behind the docstring."""
    first = function.body[0].lineno if ast.get_docstring(function) is None else function.body[0].end_lineno + 1
    return function.end_lineno - first + 1


def too_large(text):
    """Functions of plain Python that are too long or take too much."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {
        function.name
        for function in functions
        if not is_compiled(function)
        and (body_lines(function) > MOST_BODY_LINES or len(parameters(function)) > MOST_PARAMETERS)
    }


@pytest.mark.parametrize("path", [*PYTHON, *sorted((ROOT / "rules").glob("*.smk")), ROOT / "Snakefile"], ids=ids)
def test_files_are_of_readable_length(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_functions_are_of_readable_length_and_take_what_one_can_remember():
    found = {f"{ids(path)}: {name}" for path in PROGRAM for name in too_large(path.read_text(encoding="utf-8"))}
    assert found - set(LARGER) == set()
    assert set(LARGER) - found == set(), "an exception is needed no more"


def test_large_functions_are_found():
    long = "\n".join(["    x = 1"] * 61)
    for text in (
        f"def f():\n{long}",
        f"class C:\n    def f(self):\n        def g():\n{long.replace('    ', '            ')}",
        "def f(a, b, c, d, *, e, f, g, h): pass",
        "def f(a, b, c, d, e, f, *g, **h): pass",
    ):
        assert too_large(text), text
    for text in (
        f"@kernel('void()')\ndef f():\n{long}",
        "@device\ndef f(a, b, c, d, e, f, g, h): pass",
        "class C:\n    def f(self, a, b, c, d, e, f, g): pass",
        f'def f():\n    """Text.\n{long}\n    """\n    x = 1',
    ):
        assert not too_large(text), text


def bare_arrays(text):
    """Public functions of plain Python that return three arrays or more by their places alone."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not is_compiled(node):
            returned = ast.unparse(node.returns) if node.returns else ""
            if returned.startswith("tuple[") and returned.count("np.ndarray") > 2:
                yield node.name


@pytest.mark.parametrize("path", [path for path in PROGRAM if "scripts" in path.relative_to(ROOT).parts], ids=ids)
def test_three_arrays_have_names(path):
    found = {f"{ids(path)}: {name}" for name in bare_arrays(path.read_text(encoding="utf-8"))}
    assert not found


def test_bare_arrays_are_found():
    function = "def f() -> tuple[{}]: pass"
    assert list(bare_arrays(function.format("np.ndarray, np.ndarray, np.ndarray"))) == ["f"]
    assert not list(bare_arrays(function.format("np.ndarray, np.ndarray")))
    assert not list(bare_arrays("@device\n" + function.format("np.ndarray, np.ndarray, np.ndarray")))


def sections(docstring):
    """Names that a docstring explains, by section; a section's line of dashes is what makes it one."""
    lines = docstring.splitlines()
    heads = [k for k in range(len(lines) - 1) if re.fullmatch(r"-{3,}", lines[k + 1]) and lines[k]]
    found = {}
    for k, last in pairwise([*heads, len(lines)]):
        entries = [line.partition(" : ")[0] for line in lines[k + 2 : last] if line and not line.startswith(" ")]
        found[lines[k]] = [name.strip().lstrip("*") for entry in entries for name in entry.split(",")]
    return found


def misdocumented(text):
    """Public functions and classes of which the docstring explains other names than there are."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        found = sections(ast.get_docstring(node) or "")
        if isinstance(node, ast.FunctionDef):
            # One line is enough where nothing has to be said of the parameters.
            due = {"Parameters": parameters(node)} if found else {}
        else:
            fields = [one.target.id for one in node.body if isinstance(one, ast.AnnAssign)]
            makers = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
            due = {"Parameters": parameters(makers[0]) if makers else fields, "Attributes": fields}
            due = {title: names for title, names in due.items() if title in found and names}
        for title, names in due.items():
            if sorted(found.get(title, [])) != sorted(names):
                yield node.name


@pytest.mark.parametrize("path", PROGRAM, ids=ids)
def test_docstrings_explain_the_parameters_that_there_are(path):
    assert list(misdocumented(path.read_text(encoding="utf-8"))) == []


FUNCTION = '''
def f(x, *rest, y=1):
    """Text.

    Parameters
    ----------
    x, y : float
        Text, with a comma.
    *rest : float
        More.

    Raises
    ------
    ValueError
        Never.
    """
'''
CLASS = '''
class C:
    """Text.

    Attributes
    ----------
    a : int
        Text.
    """

    a: int
'''


def test_wrong_docstrings_are_found():
    assert not list(misdocumented(FUNCTION))
    for old, new in (("x, y :", "x :"), ("x, y :", "x, z :"), ("*rest :", "y :"), ("(x, *", "(x, z, *")):
        assert list(misdocumented(FUNCTION.replace(old, new))) == ["f"], new
    without = re.sub(r"    Parameters.*?(?=    Raises)", "", FUNCTION, flags=re.DOTALL)
    assert list(misdocumented(without)) == ["f"]
    assert not list(misdocumented('def f(x):\n    """Text of `x`."""'))
    assert not list(misdocumented(CLASS))
    assert list(misdocumented(CLASS.replace("a : int", "b : int"))) == ["C"]
