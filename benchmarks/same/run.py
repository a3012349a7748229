"""Whether two trees compute the same: ``make same OLD=<commit>``, or ``python benchmarks/same/run.py <commit>``.

The inputs are run in a checkout of the older commit, once for each commit, and in this checkout as it stands, changes
that are not committed included. What differs is printed; whether it should is for a person to say. Exit code 1 when
anything differs.
"""

import argparse
import fcntl
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

# Before numpy is loaded; the workflow's jobs compute in one thread too.
os.environ.update(
    dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"], "1")
)

from compare import Comparison, compare_input, failure_of
from inputs import INPUTS, Input, chosen_inputs, real_data
from made import make_images
from runs import link_images, run_inputs
from trees import ROOT, Failure, Tree, build_old, compile_kernels, resolve_commit

_OUT = ROOT / "benchmarks" / "out" / "same"
# Lines that are printed for one input; all are in the file.
_SHOWN = 30


def main() -> int:
    """Run, compare, print; 0 where nothing differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", nargs="?", metavar="OLD", help="commit to compare with")
    parser.add_argument("--inputs", default="", metavar="NAME,NAME", help="these alone, and what they go on from")
    parser.add_argument("--list", action="store_true", help="list the inputs")
    parser.add_argument("--cores", type=int, default=2, help="inputs at once, each in one thread (default 2)")
    parser.add_argument("--out", type=Path, default=_OUT, help="folder for the runs of this checkout")
    parser.add_argument(
        "--kept",
        type=Path,
        help="folder for those of older commits, which checkouts may share (else GAIAFLUX_SAME, else as --out)",
    )
    options = parser.parse_args()
    if options.list:
        for one in INPUTS:
            print(f"{one.name:<12} {one.text}")
        return 0
    if not options.old:
        parser.error("which commit? make same OLD=<commit>")
    try:
        chosen, out = chosen_inputs(options.inputs, INPUTS), options.out.resolve()
        kept = (options.kept or Path(os.environ.get("GAIAFLUX_SAME", out))).resolve()
        return compare_trees(resolve_commit(options.old), chosen, out, kept, options.cores)
    except Failure as problem:
        parser.exit(2, f"same: {problem}\n")


def compare_trees(commit: str, chosen: list[Input], out: Path, kept: Path, cores: int) -> int:
    """Run inputs in an older commit and here, and print what differs.

    Parameters
    ----------
    commit : str
        Older commit.
    chosen : list of Input
        What is run.
    out, kept : Path
        Folders for the runs of this checkout and for those of older commits.
    cores : int
        Inputs at once.

    Returns
    -------
    int
        0 where nothing differs, else 1.

    Raises
    ------
    Failure
        A tree cannot be built, or there is nothing to run.
    """
    absent = [one for one in chosen if one.real and not (real_data() / one.real).is_dir()]
    for one in absent:
        print(f"{one.name:<12} left out: no {real_data() / one.real} (set GAIAFLUX_DATA)")
    chosen = [one for one in chosen if one not in absent]
    if not chosen:
        raise Failure("no input is left to run")
    folder = kept / commit[:12]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        # Another checkout that compares with the same commit waits here and finds the outputs.
        fcntl.flock(lock, fcntl.LOCK_EX)
        old = build_old(commit, folder / "tree")
        make_images(old, folder / "images")
        _run_where_missing(old, chosen, folder, cores)
    new = Tree(ROOT, Path(sys.executable))
    compile_kernels(new)
    _run(new, chosen, out / "new", folder / "images", cores)
    results = ((one, compare_input(one, folder / "runs", out / "new", (old.root, ROOT))) for one in chosen)
    return _tell(results, out / "differences.txt", commit)


def _run_where_missing(old: Tree, chosen: list[Input], folder: Path, cores: int) -> None:
    """Run what the older commit has not been asked yet, by today's definition of the inputs."""
    runs = folder / "runs"
    today = {}
    for one in chosen:
        link_images(runs / (one.after or one.name), folder / "images")
        today[one] = one.definition(runs / (one.after or one.name))
    marks = {one: runs / f"{one.name}.done" for one in chosen}
    missing = [one for one in chosen if not marks[one].is_file() or marks[one].read_text() != today[one]]
    names = {one.name for one in missing}
    # What an input goes on from is made anew only together with all that go on from it.
    for one in INPUTS:
        if one.after in names:
            (runs / f"{one.name}.done").unlink(missing_ok=True)
    missing = [one for one in chosen if one in missing or one.after in names]
    for one in missing:
        marks[one].unlink(missing_ok=True)

    def keep(one: Input) -> None:
        if not failure_of(one, runs).is_file():
            marks[one].write_text(today[one])

    _run(old, missing, runs, folder / "images", cores, keep)


def _run(
    tree: Tree,
    chosen: list[Input],
    folder: Path,
    images: Path,
    cores: int,
    keep: Callable[[Input], None] = lambda one: None,
) -> None:
    if not chosen:
        return
    start, before = time.monotonic(), _cpu_s()
    print(f"{tree.root}: {', '.join(one.name for one in chosen)}", flush=True)

    def done(one: Input) -> None:
        keep(one)
        print(f"  {one.name} [{time.monotonic() - start:.0f} s]", flush=True)

    run_inputs(tree, chosen, folder, images, workers=cores, done=done)
    print(f"  {time.monotonic() - start:.0f} s, of which processors computed {_cpu_s() - before:.0f} s", flush=True)


def _cpu_s() -> float:
    """CPU time of all processes that have ended [s]."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _tell(results: Iterable[tuple[Input, Comparison]], file: Path, commit: str) -> int:
    """Print what differs in each input as soon as it is known, and keep all of it in a file."""
    differing, n_inputs = [], 0
    with file.open("w", encoding="utf-8") as stream:
        for one, result in results:
            n_inputs += 1
            counted = f"{result.n_files} files, {result.n_values} places in those that are not equal byte by byte"
            state = f"{len(result.differences)} differences" if result.differences else "identical"
            head = f"{one.name:<12} {state} ({counted})"
            head += f", up to {result.worst[0]:.2g} of the stated error in {result.worst[1]}" if result.worst[0] else ""
            details = [f"    {line}" for line in result.differences]
            details += [f"    remark: {line}" for line in result.remarks]
            more = [f"    ... and {len(details) - _SHOWN} more lines, in {file}"] if len(details) > _SHOWN else []
            print("\n".join([head, *details[:_SHOWN], *more]), flush=True)
            print("\n".join([head, *details]), file=stream, flush=True)
            differing += [one.name] if result.differences else []
    same = f"{n_inputs - len(differing)} of {n_inputs} inputs are identical to {commit[:12]}"
    print(f"{same}; {', '.join(differing)} differ" if differing else same)
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
