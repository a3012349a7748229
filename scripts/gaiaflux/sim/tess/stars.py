"""Stars of a simulated stamp and how their light changes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["VARIATIONS", "StampStar", "relative_light", "tess_flux"]

ZERO_POINT = 20.44  # magnitude of 1 electron/s (TESS Instrument Handbook)


@dataclass(frozen=True)
class StampStar:
    """A star.

    Attributes
    ----------
    starid : int
        TIC.
    x, y : float
        Place at shift 0, at the time of observation [pixel in the stamp].
    tmag : float
    variation : str
        One of `VARIATIONS`.
    depth, period_d, duration_d, epoch_d : float
        Of eclipses or transits, or amplitude and period of a sine; the epoch counts from the first frame.
    pm_mas : tuple of float
        Proper motion in ra cos(dec) and dec [mas/yr].
    disposition : str
        Of the catalogue: empty, "DUPLICATE" or "SPLIT".
    """

    starid: int
    x: float
    y: float
    tmag: float
    variation: str = "constant"
    depth: float = 0.0
    period_d: float = 1.0
    duration_d: float = 0.1
    epoch_d: float = 0.3
    pm_mas: tuple[float, float] = (0.0, 0.0)
    disposition: str = ""


def _eclipses(star: StampStar, time: np.ndarray) -> np.ndarray:
    phase = np.abs((time - star.epoch_d + 0.5 * star.period_d) % star.period_d - 0.5 * star.period_d)
    return 1.0 - star.depth * np.clip(1.0 - phase / (0.5 * star.duration_d), 0.0, 1.0)


def _transits(star: StampStar, time: np.ndarray) -> np.ndarray:
    return 1.0 - np.minimum(5.0 * (1.0 - _eclipses(star, time)), star.depth)


def _waves(star: StampStar, time: np.ndarray) -> np.ndarray:
    return 1.0 + star.depth * np.sin(2.0 * np.pi * (time - star.epoch_d) / star.period_d)


VARIATIONS: dict[str, Callable[[StampStar, np.ndarray], np.ndarray]] = {
    "constant": lambda star, time: np.ones(len(time)),
    "eclipses": _eclipses,
    "transits": _transits,
    "waves": _waves,
}
"""How light may change: not, in V-shaped minima, in minima with a flat bottom, as a sine."""


def tess_flux(tmag: float) -> float:
    """Light of a magnitude [electron/s]."""
    return 10.0 ** (-0.4 * (tmag - ZERO_POINT))


def relative_light(star: StampStar, time: np.ndarray) -> np.ndarray:
    """Light of a star at times, 1 where nothing happens.

    Parameters
    ----------
    star : StampStar
    time : ndarray, shape (n,)
        From the first frame [d].

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    return VARIATIONS[star.variation](star, time)
