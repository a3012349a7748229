"""The point-spread functions of a series, for notebooks and for what comes after the photometry."""

from pathlib import Path

from gaiaflux.core.psf.model import PsfModel
from gaiaflux.io.psf_model import read_batch_psf
from gaiaflux.model.errors import InputError

__all__ = ["read_psf"]


def read_psf(path: str | Path, frame_id: str) -> PsfModel:
    """PSF of a frame.

    Parameters
    ----------
    path : str or Path
        File of the rule psf_photometry, ``results/{series}/psf/{batch}.h5``; or the folder with all of a series.
    frame_id : str
        Name of the frame.

    Returns
    -------
    PsfModel
        ``values(x, y, dx, dy)`` and ``stamp(x, y, half)`` evaluate it.

    Raises
    ------
    InputError
        The frame is not there, or could not be measured.
    """
    path = Path(path)
    for file in sorted(path.glob("*.h5")) if path.is_dir() else [path]:
        psf = read_batch_psf(file, frame_id)
        if psf is not None:
            return psf
    raise InputError(f"{path}: there is no frame {frame_id}")
