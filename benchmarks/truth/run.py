"""Scenarios with known truth through the whole workflow, scored and held against limits."""

import json
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from benchmarks.truth.limits import verdicts
from benchmarks.truth.measured import read_measured
from benchmarks.truth.report import print_limits, print_markdown, print_score
from benchmarks.truth.scores import Score, score
from benchmarks.truth.series import make_files, run_workflow
from gaiaflux.sim.scenario import Scenario
from gaiaflux.sim.scenarios import SCENARIOS

__all__ = ["chosen", "run_truth"]


def chosen(names: str | None) -> list[Scenario]:
    """Scenarios of a list of names with commas between; all of them without one.

    Parameters
    ----------
    names : str or None
        As from the command line.

    Returns
    -------
    list of Scenario

    Raises
    ------
    ValueError
        A name is not in the table.
    """
    if not names:
        return list(SCENARIOS.values())
    unknown = [name for name in names.split(",") if name not in SCENARIOS]
    if unknown:
        raise ValueError(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    return [SCENARIOS[name] for name in names.split(",")]


def run_truth(
    work: Path, scenarios: Sequence[Scenario], seed: int, *, side: int | None = None, n_frames: int | None = None
) -> list[Score]:
    """Make, measure, score and print scenarios.

    Parameters
    ----------
    work : Path
        Frames and results are kept in ``{seed}/{scenario}`` of this folder.
    scenarios : sequence of Scenario
        Which.
    seed : int
        Seed.
    side : int, optional
        Of the images [pixel], instead of the scenario's own.
    n_frames : int, optional
        Instead of the scenario's own number.

    Returns
    -------
    list of Score
    """
    scores = []
    for scenario in scenarios:
        start = time.perf_counter()
        some = scenario.resized(side, n_frames)
        changed = "" if side is None and n_frames is None else f"_{side}_{n_frames}"
        folder = work / str(seed) / f"{some.name}{changed}"
        scene = make_files(some, seed, folder)
        stopped = run_workflow(folder)
        if stopped:
            found = Score(some.name, stopped=stopped, frames=len(scene))
        else:
            with warnings.catch_warnings():  # of stars and frames without a point
                warnings.simplefilter("ignore", RuntimeWarning)
                found = score(some.name, read_measured(folder, scene), scene)
        (folder / "score.json").write_text(json.dumps(found.as_dict(), indent=1) + "\n", encoding="utf-8")
        print_score(found, some, time.perf_counter() - start)
        scores.append(found)
    print_markdown(scores, scenarios)
    print_limits(verdicts(scores), seed)
    return scores
