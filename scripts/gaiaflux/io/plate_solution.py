"""Refined plate solutions as numbers: in the batch files of refine_wcs, and in reference.json.

Text (FITS cards) is made of them only where a person or FITS reads it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gaiaflux.io.batch_file import BatchReader
from gaiaflux.model.errors import InputError
from gaiaflux.model.status import OK
from gaiaflux.model.wcs import TanSip

__all__ = ["find_plate", "plate_arrays", "plate_of_record", "plate_record", "read_plate"]

_ARRAYS = ("crval", "crpix", "cd", "a", "b", "ap", "bp")


def plate_arrays(wcs: TanSip) -> dict[str, np.ndarray]:
    """Arrays that say all of a plate solution; `read_plate` makes it of them again.

    Parameters
    ----------
    wcs : TanSip

    Returns
    -------
    dict of str to ndarray
        crval, cd [deg and deg/pixel], crpix [pixel, 0-based], a, b, ap, bp, all float64, and shape (ny, nx).
    """
    numbers = {name: np.asarray(getattr(wcs, name), np.float64) for name in _ARRAYS}
    return {**numbers, "shape": np.array(wcs.shape, np.int64)}


def read_plate(batch: BatchReader, frame_id: str) -> TanSip:
    """Plate solution of a frame.

    Parameters
    ----------
    batch : BatchReader
        File of the rule refine_wcs.
    frame_id : str
        Name of a frame whose status is ``ok``.

    Returns
    -------
    TanSip
        Bit for bit what was fitted.

    Raises
    ------
    InputError
        The file was written by an earlier version, which kept text.
    KeyError
        No such frame.
    """
    if not {*_ARRAYS, "shape"} <= set(batch.names(frame_id)):
        raise InputError(
            f"the plate solution of {frame_id} is of an earlier version of the program: remove the series' folder wcs, "
            "and it is made again"
        )
    arrays = {name: batch.array(frame_id, name) for name in _ARRAYS}
    return _tan_sip(arrays, batch.array(frame_id, "shape").tolist())


def find_plate(folder: str | Path, frame_id: str) -> TanSip:
    """Plate solution of a frame of a series.

    Parameters
    ----------
    folder : str or Path
        Folder with the files of the rule refine_wcs, ``results/{series}/wcs``.
    frame_id : str
        Name of the frame.

    Returns
    -------
    TanSip

    Raises
    ------
    InputError
        The frame is not there, or has no plate solution.
    """
    for path in sorted(Path(folder).glob("*.h5")):
        with BatchReader(path) as batch:
            if frame_id in batch and batch.attrs(frame_id)["status"] == OK:
                return read_plate(batch, frame_id)
    raise InputError(f"{folder}: there is no plate solution of the frame {frame_id}")


def plate_record(wcs: TanSip) -> dict[str, list]:
    """Plate solution as JSON holds it, every digit of it; `plate_of_record` reads it."""
    return {name: array.tolist() for name, array in plate_arrays(wcs).items()}


def plate_of_record(record: Mapping[str, Any]) -> TanSip:
    """Plate solution of an image that reference.json names.

    Parameters
    ----------
    record : mapping
        reference.json, or an entry of its ``stack``: ``wcs``, as `plate_record` made it.

    Returns
    -------
    TanSip
        Bit for bit what was fitted.

    Raises
    ------
    InputError
        The record was written by an earlier version, which kept text alone.
    """
    numbers = record.get("wcs")
    if not isinstance(numbers, Mapping):
        raise InputError(
            "reference.json is of an earlier version of the program: remove it, and the reference image is chosen anew "
            "(set reference_image to keep it)"
        )
    return _tan_sip({name: np.array(numbers[name], np.float64) for name in _ARRAYS}, numbers["shape"])


def _tan_sip(arrays: Mapping[str, np.ndarray], shape: Sequence[int]) -> TanSip:
    (ra, dec), (x, y) = arrays["crval"].tolist(), arrays["crpix"].tolist()
    matrices = {name: arrays[name] for name in _ARRAYS[2:]}
    return TanSip(crval=(ra, dec), crpix=(x, y), shape=(shape[0], shape[1]), **matrices)
