"""The frames of a series as a table for people."""

from pathlib import Path

from gaiaflux.io.dataset import FRAME_COLUMNS, DatasetReader
from gaiaflux.model.methods import METHODS_OF, methods_named

__all__ = ["write_frames_csv"]


def write_frames_csv(dataset: str | Path, path: str | Path) -> None:
    """Write the table of frames for people.

    Parameters
    ----------
    dataset : str or Path
        Dataset.
    path : str or Path
        CSV file: the columns of ``/frames`` but the plate solutions, and of each method the scale of the frames and
        what else it says of each.
    """
    import pandas as pd

    with DatasetReader(dataset) as source:
        frames = source.table("frames")
        columns = {name: frames[name] for name in FRAME_COLUMNS if name not in ("wcs_header", "observer_au")}
        columns |= {f"observer_{axis}_au": frames["observer_au"][:, k] for k, axis in enumerate("xyz")}
        for method in methods_named(source.methods, METHODS_OF[source.family]):
            own = ("pscale", "epscale", "error_factor", "n_ensemble", "calibration_status", *method.frame_facts)
            there = [name for name in own if f"{method.name}/{name}" in source]
            columns |= {f"{method.name}_{name}": source.array(f"{method.name}/{name}") for name in there}
    pd.DataFrame(columns).to_csv(path, index=False)
