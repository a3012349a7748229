"""Figures of a benchmark and the table in which they are printed."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Figure", "print_table", "write_json"]

HEAD = ("figure", "measured", "peer", "ratio", "budget", "")


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes
    ----------
    name : str
        What was measured, with its unit.
    measured : float
        Ours.
    peer : float, optional
        The peer's number from the same run.
    at_most, at_least, within, ratio_at_most : float, optional
        Budget; all that are given have to be met. `within` limits the absolute value.
    digits : int
        Decimals to print.
    """

    name: str
    measured: float
    peer: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    within: float | None = None
    ratio_at_most: float | None = None
    digits: int = 3

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's."""
        return self.measured / self.peer if self.peer else None

    @property
    def met(self) -> bool | None:
        """Whether the budget is met; None without one. A number that is not finite meets none."""
        checks = []
        if self.at_most is not None:
            checks.append(self.measured <= self.at_most)
        if self.at_least is not None:
            checks.append(self.measured >= self.at_least)
        if self.within is not None:
            checks.append(abs(self.measured) <= self.within)
        if self.ratio_at_most is not None:
            checks.append(self.ratio is not None and self.ratio <= self.ratio_at_most)
        return all(checks) if checks else None

    @property
    def cells(self) -> tuple[str, ...]:
        """Texts of the columns of `HEAD`."""
        budget = []
        if self.at_most is not None:
            budget.append(f"<= {self.at_most:g}")
        if self.at_least is not None:
            budget.append(f">= {self.at_least:g}")
        if self.within is not None:
            budget.append(f"+- {self.within:g}")
        if self.ratio_at_most is not None:
            budget.append(f"ratio <= {self.ratio_at_most:g}")
        return (
            self.name,
            f"{self.measured:.{self.digits}f}",
            "" if self.peer is None else f"{self.peer:.{self.digits}f}",
            "" if self.ratio is None else f"{self.ratio:.2f}",
            ", ".join(budget),
            {True: "met", False: "NOT MET", None: ""}[self.met],
        )


def print_table(sections: Sequence[tuple[str, Sequence[Figure]]]) -> None:
    """Print all figures as one table.

    Parameters
    ----------
    sections : sequence of (title, figures)
    """
    rows = [HEAD, *(figure.cells for _, figures in sections for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]

    def line(row: Sequence[str]) -> str:
        cells = [text.ljust(widths[0]) if k == 0 else text.rjust(widths[k]) for k, text in enumerate(row)]
        return "  ".join(cells).rstrip()

    print(line(HEAD))
    print("-" * (sum(widths) + 2 * (len(widths) - 1)))
    for title, figures in sections:
        print(f"[{title}]")
        for figure in figures:
            print(line(figure.cells))


def write_json(path: str | Path, sections: Sequence[tuple[str, Sequence[Figure]]], facts: dict[str, object]) -> None:
    """Write the figures for programs.

    Parameters
    ----------
    path : str or Path
        File.
    sections : sequence of (title, figures)
    facts : dict
        About the run and the machine.
    """
    figures = [
        {"section": title, **asdict(figure), "ratio": figure.ratio, "met": figure.met}
        for title, figures in sections
        for figure in figures
    ]
    Path(path).write_text(json.dumps({**facts, "figures": figures}, indent=1) + "\n", encoding="utf-8")
