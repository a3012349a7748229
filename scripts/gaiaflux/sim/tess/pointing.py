"""How a spacecraft keeps its field: slow drift, jitter from frame to frame, and momentum dumps."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Pointing", "simulate_pointing"]

DUMP_EVERY_D = 2.5
DUMP_LASTS_D = 20.0 / 1440.0
SETTLES_D = 0.03


@dataclass(frozen=True)
class Pointing:
    """Shift of the image against its reference.

    Attributes
    ----------
    shift : ndarray of float64, shape (n, 2)
        True mean shift of each frame in x and y [pixel].
    stated : ndarray of float64, shape (n, 2)
        What the mission states; NaN in a dump [pixel].
    dump : ndarray of bool, shape (n,)
        Frames during a momentum dump.
    """

    shift: np.ndarray
    stated: np.ndarray
    dump: np.ndarray


def simulate_pointing(
    time: np.ndarray,
    rng: np.random.Generator,
    *,
    jitter_pix: tuple[float, float] = (0.005, 0.009),
    error_pix: float,
    exposure_d: float = 0.0,
    dump_every_d: float = DUMP_EVERY_D,
) -> Pointing:
    """Pointing as in the first sector of the mission: shifts span half a pixel.

    Parameters
    ----------
    time : ndarray, shape (n,)
        Increasing [d].
    rng : Generator
    jitter_pix : tuple of float
        Scatter from one frame to the next, in x and y [pixel].
    error_pix : float
        Noise of what the mission states [pixel].
    exposure_d : float
        Length of an exposure: one that a dump touches is a frame of the dump [d].
    dump_every_d : float
        Time from one dump to the next [d].

    Returns
    -------
    Pointing
    """
    n = len(time)
    t = time - time[0]
    length = max(float(t[-1]), 1e-6)
    shift = np.empty((n, 2))
    for axis, (low, high) in enumerate(((-0.38, 0.02), (-0.28, 0.20))):
        phase = rng.uniform(0, 2 * np.pi, 3)
        wave = sum(np.sin(2 * np.pi * t / period + phase[k]) * size for k, (period, size) in enumerate(WAVES))
        shift[:, axis] = low + (high - low) * t / length + wave + rng.normal(0, jitter_pix[axis] / np.sqrt(2), n)
    dump = np.zeros(n, bool)
    for start in np.arange(0.7 * dump_every_d, length, dump_every_d):
        since = t - start
        dump |= (since >= -0.5 * exposure_d) & (since < DUMP_LASTS_D + 0.5 * exposure_d)
        kick = rng.normal(0, 0.15, 2)
        shift += np.where(since >= 0, np.exp(-np.maximum(since, 0.0) / SETTLES_D), 0.0)[:, None] * kick
    shift[dump] += rng.normal(0, 0.3, (int(dump.sum()), 2))
    stated = shift + rng.normal(0, 1, (n, 2)) * error_pix
    stated[dump] = np.nan
    return Pointing(shift, stated, dump)


WAVES = ((13.7, 0.04), (3.1, 0.02), (0.6, 0.01))
"""Periods [d] and amplitudes [pixel] of the slow motion."""
