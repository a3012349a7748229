"""What a method of photometry says beside fluxes, errors and flags: one value per frame, or per star and frame."""

from collections.abc import Mapping, Sequence

import numpy as np

from gaiaflux.io.dataset import DatasetReader, DatasetWriter
from gaiaflux.model.methods import method_named

__all__ = ["copy_facts", "write_frame_facts"]

_ROWS = 4096  # stars in memory at once: whole chunks of the file


def write_frame_facts(out: DatasetWriter, method: str, attrs: Sequence[Mapping[str, object]]) -> None:
    """Write what a method says of each frame.

    Parameters
    ----------
    out : DatasetWriter
        File to write to.
    method : str
        Group of the method.
    attrs : sequence of mapping
        Scalars of each frame, in the order of the dataset; what one does not say is -1, NaN or empty.
    """
    for name, column in method_named(method).frame_facts.items():
        text = column.dtype == "text"
        nothing = "" if text else np.nan if column.dtype[0] == "f" else -1
        values = np.array([found.get(name, nothing) for found in attrs], dtype=object if text else column.dtype)
        out.array(f"{method}/{name}", values, column.unit, column.description)


def copy_facts(source: DatasetReader, out: DatasetWriter, method: str) -> None:
    """Take over what a method says beside fluxes, errors and flags.

    Parameters
    ----------
    source : DatasetReader
        File of `gaiaflux.series.assembly.assemble_dataset`.
    out : DatasetWriter
        Dataset of the series.
    method : str
        Group of the method.
    """
    declared = method_named(method)
    for name, column in declared.frame_facts.items():
        out.array(f"{method}/{name}", source.array(f"{method}/{name}"), column.unit, column.description)
    for name, column in declared.star_facts.items():
        grid = source.grid(f"{method}/{name}")
        copy = out.grid(f"{method}/{name}", grid.shape, column.dtype, column.unit, column.description)
        for first in range(0, grid.shape[0], _ROWS):
            copy[first : first + _ROWS] = grid[first : first + _ROWS]
