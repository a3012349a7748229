"""The whole workflow as a user runs it: its own overhead, the memory of its jobs, and a dry run of many frames."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import yaml

from benchmarks.chain import measure
from benchmarks.frame import Pairs
from benchmarks.scene import REPOSITORY, link_copies
from benchmarks.table import Figure

__all__ = ["Overview", "figures"]

FRAME_FILES = 10
# Loaded by every Python process that is started below: notes what it used when it ends. The peak is that of the process
# itself; ru_maxrss would also count what its parent had when it was forked.
HOOK = """
import atexit, os, sys
def _note():
    import json, resource
    try:
        with open("/proc/self/status") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    used = resource.getrusage(resource.RUSAGE_SELF)
    entry = {"argv": sys.argv, "cpu_s": used.ru_utime + used.ru_stime, "peak_mb": peak / 1024}
    with open(os.path.join(os.environ["GAIAFLUX_BENCH_NOTES"], f"{os.getpid()}.json"), "w") as out:
        json.dump(entry, out)
atexit.register(_note)
"""


@dataclass
class Overview:
    """What a run used.

    Attributes
    ----------
    cpu_s : float
        User and system time of the whole process tree.
    wall_s : float
        Elapsed time.
    jobs : list of (rule, cpu_s, peak_mb)
        Every Python process until its exit handlers; the rule is empty for Snakemake itself.
    log : list of str
        Lines that Snakemake printed.
    """

    cpu_s: float
    wall_s: float
    jobs: list[tuple[str, float, float]]
    log: list[str]


def figures(sparse: Pairs, settings: dict, work: Path, *, n_frames: int, n_dry: int) -> list[Figure]:
    """Run the workflow over copies of sparse frames.

    Parameters
    ----------
    sparse : Pairs
        Frames as measured in this process.
    settings : dict
        Complete configuration.
    work : Path
        Folder for the runs.
    n_frames, n_dry : int
        Frames of the run, and of the dry run.

    Returns
    -------
    list of Figure
    """
    shutil.rmtree(work, ignore_errors=True)
    sources = sparse.scene.paths[:FRAME_FILES]
    config = _prepare(work / "run", sparse, link_copies(sources, work / "run" / "images", n_frames))
    before = _in_process(sparse, settings)
    whole = _snakemake(config, work / "run", "--cores", "2")
    in_process = mean([before, _in_process(sparse, settings)])
    by_rule = defaultdict(list)
    for rule, cpu, peak in whole.jobs:
        by_rule[rule].append((cpu, peak))
    peaks = {rule: max(peak for _, peak in entries) for rule, entries in by_rule.items() if rule}
    # The budget is for 200 frames: fewer have to bear the same jobs of the series.
    budget = 0.10 if n_frames >= 200 else None
    hungriest = max(peaks, key=peaks.get)
    rows = [
        Figure(f"workflow over {n_frames} frames [CPU s per frame]", whole.cpu_s / n_frames),
        Figure("  the same frames in one process [CPU s per frame]", in_process),
        Figure("  overhead [CPU s per frame]", whole.cpu_s / n_frames - in_process, at_most=budget),
        Figure("  wall time on 2 cores [s per frame]", whole.wall_s / n_frames),
        Figure(f"  peak memory of any job, {hungriest} [MB]", peaks[hungriest], at_most=400, digits=0),
    ]
    for rule, entries in sorted(by_rule.items(), key=lambda item: -sum(cpu for cpu, _ in item[1])):
        cpu, peak = sum(cpu for cpu, _ in entries) / n_frames, max(peak for _, peak in entries)
        rows.append(Figure(f"  {rule or 'snakemake'}: {len(entries)} processes [CPU s per frame]", cpu, digits=4))
        rows.append(Figure("    peak memory [MB]", peak, digits=0))
    noted = sum(cpu for _, cpu, _ in whole.jobs)
    rows.append(Figure("  ends of processes, shells [CPU s per frame]", (whole.cpu_s - noted) / n_frames, digits=4))
    again = _snakemake(config, work / "run", "--cores", "2")
    found = "nothing to be done" if any("Nothing to be done" in line for line in again.log) else "IT DID SOMETHING"
    rows.append(Figure(f"  a second call: {found} [CPU s]", again.cpu_s, digits=2))
    return rows + _dry_run(sparse, work / "dry", n_dry)


def _in_process(sparse: Pairs, settings: dict) -> float:
    """Mean CPU seconds of the frames that the workflow gets, in this process, now."""
    names = list(zip(sparse.scene.paths, sparse.scene.frame_ids, strict=True))[:FRAME_FILES]
    return mean(measure(path, name, sparse.scene, sparse.catalog, settings).clock.total for path, name in names)


def _dry_run(sparse: Pairs, folder: Path, number: int) -> list[Figure]:
    """`-n` with empty files: names are all that a dry run reads."""
    images = [folder / "images" / f"frame-{index:05d}-e91.fits" for index in range(number)]
    images[0].parent.mkdir(parents=True)
    for path in images:
        path.touch()
    dry = _snakemake(_prepare(folder, sparse, images), folder, "-n", "--quiet", "rules")
    return [
        Figure(f"-n for {number} frames [s]", dry.wall_s, at_most=15, digits=1),
        Figure("  the same [CPU s]", dry.cpu_s, digits=1),
        Figure("  peak memory [MB]", max(peak for _, _, peak in dry.jobs), digits=0),
    ]


def _prepare(folder: Path, sparse: Pairs, images: list[Path]) -> Path:
    """Write the configuration of a series of these images; two targets, as a user would have."""
    stars = sparse.scene.series.stars
    bright = stars[stars["source_id"] > 0]
    bright = bright[abs(bright["g"] - 16.0).argsort()[:2]]
    config = {
        "series": {
            "bench": {
                "images": str(images[0].parent / "*.fits"),
                "gaia_file": str(sparse.scene.gaia_path),
                "targets": [{"name": f"star{k}", "source_id": int(star["source_id"])} for k, star in enumerate(bright)],
            }
        }
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def _snakemake(config: Path, folder: Path, *arguments: str) -> Overview:
    """Run Snakemake and add up what it and its children used."""
    notes, hook = folder / "notes", folder / "hook"
    for path in (notes, hook):
        path.mkdir(parents=True, exist_ok=True)
    for old in notes.glob("*.json"):
        old.unlink()
    (hook / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(hook), "GAIAFLUX_BENCH_NOTES": str(notes)}
    command = [str(Path(sys.executable).with_name("snakemake")), *arguments]
    command += ["--configfile", str(config), "--directory", str(folder), "--snakefile", str(REPOSITORY / "Snakefile")]
    log = folder / "snakemake.log"
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with log.open("w", encoding="utf-8") as stream:
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False
        )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"snakemake ended with {done.returncode}:\n{log.read_text(encoding='utf-8')[-3000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    entries = [json.loads(path.read_text(encoding="utf-8")) for path in notes.glob("*.json")]
    jobs = [(_rule(entry["argv"]), entry["cpu_s"], entry["peak_mb"]) for entry in entries]
    return Overview(cpu, wall, jobs, log.read_text(encoding="utf-8").splitlines())


def _rule(argv: list[str]) -> str:
    """Rule of a process: Snakemake runs a copy of the script, named tmpXXXX.rule.py."""
    parts = Path(argv[0]).name.split(".") if argv else []
    return parts[-2] if len(parts) == 3 and parts[-1] == "py" else ""
