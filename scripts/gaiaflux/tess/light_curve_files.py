"""Files of the light curves of a batch of targets."""

from pathlib import Path

from gaiaflux.io.batch_file import BatchReader
from gaiaflux.tess.products import write_curve
from gaiaflux.tess.target_group import read_kept

__all__ = ["write_light_curves"]


def write_light_curves(batch: str | Path, folder: str | Path) -> list[Path]:
    """Write the light curves of the targets of a batch.

    Parameters
    ----------
    batch : str or Path
        File of `gaiaflux.tess.batch.measure_targets`.
    folder : str or Path
        It is made.

    Returns
    -------
    list of Path
        One for each target and method that measured it.
    """
    written = []
    with BatchReader(batch) as source:
        for name in source.frame_ids:
            kept = read_kept(source, name)
            if kept is not None:
                written += [
                    write_curve(kept.facts, columns, kept.notes[method], Path(folder), method)
                    for method, columns in kept.columns.items()
                ]
    return written
