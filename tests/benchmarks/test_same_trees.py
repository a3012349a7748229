"""How `make same` builds an older commit and calls what may have moved since, on a repository of a few lines."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "same"
MAKEFILE = f"""\
BIN := .venv/bin
export PYTHONPATH := scripts
.venv:
\tmkdir -p $(BIN)
\tln -s {sys.executable} $(BIN)/python
\t$(BIN)/python -m gaiaflux.kernels
"""
ENTRY = '[project]\nname = "gaiaflux"\n[project.scripts]\ngaiaflux = "gaiaflux.command:main"\n'
COMMAND = "import sys\n\n\ndef main():\n    print('verb', *sys.argv)\n"


@pytest.fixture
def trees(monkeypatch, tmp_path):
    """The module, with a repository in place of this one: a commit `before`, and others after it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("trees")
    repository = tmp_path / "repository"
    package = repository / "scripts" / "gaiaflux"
    package.mkdir(parents=True)

    def commit(message, **files):
        for name, text in files.items():
            path = repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        git = ("git", "-C", str(repository), *identity)
        subprocess.run([*git, "add", "-A"], check=True, capture_output=True)
        subprocess.run([*git, "commit", "-qm", message], check=True, capture_output=True)
        subprocess.run([*git, "tag", message], check=True, capture_output=True)

    subprocess.run(["git", "init", "-q", str(repository)], check=True, capture_output=True)
    kernels = "from pathlib import Path\n\nPath(__file__).with_name('compiled').touch()\n"
    module_files = {"__init__": "", "kernels": kernels, "inject": "import sys\n\nprint('module', *sys.argv[1:])\n"}
    commit(
        "before",
        **{f"scripts/gaiaflux/{name}.py": text for name, text in module_files.items()},
        **{"Snakefile": "", "Makefile": MAKEFILE, "envs/requirements.lock": "numpy==2\n"},
        **{"pyproject.toml": '[project]\nname = "gaiaflux"\n'},
    )
    commit("moved", **{"pyproject.toml": ENTRY, "scripts/gaiaflux/command.py": COMMAND})
    commit("upgraded", **{"envs/requirements.lock": "numpy==3\n"})
    monkeypatch.setattr(module, "ROOT", repository)
    yield module
    del sys.modules["trees"]


def test_a_commit_with_the_same_packages_shares_the_environment(trees, tmp_path):
    (trees.ROOT / "envs" / "requirements.lock").write_text("numpy==2\n")
    old = trees.build_old(trees.resolve_commit("before"), tmp_path / "tree")
    assert old.python == Path(sys.executable)
    assert not (old.root / ".venv").exists()
    assert (old.root / "scripts" / "gaiaflux" / "compiled").is_file()
    assert not (old.root / "scripts" / "gaiaflux" / "command.py").exists()
    # A worktree that somebody deleted is made again; one that is there is used again.
    shutil.rmtree(old.root)
    assert trees.build_old(trees.resolve_commit("before"), tmp_path / "tree") == old
    (old.root / "mark").touch()
    assert trees.build_old(trees.resolve_commit("before"), tmp_path / "tree") == old
    assert (old.root / "mark").is_file()


def test_a_commit_with_other_packages_gets_its_own(trees, tmp_path):
    old = trees.build_old(trees.resolve_commit("before"), tmp_path / "tree")
    assert old.python == tmp_path / "tree" / ".venv" / "bin" / "python"
    assert trees.build_old(trees.resolve_commit("before"), tmp_path / "tree") == old


def test_what_cannot_be_built_is_said(trees, tmp_path):
    with pytest.raises(trees.Failure, match="there is no commit 'never'"):
        trees.resolve_commit("never")
    (trees.ROOT / "Makefile").write_text(MAKEFILE.replace("ln -s", "false"))
    subprocess.run(
        ["git", "-C", trees.ROOT, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "x"], check=True
    )
    (trees.ROOT / "envs" / "requirements.lock").write_text("numpy==4\n")
    with pytest.raises(trees.Failure, match=r"make \.venv in "):
        trees.build_old(trees.resolve_commit("HEAD"), tmp_path / "tree")


@pytest.mark.parametrize(
    ("commit", "said"), [("before", "module plant --stars 3"), ("moved", "verb gaiaflux inject plant")]
)
def test_the_command_that_plants_stars_is_found(trees, tmp_path, commit, said):
    old = trees.build_old(trees.resolve_commit(commit), tmp_path / "tree")
    done = old.inject(tmp_path, "plant", "--stars", "3")
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
