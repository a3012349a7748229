"""Tables of the scenarios and of the limits."""

from collections.abc import Sequence

import numpy as np

from benchmarks.truth.limits import Verdict
from benchmarks.truth.measured import METHODS
from benchmarks.truth.scores import BINS, PointScore, Score
from gaiaflux.sim.scenario import Scenario

__all__ = ["print_limits", "print_markdown", "print_score"]

COLUMNS = ("n", "flag%", "bias", "over", "pull", "std", ">5s%")
WIDTHS = (6, 6, 7, 6, 6, 7, 6)


def print_score(score: Score, scenario: Scenario, seconds: float) -> None:
    """Print a scenario: two lines of its frames and entries, then a line for each method and bin.

    Parameters
    ----------
    score : Score
        Figures.
    scenario : Scenario
        What was simulated.
    seconds : float
        How long it took.
    """
    print(f"\n[{score.name}] {scenario.sentence} ({seconds:.0f} s)")
    if score.stopped:
        print(f"  THE WORKFLOW STOPPED:\n{score.stopped}")
        return
    total = ", ".join(f"{method} {value:+.2f} %" for method, value in score.total.items())
    far = ", ".join(f"{method} {value:.1f} %" for method, value in score.far_all.items())
    print(
        f"  frames {score.frames}, solved {score.solved}, lost {score.lost}, wrong {score.wrong}; "
        f"WCS {score.wcs_mas:.0f} mas, worst {score.wcs_worst_pix:.2f} px; total flux {total}; "
        f"bright lonely with `neighbour` {score.neighbour:.0f} %"
    )
    print(
        f"  entries {score.entries}: false {score.false:.1f} % (flagged ones too: {score.false_all:.1f} %); "
        f"complete {score.complete5:.3f} (S/N > 5), {score.complete20:.3f} (> 20); "
        f">5s of all stars, S/N 10-100: {far}"
    )
    head = "".join(text.rjust(width) for text, width in zip(COLUMNS, WIDTHS, strict=True))
    print(f"  {'':<17}{head}  |{head}   (single frames | light curves)")
    for method in METHODS:
        for low, high in BINS:
            label = f"{method} {low}-{high}" if np.isfinite(high) else f"{method} >{low}"
            cells = [_cells(score.points[f"{method} {series} {low}"]) for series in ("single", "curve")]
            print(f"  {label:<17}{cells[0]}  |{cells[1]}")
        if method in score.events:
            print(f"  {method + ' events':<17}{'':>{sum(WIDTHS)}}  |{_cells(score.events[method])}")


def _cells(point: PointScore) -> str:
    values = (
        *(f"{point.n}", f"{100 * point.flagged:.0f}"),
        *(f"{point.bias_mmag:+.1f}", f"{point.over_floor:.2f}", f"{point.pull:.2f}", f"{point.pull_std:.2f}"),
        f"{point.far:.1f}",
    )
    return "".join(("-" if "nan" in text else text).rjust(width) for text, width in zip(values, WIDTHS, strict=True))


def print_limits(found: list[Verdict], seed: int) -> None:
    """Print the limits, one line for each scenario, and how many are met.

    Parameters
    ----------
    found : list of Verdict
        Limits applied.
    seed : int
        Seed.
    """
    print(f"\nLimits, seed {seed}\n{'part':<5}{'figure':<55}{'scenario':<18}{'limit':>9}{'worst':>10}  where")
    for verdict in found:
        limit = verdict.limit
        text = f"<= {limit.at_most:g}" if limit.at_most is not None else f">= {limit.at_least:g}"
        word = {True: "met", False: "NOT MET", None: "not measured"}[verdict.met]
        value = "-" if np.isnan(verdict.value) else f"{verdict.value:.3f}"
        print(
            f"{limit.part:<5}{limit.sentence:<55}{verdict.scenario:<18}{text:>9}{value:>10}  {verdict.where:<22}{word}"
        )
    numbers = {state: sum(verdict.met is state for verdict in found) for state in (True, False, None)}
    print(f"{numbers[True]} met, {numbers[False]} NOT MET, {numbers[None]} not measured")


def print_markdown(scores: Sequence[Score], scenarios: Sequence[Scenario]) -> None:
    """Print a table of all scenarios for people, in Markdown.

    Parameters
    ----------
    scores : sequence of Score
        Figures.
    scenarios : sequence of Scenario
        What was simulated, in the same order.
    """
    print(
        "\n| what is wrong with the frames | false; complete | pull | beyond 5 errors | light curves: pull | beyond |"
    )
    print("|---|---|---|---|---|---|")
    for score, scenario in zip(scores, scenarios, strict=True):
        if score.stopped:
            print(f"| {scenario.sentence} | the workflow stopped | | | | |")
            continue
        lost = f" ({score.lost} of {score.frames} frames lost)" if score.lost else ""
        cells = [f"{_share(score.false)}; {score.complete5:.3f}"]
        for series, bins in (("single", BINS[:3]), ("curve", BINS)):
            pulls, far = (
                " / ".join(_extreme(score, method, series, bins, name) for method in METHODS)
                for name in ("pull", "far")
            )
            cells += [pulls, far]
        print(f"| {scenario.sentence}{lost} | {' | '.join(cells)} |")


def _share(percent: float) -> str:
    return "-" if np.isnan(percent) else f"{percent:.1f} %"


def _extreme(score: Score, method: str, series: str, bins: tuple[tuple[float, float], ...], name: str) -> str:
    """Range of the pulls over some bins, or the largest share."""
    values = [getattr(score.points[f"{method} {series} {low}"], name) for low, _ in bins]
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return "flagged"
    if name == "far":
        return f"{max(known):.1f} %"
    return f"{min(known):.1f}-{max(known):.1f}" if max(known) - min(known) >= 0.1 else f"{np.median(known):.1f}"
