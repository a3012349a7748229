"""How many small changes of the numerics the tests notice: `make mutants N=60 SEED=1`.

Drawn are changes of `core` and `series` (see `mutations`); each is made in a copy of the repository, where the tests
run that can reach the changed module, the nearest ones first, until one fails. A change that hangs or crashes is
noticed, too. What survives is a missing test, or a change of nothing: such are listed in ``equivalent.yaml`` with the
reason.
"""

import argparse
import os
import queue
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from mutations import Mutation, draw, package_sources
from reach import distances

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("core", "series")
MOST_SURVIVE = 0.15
WORKFLOWS = ("chain", "rules")  # folders of tests that run whole workflows, minutes each
FURTHER_SECONDS = 90.0  # of the processor, for tests that do not import the changed module themselves
SLOWEST = 5.0  # times the usual duration
COMPILING_SECONDS = 60.0  # more, since kernels are compiled again
MEMORY_KB = 8_000_000
LEFT_BEHIND = (".git", ".venv", ".snakemake", ".ruff_cache", ".pytest_cache", "results", "demo", "logs", "*.pyc")


@dataclass
class Outcome:
    """What became of a change: `killed` (by which test file), `survived`, or `equivalent` (why)."""

    mutation: Mutation
    state: str
    by: str = ""
    tests: list[str] = field(default_factory=list)


