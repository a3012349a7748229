"""The best that anyone could measure of a star in full-frame images: Fisher errors with the true light and noise."""

import numpy as np

from gaiaflux.sim.tess.ccd import SimulatedCcd
from gaiaflux.sim.tess.response import Response
from gaiaflux.sim.tess.stamp import LIVE, pixel_variance

__all__ = ["least_error"]

HALF = 7  # of a stamp [pixel]


def least_error(ccd: SimulatedCcd, k: int, frames: np.ndarray, n: int = 8) -> float:
    """Error of the light of a star in one frame: it and a constant are fitted, all else is known.

    Parameters
    ----------
    ccd : SimulatedCcd
    k : int
        Row of the star.
    frames : ndarray of int
        Frames that count.
    n : int
        Frames over which the variance is averaged, evenly spaced among them.

    Returns
    -------
    float
        [electron/s].
    """
    setup, stars = ccd.setup, ccd.catalogued
    response = Response.at(setup.first_column + stars.x[k], setup.first_row + stars.y[k])
    variances = []
    for t in frames[np.linspace(0, len(frames) - 1, n).astype(int)]:
        x, y = (places[k] for places in ccd.star_places(int(t)))
        top, left = max(round(y) - HALF, 0), max(round(x) - HALF, 0)
        part = slice(top, round(y) + HALF + 1), slice(left, round(x) + HALF + 1)
        seen = (ccd.star_light(int(t)) + ccd.sky_at(int(t), ccd.columns, ccd.rows).seen(ccd.response))[part]
        made = response.light(x - left, y - top, seen.shape)[0]
        columns = np.stack([made.ravel(), np.ones(made.size)])
        variance = pixel_variance(seen, setup.cadence_s, LIVE).ravel()
        variances.append(np.linalg.inv((columns / variance) @ columns.T)[0, 0])
    return float(np.sqrt(np.mean(variances)))
