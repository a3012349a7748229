"""Structure of the sky that stays the same from frame to frame is an error of a flux, but not of a light curve.

The errors of single frames hold what empty places show of it. In a nebula it stays beneath each star, and shifts all of
its points; errors of the flat field come and go with the pointing. How much of it comes and goes is read off the faint
stars of a series.
"""

from typing import Any

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA, MEDIAN_NOISE, masked_median
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.model.method import SKY_SHARE
from gaiaflux.series.star_summary import ApertureSummary, star_blocks

__all__ = ["SkyShare", "changing_part"]

_TELLING = 0.2  # share from which a star tells
_LEAST_STARS, _MOST_STARS = 10, 400
_LEAST_POINTS = 8


class SkyShare:
    """Part of the squared errors that the sky's structure has.

    Parameters
    ----------
    source : DatasetReader
        File of `gaiaflux.series.assembly.assemble_dataset`.
    method : str
        Its group; one without this fact has no such part.
    summary : ApertureSummary
        Of its stars.
    radii : ndarray, shape (n_frames, n_radii), or None
        Of the method's apertures.
    n_measured : int
        How many of them were measured; the share is stated for the middle one.
    """

    def __init__(
        self,
        source: DatasetReader,
        method: str,
        summary: ApertureSummary,
        radii: np.ndarray | None,
        n_measured: int,
    ) -> None:
        name = f"{method}/{SKY_SHARE}"
        self._grid: Any = source.grid(name) if name in source else None
        self._radius = summary.radius
        self._relative = None if radii is None else radii / radii[:, n_measured // 2, None]
        self.changing = 1.0

    @property
    def stated(self) -> bool:
        """Whether there is such a part."""
        return self._grid is not None

    def telling_stars(self, frames: slice) -> np.ndarray:
        """Rows of at most 400 stars, evenly over the list, that have a share of 0.2 in the median of some frames."""
        found = []
        for block in star_blocks(*self._grid.shape):
            share = self._grid[block][:, frames].astype(np.float32)
            known = np.isfinite(share)
            typical = masked_median(np.where(known, share, 0.0), known, 1)
            found.append(block.start + np.flatnonzero(typical > _TELLING))
        rows = np.concatenate([np.zeros(0, dtype=np.int64), *found])
        return rows[:: max(1, -(-rows.size // _MOST_STARS))]

    def of(self, rows: slice | np.ndarray) -> np.ndarray:
        """Share of some stars, shape (n, n_frames); 0 where it is not known."""
        share = np.clip(np.nan_to_num(self._read(rows).astype(np.float32)), 0.0, 1.0)
        if self._relative is None:
            return share
        # The sky in an aperture goes with its area, the noise of the sky with the root of that.
        area = np.nan_to_num(self._relative[:, self._radius[rows]].T ** 2, nan=1.0).astype(np.float32)
        return share * area / (share * area + 1.0 - share)

    def _read(self, rows: slice | np.ndarray) -> np.ndarray:
        """Rows of the file, in the order that is asked for."""
        if isinstance(rows, slice):
            return np.asarray(self._grid[rows])
        ordered, back = np.unique(rows, return_inverse=True)
        return np.asarray(self._grid[ordered])[back]

    def less(self, error: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
        """Errors of some stars, shape (n, n_frames), without what stays the same."""
        if self._grid is None or self.changing >= 1.0:
            return error
        return error * np.sqrt(1.0 - self.of(rows) * np.float32(1.0 - self.changing))


def changing_part(share: np.ndarray, flux: np.ndarray, flux_err: np.ndarray, use: np.ndarray) -> float:
    """How much of the structure's variance changes from frame to frame.

    Parameters
    ----------
    share : ndarray, shape (n, m)
        Of the squared errors.
    flux, flux_err : ndarray, shape (n, m)
        Calibrated.
    use : ndarray of bool, shape (n, m)
        Points that count.

    Returns
    -------
    float
        0 to 1; 1 where fewer than 10 stars tell. Median over the stars, so that few variables do not matter, and what
        they differ by beyond chance: beside sharp structure it changes more for some than for others.
    """
    rows = np.flatnonzero(use.sum(axis=1) >= _LEAST_POINTS)
    if rows.size < _LEAST_STARS:
        return 1.0
    use, flux, share = use[rows], flux[rows].astype(float), share[rows]
    error2 = flux_err[rows].astype(float) ** 2
    deviation = np.where(use, flux - masked_median(np.where(use, flux, 0.0), use, 1)[:, None], 0.0)
    n_points = use.sum(axis=1)
    # Squared deviations of a median absolute one are too small by the freedom that the star's own level took.
    seen = (MAD_TO_SIGMA * masked_median(np.abs(deviation), use, 1)) ** 2 * n_points / (n_points - 1.0)

    def typical(values: np.ndarray) -> np.ndarray:
        return np.asarray(masked_median(np.where(use, values, 0.0), use, 1))

    structure, rest = typical(share * error2), typical((1.0 - share) * error2)
    part = (seen - rest) / structure
    middle = float(np.median(part))
    chance = 2.0 * MEDIAN_NOISE / np.sqrt(n_points - 1.0) * seen / structure
    # As far as it is certain of so many stars.
    seen_spread = MAD_TO_SIGMA * float(np.median(np.abs(part - middle))) * (1.0 - MEDIAN_NOISE / np.sqrt(rows.size))
    spread = seen_spread**2 - float(np.median(chance)) ** 2
    return float(np.clip(middle + np.sqrt(max(spread, 0.0)), 0.0, 1.0))
