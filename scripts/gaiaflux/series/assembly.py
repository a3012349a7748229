"""Put the batches of a series together: stars by frames, in the order of time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gaiaflux.core.sky.projection import pixel_to_sky
from gaiaflux.core.sky.timing import locate_observer
from gaiaflux.io.batch_file import BatchReader
from gaiaflux.io.dataset import FORMAT, FRAME_COLUMNS, SCHEMA_VERSION, STAR_COLUMNS, DatasetWriter, empty_frames
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip
from gaiaflux.io.plate_solution import read_plate
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.errors import InputError
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.method import Method
from gaiaflux.model.methods import methods_named
from gaiaflux.model.status import OK
from gaiaflux.series.batch_contents import check_batch, declared_arrays
from gaiaflux.series.method_facts import write_frame_facts

__all__ = ["assemble_dataset"]

_BLOCK_FRAMES = 100
_BLOCK_VALUES = 12_000_000  # numbers in memory at once
_UNMEASURED = np.uint32(StarFlag.NOT_MEASURED)
_EXPLAINED = np.uint32(StarFlag.NOT_MEASURED | StarFlag.OFF_IMAGE)

Paths = Sequence[str | Path]


def assemble_dataset(
    path: str | Path,
    series: str,
    stars: Paths,
    wcs: Paths,
    photometry: Mapping[str, Paths],
    catalog: StarCatalog,
    catalog_attrs: Mapping[str, str | int | float],
) -> None:
    """Write all measurements of a series into one file, streamed in blocks of frames.

    Frames are sorted by (mjd_utc, frame_id), those without a time last; nothing depends on how they were batched. A
    frame that could not be measured is a column of NaN, flagged, with the reason as its status: the first that is not
    ``ok`` of extraction, plate solution and photometry. A frame that one method measured is ``ok``; what happened to it
    by another says that method's own ``status``.

    Parameters
    ----------
    path : str or Path
        File to write: ``/frames``, ``/stars`` and for each method the arrays that it declares (flux, flux_err, flags
        ...) of shape (n_frames, n_stars, n_radii), where a method without radii has one; ``radii_pix`` (n_frames,
        n_radii) where it has them; and its facts, of shape (n_frames,) and (n_stars, n_frames).
    series : str
        Name of the series.
    stars, wcs : sequence of path
        Batches of extracted stars and of plate solutions.
    photometry : mapping of str to sequence of path
        Batches by method, as `gaiaflux.model.methods` declares it. Their fluxes have shape (n_stars, n_radii) or
        (n_stars,), and their frames an array ``star_id`` or an attribute ``catalog_sha256`` that says which star a
        row is.
    catalog : StarCatalog
        Stars of the series.
    catalog_attrs : mapping
        ``reference_frame_id`` and ``catalog_sha256``.

    Raises
    ------
    ValueError
        A frame is in two batches or in none, or rows cannot be assigned to stars.
    InputError
        A method that is not declared, or a batch that lacks something of it or has something else.
    """
    methods = methods_named(photometry)
    facts = {"stars": _read_attrs(stars), "wcs": _read_attrs(wcs)}
    facts |= {method.name: _read_attrs(photometry[method.name]) for method in methods}
    for kind, found in facts.items():
        if found.keys() != facts["stars"].keys():
            odd = sorted(found.keys() ^ facts["stars"].keys())
            raise ValueError(f"batches of {kind} and of stars do not have the same frames: {', '.join(odd[:3])} ...")
    order = sorted(facts["stars"], key=lambda name: (*_time_key(facts["stars"][name][1]), name))
    with DatasetWriter(path) as out:
        out.attributes({"format": FORMAT, "schema_version": SCHEMA_VERSION, "series": series, **catalog_attrs})
        out.table("frames", _frame_table(order, facts, [method.name for method in methods]), FRAME_COLUMNS)
        out.stars(catalog.columns(), STAR_COLUMNS)
        for method in methods:
            _write_method(out, method, order, facts[method.name], catalog.star_id, str(catalog_attrs["catalog_sha256"]))


def _read_attrs(paths: Paths) -> dict[str, tuple[Path, dict]]:
    """Path of its batch and scalars of each frame."""
    found: dict[str, tuple[Path, dict]] = {}
    for path in paths:
        with BatchReader(path) as batch:
            for frame_id in batch.frame_ids:
                if frame_id in found:
                    raise ValueError(f"frame {frame_id} is in {found[frame_id][0]} and in {path}")
                found[frame_id] = (Path(path), batch.attrs(frame_id))
    return found


def _time_key(attrs: Mapping) -> tuple[bool, float]:
    time = float(attrs.get("mjd_utc", np.nan))
    return (False, time) if np.isfinite(time) else (True, 0.0)


def _frame_table(
    order: Sequence[str], facts: Mapping[str, Mapping[str, tuple[Path, dict]]], methods: Sequence[str]
) -> dict[str, np.ndarray]:
    """Columns of /frames; the zero point is left to the calibration."""
    columns = empty_frames(len(order))
    for j, frame_id in enumerate(order):
        steps = [found[frame_id][1] for found in facts.values()]
        # What an earlier step says of a frame stands: the photometry has a sky and a status of its own.
        merged = {key: value for attrs in reversed(steps) for key, value in attrs.items()}
        for name in FRAME_COLUMNS:
            if name in merged:
                columns[name][j] = merged[name]
        columns["frame_id"][j] = frame_id
        before = [facts[kind][frame_id][1]["status"] for kind in ("stars", "wcs")]
        by_method = [facts[method][frame_id][1]["status"] for method in methods]
        needed = [*before, *([] if OK in by_method else by_method)]
        columns["status"][j] = next((status for status in needed if status != OK), OK)
        columns["unit"][j] = steps[0].get("unit", "")
    _write_plates(columns, order, facts["wcs"])
    columns["mjd_tdb"], columns["observer_au"] = locate_observer(
        columns["mjd_utc"], columns["site_lat_deg"], columns["site_lon_deg"], columns["site_height_m"]
    )
    return columns


def _write_plates(columns: dict[str, np.ndarray], order: Sequence[str], found: Mapping[str, tuple[Path, dict]]) -> None:
    """Fill in the columns of the plate solutions; the text is for people and other programs."""
    by_path: dict[Path, list[int]] = {}
    for j, frame_id in enumerate(order):
        if found[frame_id][1]["status"] == OK:
            by_path.setdefault(found[frame_id][0], []).append(j)
    for path, rows in by_path.items():
        with BatchReader(path) as batch:
            for j in rows:
                wcs = read_plate(batch, order[j])
                columns["wcs_header"][j] = cards_from_tan_sip(wcs)
                for (row, column), value in np.ndenumerate(wcs.cd):
                    columns[f"wcs_cd{row + 1}_{column + 1}"][j] = value
                ny, nx = wcs.shape
                ra, dec = pixel_to_sky(wcs, (nx - 1) / 2, (ny - 1) / 2)
                columns["centre_ra_deg"][j], columns["centre_dec_deg"][j] = float(ra), float(dec)


def _write_method(
    out: DatasetWriter,
    method: Method,
    order: Sequence[str],
    facts: Mapping[str, tuple[Path, dict]],
    star_id: np.ndarray,
    catalog_sha256: str,
) -> None:
    measured = [frame_id for frame_id in order if facts[frame_id][1]["status"] == OK]
    units = sorted({str(facts[frame_id][1].get("unit", "")) for frame_id in measured} - {""})
    n_radii = _count_radii(method, facts[measured[0]][0], measured[0]) if measured else 1
    n_frames, n_stars = len(order), len(star_id)
    block = max(1, min(_BLOCK_FRAMES, _BLOCK_VALUES // max(n_stars * n_radii, 1)))
    stream = _Stream(out, method, (n_frames, n_stars, n_radii), " or ".join(units) or "electron/s", block)
    for first in range(0, n_frames, block):
        names = order[first : first + block]
        by_path: dict[Path, list[int]] = {}
        for k, frame_id in enumerate(names):
            if facts[frame_id][1]["status"] == OK:
                by_path.setdefault(facts[frame_id][0], []).append(k)
            else:
                stream.clear(k)
        for path, places in by_path.items():
            with BatchReader(path) as batch:
                for k in places:
                    check_batch(method, path, batch, names[k], declared_arrays(method))
                    rows = _star_rows(batch, names[k], facts[names[k]][1], star_id, catalog_sha256, path)
                    stream.fill(k, rows, batch, names[k], path)
                    if method.radii:
                        stream.radii[first + k] = batch.array(names[k], "radii_pix")
        stream.write(first, len(names))
    if method.radii:
        out.array(f"{method.name}/radii_pix", stream.radii, method.radii.unit, method.radii.description)
    write_frame_facts(out, method.name, [facts[frame_id][1] for frame_id in order])


class _Stream:
    """Datasets of a method, and the block of frames that goes into them next.

    One set of arrays serves all blocks: fresh memory costs more than what is put into it.
    """

    def __init__(
        self, out: DatasetWriter, method: Method, shape: tuple[int, int, int], unit: str, block_frames: int
    ) -> None:
        n_frames, n_stars, n_radii = shape
        size = min(block_frames, n_frames)
        self._method = method
        self.radii = np.full((n_frames, n_radii), np.nan)
        self._grids: dict[str, Any] = {}
        self._blocks: dict[str, np.ndarray] = {}
        for name, column in method.arrays.items():
            text = column.description + (", by each radius" if method.radii else "")
            self._grids[name] = out.grid(
                f"{method.name}/{name}", shape, column.dtype, unit if column.unit == "count/s" else column.unit, text,
                (block_frames, 256, n_radii),
            )  # fmt: skip
            self._blocks[name] = np.empty((size, n_stars, n_radii), column.dtype)
        for name, column in method.star_facts.items():
            self._grids[name] = out.grid(
                f"{method.name}/{name}", (n_stars, n_frames), column.dtype, column.unit, column.description
            )
            self._blocks[name] = np.empty((size, n_stars), column.dtype)

    def clear(self, k: int) -> None:
        """Nothing measured in frame `k` of the block."""
        for values in self._blocks.values():
            values[k] = np.nan if values.dtype.kind == "f" else 0
        self._blocks["flags"][k] = _UNMEASURED

    def fill(self, k: int, rows: np.ndarray | slice, batch: BatchReader, frame_id: str, path: Path) -> None:
        """Put the arrays of a frame into the block; a star that is not in them was not measured."""
        if not isinstance(rows, slice):
            self.clear(k)
        for name, values in self._blocks.items():
            array, wanted = batch.array(frame_id, name), values[k, rows].shape
            if array.size != np.prod(wanted, dtype=int):
                raise InputError(
                    f"{path}: frame {frame_id} by the method '{self._method.name}' has {name} of shape {array.shape}, "
                    f"which is not that of its stars and radii, {wanted}"
                )
            values[k, rows] = array.reshape(wanted)
        flux, flags = self._blocks["flux"][k], self._blocks["flags"][k]
        silent = ~np.isfinite(flux)
        if silent.any():
            silent &= (flags & _EXPLAINED) == 0
            flags[silent] |= _UNMEASURED

    def write(self, first: int, n_frames: int) -> None:
        """Write the block as the frames from `first` on."""
        for name, grid in self._grids.items():
            values = self._blocks[name][:n_frames]
            if values.ndim == 3:
                grid[first : first + n_frames] = values
            else:
                grid[:, first : first + n_frames] = values.T


def _count_radii(method: Method, path: Path, frame_id: str) -> int:
    """Radii of a method's first measured frame; 1 of a method that has none."""
    if not method.radii:
        return 1
    with BatchReader(path) as batch:
        check_batch(method, path, batch, frame_id, declared_arrays(method))
        return len(batch.array(frame_id, "radii_pix"))


def _star_rows(
    batch: BatchReader, frame_id: str, attrs: Mapping, star_id: np.ndarray, catalog_sha256: str, path: Path
) -> np.ndarray | slice:
    """Row of the star catalogue of each row of a frame's arrays."""
    if "star_id" in batch.names(frame_id):
        ids = batch.array(frame_id, "star_id")
        if np.array_equal(ids, star_id):
            return slice(None)
        sorted_rows = np.argsort(star_id)
        place = np.searchsorted(star_id, ids, sorter=sorted_rows)
        rows = sorted_rows[np.minimum(place, len(star_id) - 1)]
        if not np.array_equal(star_id[rows], ids) or len(np.unique(ids)) != len(ids):
            raise ValueError(f"{path}, frame {frame_id}: star_id that the star catalogue does not have, or twice")
        return rows
    if attrs.get("catalog_sha256") == catalog_sha256:
        return slice(None)
    raise ValueError(f"{path}, frame {frame_id}: measured with another star catalogue, or does not say with which")
