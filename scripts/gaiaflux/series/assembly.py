"""Put the batches of a series together: stars by frames, in the order of time."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gaiaflux.core.sky.projection import pixel_to_sky
from gaiaflux.core.sky.timing import locate_observer
from gaiaflux.io.batch_file import BatchReader
from gaiaflux.io.dataset import FORMAT, FRAME_COLUMNS, SCHEMA_VERSION, STAR_COLUMNS, DatasetWriter, empty_frames
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip
from gaiaflux.io.plate_solution import read_plate
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.flags import StarFlag
from gaiaflux.series.method_facts import STAR_FACTS, WITH_RADII, write_frame_facts

__all__ = ["assemble_dataset"]

_BLOCK_FRAMES = 100
_BLOCK_VALUES = 12_000_000  # numbers in memory at once
_UNMEASURED = np.uint32(StarFlag.NOT_MEASURED)
_EXPLAINED = np.uint32(StarFlag.NOT_MEASURED | StarFlag.OFF_IMAGE)

Paths = Sequence[str | Path]
_ARRAYS = (
    ("flux", "f4", "total flux of the star, by each radius where the method has several"),
    ("flux_err", "f4", "one-sigma error of flux"),
    ("flags", "u4", "bits of the star flags"),
)


def assemble_dataset(
    path: str | Path,
    series: str,
    stars: Paths,
    wcs: Paths,
    photometry: Mapping[str, Paths],
    catalog: StarCatalog,
    catalog_attrs: Mapping[str, str],
) -> None:
    """Write all measurements of a series into one file, streamed in blocks of frames.

    Frames are sorted by (mjd_utc, frame_id), those without a time last; nothing depends on how they were batched. A
    frame that could not be measured is a column of NaN, flagged, with the reason as its status: the first that is not
    ``ok`` of extraction, plate solution and photometry. A frame that one method measured is ``ok``; what happened to it
    by another says that method's own ``status``.

    Parameters
    ----------
    path : str or Path
        File to write: ``/frames``, ``/stars`` and for each method ``flux``, ``flux_err``, ``flags`` of shape
        (n_frames, n_stars, n_radii), where a method without radii has one; ``radii_pix`` (n_frames, n_radii) where it
        has them; and what `gaiaflux.series.method_facts` names, of shape (n_frames,) and (n_stars, n_frames).
    series : str
        Name of the series.
    stars, wcs : sequence of path
        Batches of extracted stars and of plate solutions.
    photometry : mapping of str to sequence of path
        Batches by method (``aperture``, ``psf``). Their fluxes have shape (n_stars, n_radii) or (n_stars,), and their
        frames an array ``star_id`` or an attribute ``catalog_sha256`` that says which star a row is.
    catalog : StarCatalog
        Stars of the series.
    catalog_attrs : mapping
        ``reference_frame_id`` and ``catalog_sha256``.

    Raises
    ------
    ValueError
        A frame is in two batches or in none, or rows cannot be assigned to stars.
    """
    facts = {"stars": _read_attrs(stars), "wcs": _read_attrs(wcs)}
    facts |= {method: _read_attrs(paths) for method, paths in photometry.items()}
    for kind, found in facts.items():
        if found.keys() != facts["stars"].keys():
            odd = sorted(found.keys() ^ facts["stars"].keys())
            raise ValueError(f"batches of {kind} and of stars do not have the same frames: {', '.join(odd[:3])} ...")
    order = sorted(facts["stars"], key=lambda name: (*_time_key(facts["stars"][name][1]), name))
    with DatasetWriter(path) as out:
        out.attributes({"format": FORMAT, "schema_version": SCHEMA_VERSION, "series": series, **catalog_attrs})
        out.table("frames", _frame_table(order, facts, list(photometry)), FRAME_COLUMNS)
        out.stars(catalog.columns(), STAR_COLUMNS)
        for method in photometry:
            _write_method(out, method, order, facts[method], catalog.star_id, catalog_attrs["catalog_sha256"])


def _read_attrs(paths: Paths) -> dict[str, tuple[Path, dict]]:
    """Path of its batch and scalars of each frame."""
    found = {}
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
        needed = [*before, *([] if "ok" in by_method else by_method)]
        columns["status"][j] = next((status for status in needed if status != "ok"), "ok")
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
        if found[frame_id][1]["status"] == "ok":
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
    method: str,
    order: Sequence[str],
    facts: Mapping[str, tuple[Path, dict]],
    star_id: np.ndarray,
    catalog_sha256: str,
) -> None:
    measured = [frame_id for frame_id in order if facts[frame_id][1]["status"] == "ok"]
    units = sorted({str(facts[frame_id][1].get("unit", "")) for frame_id in measured} - {""})
    unit = " or ".join(units) or "electron/s"
    n_radii = 1
    if measured:
        with BatchReader(facts[measured[0]][0]) as batch:
            n_radii = _flux_shape(batch, measured[0])
    n_stars = len(star_id)
    block = max(1, min(_BLOCK_FRAMES, _BLOCK_VALUES // max(n_stars * n_radii, 1)))
    shape = (len(order), n_stars, n_radii)
    grids = [
        out.grid(f"{method}/{name}", shape, dtype, "" if name == "flags" else unit, text, (block, 256, n_radii))
        for name, dtype, text in _ARRAYS
    ]
    further = STAR_FACTS.get(method, {})
    further_grids = [
        out.grid(f"{method}/{name}", shape[1::-1], column.dtype, column.unit, column.description)
        for name, column in further.items()
    ]
    radii = np.full((len(order), n_radii), np.nan)
    # One set of arrays for all blocks: fresh memory costs more than what is put into it.
    size = min(block, len(order))
    buffers = [np.empty((size, *shape[1:]), dtype=dtype) for _, dtype, _ in _ARRAYS]
    further_buffers = [np.empty((size, n_stars), dtype=column.dtype) for column in further.values()]
    for first in range(0, len(order), block):
        names = order[first : first + block]
        blocks = [buffer[: len(names)] for buffer in buffers]
        further_blocks = [buffer[: len(names)] for buffer in further_buffers]
        for values in further_blocks:
            values[...] = np.nan
        by_path: dict[Path, list[int]] = {}
        for k, frame_id in enumerate(names):
            if facts[frame_id][1]["status"] == "ok":
                by_path.setdefault(facts[frame_id][0], []).append(k)
            else:
                _clear(blocks, k)
        for path, places in by_path.items():
            with BatchReader(path) as batch:
                for k in places:
                    rows = _star_rows(batch, names[k], facts[names[k]][1], star_id, catalog_sha256, path)
                    _fill(blocks, k, rows, [batch.array(names[k], name) for name, _, _ in _ARRAYS])
                    for name, values in zip(further, further_blocks, strict=True):
                        values[k, rows] = batch.array(names[k], name)
                    if method in WITH_RADII:
                        radii[first + k] = batch.array(names[k], "radii_pix")
        for grid, values in zip(grids, blocks, strict=True):
            grid[first : first + len(names)] = values
        for grid, values in zip(further_grids, further_blocks, strict=True):
            grid[:, first : first + len(names)] = values.T
    if method in WITH_RADII:
        out.array(f"{method}/radii_pix", radii, "pixel", "radii of the apertures in each frame; NaN where not measured")
    write_frame_facts(out, method, [facts[frame_id][1] for frame_id in order])


def _clear(blocks: Sequence[np.ndarray], k: int) -> None:
    """Nothing measured in frame `k` of a block."""
    flux, flux_err, flags = blocks
    flux[k], flux_err[k], flags[k] = np.nan, np.nan, _UNMEASURED


def _fill(blocks: Sequence[np.ndarray], k: int, rows: np.ndarray | slice, found: Sequence[np.ndarray]) -> None:
    """Put the arrays of a frame into a block; a star that is not in them was not measured."""
    if not isinstance(rows, slice):
        _clear(blocks, k)
    for values, array in zip(blocks, found, strict=True):
        values[k, rows] = array.reshape(len(array), values.shape[2])
    flux, _, flags = blocks
    silent = ~np.isfinite(flux[k])
    if silent.any():
        silent &= (flags[k] & _EXPLAINED) == 0
        flags[k][silent] |= _UNMEASURED


def _flux_shape(batch: BatchReader, frame_id: str) -> int:
    flux = batch.array(frame_id, "flux")
    return flux.shape[1] if flux.ndim == 2 else 1


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
