"""What a method measures of each star beside flux, error and flags: taken over, and calibrated where it is a flux."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from gaiaflux.core.calibration.ensemble import apply_ensemble
from gaiaflux.io.dataset import DatasetReader, DatasetWriter
from gaiaflux.model.method import Method
from gaiaflux.series.light_curves import Calibration
from gaiaflux.series.star_summary import star_blocks

__all__ = ["write_further_arrays"]


def write_further_arrays(
    source: DatasetReader,
    out: DatasetWriter,
    method: Method,
    noise: tuple[Calibration, float, np.ndarray],
    stars: Mapping[str, np.ndarray],
) -> None:
    """Write the further arrays of a method, and those that are fluxes on the common scale.

    Parameters
    ----------
    source : DatasetReader
        File of `gaiaflux.series.assembly.assemble_dataset`.
    out : DatasetWriter
        Dataset of the series. A flux ``{name}`` with its error becomes ``{name}_cal`` and ``{name}_cal_err``.
    method : Method
        Declared method.
    noise : tuple (Calibration, float, ndarray of shape (n_frames,))
        Calibration of the method's flux, the relative variance of its floor, and the factor on the errors of each
        frame; they hold for its other fluxes too.
    stars : mapping of str to ndarray
        Columns of ``/stars``.
    """
    for name, column in method.further_arrays.items():
        grid = source.grid(f"{method.name}/{name}")
        n_frames, n_stars, _ = grid.shape
        copy = out.grid(
            f"{method.name}/{name}", (n_stars, n_frames), column.dtype, str(grid.attrs["unit"]), column.description
        )
        for block in star_blocks(n_stars, n_frames):
            copy[block] = grid[:, block, 0].T
    calibration, floor2, factor = noise
    excess = np.nan_to_num(calibration.scintillation) ** 2 + floor2
    for flux_name, error_name in method.calibrated[1:]:
        measured = [source.grid(f"{method.name}/{name}") for name in (flux_name, error_name)]
        n_frames, n_stars, _ = measured[0].shape
        grids = [
            out.grid(f"{method.name}/{flux_name}_{kind}", (n_stars, n_frames), "f4", measured[0].attrs["unit"], text)
            for kind, text in (
                ("cal", f"{method.arrays[flux_name].description}, on the common scale of the series, like flux_cal"),
                ("cal_err", f"one-sigma error of {flux_name}_cal, like flux_cal_err"),
            )
        ]
        for block in star_blocks(n_stars, n_frames):
            flux, error = (grid[:, block, 0].T for grid in measured)
            facts = replace(calibration.facts(stars, block), aperture=None)
            flux_cal, flux_cal_err = apply_ensemble(
                calibration.solution, flux, error, facts, calibration.members[block], excess
            )
            grids[0][block], grids[1][block] = flux_cal, flux_cal_err * factor.astype("f4")
