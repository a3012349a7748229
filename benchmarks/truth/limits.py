"""What a scenario has to keep to; one row of `LIMITS` for each demand."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.truth.measured import METHODS
from benchmarks.truth.scores import BINS, Score
from gaiaflux.sim.scenarios import SCENARIOS

__all__ = ["COMPLETE", "LIMITS", "Limit", "Verdict", "verdicts"]

CROWDED = tuple(name for name, row in SCENARIOS.items() if row.kind == "crowded")
SATURATED = ("saturated", "saturated_plain")
UNMODELLED = ("nebula60", "fringes")
SPARSE = tuple(name for name in SCENARIOS if name not in (*CROWDED, *SATURATED, *UNMODELLED))
AUREOLES = tuple(name for name, row in SCENARIOS.items() if row.optics.aureole == 0.04)
EVERY = tuple(SCENARIOS)
LOW, FAINT, ALL = (10, 20), (10, 20, 50), tuple(low for low, _ in BINS)

COMPLETE = {"control": (0.983, 0.99), "control_crowded": (0.952, 0.987)}
"""Least completeness above S/N 5 and 20: 0.01 below what was measured before stars had to be proven."""


@dataclass(frozen=True)
class Limit:
    """A demand on a figure of some scenarios.

    Attributes
    ----------
    part : int
        Of the list of demands: 1 frames, 2 stars, 4 wings, 5 sky, 6 honest errors.
    sentence : str
        The figure and its unit.
    scenarios : tuple of str
        For which scenarios.
    figure : str
        Field of `Score`; for `total` and `far_all` of each method; or ``single.pull`` and the like: a field of the
        points of a series.
    at_most, at_least : float, optional
        The limit.
    bins : tuple of int
        Lower ends of the bins, where the figure is of points.
    """

    part: int
    sentence: str
    scenarios: tuple[str, ...]
    figure: str
    at_most: float | None = None
    at_least: float | None = None
    bins: tuple[int, ...] = ()

    def values(self, score: Score) -> Iterator[tuple[str, float]]:
        """Where the figure was taken, and its value."""
        if self.bins:
            series, name = self.figure.split(".")
            for method in METHODS:
                for low in self.bins:
                    point = score.points.get(f"{method} {series} {low}")
                    if point is not None:
                        yield f"{method} {low}", getattr(point, name)
        elif self.figure in ("total", "far_all"):
            yield from ((method, abs(value)) for method, value in getattr(score, self.figure).items())
        else:
            yield "", float(getattr(score, self.figure))


LIMITS = (
    Limit(1, "frames lost", EVERY, "lost", at_most=0),
    Limit(1, "wrong plate solutions", EVERY, "wrong", at_most=0),
    Limit(2, "false entries without a flag [%]", SPARSE, "false", at_most=3.0),
    Limit(2, "false entries without a flag [%]", (*CROWDED, *SATURATED), "false", at_most=5.0),
    Limit(2, "false entries without a flag [%]", UNMODELLED, "false", at_most=0.0),
    *(
        Limit(2, f"completeness, S/N > {snr}", (name,), f"complete{snr}", at_least=least)
        for name, pair in COMPLETE.items()
        for snr, least in zip((5, 20), pair, strict=True)
    ),
    Limit(2, "bright lonely points with `neighbour` [%]", EVERY, "neighbour", at_most=10.0),
    Limit(4, "error of the total flux [%]", AUREOLES, "total", at_most=0.5),
    Limit(5, "pull, single frames, S/N 10-50", ("flat", "nebula5", "bias_steps"), "single.pull", 1.15, bins=LOW),
    Limit(5, "pull, single frames, S/N 10-50", ("nebula15",), "single.pull", 1.35, bins=LOW),
    Limit(5, "pull, light curves", ("gain_steps",), "curve.pull", 1.3, bins=ALL),
    Limit(6, "points beyond 5 errors, single frames, S/N < 100 [%]", EVERY, "single.far", 1.0, bins=FAINT),
    Limit(6, "points beyond 5 errors, light curves [%]", EVERY, "curve.far", 1.0, bins=ALL),
)
"""Limits of the table."""


@dataclass(frozen=True)
class Verdict:
    """A limit applied to a scenario.

    Attributes
    ----------
    limit : Limit
        Demand.
    scenario : str
        Name.
    value : float
        The worst of its values; NaN where the workflow stopped or nothing could be measured.
    where : str
        Where it was.
    met : bool or None
        None: too few points to say.
    """

    limit: Limit
    scenario: str
    value: float
    where: str
    met: bool | None


def verdicts(scores: list[Score]) -> list[Verdict]:
    """Apply all limits.

    Parameters
    ----------
    scores : list of Score
        Scenarios.

    Returns
    -------
    list of Verdict
        In the order of `LIMITS`.
    """
    by_name = {score.name: score for score in scores}
    return [_verdict(limit, by_name[name]) for limit in LIMITS for name in limit.scenarios if name in by_name]


def _verdict(limit: Limit, score: Score) -> Verdict:
    if score.stopped:
        return Verdict(limit, score.name, np.nan, "the workflow stopped", False)
    known = [(where, value) for where, value in limit.values(score) if np.isfinite(value)]
    if not known:
        return Verdict(limit, score.name, np.nan, "too few points", None)
    if limit.at_most is not None:
        where, value = max(known, key=lambda item: item[1])
        return Verdict(limit, score.name, value, where, value <= limit.at_most)
    where, value = min(known, key=lambda item: item[1])
    return Verdict(limit, score.name, value, where, value >= (limit.at_least or 0.0))
