"""Cards of a FITS header, read with the standard library alone."""

import gzip
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO

__all__ = ["Cards", "Stream", "card_number", "card_text", "card_whole", "open_head", "read_cards"]

Stream = IO[bytes] | gzip.GzipFile
Cards = Mapping[str, str]
"""What stands behind the keyword of each card; `card_text` and its like say what it means."""

_BLOCK = 2880
_CARD = 80
_VALUE = re.compile(r" *(?:'((?:[^']|'')*)'|([^/ ]+))")


def open_head(path: Path) -> Stream:
    """Open a file, packed by gzip or not, for `read_cards`."""
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def read_cards(stream: Stream) -> dict[str, str]:
    """Cards of the header that begins here; `stream` stands behind it afterwards.

    Parameters
    ----------
    stream : binary file
        At the beginning of a header.

    Returns
    -------
    dict of str to str
        Of a keyword that stands there twice, the first.

    Raises
    ------
    ValueError
        The file ends before the header does.
    """
    cards: dict[str, str] = {}
    while True:
        block = stream.read(_BLOCK)
        if len(block) < _BLOCK:
            raise ValueError("the file ends in a header")
        text = block.decode("latin-1")
        for start in range(0, _BLOCK, _CARD):
            keyword = text[start : start + 8].rstrip()
            if text[start + 8] == "=":
                cards.setdefault(keyword, text[start + 9 : start + _CARD])
            elif keyword == "END":
                return cards


def card_text(cards: Cards, keyword: str) -> str:
    """Value of a card as text; empty where there is none."""
    value = _VALUE.match(cards.get(keyword, ""))
    return (value[1] or value[2] or "").strip() if value else ""


def card_number(cards: Cards, keyword: str) -> float:
    """Value of a card as a number; 0 where it is none."""
    return _number(card_text(cards, keyword))


def card_whole(cards: Cards, keyword: str, default: int = 0) -> int:
    """Value of a card as a whole number of any size; `default` where it is none."""
    text = card_text(cards, keyword)
    return int(text) if text.isdecimal() else int(_number(text)) or default


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0
