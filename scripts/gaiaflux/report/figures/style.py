"""How the figures look, and how they are written so that the same data give the same bytes."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "INK",
    "MANY",
    "ORANGE",
    "PALE",
    "PURPLE",
    "SKY",
    "VERMILION",
    "WARMTH",
    "drawing",
    "few_ticks",
    "say",
    "svg_uri",
    "thin",
]

# Colours that people with any colour vision tell apart (Okabe & Ito 2008), and greys.
INK, GREY, PALE = "#222222", "#8a8a8a", "#c9c9c9"
BLUE, SKY, ORANGE, VERMILION = "#0072B2", "#56B4E9", "#E69F00", "#D55E00"
GREEN, PURPLE = "#009E73", "#CC79A7"
WARMTH = mpl.colors.LinearSegmentedColormap.from_list("warmth", ["#bccbd8", "#d9b25f", "#E08214", "#C44A0C", "#7a1f00"])
"""Quiet to conspicuous; its lightness falls all the way."""

MANY = 1500  # points above which a picture is smaller than the drawing
_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.direction": "out",
    "ytick.direction": "out",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.2,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "gaiaflux",
    "svg.image_inline": True,
    "axes.formatter.useoffset": False,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Figures that are made, drawn and saved inside look alike, whatever the user's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def svg_uri(figure: Figure, dpi: float = 160) -> str:
    """A figure as the address of an image that carries its own data; `dpi` is of what is drawn as pixels."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", dpi=dpi, metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def thin(artist: Artist, n_points: int) -> Artist:
    """Draw an artist of very many points as pixels, which keeps the file small; text and axes stay lines."""
    artist.set_rasterized(n_points > MANY)
    return artist


def few_ticks(n: int) -> MaxNLocator:
    """At most some `n` ticks at round numbers."""
    return MaxNLocator(n, steps=[1, 2, 5, 10])


def say(axes: Axes, text: str) -> None:
    """Axes that have nothing to show say why."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)
    axes.set(xticks=[], yticks=[])
