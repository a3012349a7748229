"""Draw docs/architecture.png from the imports of the package: ``.venv/bin/python docs/draw_architecture.py``."""

import ast
from collections import Counter
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

__all__ = ["PARTS", "draw", "imports"]

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent / "scripts" / "gaiaflux"
# Who may be imported by whom: each part by those after it.
PARTS = (
    *("model.settings", "model"),
    *("core.kernels", "core.maths", "core.sky", "core.image", "core.psf", "core.stars", "core.plate", "core.aperture"),
    *("core.difference", "core.calibration", "core.cadences"),
    *("io", "io.image", "io.gaia", "io.tess", "io.mast", "io.export", "workflow", "sim", "sim.tess", "series"),
    *("ground.frame", "ground.catalog", "ground.photometry", "ground", "ground.interface", "ground.injection"),
    *("tess.stamp", "tess.images", "tess"),
    *("report", "report.figures", "report.html", "cli", "scripts"),
)
INK, GREY, BAND, DOT, OWN = "#22303c", "#9aa7b2", ("#eef3f7", "#ffffff"), "#2f6f9f", "#d5dee6"


def imports() -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """How the parts of the package depend on each other.

    Returns
    -------
    imported : Counter
        Number of import statements by (importing part, imported part); a part is a layer or a sub-package of one.
    modules : Counter
        Number of modules of each part.
    """
    imported: Counter[tuple[str, str]] = Counter()
    modules: Counter[str] = Counter()
    for path in [*sorted(PACKAGE.rglob("*.py")), *sorted(PACKAGE.parent.glob("*.py"))]:
        inside = path.relative_to(PACKAGE.parent).parts
        own = "scripts" if len(inside) == 1 else _part(list(inside[1:]))
        if path.parent == PACKAGE or path.name == "__init__.py":
            continue
        modules[own] += 1
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gaiaflux."):
                for alias in node.names:
                    other = _part([*(node.module or "").split(".")[1:], alias.name])
                    imported[own, other] += own != other
    return +imported, modules


def _part(names: list[str]) -> str:
    """The layer, or the sub-package where the layer has some."""
    inside = len(names) > 1 and (PACKAGE / names[0] / names[1]).is_dir()
    return f"{names[0]}.{names[1]}" if inside else names[0]


def draw() -> Figure:
    """The picture: a part is a row; its dots stand in the columns of the parts that it imports.

    Returns
    -------
    Figure
    """
    imported, modules = imports()
    parts = sorted(modules, key=PARTS.index)
    n = len(parts)
    figure = Figure(figsize=(10.5, 9.6))
    axes = figure.add_axes((0.19, 0.02, 0.79, 0.79))
    axes.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), xticks=range(n), yticks=range(n), aspect="equal")
    axes.xaxis.tick_top()
    axes.set_xticklabels(parts, rotation=60, ha="left", rotation_mode="anchor", fontsize=8, color=INK)
    axes.set_yticklabels([f"{part}  {modules[part]}" for part in parts], fontsize=8, color=INK)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    layers = [part.partition(".")[0] for part in parts]
    for number, layer in enumerate(dict.fromkeys(layers)):
        first, count = layers.index(layer), layers.count(layer)
        axes.add_patch(Rectangle((-0.5, first - 0.5), n, count, fc=BAND[number % 2], ec="none", zorder=0))
        axes.add_patch(Rectangle((first - 0.5, first - 0.5), count, count, fc=OWN, ec="none", zorder=1))
    for (part, other), count in imported.items():
        x, y = parts.index(other), parts.index(part)
        axes.scatter(x, y, s=60 + 22 * count**0.9, color=DOT if x < y else "#c1440e", zorder=3, lw=0)
        axes.text(x, y, str(count), ha="center", va="center", fontsize=6.5, color="white", zorder=4)
    figure.text(0.02, 0.985, "Who imports whom", fontsize=13, weight="bold", color=INK, va="top")
    words = (
        "Row: part of the package with its number\nof modules. Dot: it imports the column's\npart so many times. "
        "All dots are below\nthe diagonal: imports go one way."
    )
    figure.text(0.02, 0.955, words, fontsize=8, color=INK, va="top")
    return figure


if __name__ == "__main__":
    draw().savefig(HERE / "architecture.png", dpi=110)
