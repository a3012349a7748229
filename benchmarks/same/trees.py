"""The two trees that are compared: how an older one is built, and how the workflow and Python run in each.

Of a tree only what users have is used: its Snakefile, the public names of the package in its ``scripts``, its
entry points and its Makefile.
"""

import filecmp
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Failure", "Tree", "build_old", "resolve_commit"]

ROOT = Path(__file__).resolve().parents[2]
_LOCK = Path("envs/requirements.lock")


class Failure(Exception):
    """A step that both trees need did not work; the text says which one."""


@dataclass(frozen=True)
class Tree:
    """A checkout and the Python that it runs in.

    Attributes
    ----------
    root : Path
        Folder with the Snakefile.
    python : Path
        Interpreter of its environment.
    """

    root: Path
    python: Path

    def run(self, arguments: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess:
        """Run the tree's Python in a folder, with the tree's own package in front of any that is installed."""
        command = [self.python, *arguments]
        return subprocess.run(command, cwd=folder, env=self._environment(), capture_output=True, text=True, check=False)

    def start(self, arguments: Sequence[str | Path], folder: Path) -> subprocess.Popen:
        """Start the tree's Python in a folder, to be talked to by its standard input and output."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return subprocess.Popen([self.python, *arguments], cwd=folder, env=self._environment(), text=True, **pipes)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.root / "scripts")}

    def workflow_arguments(self, folder: Path) -> list[str]:
        """Snakemake's arguments for the tree's workflow with a folder as its working directory."""
        return ["--snakefile", str(self.root / "Snakefile"), "--directory", str(folder)]

    def snakemake(self, folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess:
        """Run the tree's workflow in a folder, which is its working directory."""
        return self.run(["-m", "snakemake", *self.workflow_arguments(folder), *arguments], folder)

    def inject(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
        """Run the command that plants stars: the entry point's verb, or in older trees a module of its own."""
        project = tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        entry = project.get("scripts", {}).get("gaiaflux")
        if entry is None:
            return self.run(["-m", "gaiaflux.inject", *arguments], folder)
        module, function = entry.split(":")
        code = f"import sys; from {module} import {function} as main; sys.argv[0] = 'gaiaflux'; sys.exit(main())"
        return self.run(["-c", code, "inject", *arguments], folder)


def resolve_commit(name: str) -> str:
    """Full name of a commit.

    Parameters
    ----------
    name : str
        Commit, branch or tag.

    Returns
    -------
    str

    Raises
    ------
    Failure
        There is no such commit.
    """
    done = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if done.returncode:
        raise Failure(f"there is no commit {name!r}; name one with OLD=...")
    return done.stdout.strip()


def build_old(commit: str, folder: Path) -> Tree:
    """Check a commit out into a folder and give it an environment.

    Parameters
    ----------
    commit : str
        Full name.
    folder : Path
        Becomes a git worktree; one that is there already is used again.

    Returns
    -------
    Tree
        With this checkout's environment where both ask for the same packages, else with one of its own.

    Raises
    ------
    Failure
        It could not be checked out or built.
    """
    if not (folder / "Snakefile").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        done = _git("worktree", "add", "--detach", "--force", str(folder), commit)
        if done.returncode:
            raise Failure(f"git worktree add: {done.stderr.strip()}")
    python = Path(sys.executable)
    if not filecmp.cmp(folder / _LOCK, ROOT / _LOCK, shallow=False):
        done = subprocess.run(["make", "-C", folder, ".venv"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(f"make .venv in {folder}: {done.stderr.strip()[-2000:]}")
        python = folder / ".venv" / "bin" / "python"
    tree = Tree(folder, python)
    compile_kernels(tree)
    return tree


def compile_kernels(tree: Tree) -> None:
    """Compile the kernels of a tree once, by the line of its Makefile that does it, so that no two jobs do it at once.

    Where the Makefile has no such line they are compiled by the jobs that need them.
    """
    listed = subprocess.run(
        ["make", "-C", tree.root, "--no-print-directory", "--dry-run", "--always-make", ".venv"],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in listed.stdout.splitlines():
        words = shlex.split(line) if "python -m gaiaflux." in line else []
        if words[1:2] == ["-m"]:
            done = tree.run(words[1:], tree.root)
            if done.returncode:
                raise Failure(f"{line} in {tree.root}: {done.stderr.strip()[-2000:]}")


def _git(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
