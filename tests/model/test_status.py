import ast
from pathlib import Path

import pytest

from gaiaflux.model.status import OK, PsfOrigin, StarUse

PACKAGE = Path(__file__).parents[2] / "scripts" / "gaiaflux"
TEXTS = {OK, StarUse.USED, StarUse.NOT_SOLVED, StarUse.SCATTERS, PsfOrigin.LOWER_ORDER, PsfOrigin.BORROWED}
# Of the files that ask for a status of the calibration.
FILES = [
    *sorted((PACKAGE / "core" / "calibration").glob("*.py")),
    *sorted((PACKAGE / "report").rglob("*.py")),
    *(
        PACKAGE / "series" / f"{name}.py"
        for name in ("calibration", "export", "frame_flags", "light_curves", "solution")
    ),
]


def literals_compared(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) or (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "startswith"
        ):
            yield from (n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and n.value in TEXTS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_code_compares_a_status_with_a_literal(path):
    assert list(literals_compared(path.read_text(encoding="utf-8"))) == []


def test_the_check_sees_such_comparisons():
    source = 'a == "ok"\nb in ("used", "x")\nc.startswith("left out: scatter")\nd = "ok"'
    assert list(literals_compared(source)) == ["ok", "used", "left out: scatter"]


def test_the_texts_are_those_of_files_that_exist():
    assert (OK, StarUse.USED, StarUse.NOT_SOLVED, PsfOrigin.OWN) == ("ok", "used", "not solved", "ok")
    assert (StarUse.SCATTERS, PsfOrigin.LOWER_ORDER, PsfOrigin.BORROWED) == (
        "left out: scatter",
        "lower order",
        "borrowed",
    )
