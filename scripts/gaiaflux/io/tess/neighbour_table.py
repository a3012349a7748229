"""Light curves of the neighbours of a target as a table with a row for each star."""

from typing import NamedTuple

import numpy as np
from astropy.io import fits

__all__ = ["Neighbours", "neighbour_table"]


class Neighbours(NamedTuple):
    """Stars that were fitted with a target.

    Attributes
    ----------
    star_id : ndarray of int64, shape (n,)
    tmag : ndarray of float64, shape (n,)
        By the catalogue; NaN where unknown.
    row, column : ndarray of float64, shape (n,)
        On the CCD [pixel, the first is 1].
    flux, flux_err : ndarray of float32, shape (n, n_times)
        As measured, and its one-sigma error [electron/s]; NaN where nothing could be measured.
    """

    star_id: np.ndarray
    tmag: np.ndarray
    row: np.ndarray
    column: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray


def neighbour_table(neighbours: Neighbours) -> fits.BinTableHDU:
    """Table of the neighbours.

    Parameters
    ----------
    neighbours : Neighbours

    Returns
    -------
    BinTableHDU
        Extension NEIGHBOURS: STARID, TMAG, ROW, COLUMN, and FLUX_RAW, FLUX_RAW_ERR with an element for each cadence of
        the light curve.
    """
    n_times = neighbours.flux.shape[1]
    columns = [
        fits.Column("STARID", "K", disp="I20", array=np.asarray(neighbours.star_id, np.int64)),
        fits.Column("TMAG", "D", unit="mag", disp="F8.4", array=neighbours.tmag),
        fits.Column("ROW", "D", unit="pixels", disp="F10.4", array=neighbours.row),
        fits.Column("COLUMN", "D", unit="pixels", disp="F10.4", array=neighbours.column),
        fits.Column("FLUX_RAW", f"{n_times}E", unit="e-/s", disp="E14.7", array=neighbours.flux),
        fits.Column("FLUX_RAW_ERR", f"{n_times}E", unit="e-/s", disp="E14.7", array=neighbours.flux_err),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="NEIGHBOURS")
    said = ("TIC number", "TESS magnitude", "row, the first is 1", "column, the first is 1", "flux", "its error")
    for k, comment in enumerate(said, 1):
        table.header.comments[f"TTYPE{k}"] = comment
    return table
