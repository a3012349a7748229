"""The stars of a CCD, solved for together, as an HDF5 file."""

from pathlib import Path

import h5py

from gaiaflux.io.hdf5 import new_hdf5
from gaiaflux.model.ccd_scene import CcdScene
from gaiaflux.model.errors import InputError

__all__ = ["read_scene", "write_scene"]

_ARRAYS = {
    "star_id": ("", "star of the catalogue"),
    "x": ("pixel", "column on the CCD in the reference frame, 0-based"),
    "y": ("pixel", "row on the CCD in the reference frame, 0-based"),
    "position_err": ("pixel", "how far the star may be from there, along an axis"),
    "flux": ("electron/s", "light in the mean of the good frames; NaN for a star without a pixel"),
    "flux_err": ("electron/s", "its one-sigma error"),
    "chi2": ("", "per pixel of the star, of the noise and the usual error of the response function"),
    "common": ("pixel", "shift in x and y of the stars of each tile against the catalogue"),
    "sky": ("electron/s", "what is left of the sky in the mean image, by tile"),
}


def write_scene(path: str | Path, scene: CcdScene) -> None:
    """Write a scene; the file appears when all of it is there."""
    with new_hdf5(path) as file:
        for name, (unit, description) in _ARRAYS.items():
            dataset = file.create_dataset(name, data=getattr(scene, name))
            dataset.attrs["unit"], dataset.attrs["description"] = unit, description


def read_scene(path: str | Path) -> CcdScene:
    """Read what `write_scene` wrote.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    CcdScene

    Raises
    ------
    FileNotFoundError
        No such file.
    InputError
        It is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no scene in {path}: run the workflow, or correct the name")
    try:
        with h5py.File(path, "r") as file:
            return CcdScene(**{name: file[name][()] for name in _ARRAYS})
    except (OSError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}): solve the stars of its images anew") from error
