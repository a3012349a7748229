"""The best that anyone could measure of a stamp: Fisher errors with the true response, places and noise."""

import numpy as np

from gaiaflux.sim.tess.stamp import SimulatedStamp, pixel_variance

__all__ = ["least_errors"]

STEP = 1e-4  # of the derivatives [pixel]


def least_errors(stamp: SimulatedStamp, rows: set[int], *, places: bool = False, n: int = 20) -> dict[int, float]:
    """Errors of the light of some stars in one frame, fitted with a constant and a shift, or with all their places.

    Parameters
    ----------
    stamp : SimulatedStamp
    rows : set of int
        The stars that are fitted; the others are known.
    places : bool
        Whether each of these stars has a place of its own; else a shift of all stars is fitted.
    n : int
        Frames over which the variance is averaged, evenly spaced.

    Returns
    -------
    dict of int to float
        By row [electron/s].
    """
    response, setup = stamp.response(), stamp.setup
    wanted = sorted(rows)
    variances = []
    for t in np.linspace(0, len(stamp.time) - 1, n).astype(int):
        light, slopes = np.empty((2, len(setup.stars), *setup.shape)), np.empty((len(setup.stars), 2, *setup.shape))
        for k, star in enumerate(setup.stars):
            at = np.array([star.x, star.y]) + stamp.pointing.shift[t]
            around = at + STEP * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
            made = response.light(around[:, 0], around[:, 1], setup.shape)
            light[0, k], light[1, k] = made[0], made[0] * stamp.star_flux[t, k]
            slopes[k] = stamp.star_flux[t, k] * (made[[1, 3]] - made[[2, 4]]) / (2 * STEP)
        moved = slopes[wanted].reshape(-1, *setup.shape) if places else slopes.sum(axis=0)
        columns = np.concatenate([light[0, wanted], np.ones((1, *setup.shape)), moved])
        matrix = columns.reshape(len(columns), -1)
        variance = pixel_variance(light[1].sum(axis=0) + setup.background, setup.cadence_s)
        variances.append(np.diag(np.linalg.inv((matrix / variance.ravel()) @ matrix.T))[: len(wanted)])
    return dict(zip(wanted, np.sqrt(np.mean(variances, axis=0)).tolist(), strict=True))
