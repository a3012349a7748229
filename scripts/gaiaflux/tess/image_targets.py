"""Photometry of stars in prepared full-frame images: what the rule does around the measurement itself."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from gaiaflux.core.sky.epoch import propagate
from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.model.errors import InputError
from gaiaflux.model.tess_catalog import FIRST_OWN_STAR, TessCatalog
from gaiaflux.tess.batch import TargetFiles
from gaiaflux.tess.images.pixels import FieldPixels
from gaiaflux.tess.inputs import Opened, open_prepared, with_response
from gaiaflux.tess.stamp.scene import REACH_PIX
from gaiaflux.tess.stamp.stamp_view import StampView
from gaiaflux.tess.stamp.stamps import around, default_size
from gaiaflux.tess.stamp.target_group import target_group

__all__ = ["measure_stars", "stars_near"]

LOG = logging.getLogger(__name__)
NEAR_PIX = 100.0
"""A star so near to the images is said to be beside them [pixel]."""


def measure_stars(
    wanted: Mapping[str, Any],
    prepared: Sequence[str | Path],
    files: TargetFiles,
    methods: Sequence[str],
    out: BatchWriter,
) -> None:
    """Measure stars on every CCD that shows them, or write down why one cannot be.

    Parameters
    ----------
    wanted : mapping
        As of `gaiaflux.workflow.ccd_frames.targets_of_batch`.
    prepared : sequence of path
        Prepared images, one file for each CCD.
    files : TargetFiles
    methods : sequence of str
        Names of `gaiaflux.model.methods.TESS_METHODS`.
    out : BatchWriter
        Takes one group per star and CCD, as `gaiaflux.tess.batch.measure_targets` has them.
    """
    catalog = files.catalog
    stars, asked = _stars(wanted, catalog), _asked(wanted, catalog)
    seen: set[int] = set()
    beside: dict[int, list[str]] = {}
    for path in prepared:
        try:
            source = open_prepared(path)
        except InputError as reason:
            LOG.warning("%s", reason)
            continue
        with closing(source):
            places = _places(source, catalog)
            here = _on_pixels(source, catalog, places, stars)
            seen.update(here)
            for star in set(asked) - set(here):
                beside.setdefault(star, []).extend(_beside(source, catalog, places, star))
            try:
                opened: Opened[FieldPixels] | str = with_response(source, catalog, files.instrument)
            except FileNotFoundError as reason:
                opened = str(reason)
            for star in here:
                name = f"{star:011d}-s{source.sector:04d}-{source.camera}-{source.ccd}"
                out.add(name, *_measured(opened, (source, places), star, (str(path), methods), files))
    for star in asked:
        if star not in seen:
            status = _why_missing(star, catalog, beside.get(star, []))
            LOG.warning("TIC %d: %s", star, status)
            out.add(f"{star:011d}", {"status": status, "path": "", "starid": star}, {})


def _measured(
    opened: Opened[FieldPixels] | str,
    where: tuple[FieldPixels, np.ndarray],
    star: int,
    how: tuple[str, Sequence[str]],
    files: TargetFiles,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Attributes and arrays of a star on a CCD; why it has none where there are none."""
    (source, places), (path, methods) = where, how
    try:
        if isinstance(opened, str):
            raise InputError(opened)
        near = stars_near(source, files.catalog, places, star)
        view = StampView(source, near, star, opened.samples)
        return target_group(view, opened.remarks, methods, path, files.saturated)
    except (InputError, ValueError) as reason:
        LOG.warning("TIC %d on %s: %s", star, path, reason)
        at = int(np.searchsorted(files.catalog.star_id, star))
        ccd = {name: getattr(source, name) for name in ("sector", "camera", "ccd")}
        stated = {"path": path, "starid": star, **ccd, "tmag": float(files.catalog.mag[at])}
        return {"status": str(reason), **stated}, {}


