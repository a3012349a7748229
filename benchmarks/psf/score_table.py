"""The scores of PSF photometry as rows of a table, with the budgets that they have to meet."""

from benchmarks.psf.scores import ALONE, CENTRE, CORNERS, FREE, NEAR, BinScore, FieldScore
from benchmarks.table import Figure

__all__ = ["figures", "print_bins"]

# Of a field and group: (S/N of the bin, largest |bias| in mmag, largest rms / floor, pull from, to); None: no limit.
BUDGETS = {
    "crowded": {
        NEAR: {20: (6.0, 1.55, None, 1.45), 100: (3.0, 1.7, None, None)},
        FREE: {20: (None, 1.12, None, None), 300: (None, 1.25, None, None)},
    },
    "sparse": {
        ALONE + place: {
            low: (None, {20: 1.05, 300: 1.2}.get(low), 0.95, 1.10) for low in (10, 20, 50, 100, 300)
        }
        for place in ("", CENTRE, CORNERS)
    },
}  # fmt: skip


def figures(name: str, score: FieldScore, peer: FieldScore | None = None) -> list[Figure]:
    """Table rows with the budgets, of the kinds of stars that have one.

    Parameters
    ----------
    name : str
        ``sparse`` or ``crowded``.
    score : FieldScore
    peer : FieldScore, optional
        The peer's; its bins are put beside ours.

    Returns
    -------
    list of Figure
    """
    limits = {"crowded": [{"at_least": 0.85}, {}, {"at_most": 0.02}]}.get(name, [{}, {}, {}])
    rows = [
        Figure(f"{name} star catalogue: completeness at S/N > 5", score.complete5, **limits[0]),
        Figure("  completeness at S/N > 20", score.complete20, **limits[1]),
        Figure("  false stars", score.false, **limits[2]),
        Figure(f"{name} PSF photometry: measured over true light", score.scale, digits=4),
    ]
    theirs = {(one.group, one.low): one for one in peer.bins} if peer else {}
    for one in (one for one in score.bins if one.group in BUDGETS[name]):
        rows += _bin_figures(name, one, theirs.get((one.group, one.low))).values()
    return rows


def _bin_figures(name: str, one: BinScore, peer: BinScore | None = None) -> dict[str, Figure]:
    bias, rms, *pull = BUDGETS[name].get(one.group, {}).get(int(one.low), (None,) * 4)
    theirs = (peer.bias[0], peer.rms[0], peer.pull[0], peer.far[0], peer.rms[1]) if peer else (None,) * 5
    return {
        "bias": Figure(f"{name}, {one.title}: bias [mmag]", one.bias[0], theirs[0], within=bias, digits=2),
        "rms": Figure("  rms/floor", one.rms[0], theirs[1], at_most=rms, digits=2),
        "pull": Figure("  pull", one.pull[0], theirs[2], at_least=pull[0], at_most=pull[1], digits=2),
        "far": Figure("  part beyond 8 x floor", one.far[0], theirs[3]),
        "quadratic": Figure("  quadratic zero point: rms/floor", one.rms[1], theirs[4], digits=2),
    }


def print_bins(name: str, score: FieldScore) -> None:
    """Print all bins, one a line; the error of rms/floor and pull is that of a sample of normal numbers.

    Parameters
    ----------
    name : str
        ``sparse`` or ``crowded``.
    score : FieldScore
    """
    head = f"{name + ' stars':<34}{'S/N':>8}{'n':>6}{'spoiled':>8}{'bias':>8}{'rms':>6}{'pull':>6}{'+-':>6}{'>8':>7}"
    print(f"{head} |{'quadratic':>9}{'rms':>6}{'pull':>6}  budgets")
    for one in score.bins:
        judged = {word: figure for word, figure in _bin_figures(name, one).items() if figure.met is not None}
        missed = [f"{word} {figure.cells[4]}" for word, figure in judged.items() if not figure.met]
        verdict = f"NOT MET: {'; '.join(missed)}" if missed else "met" if judged else ""
        text = one.title.split("S/N ")[1].split(" ")[0]
        print(
            f"{one.group:<34}{text:>8}{one.n:>6}{one.unusable:>8.3f}{one.bias[0]:>8.2f}{one.rms[0]:>6.2f}"
            f"{one.pull[0]:>6.2f}{(2 * one.n) ** -0.5:>6.2f}{one.far[0]:>7.3f} |{one.bias[1]:>9.2f}{one.rms[1]:>6.2f}"
            f"{one.pull[1]:>6.2f}  {verdict}"
        )
