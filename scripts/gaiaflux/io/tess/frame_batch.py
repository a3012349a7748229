"""Prepared full-frame images of a batch: pixels in chunks of a tile and all frames of the batch, all else by frame.

A chunk holds the whole time of a tile, so that the stamp of a star is read without reading the images.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from gaiaflux.io.hdf5 import new_hdf5
from gaiaflux.io.plate_solution import plate_of_record, plate_record
from gaiaflux.io.tess.frame_parts import FrameParts
from gaiaflux.model.prepared_frame import CENTROIDS, FRAME_FACTS, CentroidTable
from gaiaflux.model.wcs import TanSip

__all__ = ["PIXELS", "TILE_PIX", "FrameBatch", "LostFrame", "read_frame_batch", "write_frame_batch"]

TILE_PIX = 16
"""Side of a tile [pixel]."""
PIXELS: dict[str, tuple[np.dtype, str, str]] = {
    "images": (np.dtype(np.float32), "electron/s", "calibrated light with the sky"),
    "images_err": (np.dtype(np.float16), "electron/s", "its one-sigma error, without the sky's"),
}
"""Type, unit and description of each array of pixels, shape (n_frames, ny, nx)."""
_BAND_BYTES = 1 << 25


@dataclass(frozen=True)
class LostFrame:
    """A file that gave no frame.

    Attributes
    ----------
    frame_id, path, reason : str
    """

    frame_id: str
    path: str
    reason: str


@dataclass(frozen=True)
class FrameBatch:
    """All of a batch but its pixels.

    Attributes
    ----------
    path : Path
        File.
    corner : tuple of int
        Row and column on the CCD of the first pixel, 0-based, with the virtual columns.
    shape : tuple of int
        (ny, nx) of the images.
    frame_id : list of str
    facts : dict of str to ndarray or list of str, length n_frames
        `gaiaflux.model.prepared_frame.FRAME_FACTS`.
    sky : dict of str to ndarray, shape (n_frames, ...)
        Arrays of `gaiaflux.core.image.ccd_sky.FrameSky`.
    centroids : list of CentroidTable
    wcs : list of TanSip or None
    remarks : list of tuple of str
    lost : list of LostFrame
    """

    path: Path
    corner: tuple[int, int]
    shape: tuple[int, int]
    frame_id: list[str]
    facts: dict[str, np.ndarray | list[str]]
    sky: dict[str, np.ndarray]
    centroids: list[CentroidTable]
    wcs: list[TanSip | None]
    remarks: list[tuple[str, ...]]
    lost: list[LostFrame]


def write_frame_batch(
    path: str | Path,
    parts: FrameParts,
    frame_ids: Sequence[str],
    lost: Sequence[LostFrame],
    corner: tuple[int, int],
) -> None:
    """Put the frames of a batch together; they are read band by band.

    Parameters
    ----------
    path : str or Path
        File to write.
    parts : FrameParts
        Has all frames; all of one shape, with skies of one shape.
    frame_ids : sequence of str
        Frames, in the order that they get.
    lost : sequence of LostFrame
        What else the batch was to have.
    corner : tuple of int
        Row and column on the CCD of the first pixel.
    """
    frames = [parts.get(frame_id) for frame_id in frame_ids]
    with new_hdf5(path, libver="latest") as file:
        shape = frames[0].flux.shape if frames else (0, 0)
        head = {
            "corner": corner,
            "shape": shape,
            "frame_id": list(frame_ids),
            "facts": [dict(frame.facts) for frame in frames],
            "remarks": [list(frame.remarks) for frame in frames],
            "wcs": [plate_record(frame.wcs) if frame.wcs else None for frame in frames],
            "lost": [[one.frame_id, one.path, one.reason] for one in lost],
        }
        # Too long for an attribute.
        file.create_dataset("head", data=np.frombuffer(json.dumps(head).encode(), np.uint8))
        if not frames:
            return
        for name in frames[0].sky:
            file.create_dataset(f"sky/{name}", data=np.stack([frame.sky[name] for frame in frames]))
        sizes = [len(frame.centroids.star_id) for frame in frames]
        file.create_dataset("centroids/n", data=np.array(sizes, np.int64))
        for name in ("star_id", *CENTROIDS):
            values = np.concatenate([getattr(frame.centroids, name) for frame in frames])
            file.create_dataset(f"centroids/{name}", data=values)
        _write_pixels(file, "images", [frame.flux for frame in frames])
        _write_pixels(file, "images_err", [frame.flux_err for frame in frames])


def _write_pixels(file: h5py.File, name: str, planes: list[np.ndarray]) -> None:
    n, (ny, nx) = len(planes), planes[0].shape
    kind, unit, description = PIXELS[name]
    chunks = (n, min(TILE_PIX, ny), min(TILE_PIX, nx))
    dataset = file.create_dataset(name, (n, ny, nx), kind, chunks=chunks, fletcher32=True)
    dataset.attrs["unit"], dataset.attrs["description"] = unit, description
    rows = max(TILE_PIX, _BAND_BYTES // (n * nx * kind.itemsize) // TILE_PIX * TILE_PIX)
    for first in range(0, ny, rows):
        band = slice(first, min(first + rows, ny))
        dataset[:, band] = np.stack([plane[band] for plane in planes])


def read_frame_batch(path: str | Path) -> FrameBatch:
    """Read all of a batch but its pixels.

    Parameters
    ----------
    path : str or Path
        File of `write_frame_batch`.

    Returns
    -------
    FrameBatch
    """
    with h5py.File(path, "r") as file:
        head = json.loads(file["head"][()].tobytes())
        sky = {name: dataset[()] for name, dataset in file["sky"].items()} if "sky" in file else {}
        centroids = _centroids(file["centroids"]) if "centroids" in file else []
    return FrameBatch(
        path=Path(path),
        corner=(head["corner"][0], head["corner"][1]),
        shape=(head["shape"][0], head["shape"][1]),
        frame_id=head["frame_id"],
        facts={name: _column([facts[name] for facts in head["facts"]]) for name in FRAME_FACTS},
        sky=sky,
        centroids=centroids,
        wcs=[plate_of_record({"wcs": record}) if record else None for record in head["wcs"]],
        remarks=[tuple(remarks) for remarks in head["remarks"]],
        lost=[LostFrame(*one) for one in head["lost"]],
    )


def _column(values: list) -> np.ndarray | list[str]:
    return values if values and isinstance(values[0], str) else np.array(values)


def _centroids(group: Mapping[str, h5py.Dataset]) -> list[CentroidTable]:
    ends = np.cumsum(group["n"][()])
    columns = {name: group[name][()] for name in ("star_id", *CENTROIDS)}
    starts = np.concatenate([np.zeros(1, np.int64), ends])[: len(ends)]
    return [
        CentroidTable(**{name: values[first:last] for name, values in columns.items()})
        for first, last in zip(starts, ends, strict=True)
    ]
