"""Whether a batch of a method's measurements holds what the method declares."""

from collections.abc import Collection
from pathlib import Path

from gaiaflux.io.batch_file import BatchReader
from gaiaflux.io.psf_model import PSF_PREFIX
from gaiaflux.model.errors import InputError
from gaiaflux.model.method import BATCH_ARRAYS, BATCH_FACTS, Method

__all__ = ["check_batch", "declared_arrays"]


def declared_arrays(method: Method) -> list[str]:
    """Arrays of a frame that a dataset takes over from the batches of a method."""
    return [*method.arrays, *method.star_facts, *(["radii_pix"] if method.radii else [])]


def check_batch(method: Method, path: str | Path, batch: BatchReader, frame_id: str, wanted: Collection[str]) -> None:
    """Refuse a measured frame that lacks an array, or has something that its method does not declare.

    Parameters
    ----------
    method : Method
        Declared method.
    path : str or Path
        File of the batch, for the message.
    batch : BatchReader
        The same file, open.
    frame_id : str
        Frame that was measured.
    wanted : collection of str
        Arrays that it must have.

    Raises
    ------
    InputError
        One sentence names method and file.
    """
    names, facts = set(batch.names(frame_id)), set(batch.attrs(frame_id))
    where = f"{path}: frame {frame_id} by the method '{method.name}'"
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(f"{where} has no {', '.join(missing)}, which a method of photometry must write")
    names -= {*declared_arrays(method), *method.intermediate, *BATCH_ARRAYS}
    facts -= {*method.frame_facts, *method.intermediate, *BATCH_FACTS}
    if method.holds_psf:
        names = {name for name in names if not name.startswith(PSF_PREFIX)}
    if names or facts:
        raise InputError(
            f"{where} has {', '.join(sorted(names | facts))}, which its entry in model/methods.py does not declare"
        )
