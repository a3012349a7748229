"""The light curve of a target as a table, and what a method gives for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from astropy.table import Table

from gaiaflux.io.tess.neighbour_table import Neighbours
from gaiaflux.io.tess.weight_map import WeightMap
from gaiaflux.tess.stamp.pixel_source import PixelSource
from gaiaflux.tess.stamp.stamps import Stamp
from gaiaflux.tess.stamp.star_times import times_of_star
from gaiaflux.tess.stamp.status import STATUS

__all__ = ["Measurement", "empty_table", "light_curve_table", "with_remark"]

_UNITS = {
    "time": "d",
    "timecorr": "d",
    **dict.fromkeys(("flux", "flux_err", "flux_background"), "electron / s"),
    **dict.fromkeys(("pos_centroid", "pos_corr"), "pixel"),
}


@dataclass(frozen=True)
class Measurement:
    """What a method says of a target; arrays of n_times have a value for each cadence, NaN where nothing is measured.

    Attributes
    ----------
    flux, flux_err : ndarray of float64, shape (n_times,)
        [electron/s].
    background : ndarray of float64, shape (n_times,)
        Left in the images after the mission's own subtraction [electron/s/pixel].
    flux_background : ndarray of float64, shape (n_times,)
        Background light that was taken off the star's pixels, the mission's included [electron/s].
    centroid : ndarray of float64, shape (n_times, 2)
        Column and row in the stamp [pixel, 0-based].
    chi2, n_clipped, contamination : ndarray of float64, shape (n_times,)
        Chi-squared per degree of freedom; pixels left out; part of the light that is not the star's.
    flags : ndarray of uint32, shape (n_times,)
        Bits of `gaiaflux.model.flags.StarFlag`.
    mask : ndarray of bool, shape (rows, cols), optional
        Pixels that make up the flux.
    model : ndarray of float64, shape (rows, cols), optional
        Mean image as the fit has it [electron/s].
    weights : WeightMap, optional
        Of the pixels, where the flux is no plain sum of them.
    neighbours : Neighbours, optional
        Stars that were fitted with it.
    status : STATUS
        What became of it.
    remarks : tuple of str
        What the user has to know.
    cards : mapping of str to (value, comment)
        Further keywords of the light curve's file.
    """

    flux: np.ndarray
    flux_err: np.ndarray
    background: np.ndarray
    flux_background: np.ndarray
    centroid: np.ndarray
    chi2: np.ndarray
    n_clipped: np.ndarray
    contamination: np.ndarray
    flags: np.ndarray
    mask: np.ndarray | None = None
    model: np.ndarray | None = None
    weights: WeightMap | None = None
    neighbours: Neighbours | None = None
    status: STATUS = STATUS.OK
    remarks: tuple[str, ...] = ()
    cards: Mapping[str, tuple[Any, str]] = field(default_factory=dict)


def with_remark(measured: Measurement, remark: str) -> Measurement:
    """The same with a further remark, and no more OK for that."""
    status = STATUS.WARNING if measured.status is STATUS.OK else measured.status
    return replace(measured, status=status, remarks=(*measured.remarks, remark))


def empty_table(source: PixelSource, sky: tuple[float, float] | None = None) -> Table:
    """Light curve of a source with nothing measured: fluxes and centroids NaN, flags 0.

    Parameters
    ----------
    source : PixelSource
    sky : tuple of float, optional
        (ra, dec) of the star [deg]: times are corrected for it. Without it they are as the source states them.

    Returns
    -------
    astropy.table.Table
        time, timecorr [d], cadenceno, quality (of the mission), flux, flux_err, flux_background [electron/s],
        pos_centroid (column, row; CCD, 1-based), pos_corr (column, row) [pixel], flags (`StarFlag`), frame_flags
        (`FrameFlag`).
    """
    n = len(source.time)
    time, timecorr = source.time, source.timecorr
    if sky is not None:
        time, timecorr = times_of_star(time, timecorr, source.timecorr_place, sky)
    table = Table(
        {
            "time": time.astype(np.float64),
            "timecorr": timecorr.astype(np.float64),
            "cadenceno": source.cadenceno.astype(np.int32),
            "quality": source.quality.astype(np.int32),
            **{name: np.full(n, np.nan) for name in ("flux", "flux_err", "flux_background")},
            "pos_centroid": np.full((n, 2), np.nan),
            "pos_corr": source.pos_corr.astype(np.float64),
            "flags": np.zeros(n, np.uint32),
            "frame_flags": source.frame_flags.astype(np.uint32),
        }
    )
    for name, unit in _UNITS.items():
        table[name].unit = unit
    return table


def light_curve_table(
    source: PixelSource, stamp: Stamp, measured: Measurement, sky: tuple[float, float] | None = None
) -> Table:
    """Light curve of a measurement; see `empty_table`.

    Parameters
    ----------
    source : PixelSource
    stamp : Stamp
        That was measured.
    measured : Measurement
    sky : tuple of float, optional
        See `empty_table`.

    Returns
    -------
    astropy.table.Table
        With chi2, n_clipped and contamination besides.
    """
    table = empty_table(source, sky)
    for name in ("flux", "flux_err", "flux_background", "flags"):
        table[name][:] = getattr(measured, name)
    table["pos_centroid"][:] = measured.centroid + np.array([stamp[2] + 1, stamp[0] + 1])
    for name in ("chi2", "n_clipped", "contamination"):
        table[name] = getattr(measured, name)
    return table
