"""Intermediate files of the per-frame rules: one HDF5 file per batch, one group per frame.

Rows of different files are joined by frame identifier; nothing depends on the order of the groups.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np

from gaiaflux.io.hdf5 import new_hdf5

__all__ = ["BatchReader", "BatchWriter"]

FORMAT_VERSION = 1
Scalar = str | bool | int | float


class BatchWriter:
    """Write a batch file frame by frame in a ``with`` block, at whose end the file appears under its name.

    Parameters
    ----------
    path : str or Path
        File to write; its folder is made.
    kind : str
        What the rows are: ``stars``, ``wcs``, ``aperture``.
    """

    def __init__(self, path: str | Path, kind: str) -> None:
        self._opened = new_hdf5(path, libver="latest")
        self._kind = kind

    def add(self, frame_id: str, attrs: Mapping[str, Scalar], arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Append one frame.

        Parameters
        ----------
        frame_id : str
            Identifier, unique in the file.
        attrs : mapping of str to str, bool, int or float
            Scalars of the frame; ``status`` is required: ``ok`` or the reason why not.
        arrays : mapping of str to ndarray, optional
            Tables (structured) and plain arrays of the frame.

        Raises
        ------
        ValueError
            The frame is there already, or `attrs` has no status.
        """
        if "status" not in attrs:
            raise ValueError(f"frame {frame_id} has no status")
        group = self._file.create_group(frame_id)
        # One attribute for all scalars: HDF5 attributes cost more than the numbers in them.
        group.attrs["scalars"] = _encode(attrs)
        for name, array in (arrays or {}).items():
            group.create_dataset(name, data=array)

    def __enter__(self) -> "BatchWriter":
        self._file = self._opened.__enter__()
        self._file.attrs["kind"] = self._kind
        self._file.attrs["format_version"] = FORMAT_VERSION
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)


class BatchReader:
    """Read a batch file.

    Parameters
    ----------
    path : str or Path
        File that `BatchWriter` wrote.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = h5py.File(path, "r")
        self.kind = str(self._file.attrs["kind"])

    @property
    def frame_ids(self) -> list[str]:
        """Identifiers of the frames, sorted."""
        return sorted(self._file)

    def __contains__(self, frame_id: str) -> bool:
        """Whether the file has this frame."""
        return frame_id in self._file

    def attrs(self, frame_id: str) -> dict[str, Scalar]:
        """Scalars of a frame.

        Parameters
        ----------
        frame_id : str
            Which frame.

        Returns
        -------
        dict of str to str, bool, int or float

        Raises
        ------
        KeyError
            No such frame.
        """
        return _decode(self._file[frame_id].attrs["scalars"])

    def array(self, frame_id: str, name: str) -> np.ndarray:
        """One table or array of a frame.

        Parameters
        ----------
        frame_id : str
            Which frame.
        name : str
            Name of the array.

        Returns
        -------
        ndarray

        Raises
        ------
        KeyError
            No such frame or array.
        """
        return self._file[frame_id][name][()]

    def names(self, frame_id: str) -> list[str]:
        """Names of the arrays of a frame."""
        return sorted(self._file[frame_id])

    def __enter__(self) -> "BatchReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _encode(attrs: Mapping[str, Scalar]) -> str:
    return json.dumps({key: value.item() if isinstance(value, np.generic) else value for key, value in attrs.items()})


def _decode(text: str) -> dict[str, Scalar]:
    return json.loads(text)
