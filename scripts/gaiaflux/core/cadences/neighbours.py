"""Light of the stars that are fitted in each frame with a target."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.cadences.frame_fit import FrameFit
from gaiaflux.core.cadences.scene import StaticScene

__all__ = ["NeighbourLight", "neighbour_light"]


@dataclass(frozen=True)
class NeighbourLight:
    """Light curves of n neighbours.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
        Rows of the stars in the catalogue of the stamp.
    flux, flux_err : ndarray of float64, shape (n, n_times)
        [electron/s]; NaN where nothing can be measured.
    """

    rows: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray


def neighbour_light(fit: FrameFit, scene: StaticScene, scale: np.ndarray) -> NeighbourLight:
    """Neighbours of a fit at known places; those that cannot be told from the target are none.

    Parameters
    ----------
    fit : FrameFit
    scene : StaticScene
        That the fit is of.
    scale : ndarray, shape (n_times,)
        Factor of the errors of each frame.

    Returns
    -------
    NeighbourLight
    """
    apart = np.flatnonzero(fit.free.group != 0)
    group, share = fit.free.group[apart], fit.free.share[apart, None]
    flux = fit.value[:, group].T * share
    error = np.sqrt(fit.variance[:, group].T) * share * scale
    gone = ~(np.isfinite(flux) & np.isfinite(error) & (error > 0))
    rows = scene.rows[fit.free.rows[apart]]
    return NeighbourLight(rows, np.where(gone, np.nan, flux), np.where(gone, np.nan, error))
