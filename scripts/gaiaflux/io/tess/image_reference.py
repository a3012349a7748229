"""The settled reference of the images of a CCD as an HDF5 file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gaiaflux.io.hdf5 import new_hdf5
from gaiaflux.io.plate_solution import plate_of_record, plate_record
from gaiaflux.model.cadences import CosmicRays, Detector
from gaiaflux.model.image_reference import ImageReference, NoReference

__all__ = ["read_image_reference", "write_image_reference"]

_STARS = {
    "star_id": ("", "star of the catalogue"),
    "x": ("pixel", "column in the images, 0-based"),
    "y": ("pixel", "row in the images, 0-based"),
    "flux": ("electron/s", "light by the catalogue"),
    "tells": ("", "rows of the stars that tell how the images move"),
}
_NUMBERS = {"sector": int, "camera": int, "ccd": int, "cadence_s": float, "jyear": float}


def write_image_reference(path: str | Path, reference: ImageReference | NoReference) -> None:
    """Write a reference, or why there is none; the file appears when all of it is there."""
    with new_hdf5(path) as file:
        if isinstance(reference, NoReference):
            file.attrs["place"], file.attrs["no_reference"] = reference.place, reference.reason
            return
        for name in (*_NUMBERS, "frame_id", "stamp"):
            file.attrs[name] = getattr(reference, name)
        for name in ("detector", "cosmic_rays"):
            file.attrs[name] = json.dumps(asdict(getattr(reference, name)))
        file.attrs["remarks"] = json.dumps(reference.remarks)
        file.attrs["wcs"] = json.dumps(plate_record(reference.wcs))
        packed = file.create_dataset("starry", data=np.packbits(reference.starry, axis=1))
        packed.attrs["description"] = "pixels whose light is stars', eight of a row in a byte"
        for name, (unit, description) in _STARS.items():
            dataset = file.create_dataset(f"stars/{name}", data=getattr(reference, name))
            dataset.attrs["unit"], dataset.attrs["description"] = unit, description


def read_image_reference(path: str | Path) -> ImageReference | NoReference:
    """Read what `write_image_reference` wrote."""
    with h5py.File(path, "r") as file:
        if "no_reference" in file.attrs:
            sector, camera, ccd = (int(value) for value in file.attrs["place"])
            return NoReference((sector, camera, ccd), str(file.attrs["no_reference"]))
        first, last, left, right = (int(value) for value in file.attrs["stamp"])
        return ImageReference(
            frame_id=str(file.attrs["frame_id"]),
            **{name: kind(file.attrs[name]) for name, kind in _NUMBERS.items()},
            detector=Detector(**{key: _tuple(value) for key, value in json.loads(file.attrs["detector"]).items()}),
            cosmic_rays=CosmicRays(**json.loads(file.attrs["cosmic_rays"])),
            stamp=(first, last, left, right),
            wcs=plate_of_record({"wcs": json.loads(str(file.attrs["wcs"]))}),
            starry=np.unpackbits(file["starry"][()], axis=1, count=right - left).astype(bool),
            **{name: file[f"stars/{name}"][()] for name in _STARS},
            remarks=tuple(json.loads(str(file.attrs["remarks"]))),
        )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
