"""The tool behind `make mutants`."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = b'''"""Words: 1 < 2."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    LIMIT = 5

__all__ = ["f"]


@lru_cache(7)
def f(a: int | None, flags, *, n_least: float = 3.0) -> int | None:
    """Not 4 + 5."""
    if a <= n_least and not flags.any():
        raise ValueError(f"only {a + 1} of {n_least * 2}")
    flags[a > 0] |= 8
    flags[0] = max(a, 12)
    while a < 2.5:
        a = -a * 2
    return a
'''


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "mutants")
    import mutants
    import mutations
    import reach

    return {**vars(mutations), **vars(reach), **vars(mutants)}


def test_every_change_can_be_parsed_and_is_what_it_says(tool):
    found = tool["mutations_of"](SOURCE, "core/f.py")
    assert {mutation.kind for mutation in found} == {
        "arithmetic", "comparison", "condition", "constant", "dropped", "extreme", "logic",
    }  # fmt: skip
    for mutation in found:
        changed = ast.unparse(ast.parse(mutation.apply(SOURCE)))
        assert changed != ast.unparse(ast.parse(SOURCE))
        if mutation.after != "pass":
            assert mutation.after in changed
        assert mutation.before in ast.unparse(ast.parse(SOURCE))
        assert SOURCE.splitlines()[mutation.line - 1].split()[0] in mutation.before.encode()


def test_the_changes_of_a_statement(tool):
    found = [(m.before, m.after) for m in tool["mutations_of"](SOURCE, "core/f.py")]
    after = {new for old, new in found if old == "if a <= n_least and (not flags.any()):"}
    assert after == {
        "if True:",
        "if False:",
        "if a <= n_least or not flags.any():",
        "if a > n_least and (not flags.any()):",
        "if a < n_least and (not flags.any()):",  # a number of things: whether the limit itself counts is a question
        "if a <= n_least and flags.any():",
    }
    assert ("flags[a > 0] |= 8", "pass") in found
    assert ("flags[0] = max(a, 12)", "flags[0] = min(a, 12)") in found
    assert ("while a < 2.5:", "while a >= 2.5:") in found
    # Of real numbers it is none; and a loop that never ends says nothing.
    assert not {("while a < 2.5:", "while a <= 2.5:"), ("while a < 2.5:", "while True:")} & set(found)


def test_words_annotations_and_what_never_runs_are_left_alone(tool):
    for mutation in tool["mutations_of"](SOURCE, "core/f.py"):
        changed = mutation.apply(SOURCE).decode()
        for kept in ('"""Words: 1 < 2."""', "LIMIT = 5", "lru_cache(7)", "a: int | None", "-> int | None", "4 + 5"):
            assert kept in changed
        assert 'raise ValueError(f"only {a + 1} of {n_least * 2}")' in changed


def test_a_draw_depends_on_the_seed_and_on_the_code_but_not_on_the_files_names(tool):
    draw = tool["draw"]
    first = draw({"core/f.py": SOURCE}, 6, 1)
    assert len(first) == len({mutation.line for mutation in first}) == 6
    moved = draw({"core/part/g.py": b"\n\n" + SOURCE}, 6, 1)
    assert [(m.before, m.after) for m in moved] == [(m.before, m.after) for m in first]
    assert [m.line for m in moved] == [m.line + 2 for m in first]
    others = [draw({"core/f.py": SOURCE}, 6, seed) for seed in range(2, 6)]
    assert all(other != first for other in others)
    assert len(draw({"core/f.py": SOURCE}, 1000, 1)) < 20


@pytest.fixture
def little(tmp_path):
    """A repository of four modules, and the tests that reach one of them in different ways."""
    files = {
        "scripts/gaiaflux/__init__.py": "",
        "scripts/gaiaflux/core/plate/check.py": "A = 1\n",
        "scripts/gaiaflux/core/fit.py": "from gaiaflux.core.plate.check import A\n",
        "scripts/gaiaflux/ground/frame.py": "def f():\n    from gaiaflux.core import fit\n",
        "tests/core/plate/test_check.py": "",
        "tests/core/test_direct.py": "import gaiaflux.core.plate.check\n",
        "tests/core/test_fit.py": "from gaiaflux.core.fit import A\n",
        "tests/ground/conftest.py": "from gaiaflux.ground.frame import f\n",
        "tests/ground/test_frame.py": "",
        "tests/io/test_else.py": "import numpy\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_tests_are_ordered_by_the_imports_between(tool, little):
    tests = sorted((little / "tests").rglob("test_*.py"))
    found = tool["distances"](little, tests, "core/plate/check.py")
    assert {path.stem: steps for path, steps in found.items()} == {
        "test_check": 0, "test_direct": 1, "test_fit": 2, "test_frame": 3,
    }  # fmt: skip
    # One that mirrors the module, one that imports it, and further ones as long as their time is short.
    seconds = dict.fromkeys(found, 1.0)
    groups = tool["rings"](found, seconds, 1.0)
    assert [[path.stem for path in files] for files, _ in groups] == [
        ["test_check"], ["test_direct"], ["test_fit", "test_frame"],
    ]  # fmt: skip
    seconds[little / "tests/ground/test_frame.py"] = 1e4
    assert [path.stem for path in tool["rings"](found, seconds, 1.0)[2][0]] == ["test_fit"]
    # A slow one does not keep out quicker ones that are farther.
    seconds = dict.fromkeys(found, 50.0) | {little / "tests/core/test_fit.py": 1e4}
    assert [path.stem for path in tool["rings"](found, seconds, 1.0)[2][0]] == ["test_frame"]


def test_sources_of_sub_packages_are_found(tool, little):
    found = tool["package_sources"](little / "scripts" / "gaiaflux", ("core", "series"))
    assert sorted(found) == ["core/fit.py", "core/plate/check.py"]


def test_too_many_survivors_are_a_failure(tool, capsys):
    mutation = tool["draw"]({"core/f.py": SOURCE}, 1, 1)[0]
    outcomes = [tool["Outcome"](mutation, "killed")] * 17 + [tool["Outcome"](mutation, "equivalent", "why")] * 5
    survived = tool["Outcome"](mutation, "survived", tests=["core/test_f.py"])
    assert tool["summary"]([*outcomes, *[survived] * 3]) == 0
    text = capsys.readouterr().out
    assert f"core/f.py:{mutation.line}" in text
    assert mutation.after in text
    assert "core/test_f.py" in text
    assert "20 changes: 17 noticed (0 by their time), 3 survived (15%); 5 more" in text
    assert tool["summary"]([*outcomes, *[survived] * 4]) == 1


def test_every_listed_change_is_one_of_the_code(tool):
    """What the list excuses must still be there, or it would excuse nothing or something else."""
    listed = tool["read_equivalent"](ROOT / "benchmarks" / "mutants" / "equivalent.yaml")
    package = ROOT / "scripts" / "gaiaflux"
    sources = {file: (package / file).read_bytes() for file in {file for file, _, _ in listed}}
    possible = {(m.file, m.before, m.after) for file, text in sources.items() for m in tool["mutations_of"](text, file)}
    assert not set(listed) - possible
    assert all(len(reason.split()) > 3 for reason in listed.values())