class Copy:
    """A copy of the repository in which changes are tried; the checkout stays as it is."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.root = folder / "tree"
        self.kernels = folder / "kernels"
        shutil.copytree(source, self.root, ignore=shutil.ignore_patterns(*LEFT_BEHIND))

    def keep_kernels(self) -> None:
        """Remember the machine code of the unchanged kernels."""
        for path in self.root.rglob("*.kernel"):
            kept = self.kernels / path.relative_to(self.root)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, kept)

    def restore_kernels(self) -> None:
        """Take away the machine code of changed kernels, and put back what it replaced."""
        for path in self.root.rglob("*.kernel"):
            if not (self.kernels / path.relative_to(self.root)).is_file():
                path.unlink()
        for kept in self.kernels.rglob("*.kernel"):
            path = self.root / kept.relative_to(self.kernels)
            if not path.is_file():
                shutil.copy2(kept, path)

    def pytest(self, files: list[Path], seconds: float, *options: str) -> int | None:
        """Exit code of pytest on test files of the repository; None if it took longer than allowed."""
        names = [str(file.relative_to(ROOT)) for file in files]
        limited = ["sh", "-c", f'ulimit -v {MEMORY_KB}; exec "$@"', "sh"]
        environment = {
            **os.environ,
            **dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], "1"),
            # Without byte code: two changes of one second and one size would be taken for each other.
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(self.root / "scripts"),
            "GAIAFLUX_DATA": os.environ.get("GAIAFLUX_DATA", str(ROOT.parent / "shared" / "data")),
        }
        command = [*limited, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *names]
        process = subprocess.Popen(
            command, cwd=self.root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None


def main() -> None:
    """Draw, try, and say what survived."""
    parser = argparse.ArgumentParser(description="Change the numerics a little, and see whether a test fails.")
    parser.add_argument("--number", type=int, default=60, help="changes to draw")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--cores", type=int, default=2, help="changes to try at once")
    parser.add_argument("--list", action="store_true", help="show the draw only")
    options = parser.parse_args()
    drawn = draw(package_sources(ROOT / "scripts" / "gaiaflux", LAYERS), options.number, options.seed)
    reasons = read_equivalent(Path(__file__).with_name("equivalent.yaml"))
    outcomes = [Outcome(m, "equivalent", reasons[_key(m)]) for m in drawn if _key(m) in reasons]
    wanted = [m for m in drawn if _key(m) not in reasons]
    if options.list:
        for mutation in wanted:
            print(describe(mutation))
        return
    with tempfile.TemporaryDirectory(prefix="gaiaflux-mutants-") as folder:
        outcomes += try_all(wanted, Path(folder), options.cores)
    sys.exit(summary(outcomes))


def try_all(mutations: list[Mutation], folder: Path, cores: int) -> list[Outcome]:
    """Try each change.

    Parameters
    ----------
    mutations : list of Mutation
    folder : Path
        For the copies.
    cores : int
        Copies that work at once.
    """
    tests = [test for test in sorted((ROOT / "tests").rglob("test_*.py")) if test.parent.name not in WORKFLOWS]
    near = {file: distances(ROOT, tests, file) for file in {mutation.file for mutation in mutations}}
    first = Copy(ROOT, folder / "0")
    seconds, load = usual_seconds(first, sorted({test for found in near.values() for test in found}), folder, cores)
    first.keep_kernels()
    copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
    copies.put(first)
    for number in range(1, cores):
        another = Copy(first.root, folder / str(number))
        another.keep_kernels()
        copies.put(another)

    def one(mutation: Mutation) -> Outcome:
        place = copies.get()
        try:
            outcome = attempt(place, mutation, rings(near[mutation.file], seconds, load))
        finally:
            copies.put(place)
        print(f"{outcome.state:9} {describe(mutation)}  [{outcome.by}]", flush=True)
        return outcome

    with ThreadPoolExecutor(cores) as pool:
        return list(pool.map(one, mutations))


def usual_seconds(place: Copy, tests: list[Path], folder: Path, cores: int) -> tuple[dict[Path, float], float]:
    """Time of the processor that each test file takes without any change, and how much longer it lasts.

    Also compiles the kernels that are not compiled yet.
    """
    report = folder / "usual.xml"
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    options = ("-n", str(cores), f"--junitxml={report}", "-o", "junit_family=xunit1")
    if place.pytest(tests, 3600.0, *options) != 0:
        sys.exit("tests fail without any change: run `make test`")
    seconds: dict[Path, float] = defaultdict(float)
    for case in ElementTree.parse(report).iter("testcase"):
        seconds[ROOT / case.get("file", "")] += float(case.get("time", 0.0))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    load = max(sum(seconds.values()) / used, 1.0)
    print(f"{len(tests)} test files pass without a change ({time.monotonic() - started:.0f} s)", flush=True)
    return {test: seconds[test] / load for test in tests}, load


def rings(near: dict[Path, int], seconds: dict[Path, float], load: float) -> list[tuple[list[Path], float]]:
    """Test files in the order in which they are run, each group with the time that it may take [s].

    First the file of the module itself, then those that import it, then further ones while their time is short.
    `load`: how much longer a test lasts than the processor works on it.
    """
    groups: list[list[Path]] = [[], [], []]
    left = FURTHER_SECONDS
    for test in sorted(near, key=lambda test: (near[test], seconds[test], test)):
        ring = min(near[test], 2)
        if ring == 2:
            # One that takes too long does not keep quicker ones behind it out.
            if seconds[test] > left:
                continue
            left -= seconds[test]
        groups[ring].append(test)
    slowest = load * SLOWEST
    return [
        (group, COMPILING_SECONDS * load + slowest * sum(map(seconds.__getitem__, group))) for group in groups if group
    ]


def attempt(place: Copy, mutation: Mutation, groups: list[tuple[list[Path], float]]) -> Outcome:
    """Make a change in a copy, run tests until one fails, and take the change back."""
    path = place.root / "scripts" / "gaiaflux" / mutation.file
    source = path.read_bytes()
    run = []
    try:
        path.write_bytes(mutation.apply(source))
        for files, limit in groups:
            run += [str(file.relative_to(ROOT / "tests")) for file in files]
            code = place.pytest(files, limit, "-x")
            if code is None or code != 0:
                by = "time" if code is None else f"{len(files)} test files: {files[0].stem} ..."
                return Outcome(mutation, "killed", by, run)
        return Outcome(mutation, "survived", f"{len(run)} test files", run)
    finally:
        path.write_bytes(source)
        place.restore_kernels()


def read_equivalent(path: Path) -> dict[tuple[str, str, str], str]:
    """Reason by (file, statement before, statement after) of the changes that change nothing."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    return {(entry["file"], entry["before"], entry["after"]): entry["reason"] for entry in entries}


def describe(mutation: Mutation) -> str:
    """One line: place, statement before and after."""
    return f"{mutation.file}:{mutation.line}: {mutation.before}  ->  {mutation.after}"


def summary(outcomes: list[Outcome]) -> int:
    """Print what survived, and the share; 1 if too much did, else 0."""
    by_state = defaultdict(list)
    for outcome in outcomes:
        by_state[outcome.state].append(outcome)
    survived, judged = len(by_state["survived"]), len(by_state["survived"]) + len(by_state["killed"])
    for outcome in by_state["survived"]:
        print(f"\nsurvived: {outcome.mutation.file}:{outcome.mutation.line}")
        print(f"  - {outcome.mutation.before}\n  + {outcome.mutation.after}\n  tests: {' '.join(outcome.tests)}")
    share = survived / judged if judged else 0.0
    slow = sum(outcome.by == "time" for outcome in by_state["killed"])
    print(f"\n{judged} changes: {judged - survived} noticed ({slow} by their time), {survived} survived ({share:.0%}); "
          f"{len(by_state['equivalent'])} more are listed as changes of nothing")  # fmt: skip
    return int(share > MOST_SURVIVE)


def _key(mutation: Mutation) -> tuple[str, str, str]:
    return mutation.file, mutation.before, mutation.after


if __name__ == "__main__":
    main()