def _stars(wanted: Mapping[str, Any], catalog: TessCatalog) -> np.ndarray:
    """Stars of the catalogue that are wanted, wherever they are."""
    if "stars" in wanted:
        return np.intersect1d(np.array(wanted["stars"], np.int64), catalog.star_id)
    chosen = np.ones(len(catalog), bool)
    if wanted["tmag_max"] is not None:
        with np.errstate(invalid="ignore"):
            chosen = catalog.mag <= wanted["tmag_max"]
    elif wanted.get("listed"):
        chosen[:] = False
    if wanted.get("listed"):
        chosen |= catalog.star_id < FIRST_OWN_STAR
    return catalog.star_id[chosen & (catalog.star_id % wanted["parts"] == wanted["part"])]


def _asked(wanted: Mapping[str, Any], catalog: TessCatalog) -> list[int]:
    """Stars that are named one by one: each is in the table, measured or not."""
    if "stars" in wanted:
        return list(wanted["stars"])
    if not wanted.get("listed"):
        return []
    lost = [ids for ids in catalog.left_out.values() if len(ids)]
    named = np.unique(np.concatenate([catalog.star_id[catalog.star_id < FIRST_OWN_STAR], *lost]))
    named = named[(named > 0) & (named % wanted["parts"] == wanted["part"])]
    return [int(star) for star in named]


def _places(source: FieldPixels, catalog: TessCatalog) -> np.ndarray:
    """Row and column of all stars on the CCD, shape (2, n)."""
    return np.stack(source.place(*propagate(catalog, float(source.field.head["jyear"]))))


def _on_pixels(source: FieldPixels, catalog: TessCatalog, places: np.ndarray, stars: np.ndarray) -> list[int]:
    first, last, left, right = source.limits
    row, column = places
    with np.errstate(invalid="ignore"):
        inside = (row > first - 0.5) & (row < last - 0.5) & (column > left - 0.5) & (column < right - 0.5)
    return sorted(np.intersect1d(catalog.star_id[inside], stars).tolist())


def _beside(source: FieldPixels, catalog: TessCatalog, places: np.ndarray, star: int) -> list[str]:
    """Where a star is that is not on the images but not far from them."""
    at = int(np.searchsorted(catalog.star_id, star))
    if at == len(catalog) or catalog.star_id[at] != star:
        return []
    first, last, left, right = source.limits
    row, column = places[:, at]
    if not (first - NEAR_PIX < row < last + NEAR_PIX and left - NEAR_PIX < column < right + NEAR_PIX):
        return []
    return [
        f"at column {column:.1f}, row {row:.1f} of s{source.sector:04d}-{source.camera}-{source.ccd}, whose images "
        f"show columns {left} to {right - 1}, rows {first} to {last - 1}"
    ]


def stars_near(source: FieldPixels, catalog: TessCatalog, places: np.ndarray, star: int) -> TessCatalog:
    """Part of a catalogue whose light can reach the stamp of a star.

    Parameters
    ----------
    source : FieldPixels
    catalog : TessCatalog
    places : ndarray, shape (2, n)
        Row and column of its stars on the CCD.
    star : int
        Of the catalogue.

    Returns
    -------
    TessCatalog
    """
    at = int(np.searchsorted(catalog.star_id, star))
    row, column = places[:, at]
    first, last, left, right = around(row, column, default_size(float(catalog.mag[at])), source.limits)
    with np.errstate(invalid="ignore"):
        near = (places[0] > first - REACH_PIX - 1) & (places[0] < last + REACH_PIX)
        near &= (places[1] > left - REACH_PIX - 1) & (places[1] < right + REACH_PIX)
    near[at] = True
    return catalog[np.flatnonzero(near)]


def _why_missing(star: int, catalog: TessCatalog, beside: Sequence[str]) -> str:
    if star in catalog.star_id:
        where = f" ({'; '.join(beside)})" if beside else ""
        return f"not on the pixels of any CCD of the field{where}: correct its position, or give images that show it"
    reason = catalog.why_missing(star)
    return f"left out of the catalogue ({reason})" if reason else "not in the catalogue; add it, or correct the number"
