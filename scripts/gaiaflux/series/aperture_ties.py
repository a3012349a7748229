"""The apertures of each frame of a series tied to one another, over the stars that all of them measure."""

from collections.abc import Mapping

import numpy as np

from gaiaflux.core.aperture.ties import aperture_ties
from gaiaflux.core.calibration.terms import SharedCoefficients, StarFacts, StarFunctions, TermContext
from gaiaflux.io.dataset import DatasetReader, DatasetWriter
from gaiaflux.series.star_summary import ApertureSummary, Grids, all_apertures, fixed_of_series

__all__ = ["radius_term", "tie_series", "write_ties"]

_MOST_STARS = 200
_FRAMES_AT_ONCE = 200
_DESCRIPTION = (
    "change of the natural logarithm of the flux with the aperture (radii_pix), beyond pscale: what the frame's "
    "correction of this aperture lacks against that of the series"
)


def tie_series(
    source: DatasetReader, method: str, frames: Mapping[str, np.ndarray], summary: ApertureSummary
) -> np.ndarray | None:
    """Ties of the apertures of all frames.

    Parameters
    ----------
    source : DatasetReader
        File of `gaiaflux.series.assembly.assemble_dataset`.
    method : str
        Its group.
    frames : mapping of str to ndarray
        Columns of ``/frames``.
    summary : ApertureSummary
        Of all stars.

    Returns
    -------
    ndarray of float64, shape (n_frames, n_apertures), or None
        See `gaiaflux.core.aperture.ties.aperture_ties`; None for a method with one aperture.
    """
    grids = Grids(*(source.grid(f"{method}/{name}") for name in Grids._fields))
    n_frames, _, n_radii = grids.flux.shape
    if n_radii < 2:
        return None
    often = 2 * summary.n_good >= max(int(summary.n_good.max(initial=0)), 1)
    snr = np.where(often & summary.isolated.astype(bool), summary.snr, 0.0)
    rows = np.sort(np.argsort(-snr, kind="stable")[:_MOST_STARS])
    rows = rows[snr[rows] > 0]
    fixed = fixed_of_series(source, method, frames)
    parts = []
    for first in range(0, n_frames, _FRAMES_AT_ONCE):
        some = np.arange(first, min(first + _FRAMES_AT_ONCE, n_frames))
        block = slice(some[0], some[-1] + 1)
        # In one piece as far as the last star that is wanted: catalogues begin with their brightest.
        upto = int(rows[-1]) + 1 if rows.size else 0
        parts.append(all_apertures([grid[block, :upto][:, rows] for grid in grids], fixed, some))
    flux, error = (np.concatenate([part[k] for part in parts]) for k in range(2))
    usable = np.concatenate([part.usable for part in parts])
    return aperture_ties(flux, error, usable, n_radii // 2)


def radius_term(ties: np.ndarray, context: TermContext) -> SharedCoefficients:
    """Ties as a term of the calibration, of stars whose aperture is known.

    Parameters
    ----------
    ties : ndarray, shape (n_frames, n_apertures)
        From `tie_series`.
    context : TermContext
        Of the series.

    Returns
    -------
    SharedCoefficients
    """

    def own(stars: StarFacts, _: TermContext) -> np.ndarray:
        apertures = np.full(len(stars.x), -1) if stars.aperture is None else stars.aperture
        return (apertures[:, None] == np.arange(ties.shape[1])).astype(float)

    return SharedCoefficients(StarFunctions("radius", own, "", _DESCRIPTION), ties, context)


def write_ties(out: DatasetWriter, method: str, ties: np.ndarray) -> None:
    """Write the ties, one for each frame and aperture, as ``radius_coefficients``."""
    out.array(f"{method}/radius_coefficients", ties, "", _DESCRIPTION)
