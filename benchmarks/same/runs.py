"""How each input is run in a tree: the workflow, the Python interface, planted stars, simulation, job lists."""

import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jobs
from compare import failure_of
from inputs import Input, real_data
from trees import Tree

__all__ = ["STEPS", "link_images", "run_inputs"]

_DRIVER = Path(__file__).with_name("interface_driver.py")
# Of a step that failed, so much of what it said last.
_LAST_WORDS = 3000


def run_inputs(
    tree: Tree, chosen: list[Input], folder: Path, images: Path, *, workers: int, done: Callable[[Input], None]
) -> None:
    """Run inputs in a tree, several at once, each in one thread.

    Parameters
    ----------
    tree : Tree
        Where.
    chosen : list of Input
        One that goes on from another comes behind it.
    folder : Path
        Gets a working directory for each; what is there is removed. One that failed has ``failure.txt`` there.
    images : Path
        What `made.make_images` made.
    workers : int
        Inputs at once.
    done : callable
        Is told of each that has been run.
    """
    chains = {one.name: [one] for one in chosen if not one.after}
    for one in chosen:
        if one.after:
            chains.setdefault(one.after, []).append(one)

    def run_chain(chain: list[Input]) -> None:
        for one in chain:
            _run(tree, one, folder, images)
            done(one)

    with ThreadPoolExecutor(workers) as pool:
        for finished in [pool.submit(run_chain, chain) for chain in chains.values()]:
            finished.result()


def link_images(work: Path, images: Path) -> None:
    """Make a working directory with the links that configurations start at, unless it is there."""
    work.mkdir(parents=True, exist_ok=True)
    for name, target in (("made", images), ("real", real_data())):
        if not (work / name).is_symlink():
            (work / name).symlink_to(target)


def _run(tree: Tree, one: Input, folder: Path, images: Path) -> None:
    work = folder / (one.after or one.name)
    if not one.after:
        shutil.rmtree(work, ignore_errors=True)
        link_images(work, images)
    failure = failure_of(one, folder)
    failure.unlink(missing_ok=True)
    with one.server(work) as server:
        said = STEPS[one.kind](tree, one, work, server)
    if said:
        failure.write_text(said[-_LAST_WORDS:], encoding="utf-8")


def _workflow(tree: Tree, one: Input, work: Path, server: str) -> str:
    one.write_config(work, server)
    return _said(tree.snakemake(work, "--configfile", work / "config.yaml", "--cores", "1", "--quiet", "all"))


def _interface(tree: Tree, one: Input, work: Path, server: str) -> str:
    return _said(tree.run([_DRIVER], work))


def _injection(tree: Tree, one: Input, work: Path, server: str) -> str:
    common = ("--directory", ".", "--series", one.after)
    copies = work / "injection" / one.after
    return (
        _said(tree.inject(work, "plant", *common, "--stars", "40", "--seed", "3"))
        or _said(tree.snakemake(copies, "--configfile", copies / "config.yaml", "--cores", "1", "--quiet", "all"))
        or _said(tree.inject(work, "compare", *common))
    )


def _simulate(tree: Tree, one: Input, work: Path, server: str) -> str:
    return _said(tree.snakemake(work, "--cores", "1", "demo/truth.fits", "--quiet", "all"))


def _jobs(tree: Tree, one: Input, work: Path, server: str) -> str:
    return jobs.list_jobs(tree, work)


def _said(done: subprocess.CompletedProcess) -> str:
    """What a command said, if it failed."""
    return f"exit code {done.returncode}: {done.stdout[-500:]}{done.stderr}" if done.returncode else ""


STEPS: dict[str, Callable[[Tree, Input, Path, str], str]] = {
    "workflow": _workflow,
    "interface": _interface,
    "injection": _injection,
    "simulate": _simulate,
    "jobs": _jobs,
}
