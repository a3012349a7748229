"""Prepared images of a CCD at one cadence: a small file with all that is known of them, and the pixels in batches.

The file of `write_prepared_field` names the batches (`gaiaflux.io.tess.frame_batch`) that hold the pixels; both stay
where they are, or move together.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import h5py
import numpy as np

from gaiaflux.io.hdf5 import new_hdf5
from gaiaflux.io.tess.frame_batch import PIXELS
from gaiaflux.model.errors import InputError

__all__ = ["BatchRows", "FramePixels", "PreparedField", "StoredArray", "write_prepared_field"]

FORMAT = "gaiaflux prepared field"
FORMAT_VERSION = 1


class StoredArray(NamedTuple):
    """An array of a prepared field.

    Attributes
    ----------
    values : ndarray
    unit, description : str
    """

    values: np.ndarray
    unit: str
    description: str


class BatchRows(NamedTuple):
    """Where the frames of a batch are.

    Attributes
    ----------
    path : Path
        Its file.
    rows : ndarray of int64
        Frames of the field, for each frame of the batch; -1 for one that does not count.
    """

    path: Path
    rows: np.ndarray


def write_prepared_field(
    path: str | Path, head: Mapping[str, Any], arrays: Mapping[str, StoredArray], batches: Sequence[BatchRows]
) -> None:
    """Write what is known of the images of a CCD.

    Parameters
    ----------
    path : str or Path
        File.
    head : mapping
        What JSON can hold: sector, camera, ccd, cadence_s, corner, shape and what else there is to know.
    arrays : mapping of str to StoredArray
        By name, with ``/`` in it for groups. Those of frames have the frames, by time, as their first axis.
    batches : sequence of BatchRows
    """
    target = Path(os.path.realpath(path))
    listed = [
        {"path": os.path.relpath(os.path.realpath(one.path), target.parent), "rows": one.rows.tolist()}
        for one in batches
    ]
    with new_hdf5(path, libver="latest") as file:
        file.attrs["format"], file.attrs["format_version"] = FORMAT, FORMAT_VERSION
        said = json.dumps({**head, "batches": listed})
        file.create_dataset("head", data=np.frombuffer(said.encode(), np.uint8))
        for name, array in arrays.items():
            values = np.asarray(array.values)
            text = values.dtype.kind in "OU"
            values, kind = (values.astype(object), h5py.string_dtype("utf-8")) if text else (values, values.dtype)
            large = values.size > 1 << 16
            dataset = file.create_dataset(
                name, data=values, dtype=kind, chunks=True if large else None, fletcher32=large
            )
            dataset.attrs["unit"], dataset.attrs["description"] = array.unit, array.description


class FramePixels:
    """Pixels of all frames in their batches, which are opened when they are first asked for; a context manager.

    Parameters
    ----------
    batches : sequence of BatchRows
    n_frames : int
    """

    def __init__(self, batches: Sequence[BatchRows], n_frames: int) -> None:
        self._batches = [(one.path, one.rows, one.rows >= 0) for one in batches]
        self._n_frames = n_frames
        self._opened: dict[Path, h5py.File] = {}

    def read(self, name: str, rows: slice, columns: slice) -> np.ndarray:
        """Pixels of all frames.

        Parameters
        ----------
        name : str
            Of `gaiaflux.io.tess.frame_batch.PIXELS`.
        rows, columns : slice
            Within the images.

        Returns
        -------
        ndarray of float32, shape (n_frames, n_rows, n_columns)

        Raises
        ------
        InputError
            A batch is not there, or not whole.
        """
        shape = (self._n_frames, rows.stop - rows.start, columns.stop - columns.start)
        result = np.full(shape, np.nan, np.float32)
        for path, places, used in self._batches:
            if not used.any():
                continue
            try:
                if path not in self._opened:
                    self._opened[path] = h5py.File(path, "r")
                dataset = self._opened[path][name]
                if len(dataset) != len(places):
                    raise KeyError(f"{len(dataset)} frames instead of {len(places)}")
                values = dataset[:, rows, columns]
            except (OSError, KeyError) as error:
                raise InputError(
                    f"{PIXELS[name][2]} cannot be read from {path} ({error}): prepare its images anew"
                ) from error
            result[places[used]] = values[used]
        return result

    def close(self) -> None:
        """Close the files; a second time does nothing."""
        for file in self._opened.values():
            file.close()
        self._opened.clear()

    def __enter__(self) -> "FramePixels":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PreparedField:
    """Prepared images of a CCD, opened; a context manager.

    Parameters
    ----------
    path : str or Path
        File of `write_prepared_field`.

    Attributes
    ----------
    path : Path
    head : dict
        As it was written.

    Raises
    ------
    FileNotFoundError
        No such file.
    InputError
        It is no such file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"there are no prepared images in {path}: run the workflow, or correct the name")
        with ExitStack() as opened:
            try:
                self._file = opened.enter_context(h5py.File(self.path, "r"))
                made = self._file.attrs
                known = made.get("format") == FORMAT and made.get("format_version") == FORMAT_VERSION
                self.head: dict[str, Any] = json.loads(self._file["head"][()].tobytes()) if known else {}
            except (OSError, KeyError, ValueError) as error:
                raise InputError(f"{path} cannot be read ({error}): prepare the images anew") from error
            if not self.head:
                raise InputError(f"{path} was not made by this version of the program: prepare the images anew")
            opened.pop_all()
        folder = self.path.resolve().parent
        self.batches = [
            BatchRows(folder / one["path"], np.array(one["rows"], np.int64)) for one in self.head["batches"]
        ]
        self._pixels = FramePixels(self.batches, self.n_frames)
        self._whole: dict[str, np.ndarray] = {}

    def __contains__(self, name: str) -> bool:
        """Whether there is an array of this name."""
        return name in self._file

    def array(self, name: str, part: tuple[slice, ...] = ()) -> np.ndarray:
        """An array, or a part of it; a whole one is read once, and is read-only."""
        if not part and name in self._whole:
            return self._whole[name]
        dataset = self._file[name]
        text = h5py.check_string_dtype(dataset.dtype)
        values = np.asarray(dataset.asstr()[part] if text else dataset[part])
        if not part:
            values.flags.writeable = False
            self._whole[name] = values
        return values

    def names(self, group: str) -> list[str]:
        """Arrays of a group."""
        return sorted(self._file[group])

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self._file["frames/mjd_tdb"].shape[0])

    def pixels(self, name: str, rows: slice, columns: slice) -> np.ndarray:
        """Pixels of all frames; see `FramePixels.read`."""
        return self._pixels.read(name, rows, columns)

    def close(self) -> None:
        """Close the files; a second time does nothing."""
        self._pixels.close()
        self._file.close()
        self._whole.clear()

    def __enter__(self) -> "PreparedField":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
