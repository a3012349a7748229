"""Weights of the pixels of a light curve as a table, in the form of the TASOC pipeline's."""

from typing import NamedTuple

import numpy as np
from astropy.io import fits

__all__ = ["WeightMap", "weight_table"]


class WeightMap(NamedTuple):
    """Weights of pixels.

    Attributes
    ----------
    weight : ndarray, shape (ny, nx)
        By which the flux is a sum of the pixels; 0 for one that does not count.
    n_saturated : int
        Pixels that do not count because they are full or hold charge of full ones.
    """

    weight: np.ndarray
    n_saturated: int


def weight_table(weights: WeightMap, cadenceno: np.ndarray, header: fits.Header) -> fits.BinTableHDU:
    """Table with one row: the weights hold for all cadences.

    Parameters
    ----------
    weights : WeightMap
    cadenceno : ndarray of int, shape (n_times,)
        Numbers of the cadences.
    header : Header
        Plate solution of the stamp.

    Returns
    -------
    BinTableHDU
        Extension WEIGHTMAP with the columns CADENCENO1 and CADENCENO2 (first and last cadence), SAT_PIXELS, WEIGHTMAP.
    """
    ny, nx = weights.weight.shape
    columns = [
        fits.Column("CADENCENO1", "J", disp="I10", array=np.array([np.min(cadenceno)], np.int32)),
        fits.Column("CADENCENO2", "J", disp="I10", array=np.array([np.max(cadenceno)], np.int32)),
        fits.Column("SAT_PIXELS", "J", disp="I10", array=np.array([weights.n_saturated], np.int32)),
        fits.Column(
            "WEIGHTMAP", f"{ny * nx}E", dim=f"({nx},{ny})", disp="E14.7", array=weights.weight[None].astype(np.float32)
        ),
    ]
    table = fits.BinTableHDU.from_columns(columns, header=header, name="WEIGHTMAP")
    said = ("first cadence number", "last cadence number", "saturated pixels", "weights of the pixels of the stamp")
    for k, comment in enumerate(said, 1):
        table.header.comments[f"TTYPE{k}"] = comment
    return table
