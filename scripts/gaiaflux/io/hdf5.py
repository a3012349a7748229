"""New HDF5 files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from gaiaflux.io.atomic import replacing

__all__ = ["new_hdf5"]


@contextmanager
def new_hdf5(path: str | Path, libver: str | tuple[str, str] | None = None) -> Iterator[h5py.File]:
    """HDF5 file to be filled; it appears under its name at the end of the ``with`` block, and not after an error.

    Parameters
    ----------
    path : str or Path
        File; its folder is made.
    libver : str or tuple of str, optional
        Versions of the format, as `h5py.File` takes them.

    Yields
    ------
    h5py.File
        Empty.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w", libver=libver) as file:
        yield file
