"""Frames of a batch that are prepared already: a job that was killed goes on behind the last of them.

A frame is three files: its pixels, their errors, and all that is small. The last is written when the others are there.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from gaiaflux.io.atomic import replacing
from gaiaflux.io.plate_solution import plate_of_record, plate_record
from gaiaflux.model.prepared_frame import CENTROIDS, CentroidTable, PreparedFrame

__all__ = ["FrameParts"]

_ERROR_TYPE = np.float16  # an error needs three digits


class FrameParts:
    """Prepared frames in a folder.

    Parameters
    ----------
    folder : str or Path
        It is made; `remove` takes it away.
    key : str
        What the frames were made with: settings, stars, code. Frames of another key are taken away.
    """

    def __init__(self, folder: str | Path, key: str) -> None:
        self._folder = Path(folder)
        said = self._folder / "key.txt"
        if not said.is_file() or said.read_text(encoding="utf-8") != key:
            self.remove()
            self._folder.mkdir(parents=True)
            with replacing(said) as temporary:
                temporary.write_text(key, encoding="utf-8")

    def has(self, frame_id: str, file: Mapping[str, int]) -> bool:
        """Whether a frame is there, made of a file of this size and time."""
        if not all(self._path(frame_id, ending).is_file() for ending in ("npz", "flux.npy", "flux_err.npy")):
            return False
        try:
            with self._path(frame_id, "npz").open("rb") as stream, np.load(stream) as small:
                return json.loads(str(small["facts"]))["file"] == dict(file)
        except (OSError, EOFError, KeyError, ValueError, BadZipFile):
            return False  # left by a machine that went down

    def add(self, frame_id: str, frame: PreparedFrame, file: Mapping[str, int]) -> None:
        """Keep a frame.

        Parameters
        ----------
        frame_id : str
        frame : PreparedFrame
        file : mapping of str to int
            Size and time of the file that it was made of.
        """
        pixels = {"flux": frame.flux, "flux_err": frame.flux_err.astype(_ERROR_TYPE)}
        for name, values in pixels.items():
            with replacing(self._path(frame_id, f"{name}.npy")) as temporary, temporary.open("wb") as stream:
                np.save(stream, values)
        wcs = plate_record(frame.wcs) if frame.wcs else None
        said = {"facts": dict(frame.facts), "file": dict(file), "remarks": list(frame.remarks), "wcs": wcs}
        small = {f"centroid_{name}": getattr(frame.centroids, name) for name in ("star_id", *CENTROIDS)}
        small |= {f"sky_{name}": values for name, values in frame.sky.items()}
        with replacing(self._path(frame_id, "npz")) as temporary, temporary.open("wb") as stream:
            np.savez(stream, facts=np.array(json.dumps(said)), **small)

    def get(self, frame_id: str) -> PreparedFrame:
        """A frame whose pixels are mapped, not read; its errors are in half precision."""
        flux, flux_err = (np.load(self._path(frame_id, f"{name}.npy"), mmap_mode="r") for name in ("flux", "flux_err"))
        with np.load(self._path(frame_id, "npz")) as small:
            said = json.loads(str(small["facts"]))
            sky = {name.removeprefix("sky_"): small[name] for name in small.files if name.startswith("sky_")}
            centroids = CentroidTable(*(small[f"centroid_{name}"] for name in ("star_id", *CENTROIDS)))
        wcs = plate_of_record(said) if said["wcs"] else None
        return PreparedFrame(said["facts"], flux, flux_err, sky, centroids, wcs, tuple(said["remarks"]))

    def remove(self) -> None:
        """Take the folder away."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, frame_id: str, ending: str) -> Path:
        return self._folder / f"{frame_id}.{ending}"
