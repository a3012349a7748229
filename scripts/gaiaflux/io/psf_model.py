"""The point-spread functions that a run measured, as arrays of its files."""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from gaiaflux.core.psf.model import PsfModel
from gaiaflux.core.psf.wing import Wing
from gaiaflux.io.batch_file import BatchReader
from gaiaflux.model.errors import InputError

__all__ = [
    "PSF_GROUP",
    "PSF_PREFIX",
    "psf_arrays",
    "psf_of_arrays",
    "read_batch_psf",
    "read_reference_psf",
    "write_reference_psf",
]

PSF_GROUP = "psf"
PSF_PREFIX = "psf_"
"""With which the names of these arrays begin."""
_NAMES = ("beta", "form", "order", "residual", "residual_order", "shape", "wing")


def psf_arrays(psf: PsfModel) -> dict[str, np.ndarray]:
    """Arrays that say all of a model; `psf_of_arrays` makes it of them again.

    Parameters
    ----------
    psf : PsfModel

    Returns
    -------
    dict of str to ndarray
        psf_shape, psf_beta, psf_order, psf_form [1/pixel^2], psf_residual_order, psf_residual [1/pixel],
        psf_wing (radii [pixel] and strengths of `Wing`).
    """
    return {
        f"{PSF_PREFIX}shape": np.array(psf.shape, np.int64),
        f"{PSF_PREFIX}beta": np.array(psf.beta),
        f"{PSF_PREFIX}order": np.array(psf.order, np.int64),
        f"{PSF_PREFIX}form": psf.form,
        f"{PSF_PREFIX}residual_order": np.array(psf.residual_order, np.int64),
        f"{PSF_PREFIX}residual": psf.residual.astype(np.float32),
        f"{PSF_PREFIX}wing": np.array([psf.wing.radius, psf.wing.strength], np.float64),
    }


def psf_of_arrays(arrays: Mapping[str, np.ndarray]) -> PsfModel:
    """Model of the arrays of `psf_arrays`.

    Parameters
    ----------
    arrays : mapping of str to ndarray

    Returns
    -------
    PsfModel
    """
    value = {name: np.asarray(arrays[f"{PSF_PREFIX}{name}"]) for name in _NAMES}
    return PsfModel(
        shape=(int(value["shape"][0]), int(value["shape"][1])),
        beta=float(value["beta"]),
        form=value["form"].astype(np.float64),
        order=int(value["order"]),
        residual=value["residual"].astype(np.float64),
        residual_order=int(value["residual_order"]),
        wing=Wing(*np.asarray(value["wing"], np.float64)),
    )


def read_batch_psf(path: str | Path, frame_id: str) -> PsfModel | None:
    """PSF of a frame in one file.

    Parameters
    ----------
    path : str or Path
        File of the rule psf_photometry.
    frame_id : str
        Name of the frame.

    Returns
    -------
    PsfModel or None
        None where the frame is not in the file.

    Raises
    ------
    InputError
        The frame could not be measured.
    """
    with BatchReader(path) as batch:
        if frame_id not in batch:
            return None
        if f"{PSF_PREFIX}form" not in batch.names(frame_id):
            raise InputError(f"frame {frame_id} has no PSF: {batch.attrs(frame_id)['status']}")
        return psf_of_arrays({f"{PSF_PREFIX}{name}": batch.array(frame_id, f"{PSF_PREFIX}{name}") for name in _NAMES})


def write_reference_psf(file: h5py.File, psf: PsfModel | None) -> None:
    """Add the PSF of the reference image to a star catalogue that is being written; None adds nothing."""
    if psf is not None:
        group = file.create_group(PSF_GROUP)
        for name, array in psf_arrays(psf).items():
            group.create_dataset(name, data=array)


def read_reference_psf(path: str | Path) -> PsfModel | None:
    """PSF of the reference image.

    Parameters
    ----------
    path : str or Path
        Star catalogue of a series, ``results/{series}/star_catalog.h5``.

    Returns
    -------
    PsfModel or None
        None where the reference image has too few stars for one.
    """
    with h5py.File(path, "r") as file:
        if PSF_GROUP not in file:
            return None
        return psf_of_arrays({name: array[()] for name, array in file[PSF_GROUP].items()})
